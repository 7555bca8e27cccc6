"""Resolvers that share round trips and are cancelled at random: each gets its own rows or none, and no connection is lost."""

import asyncio
from random import Random
from uuid import uuid4

import pytest
from psycopg.sql import SQL

from crm_es.database.urls import DatabaseUrls
from crm_es.reads.driver import ReadConnections, Snapshot
from tests.reads.test_driver import ONE, pid
from tests.waiting import PATIENCE_MS, PATIENCE_SECONDS

pytestmark = pytest.mark.anyio
OPERATIONS = 100
TEXTS = [SQL("SELECT {}, $1::int, current_setting('app.workspace'), repeat('x', $2::int)").format(n) for n in range(6)]


async def turns(random: Random, most: int) -> None:
    for _ in range(random.randrange(most)):
        await asyncio.sleep(0)


async def resolver(random: Random, snapshot: Snapshot, number: int) -> None:
    await turns(random, 4)
    for step in range(random.randrange(1, 4)):
        text, mine, size = random.randrange(len(TEXTS)), number * 10 + step, random.choice([0, 9, 5_000, 500_000])
        snapshot.expect(random.randrange(2, 5))
        assert await snapshot.rows(TEXTS[text], [mine, size]) == [(text, mine, str(snapshot.workspace), "x" * size)]


async def operation(random: Random, reading: ReadConnections) -> None:
    """Some are cancelled; it is closed when all have ended, or before; whoever closes may be cancelled too."""
    snapshot = Snapshot(reading, uuid4())
    resolvers = [asyncio.create_task(resolver(random, snapshot, number)) for number in range(random.randrange(1, 8))]
    for _ in range(random.randrange(5)):
        await turns(random, 12)
        random.choice(resolvers).cancel()
    if random.random() < 0.7:
        await asyncio.gather(*resolvers, return_exceptions=True)
        assert await snapshot.rows(ONE) == [(1,)]
    closing = asyncio.create_task(snapshot.close())
    await asyncio.sleep(0)
    if random.random() < 0.5:
        await turns(random, 3)
        closing.cancel()
    found = await asyncio.gather(*resolvers, closing, return_exceptions=True)
    assert not [each for each in found if isinstance(each, Exception)]


@pytest.mark.parametrize("seed", range(3))
async def test_whoever_is_cancelled_nobody_gets_the_rows_of_another(
    shared_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("crm_es.reads.wire.PREPARED", 4)  # they are given up while others are sent
    random = Random(seed)  # noqa: S311  # the same every time
    reading = ReadConnections(shared_database.app, size=1, statement_timeout_ms=PATIENCE_MS)

    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(OPERATIONS):
            await operation(random, reading)
        assert await pid(reading)

    await reading.close()
