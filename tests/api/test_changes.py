"""Changes since a position, and subscriptions: every record at its newest, gone ones too, nothing missed."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import httpx
import psycopg
import pytest

from crm_es.values import EmailAddress
from crm_es.workspaces import member, team
from tests.api.conftest import identity
from tests.api.served import served
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio

SINCE = """query($since: Position!, $types: [EntityType!], $first: Int, $after: String) {
  changes(since: $since, types: $types, first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    edges { cursor node { id position kind nodeId type version node { id } } } } }"""


async def promoted(api, name="sales", *roles):
    id_ = api.known[name].member_id
    await api.change(member.MEMBER, id_, lambda m: member.assign_roles(m, roles or ("manager",), other_admins=1))
    await api.projected()
    return api.id("Member", id_)


async def test_every_record_comes_once_at_its_newest(api):
    id_ = await promoted(api)

    changes = (await api.ask(SINCE, since="0"))["changes"]
    newest = changes["edges"][-1]["node"]

    assert changes["totalCount"] == 4
    assert [int(edge["node"]["position"]) for edge in changes["edges"]] == [2, 3, 5, 6]
    assert newest | {"id": ...} == {
        "id": ..., "position": "6", "kind": "CHANGED", "nodeId": id_, "type": "MEMBER", "version": 2, "node": {"id": id_},
    }  # fmt: skip
    assert (await api.ask(SINCE, since="6"))["changes"]["edges"] == []
    refetched = await api.ask("query($id: ID!) { node(id: $id) { id ... on Change { nodeId } } }", id=newest["id"])
    assert refetched["node"] == {"id": newest["id"], "nodeId": id_}


async def test_changes_page_and_narrow_by_type(api):
    first = (await api.ask(SINCE, since="0", first=2))["changes"]
    rest = (await api.ask(SINCE, since="0", first=9, after=first["pageInfo"]["endCursor"]))["changes"]
    none = (await api.ask(SINCE, since="0", types=["CONTACT"]))["changes"]
    foreign = (await api.post(SINCE, variables={"since": "1", "after": first["pageInfo"]["endCursor"]})).json()

    assert first["pageInfo"]["hasNextPage"]
    assert not rest["pageInfo"]["hasNextPage"]
    assert [int(e["node"]["position"]) for e in (*first["edges"], *rest["edges"])] == [2, 3, 4, 5]
    assert none["edges"] == []
    assert foreign["errors"][0]["extensions"]["code"] == "BAD_CURSOR"


async def test_what_may_not_be_read_is_not_told(api):
    assert (await api.ask(SINCE, since="0", who="nobody"))["changes"]["edges"] == []


@asynccontextmanager
async def listening(api, query, who="admin"):
    """Lines of an event stream as they come."""
    async with served(api.app) as address, httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        headers = {"authorization": f"Bearer {who}", "accept": "text/event-stream"}
        async with client.stream(
            "POST", f"http://{address}/graphql", json={"query": query}, headers=headers
        ) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            yield (line async for line in response.aiter_lines())


async def following(lines):
    async for line in lines:
        if line.startswith("data: "):
            return json.loads(line.removeprefix("data: "))
        if line == "event: complete":
            return None
    return None


async def test_a_screen_hears_of_its_records_and_of_nobody_elses(api):
    id_ = api.id("Member", api.known["sales"].member_id)
    asked = "position kind nodeId node { ... on Member { version } }"
    query = f'subscription {{ changes(ids: ["{id_}"], after: "5") {{ {asked} }} }}'

    async with listening(api, query) as lines:
        waiting = asyncio.create_task(following(lines))
        invited = member.invite(name="Else", email=EmailAddress.parse("else@acme.test"), roles=("sales",))
        await api.begin(member.MEMBER, invited)
        await promoted(api)
        told = await waiting

    assert told["data"]["changes"] == {"position": "7", "kind": "CHANGED", "nodeId": id_, "node": {"version": 2}}
    assert told["extensions"]["position"] == "7"


JOB = """subscription { changes(ids: ["%s"]) { id position kind nodeId type version commandId
  node { __typename id ... on Job { status progress { done } } } } }"""


def ran(api, run, status, rows):
    """An import, as its process writes down how far it is."""
    with psycopg.connect(api.engine.store.recorder.datastore.url) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(api.workspace)])
        connection.execute(
            "INSERT INTO es.import_run (workspace_id, id, mapping, mapping_hash, file_name, file_hash, status, rows)"
            " VALUES (%s, %s, 'people', '', 'people.csv', '', %s, %s)"
            " ON CONFLICT (workspace_id, id) DO UPDATE SET status = excluded.status, rows = excluded.rows",
            [api.workspace, run, status, rows],
        )


async def test_a_screen_hears_how_an_import_goes_on(api):
    run = uuid4()
    ran(api, run, "RUNNING", 3)
    id_, told = api.id("Import", run), []

    async with listening(api, JOB % id_) as lines:
        for status, rows in (("RUNNING", 7), ("DONE", 9), (None, None)):
            told.append((await following(lines))["data"]["changes"])
            if status:
                ran(api, run, status, rows)
    again = await api.ask("query($id: ID!) { node(id: $id) { id ... on Change { nodeId } } }", id=told[0]["id"])

    assert [one["node"]["status"] for one in told] == ["RUNNING", "RUNNING", "DONE"]
    assert [one["node"]["progress"]["done"] for one in told] == [3, 7, 9]
    assert {(one["nodeId"], one["type"], one["kind"], one["position"]) for one in told} == {
        (id_, "IMPORT", "CHANGED", "5")
    }
    assert again["node"] == {"id": told[0]["id"], "nodeId": id_}


async def test_a_screen_hears_how_a_revert_goes_on(api):
    run = uuid4()
    with psycopg.connect(api.engine.store.recorder.datastore.url) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(api.workspace)])
        connection.execute(
            "INSERT INTO es.revert_run (workspace_id, id, target_kind, target, upto, dry_run, actor_kind, actor_id)"
            " VALUES (%s, %s, 'COMMAND', %s, 1, true, 'MEMBER', %s)",
            [api.workspace, run, uuid4(), api.known["admin"].member_id],
        )

    async with listening(api, JOB % api.id("Revert", run)) as lines:
        first = (await following(lines))["data"]["changes"]
        with psycopg.connect(api.engine.store.recorder.datastore.url) as connection:
            connection.execute("SELECT set_config('app.workspace', %s, true)", [str(api.workspace)])
            connection.execute("UPDATE es.revert_run SET status = 'DONE', total = 4, done = 4 WHERE id = %s", [run])
        then = (await following(lines))["data"]["changes"]

    assert (first["type"], first["node"]["status"]) == ("REVERT", "QUEUED")
    assert then["node"] == {
        "__typename": "Revert", "id": api.id("Revert", run), "status": "DONE", "progress": {"done": 4},
    }  # fmt: skip


@pytest.mark.parametrize("who", ["nobody", "admin"])
async def test_a_job_is_told_to_those_alone_who_may_see_it(api, who):
    run = uuid4()
    ran(api, run, "RUNNING", 3)
    member_id = api.id("Member", api.known["nobody"].member_id)
    types = ", types: [MEMBER]" if who == "admin" else ""
    query = (
        f'subscription {{ changes(ids: ["{api.id("Import", run)}", "{member_id}"]{types}, after: "0") {{ nodeId }} }}'
    )
    api.known["nobody"] = identity(api.workspace, id=api.known["nobody"].member_id, lasts=timedelta(seconds=3))

    async with listening(api, query, who=who) as lines:
        told = await following(lines)

    if who == "admin":
        assert told["data"]["changes"]["nodeId"] == member_id
    else:
        assert told["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def refusal(body):
    (error,) = body["errors"]
    return error["extensions"]["code"], error["extensions"]["field"], error["message"]


async def test_changes_since_a_position_that_is_none_yet_are_out_of_range(api):
    told = (await api.post(SINCE, variables={"since": "6"})).json()

    assert refusal(told) == ("AS_OF_OUT_OF_RANGE", ["since"], "The log ends at position 5.")


@pytest.mark.parametrize("field", ["changes", "events"])
async def test_nobody_follows_from_behind_a_position_that_is_none_yet(api, field):
    async with listening(api, f'subscription {{ {field}(after: "6") {{ id }} }}', who="auditor") as lines:
        told = await following(lines)

    assert refusal(told) == ("AS_OF_OUT_OF_RANGE", ["after"], "The log ends at position 5.")


async def test_a_position_that_is_recorded_but_not_shown_yet_is_in_range(api, place):
    with psycopg.connect(place.urls.projector) as held:
        held.execute("SELECT FROM es.bookmark FOR UPDATE")  # the projector cannot go on
        await api.begin(team.TEAM, team.create("Sales"))
        changes = (await api.ask(SINCE, since="6"))["changes"]

    assert changes["edges"] == []


async def test_a_stream_ends_when_its_token_does(api):
    api.known["brief"] = identity(api.workspace, "admin", lasts=timedelta(seconds=0.5))

    async with listening(api, "subscription { changes { id } }", who="brief") as lines:
        told = await asyncio.wait_for(following(lines), PATIENCE_SECONDS)

    assert told["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_query_may_be_streamed_where_only_streams_are_accepted(api):
    async with listening(api, "{ viewer { workspace { name } } }") as lines:
        told = await following(lines)

    assert told["data"] == {"viewer": {"workspace": {"name": "Acme"}}}


async def test_a_subscription_over_plain_json_is_refused(api):
    response = await api.post("subscription { changes { id } }")

    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
