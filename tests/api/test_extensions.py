"""What every answer says beside its data, and what a client is told that should wait."""

import asyncio
import json
from dataclasses import replace
from uuid import uuid4

import httpx
import psycopg
import pytest

from crm_es.api.http import GraphQLOverHTTP
from crm_es.api.rate import RateLimit
from crm_es.contacts import editing
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, EmailEntry
from crm_es.eventstore.event import WorkspaceId
from crm_es.reads.driver import Snapshot
from crm_es.schema import schema
from crm_es.serving.sealing import sealing
from crm_es.values import EmailAddress, Tag
from crm_es.workspaces import team
from tests.api.served import served
from tests.api.test_streams import socket, subscribe
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio

TEAMS = "{ teams { name } }"
REGISTER = 'mutation { registerContact(input: {displayName: "Ada"}) { position } }'
ADDRESS = EmailAddress("ada@example.com")
FOLLOW = 'subscription { events(after: "0") { id } }'


@pytest.mark.parametrize("compiled", [False, True])
async def test_queries_and_mutations_tell_position_and_cost(api, compiled):
    settings = replace(api.engine.settings, compiled_reads=compiled)
    api.app.state.http = GraphQLOverHTTP(schema, replace(api.engine, settings=settings))

    read = (await api.post("{ contacts(first: 10) { nodes { displayName } } }")).json()
    written = (await api.post(REGISTER)).json()
    again = (await api.post("{ contacts(first: 10) { nodes { displayName } } }")).json()

    assert read["extensions"] == {"cost": again["extensions"]["cost"], "position": "5"}
    assert read["extensions"]["cost"] > 10
    assert written["extensions"]["cost"] > 0
    assert again["extensions"]["position"] == written["data"]["registerContact"]["position"] == "6"


@pytest.mark.parametrize("compiled", [False, True])
async def test_they_tell_the_newest_checkpoint_by_no_statement_of_its_own(api, place, monkeypatch, compiled):
    """Two people who were told one position and one checkpoint can prove to each other that they read the same log."""
    settings = replace(api.engine.settings, compiled_reads=compiled)
    api.app.state.http = GraphQLOverHTTP(schema, replace(api.engine, settings=settings))
    statements = []
    fetch = Snapshot.fetch

    async def noted(self, statement, parameters=(), *, last=False):
        statements.append(statement)
        return await fetch(self, statement, parameters, last=last)

    monkeypatch.setattr(Snapshot, "fetch", noted)

    unsealed = (await api.post(TEAMS)).json()["extensions"]
    sealing(place.settings, place.urls.sealer).drain()
    sealed = (await api.post(TEAMS)).json()["extensions"]
    asked = [*statements]
    past = (await api.post('{ contacts(asOf: {position: "2"}) { totalCount } }')).json()["extensions"]

    assert "checkpoint" not in unsealed
    assert sealed == unsealed | {"checkpoint": "5"}
    assert past["checkpoint"] == "5"
    assert len(asked) == 2


async def test_the_checkpoint_is_of_the_workspace_alone(api, place):
    elsewhere = replace(api.command(), workspace=WorkspaceId(uuid4()))
    await api.engine.store.create(elsewhere, team.TEAM, uuid4(), team.create("Elsewhere"))

    sealing(place.settings, place.urls.sealer).drain()

    told = []
    for workspace in (api.workspace, elsewhere.workspace, uuid4()):
        async with api.engine.connections.snapshot(workspace) as snapshot:
            await snapshot.fetch(b"SELECT 1")
            told.append(snapshot.sealed)
    assert told == [5, 1, None]


