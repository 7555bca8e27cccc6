"""Who listens misses nothing and hears nothing twice, though the projector is killed while others write."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from tests.api.served import need_node, node
from tests.commands.running import token
from tests.faults.installation import Sender
from tests.faults.listening import results, subscribed
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
RECORD = "mutation($input: RecordInteractionsInput!) { recordInteractions(input: $input) { position userErrors { message } } }"
REGISTER = """mutation($input: RegisterContactInput!) { registerContact(input: $input) {
  contact { id } position userErrors { message } } }"""
UPDATE = """mutation($input: UpdateContactInput!) { updateContact(input: $input) {
  contact { id version } position userErrors { message } } }"""
FOUND = """mutation($input: RegisterCompanyInput!) { registerCompany(input: $input) {
  company { id } position userErrors { message } } }"""
WHEN = "2025-01-01T00:00:00Z"


async def record(installation, batches, size):
    """Interactions in batches, one after the other; the projector is killed after half of them."""
    sender = Sender(installation)
    async with installation.client() as client:
        for batch in range(batches):
            rows = [{"type": "NOTE", "occurredAt": WHEN, "body": f"{batch} {n}"} for n in range(size)]
            await sender.send(client, RECORD, {"interactions": rows})
            if batch == batches // 2:
                installation.kill_projector()


@asynccontextmanager
async def hearing(installation, who, query, work):
    """The results of a subscription while `work` is done; the block ends when both have."""
    async with (
        asyncio.timeout(5 * PATIENCE_SECONDS),
        subscribed(installation.serving.url, who, query) as socket,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(work)
        yield results(socket)


def newest(installation):
    return installation.positions()[-1]


async def test_every_event_comes_once_and_in_order(installation):
    auditor = token(installation.data_dir, "auditor")
    expected = newest(installation) + 300
    heard = []

    query = 'subscription { events(after: "0") { position type } }'
    async with hearing(installation, auditor, query, record(installation, 10, 30)) as told:
        async for result in told:
            heard.append(int(result["data"]["events"]["position"]))
            if heard[-1] == expected:
                break

    assert heard == list(range(1, expected + 1))


@pytest.mark.node
@pytest.mark.slow
async def test_5000_events_come_once_through_the_client_of_the_wider_world(installation):
    need_node()
    auditor = token(installation.data_dir, "auditor")
    expected = newest(installation) + 5_000
    url = installation.serving.url.replace("http", "ws", 1)
    query = 'subscription { events(after: "0") { position } }'

    listening = asyncio.create_task(
        node("node", "ws.mjs", url, auditor, query, str(expected), seconds=5 * PATIENCE_SECONDS)
    )
    await record(installation, 25, 200)
    _, printed = await listening

    heard = [int(json.loads(line)["data"]["events"]["position"]) for line in printed.splitlines()]
    assert heard == list(range(1, expected + 1))


class Screen:
    """What a page shows that follows a company's people."""

    def __init__(self):
        self.shown = {}
        self.told = []

    def take(self, change):
        self.told.append((int(change["position"]), change["kind"]))
        if change["kind"] == "GONE":
            self.shown.pop(change["nodeId"], None)
        else:
            self.shown[change["nodeId"]] = change["node"]["jobTitle"]


async def test_a_screen_ends_at_the_last_state_of_every_record(installation):
    sender, screen = Sender(installation), Screen()
    async with installation.client() as client:
        firm = (await sender.send(client, FOUND, {"name": "Acme"}))["company"]["id"]
        people = [
            (await sender.send(client, REGISTER, {"displayName": f"Q {n}", "companyId": firm}))["contact"]["id"]
            for n in range(10)
        ]
        since = newest(installation)

        async def work():
            for n in range(60):
                await sender.send(client, UPDATE, {"id": people[n % 9], "jobTitle": f"job {n}"})
                if n == 25:
                    installation.kill_projector()
            await sender.send(client, UPDATE, {"id": people[0], "companyId": None})
            await sender.send(client, UPDATE, {"id": people[9], "jobTitle": "the end"})

        query = f"""subscription {{ changes(within: ["{firm}"], types: [CONTACT], after: "{since}") {{
          position kind nodeId node {{ ... on Contact {{ jobTitle }} }} }} }}"""
        async with hearing(installation, installation.token, query, work()) as told:
            async for result in told:
                screen.take(result["data"]["changes"])
                if screen.shown.get(people[9]) == "the end":
                    break

    last = {people[n % 9]: f"job {n}" for n in range(60)} | {people[9]: "the end"}
    assert screen.shown == {id_: title for id_, title in last.items() if id_ != people[0]}
    assert [position for position, _ in screen.told] == sorted({position for position, _ in screen.told})
    assert [kind for _, kind in screen.told].count("GONE") == 1
