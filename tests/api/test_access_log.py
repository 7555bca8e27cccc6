"""Who read what: the rows that operations leave, on both executors, for payloads and for what is told as it happens."""

import dataclasses
import hashlib

import psycopg
import pytest
from graphql import parse
from psycopg.rows import dict_row

from crm_es.access.operations import normalised
from crm_es.api import ids
from tests.api.conftest import opened
from tests.waiting import soon

pytestmark = pytest.mark.anyio

REGISTER = """mutation Register($input: RegisterContactInput!) {
  registerContact(input: $input) { contact { id displayName emails { address } } } }"""
CARD = "query Card($id: ID!) { contact(id: $id) { displayName company { name } owner { name } } }"
REACH = "query Reach($id: ID!) { contact(id: $id) { displayName emails { address } primaryEmail } }"
LIST = """query List($first: Int) { contacts(first: $first) {
  totalCount pageInfo { hasNextPage } edges { cursor node { displayName owner { name } tags } } } }"""


@pytest.fixture(params=[True, False], ids=["compiled", "generic"])
async def reading(request, place, anyio_backend):  # noqa: ARG001
    """An application whose queries are answered by one executor alone."""
    settings = dataclasses.replace(place.settings, compiled_reads=request.param)
    async with opened(dataclasses.replace(place, settings=settings)) as api:
        yield api


async def register(api, name="Ada Lovelace", **given):
    data = await api.ask(REGISTER, input={"displayName": name, "emails": [{"address": f"{name[:3]}@x.test"}], **given})
    return data["registerContact"]["contact"]["id"]


def rows(place, api, **where):
    """Of the workspace, oldest first."""
    with psycopg.connect(place.urls.owner, row_factory=dict_row) as connection:
        found = connection.execute(
            "SELECT * FROM access.entry WHERE workspace_id = %s ORDER BY id", [api.workspace]
        ).fetchall()
    return [row for row in found if all(row[name] == value for name, value in where.items())]


async def row_of(place, api, operation):
    """The one row of that operation, once it is written."""
    await soon(lambda: rows(place, api, operation=operation))
    (found,) = rows(place, api, operation=operation)
    return found


def named(row):
    """(type, uuid) of the records."""
    types = [type_ for type_, count in zip(row["node_types"], row["node_counts"], strict=True) for _ in range(count)]
    return {*zip(types, map(str, row["node_ids"]), strict=True)}


def uuid_in(id_):
    return ids.decode(id_).id


async def test_a_query_says_who_read_which_records(place, reading):
    id_ = await register(reading, ownerId=reading.id("Member", reading.known["sales"].member_id))

    body = (await reading.post(CARD, variables={"id": id_}, who="auditor")).json()

    row = await row_of(place, reading, "Card")
    assert named(row) == {
        ("Contact", str(uuid_in(id_))),
        ("Member", str(reading.known["sales"].member_id)),
    }
    assert (row["actor_kind"], row["actor_id"]) == ("MEMBER", reading.known["auditor"].member_id)
    assert (row["kind"], row["authenticated_by"], row["allowed"], row["code"]) == ("QUERY", "test", True, None)
    assert row["operation_hash"] == hashlib.sha256(normalised(parse(CARD)).encode()).digest()
    assert (row["fields"], row["node_count"], row["query_digest"]) == ([], 2, None)
    assert str(row["position"]) == body["extensions"]["position"]
    assert row["microseconds"] > 0
    assert row["rows"] >= 1
    assert row["purpose"] is None
    assert abs((row["logged_at"] - row["at"]).total_seconds()) < 60


async def test_sensitive_fields_are_named_and_their_row_is_there_with_the_answer(place, reading):
    id_ = await register(reading)

    await reading.ask(REACH, id=id_)

    (row,) = rows(place, reading, operation="Reach")
    assert row["fields"] == ["emails", "primaryEmail"]
    (made,) = rows(place, reading, operation="Register")
    assert (made["kind"], made["fields"], named(made)) == ("MUTATION", ["emails"], {("Contact", str(uuid_in(id_)))})


async def test_a_list_names_those_it_shows_and_no_more(place, reading):
    made = [await register(reading, name) for name in ("Ada", "Bea", "Cleo")]

    answer = await reading.ask(LIST, first=2)

    row = await row_of(place, reading, "List")
    assert answer["contacts"]["pageInfo"]["hasNextPage"]
    assert named(row) == {("Contact", str(uuid_in(id_))) for id_ in made[:2]}


async def test_reading_history_is_reading_of_its_record(place, reading):
    id_ = await register(reading)
    query = "query H($id: ID!) { contact(id: $id) { history { nodes { type changes { field to } } } } }"

    await reading.ask(query, id=id_)
    await reading.ask("query E { events(last: 1) { nodes { type } } }", who="auditor")

    row = await row_of(place, reading, "H")
    assert row["fields"] == ["emails", "primaryEmail"]
    for operation in ("H", "E"):
        assert named(await row_of(place, reading, operation)) == {("Contact", str(uuid_in(id_)))}


async def test_what_was_refused_is_told_with_its_code(place, reading):
    await reading.post("query Trail { events { totalCount } }", who="sales")
    await reading.post(REGISTER, who="nobody", variables={"input": {"displayName": "Nobody"}})
    await reading.post("query Wrong { nothing }")

    trail, register_, wrong = [await row_of(place, reading, each) for each in ("Trail", "Register", "Wrong")]
    assert (trail["allowed"], trail["code"]) == (False, "FORBIDDEN")
    assert (register_["allowed"], register_["code"]) == (False, "NOT_ALLOWED")
    assert (wrong["allowed"], wrong["code"]) == (True, "GRAPHQL_VALIDATION_FAILED")


async def test_a_missing_record_leaves_a_row_without_it(place, reading):
    id_ = reading.id("Contact", reading.workspace)

    await reading.ask(REACH, id=id_)

    row = await row_of(place, reading, "Reach")
    assert (row["node_ids"], row["fields"], row["allowed"]) == ([], [], True)
