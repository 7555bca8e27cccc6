"""An operation that was cut, at its time limit or because a field of it failed, keeps nothing."""

import asyncio
from dataclasses import replace

import pytest

from crm_es.reads.driver import ReadConnections
from tests.api.conftest import Api, Place
from tests.reads.test_driver import WAIT, held, pid
from tests.waiting import PATIENCE_MS, PATIENCE_SECONDS

pytestmark = pytest.mark.anyio


async def test_a_loader_that_outlives_its_operation_takes_no_connection(shared_api: Api, place: Place) -> None:
    connections = ReadConnections(place.urls.app, size=1, statement_timeout_ms=PATIENCE_MS)
    engine = replace(shared_api.engine, connections=connections)
    context = engine.resume(shared_api.known["admin"], client=None, host=None)
    reads = context.reads

    async def two_statements(keys: list[int]) -> list[int]:
        for _ in range(2):
            await (await reads.snapshot()).rows(WAIT, [lock.key])
        return keys

    with held(place.urls) as lock:
        asked = reads.loader("two", two_statements).load(1)
        await lock.awaited()
        closing = asyncio.create_task(context.close(sound=False))
        await asyncio.sleep(0)
    await closing
    await asyncio.gather(asked, return_exceptions=True)

    assert asked.cancelled()
    assert await asyncio.wait_for(pid(connections), PATIENCE_SECONDS)
    await connections.close()
