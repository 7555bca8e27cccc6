"""Ids of another workspace, wherever an id may be put: answered like ids of nothing at all, and nothing is recorded anywhere."""

import json
from collections import ChainMap
from dataclasses import replace
from itertools import islice
from uuid import uuid4

import pytest

from crm_es.api import ids
from tests.api.timeless import timeless
from tests.isolation.conftest import TOKEN
from tests.isolation.walking import LIST, Asking, Place, places

pytestmark = pytest.mark.anyio


def forms(kind, id_, uuids):
    """A record's id now and in the past; of a contact also its first event's, change's and pair's; by what it is."""
    of_contact = {
        "Event": ids.encode("Event", id_, sub=1),
        "Change": ids.encode("Change", id_, sub=10),
        "DuplicatePair": ids.encode("DuplicatePair", id_, sub=uuids["Member"]),
    }
    return {kind: ids.encode(kind, id_), f"past {kind}": ids.encode(kind, id_, 1)} | (
        of_contact if kind == "Contact" else {}
    )


def names(error):
    return {"code": error["extensions"]["code"], "path": (error.get("path") or [])[1:], "message": error["message"]}


def told(body, alias):
    """What a client can learn there, less what always differs."""
    errors = [error for error in body.get("errors", ()) if (error.get("path") or [alias])[0] == alias]
    found = {"data": timeless((body.get("data") or {}).get(alias)), "errors": [names(error) for error in errors]}
    assert not {"INTERNAL", "COST_EXCEEDED", "RATE_LIMITED"} & {error["code"] for error in found["errors"]}, body
    return found


def put(where, ids_):
    """One by one, or all at once where a list is taken."""
    return {"all": [*ids_.values()]} if where.argument[-1] == LIST else ids_


AT_ONCE = 10


async def asked(neighbours, where: Place, values):
    """What each of the values is answered in its place, by its name; a whole list goes in the place of its items.

    Several share a request, unless it is refused as a whole: each is asked alone then.
    """
    if len(values) > AT_ONCE:
        return await asked_by_half(neighbours, where, values)
    there = replace(where, argument=where.argument[:-1]) if isinstance(next(iter(values.values())), list) else where
    ((query, variables),) = neighbours.asking.documents(there, [*values.values()])
    body = await neighbours.post(query, variables)
    of_all = body.get("data") is None or any(not error.get("path") for error in body.get("errors", ()))
    if of_all and len(values) > 1:
        return await asked_by_half(neighbours, where, values)
    return {name: told(body, alias) for name, alias in zip(values, variables, strict=True)}


async def asked_by_half(neighbours, where, values):
    rest, half = iter(values.items()), (len(values) + 1) // 2
    first = dict(islice(rest, half))
    return await asked(neighbours, where, first) | await asked(neighbours, where, dict(rest))


WITHIN = {"stageId", "toStageId", "moveDealsTo", "stages"}
"""A stage is looked for in its pipeline alone: all others are against the rules alike."""
UNSOUGHT = {"removeContactIds", "removeArticleIds", "keep"}
"""Where an id is not looked for: to take away what is not there is no event, and to keep is to choose one of two."""
SILENT = {"not", "none", "subsidiaries"}
"""Where an id of ours shows nothing of ours either: all but it, and what is below it."""
CHARTS = {"funnel", "trend", "forecast", "delta"}
"""No word in them tells whose deals they count: there ours must count for something, and anybody else's for nothing."""
OPERATORS = {"eq", "in", "[]", "and"}
SOME = ["Contact", "Company", "Member", "Interaction", "Product", "Pipeline", "Deal", "Queue", "Ticket", "Article"]
known: dict[tuple[str, ...], list[str]] = {}


async def kinds_taken(neighbours, where):
    """Which kinds of ids belong here: those that are not refused for their kind."""
    key = (*where.path[-1:], *(name for name in where.argument if name not in OPERATORS))
    if key not in known:
        uuids = neighbours.ours.uuids
        tried = {kind: ids.encode(kind, uuids.get(kind, uuid4())) for kind in neighbours.theirs.uuids}
        known[key] = [
            kind
            for kind, answer in (await asked(neighbours, where, tried)).items()
            if not any("belongs here" in error["message"] for error in answer["errors"])
        ]
        if "filter" in where.argument and len(known[key]) > len(SOME):
            known[key] = SOME  # where any kind is taken, a few will do
    return known[key]


async def answers_ours(neighbours, where, kinds):
    """Whether it shows what is ours for an id of ours: else silence about theirs would mean nothing."""
    own = [kind for kind in kinds if kind in neighbours.ours.uuids]
    if not own:
        return True
    shown = await asked(neighbours, where, {kind: ids.encode(kind, neighbours.ours.uuids[kind]) for kind in own})
    if where.path[-1] in CHARTS:
        nobodys = await asked(neighbours, where, {kind: ids.encode(kind, uuid4()) for kind in own})
        return any(counts([each["data"]]) for each in shown.values()) and not any(
            counts([each["data"]]) for each in nobodys.values()
        )
    return "Acme" in json.dumps(shown)