async def test_every_result_of_a_subscription_tells_them_too(api):
    async with served(api.app) as address, socket(address, "auditor") as opened:
        await subscribe(opened, FOLLOW)
        over_socket = json.loads(await opened.recv())["payload"]
        headers = {"authorization": "Bearer auditor", "accept": "text/event-stream"}
        async with (
            httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client,
            client.stream("POST", f"http://{address}/graphql", json={"query": FOLLOW}, headers=headers) as asked,
        ):
            line = await anext(line async for line in asked.aiter_lines() if line.startswith("data:"))

    for result in (over_socket, json.loads(line.removeprefix("data:"))):
        assert result["extensions"]["cost"] > 0
        assert int(result["extensions"]["position"]) >= 1


async def test_whoever_spent_his_minute_is_told_how_long_to_wait(api):
    actor = f"{api.workspace}/{api.known['admin'].actor.id}"
    rate = RateLimit(lambda: 0.0, {actor: 90.0})
    api.app.state.http = GraphQLOverHTTP(schema, replace(api.engine, rate=rate))

    refused = await api.post(TEAMS)
    other = await api.post(TEAMS, who="sales")

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "31")
    told = refused.json()["errors"][0]["extensions"]
    assert (told["code"], told["retryAfter"]) == ("RATE_LIMITED", 31)
    assert other.status_code == 200


async def test_a_position_that_is_not_shown_yet_is_waited_for_within_bounds(api, place):
    settings = replace(api.engine.settings, projection_wait_ms=200)
    api.app.state.http = GraphQLOverHTTP(schema, replace(api.engine, settings=settings))
    with psycopg.connect(place.urls.projector) as held:
        held.execute("SELECT FROM es.bookmark FOR UPDATE")  # the projector cannot go on
        await api.begin(team.TEAM, team.create("Sales"))
        early = await api.post(TEAMS, headers={"crm-min-position": "6"})
        without = await api.post(TEAMS)

    waiting(api, 60_000)
    later = await api.post(TEAMS, headers={"crm-min-position": "6"})

    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert early.json()["errors"][0]["extensions"]["code"] == "NOT_YET_PROJECTED"
    assert without.json()["data"] == {"teams": []}
    assert later.json()["data"] == {"teams": [{"name": "Sales"}]}
    assert later.json()["extensions"]["position"] == "6"


def waiting(api, milliseconds):
    settings = replace(api.engine.settings, projection_wait_ms=milliseconds)
    api.app.state.http = GraphQLOverHTTP(schema, replace(api.engine, settings=settings))


async def test_a_position_past_the_log_is_not_shown_yet(api):
    waiting(api, 100)

    response = await api.post(TEAMS, headers={"crm-min-position": "7"})

    (refused,) = response.json()["errors"]
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert refused["extensions"]["code"] == "NOT_YET_PROJECTED"
    assert refused["message"] == "Position 7 is not shown yet, only those up to 5. Try again in a moment."


async def test_a_position_past_the_log_is_waited_for(api):
    waiting(api, 60_000)

    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(api.post(TEAMS, headers={"crm-min-position": "7"}))
        await api.begin(team.TEAM, team.create("Sales"))
        await api.projected()
        assert not asked.done()
        await api.begin(team.TEAM, team.create("Service"))

    assert [each["name"] for each in asked.result().json()["data"]["teams"]] == ["Sales", "Service"]


async def test_a_position_amid_an_append_is_shown_with_all_of_it(api, place):
    waiting(api, 200)
    ada = await api.begin(CONTACT, editing.register(ContactEdit(display_name="Ada")))
    await api.projected()
    edit = ContactEdit(given_name="Ada", add_tags=[Tag("new")], add_emails=[EmailEntry(address=ADDRESS)])
    with psycopg.connect(place.urls.projector) as held:
        held.execute("SELECT FROM es.bookmark FOR UPDATE")  # the projector cannot go on
        ends = await api.change(CONTACT, ada, lambda one: editing.update(one, edit))
        early = await api.post(TEAMS, headers={"crm-min-position": str(ends - 1)})

    assert early.json()["errors"][0]["extensions"]["code"] == "NOT_YET_PROJECTED"
