"""Processes are killed while sensitive fields are read: whatever was answered is in the access log."""

import asyncio
from itertools import count

import httpx
import pytest

from tests.faults.installation import Sender
from tests.waiting import PATIENCE_SECONDS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
REGISTER = """mutation($input: RegisterContactInput!) { registerContact(input: $input) {
  contact { id } userErrors { message } } }"""
CLIENTS, ANSWERS = 8, 360


async def read(installation, contacts, harm):
    """Reads of emails until so many are answered, each an operation with a name of its own; the names of the answered.

    However long what was hurt takes to come back: there are answers before, between and after.
    """
    answered, waiting, numbers = [], dict(harm), count()

    async def work(client):
        while len(answered) < ANSWERS:
            n = next(numbers)
            query = f'query R{n} {{ contact(id: "{contacts[n % len(contacts)]}") {{ emails {{ address }} }} }}'
            try:
                answer = (await client.post(installation.serving.url, json={"query": query})).json()
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if "errors" in answer:
                assert answer["errors"][0]["extensions"]["code"] == "TIMEOUT", answer
                await asyncio.sleep(0.05)
                continue
            assert answer["data"]["contact"]["emails"]
            answered.append(f"R{n}")
            if waiting and len(answered) >= min(waiting):
                waiting.pop(min(waiting))()

    async with installation.client() as client, asyncio.timeout(5 * PATIENCE_SECONDS), asyncio.TaskGroup() as tasks:
        for _ in range(CLIENTS):
            tasks.create_task(work(client))
    return answered


async def test_no_answered_sensitive_read_is_missing_when_processes_are_killed(installation):
    installation = installation.beside("Read")
    sender = Sender(installation)
    async with installation.client() as client:
        for n in range(5):
            await sender.send(client, REGISTER, {"displayName": f"P {n}", "emails": [{"address": f"r{n}@example.org"}]})
    contacts = [payload["contact"]["id"] for payload in sender.acknowledged.values()]

    answered = await read(installation, contacts, {40: installation.kill_web, 120: installation.kill_database})

    installation.serving.get_until("/readyz", 200)
    logged = {
        operation
        for operation, fields in installation.sql("SELECT operation, fields FROM access.entry WHERE workspace_id = %s")
        if fields == ["emails"]
    }
    assert {*answered} <= logged
