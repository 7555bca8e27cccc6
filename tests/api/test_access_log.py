"""Who read what: the rows that operations leave, on both executors, for payloads and for what is told as it happens."""

import dataclasses
import hashlib
import json
from contextlib import AsyncExitStack
from uuid import uuid4

import httpx
import psycopg
import pytest
from graphql import parse
from psycopg.rows import dict_row

from crm_es.access.entry import Kind, entry
from crm_es.access.operations import normalised
from crm_es.api import ids
from crm_es.api.http import GraphQLOverHTTP
from crm_es.api.ids import NodeId
from crm_es.exports.accounting import trail_of
from crm_es.schema import schema
from crm_es.workspaces import access_graphql
from tests.api.conftest import hurried, opened
from tests.api.served import served
from tests.waiting import PATIENCE_SECONDS, soon

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
    async with opened(dataclasses.replace(place, settings=settings, engine=None)) as api:
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


LOG = """query Log($filter: AccessFilter, $first: Int, $after: String) {
  accessLog(filter: $filter, first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor } nodes {
    id at position operation operationHash purpose nodes { __typename id } nodeCount fields rows milliseconds allowed code
    actor { kind name member { name } apiKey { id } onBehalfOf { name } authenticatedBy } } } }"""


async def log(api, first=None, after=None, who="auditor", **filter_):
    return (await api.ask(LOG, who=who, filter=filter_, first=first, after=after))["accessLog"]


def operations(found):
    return [node["operation"] for node in found["nodes"]]


async def test_auditors_read_who_read_what_and_for_what(place, api):
    id_ = await register(api)
    await api.post(REACH, variables={"id": id_}, who="sales", extensions={"purpose": "Rückruf 王伟"})
    await api.post(REACH, variables={"id": id_}, headers={"CRM-Purpose": "call%20back%20%E7%8E%8B"})

    found = await log(api, field={"eq": "emails"})

    by_header, by_sales, made = found["nodes"]
    assert operations(found) == ["Reach", "Reach", "Register"]
    assert by_sales["nodes"] == [{"__typename": "Contact", "id": id_}]
    assert by_sales["actor"] == {
        "kind": "MEMBER", "name": "Sales", "member": {"name": "Sales"}, "apiKey": None, "onBehalfOf": None,
        "authenticatedBy": "test",
    }  # fmt: skip
    assert (by_sales["purpose"], by_header["purpose"], made["purpose"]) == ("Rückruf 王伟", "call back 王", None)
    assert (by_sales["fields"], by_sales["nodeCount"], by_sales["allowed"]) == (["emails", "primaryEmail"], 1, True)
    assert found["totalCount"] == 3
    node = await api.ask("query N($id: ID!) { node(id: $id) { id ... on Access { operation } } }", id=made["id"])
    assert node["node"] == {"id": made["id"], "operation": "Register"}
    reading = await row_of(place, api, "Log")
    assert named(reading) >= {("Access", str(uuid_in(each["id"]))) for each in found["nodes"]}


async def test_who_saw_this_contact_finds_lists_and_what_it_absorbed(api):
    ada, bea, cleo = [await register(api, name) for name in ("Ada", "Bea", "Cleo")]
    await api.ask(REACH, id=bea)
    await api.ask("query Many { contacts(first: 2) { nodes { emails { address } } } }")
    merge = "mutation Merge($input: MergeContactsInput!) { mergeContacts(input: $input) { userErrors { message } } }"
    for survivor, absorbed in ((cleo, bea), (ada, cleo)):
        given = {"survivorId": survivor, "absorbedId": absorbed, "reason": "one person"}
        assert (await api.ask(merge, input=given))["mergeContacts"]["userErrors"] == []

    of_bea = operations(await log(api, nodeId={"eq": bea}, field={"isNull": False}))
    of_ada = operations(await log(api, nodeId={"eq": ada}, field={"isNull": False}))
    of_both = operations(await log(api, nodeId={"in": [ada, bea]}, field={"isNull": False}))
    of_nobody = operations(await log(api, nodeId={"eq": api.id("Contact", api.workspace)}))

    assert of_bea == ["Many", "Reach", "Register"]
    assert of_ada == of_both == ["Many", "Reach", "Register", "Register", "Register"]
    assert of_nobody == []


