"""Subscriptions with ids of another workspace: silence, from the beginning of the log on."""

import asyncio
import json
from contextlib import suppress
from uuid import uuid4

import pytest

from crm_es.api import ids
from crm_es.api.http import body_of
from crm_es.schema import schema
from tests.isolation.walking import LIST, places
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio
MOMENT_SECONDS = 0.15
MOST = 30


async def heard(neighbours, where, value, *, at_least=0):
    """What comes within a moment, or the first so many."""
    ((query, variables),) = neighbours.asking.documents(where, [value])
    query = query.replace(f"{where.path[0]}(", f'{where.path[0]}(after: "0", ', 1)
    api = neighbours.ours.api
    context = api.engine.resume(api.known["admin"], client=None, host=None)
    results = await schema.stream(query, variable_values=variables, context_value=context)
    bodies = []
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS if at_least else MOMENT_SECONDS):
            async for result in results:
                bodies.append(body_of(result))
                if len(bodies) >= (at_least or MOST):
                    break
    await results.aclose()
    assert neighbours.theirs.word.lower() not in json.dumps(bodies, ensure_ascii=False).lower()
    return bodies


def codes(bodies):
    return {error["extensions"]["code"] for body in bodies for error in body.get("errors", ())}


@pytest.mark.parametrize("where", places("subscription"), ids=str)
async def test_nothing_is_told_of_a_foreign_record(neighbours, where):
    theirs = [
        ids.encode("Contact", neighbours.theirs.uuids["Contact"]),
        ids.encode("Member", neighbours.theirs.uuids["Member"], 1),
    ]

    for id_ in theirs:
        bodies = await heard(neighbours, where, id_)

        assert codes(bodies) <= {"BAD_USER_INPUT"}
        assert bodies == [] or "not" in where.argument or codes(bodies)


@pytest.mark.parametrize("where", [each for each in places("subscription") if each.argument == ("ids", LIST)], ids=str)
async def test_the_same_subscription_tells_of_ours(neighbours, where):
    (body,) = await heard(neighbours, where, neighbours.ours.ids()["Contact"], at_least=1)

    assert neighbours.ours.ids()["Contact"] in json.dumps(body)
    assert await heard(neighbours, where, ids.encode("Contact", uuid4())) == []


async def test_the_whole_log_followed_is_our_own(neighbours):
    api = neighbours.ours.api
    head, streams = neighbours.ours.head(), set()
    context = api.engine.resume(api.known["admin"], client=None, host=None)
    query = 'subscription { events(after: "0") { position streamId reason data changes { from to } } }'
    results = await schema.stream(query, context_value=context)

    async with asyncio.timeout(PATIENCE_SECONDS):
        async for result in results:
            body = body_of(result)
            assert neighbours.theirs.word.lower() not in json.dumps(body, ensure_ascii=False).lower()
            streams.add(body["data"]["events"]["streamId"])
            if int(body["data"]["events"]["position"]) == head:
                break
    await results.aclose()

    assert str(neighbours.ours.uuids["Contact"]) in streams
    assert streams.isdisjoint(map(str, neighbours.theirs.uuids.values()))
