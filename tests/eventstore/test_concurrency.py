"""Many at once, and everything that can break under them: one winner, nothing lost, nothing doubled, nobody stuck."""

import asyncio
import random
import threading
from collections import Counter
from itertools import pairwise
from uuid import uuid4

import psycopg
import pytest

from crm_es.errors import AlreadyExistsError, OutcomeUnknownError
from crm_es.eventstore import commit as commit_module
from crm_es.eventstore import recorder as recorder_module
from crm_es.eventstore.codec import Codec
from crm_es.eventstore.commit import Append
from crm_es.eventstore.event import Change
from crm_es.eventstore.log import Entry, Log
from crm_es.eventstore.recorder import Recorder, RefusedAppendError
from crm_es.eventstore.store import Store
from tests.eventstore.samples import FIRM, PERSON, FirmFounded, PersonAdded, PersonChanged, command
from tests.waiting import PATIENCE_MS, PATIENCE_SECONDS

pytestmark = pytest.mark.anyio


async def outcomes(coroutines):
    done = await asyncio.gather(*coroutines, return_exceptions=True)
    return Counter(type(one).__name__ if isinstance(one, Exception) else "ok" for one in done), done


async def test_of_32_clients_with_one_email_exactly_one_wins(store, workspace):
    counts, done = await outcomes(
        store.create(command(workspace), PERSON, uuid4(), [PersonAdded(email="same@x.io")]) for _ in range(32)
    )

    assert counts == {"ok": 1, "AlreadyExistsError": 31}
    winner = next(one for one in done if not isinstance(one, Exception))
    assert {one.holder for one in done if isinstance(one, AlreadyExistsError)} == set(winner.ids)


async def test_of_16_twins_of_one_command_one_is_recorded_and_15_replayed(store, workspace):
    asked = command(workspace)

    _, done = await outcomes(store.create(asked, PERSON, uuid4(), [PersonAdded(name="Ann")]) for _ in range(16))

    assert sorted(one.replayed for one in done) == [False] + [True] * 15
    assert len({(one.position, one.ids) for one in done}) == 1


async def test_of_32_writers_of_one_version_and_field_exactly_one_wins(store, workspace):
    id_ = uuid4()
    await store.create(command(workspace), PERSON, id_, [PersonAdded(name="Ann")])

    counts, _ = await outcomes(
        store.decide(
            command(workspace), PERSON, id_, lambda _state, n=n: [PersonChanged(name=f"Ann {n}")], expected_version=1
        )
        for n in range(32)
    )

    assert counts == {"ok": 1, "VersionConflictError": 31}


async def test_32_deciders_of_one_stream_all_get_their_turn(store, workspace):
    id_ = uuid4()
    await store.create(command(workspace), PERSON, id_, [PersonAdded(name="")])

    counts, _ = await outcomes(
        store.decide(command(workspace), PERSON, id_, lambda state: [PersonChanged(name=f"{state.name}x")])
        for _ in range(32)
    )

    assert counts == {"ok": 32}
    assert (await store.load(PERSON, workspace, id_)).state.name == "x" * 32


async def test_two_processes_that_decide_on_one_stream_lose_nothing(store, shared_database, keys, workspace):
    id_ = uuid4()
    await store.create(command(workspace), PERSON, id_, [PersonAdded(name="")])
    other = await type(store).open(shared_database.app, (PERSON,), keys)

    counts, _ = await outcomes(
        who.decide(command(workspace), PERSON, id_, lambda state: [PersonChanged(name=f"{state.name}x")])
        for who in [store, other] * 8
    )
    await other.close()

    assert (await store.load(PERSON, workspace, id_)).state.name == "x" * counts["ok"]
    assert counts["ok"] >= 8
    assert set(counts) <= {"ok", "ConflictError"}


