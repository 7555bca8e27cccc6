"""Every mutation about people, with a canary in each personal text: none of it stands in the log, or in what is logged."""

import base64
import json
import logging

import psycopg
import pytest
from graphql import get_named_type

from tests.isolation.walking import SCHEMA, Asking, selection

pytestmark = pytest.mark.anyio
WORD, MAIL, DIGITS = "Quixotlåx", "quixotl", "15123456789"
PERSONAL = dict.fromkeys(
    ("displayName", "givenName", "familyName", "jobTitle", "subject", "body", "reason", "externalId", "passages", "lines",
     "city", "name"),
    f"{WORD} said so",
)  # fmt: skip
PEOPLE = ("Contact", "Interaction", "Member")
LEFT_OUT = {"deactivateMember"}
"""Would end the asker."""


def about_people():
    """Archiving comes last: what is archived takes no more."""
    names = [name for name in SCHEMA.mutation_type.fields if any(kind in name for kind in PEOPLE)]
    return sorted(set(names) - LEFT_OUT, key=lambda name: (name.startswith("archive"), names.index(name)))


def texts(number):
    address = f"{MAIL}{number}@{MAIL}.example"
    return PERSONAL | {
        "address": address,
        "email": address,
        "number": f"+49 {DIGITS}",
        "value": f"{number}",
        "externalId": f"{WORD} {number}",
    }


def forms(text):
    """As it may stand in bytes: plain, in either escape of JSON, in hexadecimal, and in base64 at any offset."""
    raw = text.encode()
    yield from (
        raw,
        text.lower().encode(),
        json.dumps(text)[1:-1].encode(),
        raw.hex().encode(),
        text.encode("utf-16-le"),
    )
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw).rstrip(b"=")
        yield encoded[(0, 2, 3)[offset] : -2]


def found(haystack):
    return [text for text in (WORD, MAIL, DIGITS) if any(form in haystack for form in forms(text))]


def test_the_search_finds_what_is_hidden():
    for hidden in (f"a {WORD} b".encode(), base64.b64encode(f"xy{WORD}z".encode()), json.dumps({"a": WORD}).encode()):
        assert found(hidden) == [WORD]


async def written(neighbours):
    """Each mutation's code, or None where it was recorded."""
    asking = Asking(neighbours.ours.ids(), neighbours.ours.word)
    results, new = {}, None
    for number, name in enumerate(about_people()):
        field = SCHEMA.mutation_type.fields[name]
        given = asking.full(field.args["input"].type, texts(number), "input", name)
        given |= {key: new for key in given if key == "absorbedId"}
        payload = selection(get_named_type(field.type))
        query = f"mutation($input: {field.args['input'].type}) {{ {name}(input: $input) {{ {payload} }} }}"
        for _ in range(2):  # again: what is taken now, or changes nothing, is refused or replayed in words
            response = await neighbours.ours.api.post(query, variables={"input": given})
            body = response.json()
            assert "errors" not in body, (name, given, body)
            refused = body["data"][name]["userErrors"]
            new = new or (body["data"][name].get("contact") or {}).get("id")
            results.setdefault(name, refused[0]["message"] if refused else None)
    return results


async def test_no_personal_text_stands_in_the_log_or_in_what_is_logged(place, new_neighbours, caplog):
    neighbours = new_neighbours
    caplog.set_level(logging.DEBUG)

    results = await written(neighbours)

    recorded = [name for name, refused in results.items() if refused is None]
    with psycopg.connect(place.urls.owner) as owner:
        events = owner.execute("SELECT topic, state FROM es.events").fetchall()
        tables = ("command", "reservation", "key_holder", "doomed_key", "head", "bookmark")
        rest = [row for table in tables for row in owner.execute(f"SELECT t::text FROM es.{table} t").fetchall()]  # noqa: S608
    metrics = (await neighbours.ours.api.http.get("/metrics")).content

    assert len(recorded) >= len(results) * 3 // 4, str(results)
    assert {"registerContact", "updateContact", "recordInteraction", "registerMember"} <= set(recorded), str(results)
    assert [topic for topic, state in events if found(bytes(state))] == []
    assert [row for (row,) in rest if found(row.encode())] == []
    assert found(caplog.text.encode()) == []
    assert found(metrics) == []
    shown = (
        await neighbours.ours.api.post('{ contacts(filter: {displayName: {contains: "quix"}}) { totalCount } }')
    ).json()
    assert shown["data"]["contacts"]["totalCount"] > 0