def counts(value):
    """Whether a chart counts or sums anything; what its records say of themselves aside."""
    if isinstance(value, list):
        return any(map(counts, value))
    if isinstance(value, dict):
        return "currency" in value or any(counts(item) for item in value.values() if not is_record(item))
    return isinstance(value, int | float) and value != 0


def is_record(value):
    return isinstance(value, dict) and "id" in value


def test_the_walk_finds_the_ids_it_should():
    found = {str(each) for kind in ("query", "mutation", "subscription") for each in places(kind)}

    assert {
        "query.node(id)", "query.nodes(ids.[])", "query.changes(within.[])", "query.contacts(filter.companyId.in.[])",
        "query.contacts(filter.and.[].id.eq)", "query.contacts(filter.company.parentId.eq)",
        "query.contact.interactions(filter.memberId.inTeam)",
        "mutation.registerContact(input.ownerId)", "subscription.changes(ids.[])", "subscription.events(filter.actorId.eq)",
    } <= found  # fmt: skip


@pytest.mark.parametrize("where", places("query"), ids=str)
async def test_a_foreign_id_reads_like_an_unknown_one(neighbours, where):
    uuids = neighbours.theirs.uuids
    taken = await kinds_taken(neighbours, where)

    assert taken
    theirs = [forms(kind, uuids.get(kind, uuid4()), uuids) for kind in taken]
    nobodys = [forms(kind, uuid4(), uuids) for kind in taken]
    said = [await asked(neighbours, where, put(where, dict(ChainMap(*ids_)))) for ids_ in (theirs, nobodys)]

    assert said[0] == said[1]
    assert SILENT & {*where.path, *where.argument} or await answers_ours(neighbours, where, taken)


def refusals(value):
    """All userErrors of a payload, those of its rows too."""
    if isinstance(value, list):
        return [each for item in value for each in refusals(item)]
    if not isinstance(value, dict):
        return []
    own = value.get("userErrors") or []
    return [*own, *(each for key, item in value.items() if key != "userErrors" for each in refusals(item))]


@pytest.mark.parametrize("where", places("mutation"), ids=str)
async def test_nothing_is_written_to_or_about_a_foreign_record(neighbours, where):
    heads = neighbours.ours.head(), neighbours.theirs.head()
    uuids = neighbours.theirs.uuids

    theirs = await asked(neighbours, where, {kind: ids.encode(kind, uuids[kind]) for kind in uuids})
    sought = {kind: each for kind, each in theirs.items() if "id.wrong_type" not in rules(each)}
    nobodys = await asked(neighbours, where, {kind: ids.encode(kind, uuid4()) for kind in sought})
    past = await asked(neighbours, where, {kind: ids.encode(kind, uuids[kind], 1) for kind in sought})

    assert sought == nobodys
    assert {kind: rules(each) for kind, each in past.items()} == {kind: {"id.past"} for kind in sought}
    codes = {error["code"] for each in theirs.values() for error in refusals(each["data"])}
    within = WITHIN & {*where.argument}
    assert "NOT_FOUND" in codes or within or UNSOUGHT & {*where.argument}
    assert codes <= {"NOT_FOUND", "INVALID"} | ({"RULE_VIOLATED"} if within else set())
    assert (neighbours.ours.head(), neighbours.theirs.head()) == heads


def rules(answer):
    return {error["rule"] for error in refusals(answer["data"])}


CURSORS = [each for each in places("query", "String") if each.argument in {("after",), ("before",)}]


@pytest.mark.parametrize("where", CURSORS, ids=str)
async def test_a_foreign_cursor_is_a_bad_cursor(neighbours, where):
    cursor = await a_cursor(neighbours, where)

    answer = (await asked(neighbours, where, {"cursor": cursor}))["cursor"]

    assert [error["code"] for error in answer["errors"]] == ["BAD_CURSOR"]


async def a_cursor(neighbours, where):
    """Of the same list, as the neighbour sees it."""
    asking = Asking(neighbours.theirs.ids(), neighbours.theirs.word)
    ((query, variables),) = asking.documents(Place(where.kind, where.path, ("first",)), [1])
    query = query[: query.index(" fragment")].replace("...S", "edges { cursor }")
    response = await neighbours.theirs.api.post(query, who=TOKEN, variables=variables)
    found = response.json()["data"]
    while not (isinstance(found, dict) and "cursor" in found):
        found = found[0] if isinstance(found, list) else next(iter(found.values()))
    return found["cursor"]
