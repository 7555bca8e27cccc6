"""Processes are killed while people write: what was acknowledged is there once, and read models are right again."""

import asyncio
from collections import Counter

import pytest

from tests.faults.installation import Sender
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
REGISTER = """mutation($input: RegisterContactInput!) { registerContact(input: $input) {
  contact { id displayName emails { address } } position replayed projected userErrors { message } } }"""
CLIENTS = 8


async def write(installation, harm, start, count):
    """`count` contacts by 8 clients; `harm[n]` is done once n of them are acknowledged."""
    sender, waiting = Sender(installation), dict(harm)
    numbers = iter(range(start, start + count))

    async def work(client):
        for n in numbers:
            await sender.send(client, REGISTER, {"displayName": f"P {n}", "emails": [{"address": f"p{n}@example.org"}]})
            if waiting and len(sender.acknowledged) >= min(waiting):
                waiting.pop(min(waiting))()

    async with installation.client() as client, asyncio.timeout(5 * PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(work(client))
    return sender


def contacts(installation):
    """Name and email of all, over the API."""
    found, after = [], None
    while True:
        cursor = f', after: "{after}"' if after else ""
        fields = "nodes { id primaryEmail } pageInfo { hasNextPage endCursor }"
        page = installation.ask(f"{{ contacts(first: 200{cursor}) {{ {fields} }} }}")["contacts"]
        found += page["nodes"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


async def test_nothing_acknowledged_is_lost_or_doubled_when_processes_are_killed(installation):
    installation = installation.beside("Crowd")
    harm = {
        60: installation.kill_projector, 120: installation.kill_web, 180: installation.kill_database,
        240: installation.kill_projector,
    }  # fmt: skip

    others = {node["id"] for node in contacts(installation)}

    sender = await write(installation, harm, 0, 300)

    installation.serving.get_until("/readyz", 200)
    found = {node["id"]: node for node in contacts(installation) if node["id"] not in others}
    told = [payload["contact"] for payload in sender.acknowledged.values() if payload["contact"]]
    assert len(found) == len(sender.acknowledged) == 300
    assert Counter(node["primaryEmail"] for node in found.values()) == Counter(f"p{n}@example.org" for n in range(300))
    assert {each["id"] for each in told} <= set(found)
    assert set(sender.failures) <= {"TIMEOUT", "none"}  # which of the two depends on who was hit first
    positions = installation.positions()
    assert {int(payload["position"]) for payload in sender.acknowledged.values()} <= set(positions)
    assert len({payload["position"] for payload in sender.acknowledged.values()}) == 300
    installation.check()