async def test_positions_are_dense_and_times_rise_with_them(store, workspace, owner):
    await outcomes(
        store.create(command(workspace), FIRM, uuid4(), [FirmFounded(name="x", domain=f"{n % 40}.io")])
        for n in range(200)
    )

    rows = owner.execute(
        "SELECT sequence, recorded_at, notification_id, convert_from(state, 'UTF8')::jsonb ->> 'recorded_at'"
        " FROM es.events WHERE workspace_id = %s ORDER BY sequence",
        [workspace],
    ).fetchall()
    assert [row[0] for row in rows] == list(range(1, 41))
    assert all(one[1] < two[1] and one[2] < two[2] for one, two in pairwise(rows))
    assert all(f"{at:%Y-%m-%dT%H:%M:%S.%fZ}" == stated for _, at, _, stated in rows)


# -- group commit under faults


class BoomError(Exception):
    """A bug in the writing thread."""


def faulty(call, rng):
    """The recorder's statement, now and then cut before it is sent, after it committed, or broken by a bug.

    Of the last kind some answers were stored and some not, and the clients cannot know.
    """

    def broken(self, arrays):
        chance = rng.random()
        self._sent = False
        if chance < 0.08:
            raise psycopg.OperationalError("cut before it was sent")
        rows = call(self, arrays)
        if chance < 0.16:
            raise psycopg.OperationalError("committed, reply lost")
        if chance < 0.2:
            raise BoomError
        return rows

    return broken


async def kill_writers(owner, threads, answered, turns):
    """Cut the writing connection on the server while these threads run, again and again as they get on.

    They get on no faster than that: whoever is scheduled when, there are some 80 attempts.
    """
    attempts = killed = 0
    while any(thread.is_alive() for thread in threads):
        if answered() >= 30 * attempts:
            attempts += 1
            rows = owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'crm_es append'"
            )
            killed += len(rows.fetchall())
            turns.release(30)
        await asyncio.sleep(0.005)
    return killed


async def test_300_threads_with_cut_connections_lost_replies_and_a_raising_writer(
    store, shared_database, workspace, owner, monkeypatch
):
    monkeypatch.setattr(recorder_module, "BACKOFF", (0.0, 0.001, 0.002, 0.004))
    monkeypatch.setattr(commit_module, "MAX_REQUESTS", 5)
    monkeypatch.setattr(Recorder, "_call", faulty(Recorder._call, random.Random(7)))  # noqa: S311
    recorder = Recorder(shared_database.app)
    log = Log(recorder, store.codec)
    acknowledged, unknown, lock, turns = [], [], threading.Lock(), threading.Semaphore(30)

    def client():
        for _ in range(8):
            asked, stream = command(workspace), uuid4()
            change = Change(stream=stream, version=1, event=FirmFounded(name="x"))
            entry = Entry(command=asked, change=change, key=None)
            turns.acquire()
            try:
                log.save(entry, append=Append(command=asked, events=[log.mapper.to_stored_event(entry)], ids=[stream]))
                kept = acknowledged
            except (OutcomeUnknownError, BoomError):
                kept = unknown
            with lock:
                kept.append(asked.command_id)

    threads = [threading.Thread(target=client) for _ in range(300)]
    for thread in threads:
        thread.start()
    killed = await kill_writers(owner, threads, lambda: len(acknowledged) + len(unknown), turns)
    for thread in threads:
        await asyncio.to_thread(thread.join, PATIENCE_SECONDS)
    stuck = [thread for thread in threads if thread.is_alive()]
    log.close()

    rows = owner.execute("SELECT command_id, sequence FROM es.events WHERE workspace_id = %s", [workspace]).fetchall()
    stored = [command_id for command_id, _ in rows]
    assert not stuck
    assert len(acknowledged) + len(unknown) == 2400
    assert unknown
    assert killed > 10
    assert not set(acknowledged) - set(stored)
    assert len(stored) == len(set(stored))
    assert sorted(sequence for _, sequence in rows) == list(range(1, len(rows) + 1))
    assert set(stored) <= set(acknowledged) | set(unknown)


