"""A connection keeps statements prepared: so many, of so much text, planned as befits what they read."""

from typing import LiteralString
from uuid import uuid4

import pytest
from psycopg.sql import SQL

from crm_es.database.urls import DatabaseUrls
from crm_es.reads.driver import ReadConnections
from crm_es.reads.wire import PREPARED
from tests.reads.test_driver import pid
from tests.reads.world import World
from tests.waiting import PATIENCE_MS

pytestmark = pytest.mark.anyio


async def test_more_statements_than_are_kept_prepared_are_answered(world: World) -> None:
    async def answer(number: int) -> int:
        async with world.reading.snapshot(uuid4()) as snapshot:
            return int((await snapshot.rows(SQL("SELECT {}").format(number)))[0][0])

    before = await pid(world.reading)
    numbers = [*range(PREPARED * 2), *range(10)]

    assert [await answer(number) for number in numbers] == numbers
    assert await pid(world.reading) == before


@pytest.mark.parametrize(
    ("bound", "most", "told"), [("PREPARED", 5, "count(*)"), ("PREPARED_BYTES", 2000, "sum(length(statement))")]
)
async def test_prepared_statements_are_bounded(
    shared_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, bound: str, most: int, told: LiteralString
) -> None:
    monkeypatch.setattr(f"crm_es.reads.wire.{bound}", most)
    asking = SQL("SELECT {}::int, length(current_query()) FROM pg_prepared_statements").format(SQL(told))
    reading = ReadConnections(shared_database.app, size=1, statement_timeout_ms=PATIENCE_MS)

    for _ in range(2):  # what begins an operation is given up in the first
        async with reading.snapshot(uuid4()) as snapshot:
            for number in range(20):
                assert await snapshot.rows(SQL("SELECT {}::int").format(number)) == [(number,)]
            ((kept, own),) = await snapshot.rows(asking)

    await reading.close()
    assert kept <= most + (1 if bound == "PREPARED" else own)


PLANS = "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement = {}"


async def test_a_statement_on_a_history_twin_is_planned_anew(world: World) -> None:
    """And nothing else is: both in one operation, more often than PostgreSQL tries before it keeps a plan."""
    past = SQL('SELECT count(*) FROM "small"."contact_history" WHERE position <= $1::bigint')
    live = SQL("SELECT $1::bigint")
    async with world.reading.snapshot(uuid4()) as snapshot:
        for position in range(10):
            for statement in (past, live):
                await snapshot.rows(statement, [position])
        (of_past,), (of_live,) = [
            await snapshot.rows(SQL(PLANS).format(statement.as_string(None))) for statement in (past, live)
        ]

    assert of_past == (10, 0)
    assert of_live == (5, 5)
