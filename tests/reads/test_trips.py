"""Statements share round trips: an operation far from its database waits for few of them, and none loses its own answer."""

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL

from crm_es.reads.driver import Snapshot
from crm_es.reads.errors import NotReadError, ReadTimeoutError
from crm_es.reads.execute import CompiledReads
from tests.reads import small
from tests.reads.test_driver import ONE, WAIT, held, pid
from tests.reads.world import World, gid

pytestmark = pytest.mark.anyio


def asked(snapshot: Snapshot, statement: SQL, *parameters: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(snapshot.rows(statement, parameters))


async def test_what_is_asked_while_a_statement_is_under_way_goes_together(world: World) -> None:
    async with Snapshot(world.reading, world.workspace) as snapshot:
        with held(world.urls) as lock:
            first = asked(snapshot, WAIT, lock.key)
            await lock.awaited()
            others = [asked(snapshot, SQL("SELECT $1::int"), number) for number in range(5)]
            await asyncio.sleep(0)

        assert await asyncio.gather(first, *others) == [[("",)], *([(number,)] for number in range(5))]
        assert snapshot.trips == 2


async def test_one_that_is_slow_takes_no_answer_from_those_before_it(world: World) -> None:
    async with Snapshot(world.reading, world.workspace) as snapshot:
        with held(world.urls) as slow:
            with held(world.urls) as lock:
                first = asked(snapshot, WAIT, lock.key)
                await lock.awaited()
                others = [asked(snapshot, ONE), asked(snapshot, WAIT, slow.key), asked(snapshot, ONE)]
                await asyncio.sleep(0)
            await slow.awaited()
            slow.cancel()
            _, before, found, after = await asyncio.gather(first, *others, return_exceptions=True)

    assert before == [(1,)]
    assert [type(found), type(after)] == [ReadTimeoutError, NotReadError]


async def test_one_that_is_cancelled_takes_no_answer_from_those_beside_it(world: World) -> None:
    async with Snapshot(world.reading, world.workspace) as snapshot:
        with held(world.urls) as slow:
            with held(world.urls) as lock:
                first = asked(snapshot, WAIT, lock.key)
                await lock.awaited()
                leads, waits, comes = asked(snapshot, WAIT, slow.key), asked(snapshot, ONE), asked(snapshot, ONE)
                await asyncio.sleep(0)
            await slow.awaited()
            leads.cancel()
            comes.cancel()
            await asyncio.gather(leads, comes, return_exceptions=True)

        assert [await first, await waits, await asked(snapshot, SQL("SELECT 2"))] == [[("",)], [(1,)], [(2,)]]


async def test_what_cannot_be_sent_is_answered_with_nobody_elses_rows(world: World) -> None:
    async with Snapshot(world.reading, world.workspace) as snapshot:
        assert await snapshot.rows(ONE) == [(1,)]
        with pytest.raises(psycopg.ProgrammingError):
            await snapshot.rows(SQL("SELECT $1::text"), [object()])
        with pytest.raises(psycopg.ProgrammingError):
            await snapshot.rows(ONE)


async def test_nobody_waits_for_the_end_of_a_snapshot(world: World) -> None:
    used = await pid(world.reading)
    for _ in range(3):
        anna = world.insert(small.CONTACT, display_name="Anna")
        async with world.reading.snapshot(world.workspace) as snapshot:
            found = [await snapshot.rows(SQL("SELECT count(*) FROM small.contact WHERE id = $1::uuid"), [anna])]
            found.append(await snapshot.rows(SQL("SELECT pg_backend_pid()")))

        assert (found, snapshot.trips) == ([[(1,)], [(used,)]], 2)


async def test_a_connection_that_is_cut_before_the_end_was_told_is_replaced(world: World) -> None:
    async with world.reading.snapshot(world.workspace) as snapshot:
        await snapshot.rows(ONE)
        lost = (await snapshot.rows(SQL("SELECT pg_backend_pid()")))[0][0]
        with psycopg.connect(world.urls.owner, autocommit=True) as owner:
            owner.execute("SELECT pg_terminate_backend(%s, 5000)", [lost])

    assert await pid(world.reading) != lost


PAGE = """query ($i: ID!) { contact(id: $i) { displayName
  meetings(first: 2) { totalCount nodes { subject } } } companies { totalCount nodes { name } } }"""


async def test_a_page_takes_a_round_trip_for_each_step_down(world: World) -> None:
    anna = world.contact(display_name="Anna")
    compiled = CompiledReads(small.schema._schema)

    async with world.operation() as reads:
        assert await compiled.answer(PAGE, reads, {"i": gid("Contact", anna)})

    assert world.snapshot is not None
    assert (len(world.snapshot.statements), world.snapshot.trips) == (5, 2)