async def test_an_append_whose_reply_was_lost_is_answered_as_its_own(store, workspace, monkeypatch):
    call, lost = Recorder._call, []

    def lose_one(self, arrays):
        rows = call(self, arrays)
        if not lost:
            lost.append(rows)
            raise psycopg.OperationalError("reply lost")
        return rows

    monkeypatch.setattr(Recorder, "_call", lose_one)

    outcome = await store.create(command(workspace), PERSON, uuid4(), [PersonAdded(name="Ann")])

    assert lost
    assert (outcome.position, outcome.replayed) == (1, False)


async def test_a_log_that_stays_silent_leaves_the_outcome_unknown(store, workspace, monkeypatch):
    monkeypatch.setattr(recorder_module, "BACKOFF", (0.0, 0.001))

    def silent(self, arrays):  # noqa: ARG001
        self._sent = True
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(Recorder, "_call", silent)

    with pytest.raises(OutcomeUnknownError):
        await store.create(command(workspace), PERSON, uuid4(), [PersonAdded(name="Ann")])


async def test_one_request_the_server_cannot_take_does_not_fail_those_beside_it(store, workspace, monkeypatch):
    monkeypatch.setattr("crm_es.eventstore.codec.LARGEST_STATE", 10**9)
    asked = [command(workspace) for _ in range(4)]
    names = ["a", "b", "x" * 70_000, "c"]

    done = await asyncio.gather(
        *(store.create(a, FIRM, uuid4(), [FirmFounded(name=name)]) for a, name in zip(asked, names, strict=True)),
        return_exceptions=True,
    )

    assert [isinstance(one, Exception) for one in done] == [False, False, True, False]


def test_the_library_itself_refuses_what_the_log_refuses(shared_database, keys, workspace):
    log = Log(Recorder(shared_database.app), Codec((FIRM,), keys))
    asked, stream = command(workspace), uuid4()

    def save(version):
        entry = Entry(
            command=asked, change=Change(stream=stream, version=version, event=FirmFounded(name="x")), key=None
        )
        return log.save(entry, append=Append(command=asked, events=[log.mapper.to_stored_event(entry)], ids=[stream]))

    (recording,) = save(1)
    with pytest.raises(RefusedAppendError) as refused:
        save(1)
    log.close()

    assert recording.notification.id == refused.value.verdict.last_log_id
    assert refused.value.verdict.status == "REPLAYED"


async def test_a_reply_that_was_lost_does_not_claim_what_another_process_recorded(
    store, shared_database, workspace, monkeypatch
):
    asked, ours, theirs = command(workspace), uuid4(), uuid4()
    other = await Store.open(shared_database.app, [PERSON], store.keys)
    loop, call, tried = asyncio.get_running_loop(), store.recorder._call, []

    def lost_once(arrays):
        if tried:
            return call(arrays)
        tried.append(True)
        recorded = other.create(asked, PERSON, theirs, [PersonAdded(name="Ann")])
        asyncio.run_coroutine_threadsafe(recorded, loop).result(PATIENCE_SECONDS)
        store.recorder._sent = True
        raise psycopg.OperationalError("lost")

    monkeypatch.setattr(store.recorder, "_call", lost_once)
    outcome = await store.create(asked, PERSON, ours, [PersonAdded(name="Ann")])
    await other.close()

    assert (outcome.ids, outcome.replayed) == ((theirs,), True)


async def test_a_server_that_was_restarted_is_read_from_at_once(store, owner, workspace):
    id_ = uuid4()
    await store.create(command(workspace), PERSON, id_, [PersonAdded(name="Ann")])
    await asyncio.gather(*(store._run(store.recorder._query, "SELECT pg_sleep(0.2)", ()) for _ in range(6)))

    owner.execute(
        "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity"
        " WHERE application_name = 'crm_es read' AND datname = current_database()",
        [PATIENCE_MS],
    )

    assert (await store.load(PERSON, workspace, id_)).version == 1
