"""A connection keeps statements prepared: so many, of so much text, planned as befits what they read."""

import asyncio
import os
import socket
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL

from crm_es.database.urls import DatabaseUrls
from crm_es.errors import UnavailableError
from crm_es.reads.driver import ReadConnections
from crm_es.reads.wire import PREPARED, Wire
from tests.reads.test_driver import ONE, WAIT, held, pid
from tests.reads.world import World
from tests.waiting import PATIENCE_MS, PATIENCE_SECONDS

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


MORE = (b"SELECT length($1::text)", ["x" * 20_000_000])
"""Than a socket takes, while the server is busy."""


def hang_up(wire: Wire) -> None:
    with socket.socket(fileno=os.dup(wire.connection.pgconn.socket)) as same:
        same.shutdown(socket.SHUT_RD)


async def test_who_still_sends_when_the_server_hangs_up_hears_of_it(world: World) -> None:
    """Whoever sends watches the socket for room as well; libpq closes it under both."""
    wire = await world.reading.take()
    with held(world.urls) as lock:
        asked = asyncio.create_task(wire.run([(WAIT.as_bytes(None), [lock.key]), MORE]))
        await lock.awaited()
        hang_up(wire)
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(asked, PATIENCE_SECONDS)
        await world.reading.give(wire, sound=False)


async def test_a_socket_that_was_lost_while_sending_is_not_watched_any_more(world: World) -> None:
    """Its number is the next connection's, which must not lose its watch with the lost one."""
    lost = await world.reading.take()
    with held(world.urls) as lock:
        asked = asyncio.create_task(lost.run([(WAIT.as_bytes(None), [lock.key])]))
        await lock.awaited()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        hang_up(lost)
        with pytest.raises(psycopg.OperationalError):
            await lost.run([MORE])

    found = await world.reading.take()
    assert await found.run([(b"SELECT 1", ())]) == [[(1,)]]
    await world.reading.give(lost, sound=False)
    assert await asyncio.wait_for(found.run([(b"SELECT pg_sleep(0.001)::text", ())]), PATIENCE_SECONDS) == [[("",)]]
    await world.reading.give(found, sound=True)


async def test_who_comes_after_an_end_that_failed_is_told_to_ask_again(world: World) -> None:
    wire = await world.reading.take()
    await wire.run([(b"BEGIN", ())])
    await wire.leave(b"SELECT 1 / 0")
    await world.reading.give(wire, sound=True)

    with pytest.raises(UnavailableError):
        await pid(world.reading)
    assert await pid(world.reading)


async def test_what_answers_no_rows_gives_nobody_the_rows_of_another(world: World) -> None:
    async with world.reading.snapshot(world.workspace) as snapshot:
        snapshot.expect(2)
        asked = [snapshot.rows(statement) for statement in (SQL("SET LOCAL jit = off"), ONE)]
        found = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), PATIENCE_SECONDS)

    assert all(isinstance(each, psycopg.ProgrammingError) for each in found)
