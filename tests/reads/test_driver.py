"""Connections that were cancelled, timed out or cut are never used again; a snapshot sees one moment of one workspace."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import getrandbits
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL

from crm_es.database.urls import DatabaseUrls
from crm_es.errors import UnavailableError
from crm_es.reads import asof
from crm_es.reads.driver import ReadConnections, Snapshot
from crm_es.reads.errors import NotReadError, ReadTimeoutError
from crm_es.reads.sql import Query
from tests.open_connections import none_left_open
from tests.reads import small
from tests.reads.world import World, build
from tests.waiting import PATIENCE_MS, PATIENCE_SECONDS, soon

pytestmark = pytest.mark.anyio
PID, SLEEP, ONE = SQL("SELECT pg_backend_pid()"), SQL("SELECT pg_sleep(600)"), SQL("SELECT 1")
WAIT = SQL("SELECT pg_advisory_xact_lock($1::bigint)::text")


async def pid(reading: ReadConnections) -> int:
    async with reading.snapshot(uuid4()) as snapshot:
        return int((await snapshot.rows(PID))[0][0])


async def test_a_sound_connection_is_used_again(world: World) -> None:
    assert await pid(world.reading) == await pid(world.reading)


async def test_a_cancelled_request_cancels_its_query_and_loses_its_connection(world: World) -> None:
    before = await pid(world.reading)

    async def sleep() -> None:
        async with world.reading.snapshot(uuid4()) as snapshot:
            await snapshot.rows(SLEEP)

    task = asyncio.create_task(sleep())
    await soon(lambda: bool(running(world.urls, "pg_sleep")))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await pid(world.reading) != before
    await soon(lambda: not running(world.urls, "pg_sleep"))


async def test_nobody_is_given_the_rows_of_a_statement_that_was_given_up(world: World) -> None:
    async with Snapshot(world.reading, world.workspace) as snapshot:
        with held(world.urls) as lock:
            asked = asyncio.create_task(snapshot.rows(WAIT, [lock.key]))
            await lock.awaited()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

        assert await snapshot.rows(SQL("SELECT 'mine'")) == [("mine",)]
        assert snapshot.bookmarks is not None

    assert asked.cancelled()


async def test_a_snapshot_closed_before_an_answer_came_gives_the_statement_up(world: World) -> None:
    before = await pid(world.reading)
    with held(world.urls) as lock:
        async with Snapshot(world.reading, world.workspace) as snapshot:
            asked = asyncio.create_task(snapshot.rows(WAIT, [lock.key]))
            await lock.awaited()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

        assert await pid(world.reading) != before
        await soon(lambda: not lock.waiting())


async def test_an_answer_nobody_waits_for_does_not_wake_the_loop_again_and_again(world: World) -> None:
    wire = await world.reading.take()
    with held(world.urls) as lock:
        asked = asyncio.create_task(wire.run([(WAIT.as_bytes(None), [lock.key])]))
        await lock.awaited()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    await soon(lambda: not wire.connection.pgconn.is_busy())  # read, though nobody asked for it yet

    assert await wire.rest() == [[("",)]]
    await world.reading.give(wire, sound=True)


async def test_a_statement_larger_than_the_socket_takes_is_answered(world: World) -> None:
    async with world.reading.snapshot(world.workspace) as snapshot:
        for _ in range(2):
            text = "x" * 5_000_000
            assert await snapshot.rows(SQL("SELECT $1::text, length($1::text)"), [text]) == [(text, 5_000_000)]


async def test_who_is_cancelled_while_a_connection_opens_leaves_none_open(shared_database: DatabaseUrls) -> None:
    reading = ReadConnections(shared_database.app, size=3, statement_timeout_ms=PATIENCE_MS)
    with none_left_open():
        for number in range(30):
            asked = asyncio.create_task(pid(reading))
            await asyncio.sleep(number / 3_000)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
        del asked

        assert len(set(await asyncio.gather(*(pid(reading) for _ in range(10))))) <= 3  # nobody kept its room
        await reading.close()


async def test_connections_beside_closed_ones_are_closed_as_they_come_back(shared_database: DatabaseUrls) -> None:
    reading = ReadConnections(shared_database.app, statement_timeout_ms=PATIENCE_MS)
    with none_left_open():
        await reading.close()
        assert await pid(reading.beside)


async def test_a_connection_that_cannot_be_driven_is_not_left_open(
    shared_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise psycopg.NotSupportedError("no")

    monkeypatch.setattr("crm_es.reads.wire.Transformer", refuse)
    with none_left_open(), pytest.raises(psycopg.NotSupportedError):
        await ReadConnections(shared_database.app).take()


async def test_who_asks_after_a_slow_statement_is_told_that_another_was_slow(world: World) -> None:
    with held(world.urls) as lock:
        async with Snapshot(world.reading, world.workspace) as snapshot:
            slow = asyncio.create_task(snapshot.rows(WAIT, [lock.key]))
            await lock.awaited()
            others = [asyncio.create_task(snapshot.rows(ONE)) for _ in range(2)]
            lock.cancel()
            found = await asyncio.gather(slow, *others, return_exceptions=True)

    assert [type(each) for each in found] == [ReadTimeoutError, NotReadError, NotReadError]


async def test_a_slow_statement_is_a_typed_error(shared_database: DatabaseUrls) -> None:
    reading = ReadConnections(shared_database.app, size=1, statement_timeout_ms=1000)

    with pytest.raises(ReadTimeoutError):
        async with reading.snapshot(uuid4()) as snapshot:
            await snapshot.rows(SLEEP)

    async def answered() -> int | None:
        with suppress(ReadTimeoutError):  # a second is little where the machine pauses
            return await pid(reading)
        return None

    assert await soon(answered)
    await reading.close()


async def test_a_cut_connection_is_replaced(world: World) -> None:
    lost = await pid(world.reading)
    with psycopg.connect(world.urls.owner, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [lost])

    with pytest.raises(UnavailableError):
        await pid(world.reading)
    assert await pid(world.reading) != lost


async def test_an_idle_connection_stays_watched_until_it_is_cut(world: World) -> None:
    """Watched anew for each statement it costs more; never given up, it wakes the loop for ever."""
    lost = await pid(world.reading)
    watched = asyncio.get_running_loop()._selector.get_map()  # type: ignore[attr-defined]  # nothing else tells
    (socket,) = (wire.connection.pgconn.socket for wire in world.reading._free)
    assert socket in watched

    with psycopg.connect(world.urls.owner, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, %s)", [lost, PATIENCE_MS])
        await soon(lambda: socket not in watched)

    assert await pid(world.reading) != lost


async def test_what_was_read_before_the_connection_was_cut_still_answers(world: World) -> None:
    async with world.reading.snapshot(uuid4()) as snapshot:
        lost = (await snapshot.rows(PID))[0][0]
        with psycopg.connect(world.urls.owner, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(%s, %s)", [lost, PATIENCE_MS])

    assert await pid(world.reading) != lost


async def test_no_more_connections_than_allowed(shared_database: DatabaseUrls) -> None:
    reading = ReadConnections(shared_database.app, size=2, statement_timeout_ms=PATIENCE_MS)

    assert len(set(await asyncio.gather(*(pid(reading) for _ in range(10))))) <= 2
    await reading.close()


async def test_a_snapshot_sees_one_moment(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    ask = SQL("SELECT display_name FROM small.contact WHERE id = $1::uuid")

    async with world.reading.snapshot(world.workspace) as snapshot:
        first = await snapshot.rows(ask, [anna])
        world.update(small.CONTACT, {"id": anna}, display_name="Bert")
        again = await snapshot.rows(ask, [anna])

    assert first == again == [("Anna",)]


async def test_statements_of_concurrent_resolvers_queue(world: World) -> None:
    async with world.reading.snapshot(world.workspace) as snapshot:
        found = await asyncio.gather(*(snapshot.rows(SQL("SELECT $1::int"), [number]) for number in range(20)))

    assert found == [[(number,)] for number in range(20)]


async def test_a_closed_snapshot_takes_no_connection(world: World) -> None:
    snapshot = Snapshot(world.reading, world.workspace)
    await snapshot.rows(ONE)
    await snapshot.close()
    await snapshot.close()

    with pytest.raises(asyncio.CancelledError):
        await snapshot.rows(ONE)


async def test_who_is_cancelled_while_closing_keeps_no_connection(shared_database: DatabaseUrls) -> None:
    reading = ReadConnections(shared_database.app, size=1, statement_timeout_ms=PATIENCE_MS)
    snapshot = Snapshot(reading, uuid4())
    with held(shared_database) as lock:
        resolver = asyncio.create_task(snapshot.rows(WAIT, [lock.key]))
        await lock.awaited()

        closing = asyncio.create_task(snapshot.close(sound=False))
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)

    await asyncio.gather(resolver, return_exceptions=True)
    assert await asyncio.wait_for(pid(reading), PATIENCE_SECONDS)
    await reading.close()


async def test_who_is_cancelled_while_closing_behind_others_keeps_no_connection(shared_database: DatabaseUrls) -> None:
    """Nobody has the turn in the moment, but somebody is about to."""
    reading = ReadConnections(shared_database.app, size=1, statement_timeout_ms=PATIENCE_MS)
    snapshot = Snapshot(reading, uuid4())

    async def close() -> None:
        await snapshot.rows(WAIT, [lock.key])
        asking.cancel()
        await snapshot.close()

    with held(shared_database) as lock:
        asking = asyncio.create_task(close())
        await lock.awaited()
        waiting = asyncio.create_task(snapshot.rows(ONE))
        await asyncio.sleep(0)

    await asyncio.gather(asking, waiting, return_exceptions=True)
    assert await asyncio.wait_for(pid(reading), PATIENCE_SECONDS)
    await reading.close()


async def test_bookmarks_are_told_as_positions_however_far_behind(world: World) -> None:
    other = World(world.urls, world.reading)
    places: dict[str, int] = {}
    with psycopg.connect(world.urls.owner, autocommit=True) as owner:
        for position in range(12):
            places[f"behind{position}"] = position
            owner.execute(
                "INSERT INTO es.bookmark (read_model, version, log_id)"
                " SELECT %s, 1, coalesce(max(notification_id), 0) FROM es.events",
                [f"behind{position}"],
            )
            other.append()
            world.append()
        owner.execute("INSERT INTO es.bookmark (read_model, version) VALUES ('behind__next', 1)")

        async with world.reading.snapshot(world.workspace) as snapshot:
            await snapshot.rows(ONE)
            found = {name: at.position for name, at in (snapshot.bookmarks or {}).items() if name in places}
            assert [await asof.shown(snapshot, snapshot.bookmarks[name].log_id) for name in places] == [*range(12)]  # type: ignore[index]
        assert "behind__next" not in (snapshot.bookmarks or {})
        owner.execute("DELETE FROM es.bookmark WHERE starts_with(read_model, 'behind')")
    other.close()

    assert found == places


async def test_how_far_read_models_are_is_found_by_index_though_the_log_was_small_when_it_was_planned(
    database: DatabaseUrls,
) -> None:
    build(database)
    reading = ReadConnections(database.app, statement_timeout_ms=PATIENCE_MS)
    world = World(database, reading)
    world.append(50)
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute("ANALYZE es.events")
    for _ in range(10):  # after a few runs PostgreSQL keeps one plan
        async with reading.snapshot(world.workspace) as snapshot:
            await snapshot.rows(ONE)
    world.append(4000)
    world.append(4000, projected=False)

    async with reading.snapshot(world.workspace) as snapshot:
        await snapshot.rows(ONE)
        read = await snapshot.rows(
            SQL("SELECT idx_tup_fetch, seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'events'")
        )
        position = (snapshot.bookmarks or {})["small"].position

    assert position == 4050
    assert sum(read[0]) < 100
    world.close()
    await reading.close()


async def test_row_level_security_stands_behind_our_own_predicate(
    world: World, shared_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.insert(small.CONTACT, display_name="Anna")
    other = World(shared_database, world.reading)
    rows_of = Query.rows_of

    def unfenced(self: Query, *given: Any, **options: Any) -> Any:
        table, where = rows_of(self, *given, **options)
        return table, [SQL("$1::uuid IS NOT NULL"), *where[1:]]

    monkeypatch.setattr(Query, "rows_of", unfenced)

    assert await world.ask("{ contacts { totalCount } }") == {"contacts": {"totalCount": 1}}
    assert await other.ask("{ contacts { totalCount nodes { id } } }") == {"contacts": {"totalCount": 0, "nodes": []}}
    other.close()


@dataclass
class Lock:
    """Held by us: a statement that wants it is under way for as long as we like."""

    holder: psycopg.Connection
    key: int = field(default_factory=lambda: getrandbits(31))

    def waiting(self) -> bool:
        asked = "SELECT true FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
        return self.holder.execute(asked, [self.key]).fetchone() is not None

    async def awaited(self) -> None:
        await soon(self.waiting)

    def cancel(self) -> None:
        """End the statement as its time limit would."""
        asked = "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted"
        assert self.holder.execute(asked, [self.key]).fetchall() == [(True,)]


@contextmanager
def held(urls: DatabaseUrls) -> Iterator[Lock]:
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        lock = Lock(connection)
        connection.execute("SELECT pg_advisory_lock(%s)", [lock.key])
        yield lock


def running(urls: DatabaseUrls, text: str) -> list[Any]:
    with psycopg.connect(urls.owner) as connection:
        return connection.execute(
            "SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()",
            [f"SELECT {text}%"],
        ).fetchall()