@pytest.mark.parametrize("few", [0, 3, 20_000], ids=["walked", "more", "looked up"])
async def test_who_saw_a_record_is_answered_in_full(api, monkeypatch, few):
    monkeypatch.setattr(access_graphql, "FEW", few)
    ada, bea = [await register(api, name) for name in ("Ada", "Bea")]
    for id_ in (ada, bea, ada, bea, ada):
        await api.ask(REACH, id=id_)

    found = await log(api, nodeId={"eq": ada}, first=2)
    rest = await log(api, nodeId={"eq": ada}, first=2, after=found["pageInfo"]["endCursor"])
    both = await log(api, nodeId={"eq": ada, "in": [ada, bea]}, field={"eq": "emails"})
    neither = await log(api, nodeId={"eq": ada, "in": [bea]})
    other = await log(api, **{"not": {"nodeId": {"eq": ada}}}, field={"eq": "emails"})
    either = await log(api, **{"or": [{"nodeId": {"eq": ada}}, {"nodeId": {"in": [bea]}}]}, field={"eq": "emails"})
    none = await log(api, nodeId={"in": []})

    assert operations(found) + operations(rest) == ["Reach"] * 3 + ["Register"]
    assert found["totalCount"] == 4
    assert operations(both) == operations(found) + operations(rest)
    assert operations(neither) == operations(none) == []
    assert operations(other) == ["Reach", "Reach", "Register"]
    assert len(operations(either)) == 7


@pytest.mark.parametrize("few", [0, 20_000], ids=["walked", "looked up"])
async def test_what_may_have_held_a_record_is_told_of_it(api, monkeypatch, few):
    monkeypatch.setattr(access_graphql, "FEW", few)
    ada = await register(api)
    before, later = 1, int((await api.ask("{ viewer { position } }"))["viewer"]["position"])

    async def sent_out(operation, position, held, count=0):
        trail = trail_of(uuid4(), [held])
        trail.saw("Deal", [uuid4() for _ in range(count)])
        kind = Kind.QUERY if count else Kind.EXPORT
        given = {"workspace": api.workspace, "actor": api.known["auditor"].actor, "position": position}
        await api.engine.access.record(entry(kind=kind, operation=operation, trail=trail, **given))

    await sent_out("all of it", later, NodeId("Workspace", api.workspace))
    await sent_out("all before", before, NodeId("Workspace", api.workspace))
    await sent_out("her", later, NodeId("Contact", uuid_in(ada)))
    await sent_out("somebody else", later, NodeId("Contact", uuid4()))
    await sent_out("very many", later, NodeId("Contact", uuid4()), count=1_000)
    await api.ask("query Mine { viewer { workspace { id } } }")

    async def there():
        found = [each for each in operations(await log(api, nodeId={"eq": ada})) if each not in {"Log", "Register"}]
        return found if "very many" in found else None

    assert sorted(await soon(there)) == ["all of it", "her", "very many"]


@pytest.mark.parametrize(
    ("filter_", "path"),
    [
        ({"nodeId": {"eq": "nonsense"}}, ["filter", "nodeId", "eq"]),
        ({"or": [{"nodeId": {"in": ["nonsense"]}}]}, ["filter", "or", "nodeId", "in"]),
        ({"nodeId": {"eq": None}}, ["filter", "nodeId", "eq"]),
    ],
)
async def test_no_nonsense_is_looked_up(api, filter_, path):
    (error,) = (await api.post(LOG, who="auditor", variables={"filter": filter_})).json()["errors"]

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["extensions"]["field"] == path


async def test_the_log_is_narrowed_and_paged(api):
    id_ = await register(api)
    for who in ("sales", "admin", "sales", "auditor"):
        await api.ask(REACH, id=id_, who=who)
    await api.post("query Trail { events { totalCount } }", who="sales")
    sales = api.id("Member", api.known["sales"].member_id)

    await soon_denied(api)
    first = await log(api, actorId={"eq": sales}, field={"eq": "emails"}, first=1)
    second = await log(
        api, first=1, after=first["pageInfo"]["endCursor"], actorId={"eq": sales}, field={"eq": "emails"}
    )
    denied = await log(api, allowed=False)
    newest, *_, oldest = (await log(api, field={"eq": "emails"}))["nodes"]
    later = await log(api, field={"eq": "emails"}, at={"gt": oldest["at"]})
    neither = await log(api, field={"eq": "emails"}, at={"gt": newest["at"]})

    assert first["totalCount"] == second["totalCount"] == 2
    assert first["pageInfo"]["hasNextPage"]
    assert not second["pageInfo"]["hasNextPage"]
    assert first["nodes"][0]["id"] != second["nodes"][0]["id"]
    assert [(node["operation"], node["code"]) for node in denied["nodes"]] == [("Trail", "FORBIDDEN")]
    assert oldest["operation"] == "Register"
    assert oldest["id"] not in {node["id"] for node in later["nodes"]}
    assert neither["nodes"] == []


async def soon_denied(api):
    async def there():
        return (await log(api, allowed=False))["nodes"]

    await soon(there)


@pytest.mark.parametrize("who", ["sales", "nobody"])
async def test_nobody_else_reads_the_log(api, who):
    id_ = await register(api)
    (made,) = (await log(api, field={"eq": "emails"}))["nodes"]

    refused = (await api.post(LOG, who=who)).json()
    node = await api.ask("query N($id: ID!) { node(id: $id) { id } }", id=made["id"], who=who)

    assert refused["data"] == {"accessLog": None}
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]
    assert node == {"node": None}
    assert id_


@pytest.mark.parametrize("purpose", ["x" * 501, "a\0b", "\ud800", 7])
async def test_a_purpose_that_cannot_be_kept_is_refused(api, purpose):
    body = json.dumps({"query": "{ viewer { position } }", "extensions": {"purpose": purpose}})
    headers = {"authorization": "Bearer admin", "content-type": "application/json"}

    response = await api.http.post("/graphql", content=body, headers=headers)

    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_mass_reading_is_an_event_for_the_auditor(place, anyio_backend):  # noqa: ARG001
    settings = dataclasses.replace(place.settings, mass_read=3)
    events = """{ events(filter: {type: {eq: "access.mass_read_noticed"}}) { nodes { type data actor { kind } } } }"""
    async with opened(dataclasses.replace(place, settings=settings, engine=None)) as api:
        for name in ("Ada", "Bea", "Cleo"):
            await register(api, name)

        async def told():
            await api.ask(LIST, who="sales")
            await api.ask(LIST, who="sales")
            return (await api.ask(events, who="auditor"))["events"]["nodes"]

        found = await soon(told)

    data = [each["data"] for each in found if each["data"]["actorId"] == str(api.known["sales"].member_id)]
    assert {each["actor"]["kind"] for each in found} == {"SYSTEM"}
    assert len(data) == len({each["since"] for each in data})
    assert {each["nodes"] for each in data} <= {3}


async def test_each_result_that_is_told_as_it_happens_leaves_a_row(place, api):
    id_ = await register(api)
    query = 'subscription Follow { changes(after: "0") { node { ... on Contact { emails { address } } } } }'
    headers = {"authorization": "Bearer admin", "accept": "text/event-stream", "crm-purpose": "screen"}

    async with served(api.app) as address, httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        async with client.stream(
            "POST", f"http://{address}/graphql", json={"query": query}, headers=headers
        ) as response:
            async for line in response.aiter_lines():
                if "x.test" in line:
                    break
        followed = rows(place, api, operation="Follow")  # durable before it was told

    (told,) = [row for row in followed if uuid_in(id_) in row["node_ids"]]
    assert (told["kind"], told["fields"], told["purpose"]) == ("SUBSCRIPTION", ["emails"], "screen")
    assert len(followed) >= 1


async def test_what_was_given_up_is_told(place, api):
    api.app.state.http = GraphQLOverHTTP(schema, hurried(api.engine))
    async with AsyncExitStack() as held:
        for _ in range(4):  # all the connections there are
            taken = await api.engine.connections.take()
            held.push_async_callback(api.engine.connections.give, taken, sound=True)
        await api.post("query Slow { teams { id } }")

    row = await row_of(place, api, "Slow")
    assert (row["code"], row["allowed"], row["node_ids"], row["position"]) == ("CANCELLED", True, [], 0)
