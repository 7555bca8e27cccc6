"""A broken promise is recorded once: whoever watches, however often, and though they are killed at it."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from crm_es.catalog import AGGREGATES
from crm_es.eventstore.store import Store
from crm_es.service.breaching import Due, record
from crm_es.service.enums import SlaKind
from crm_es.serving.timing import Timer
from tests.api.conftest import api, place  # noqa: F401  # fixtures
from tests.faults.timed import answer, breaches, open_ticket, process, promise
from tests.waiting import soon

pytestmark = pytest.mark.anyio


async def test_a_breach_is_recorded_once_though_two_processes_watch_and_one_is_killed(api, place):  # noqa: F811
    promised = await promise(api)
    for _ in range(60):
        await open_ticket(api, promised, 60)

    with process(place) as first, process(place):
        await soon(lambda: len(breaches(api, place)) >= 5)
        first.kill()
        with process(place):
            await soon(lambda: len(breaches(api, place)) == 120)
            for _ in range(5):
                await open_ticket(api, promised, 60)
            await soon(lambda: len(breaches(api, place)) == 130)

    assert set(breaches(api, place).values()) == {1}


async def test_what_was_kept_or_still_runs_is_not_recorded(api, place):  # noqa: F811
    promised = await promise(api)
    kept = await open_ticket(api, promised, 20)
    await answer(api, kept, 15)
    late = await open_ticket(api, promised, 20)
    await answer(api, late, 5)
    await api.projected()

    with Timer(place.urls, place.keys, poll=0.05).running():
        await soon(lambda: breaches(api, place))
        last = await open_ticket(api, promised, 11)
        await soon(lambda: len(breaches(api, place)) == 2)

    assert {ticket for ticket, _ in breaches(api, place)} == {late, last}


async def test_the_event_says_which_clock_and_when_it_ran_out(api):  # noqa: F811
    id_ = await open_ticket(api, await promise(api), 20)
    due = Due(api.workspace, id_, SlaKind.FIRST_RESPONSE, 1)

    await record(api.engine.store, {}, due, now=datetime.now(UTC))

    opened, breached = await api.engine.store.facts(api.workspace, id_)
    assert (breached.event.kind, breached.event.cycle) == (SlaKind.FIRST_RESPONSE, 1)
    assert (breached.event.due_at - opened.event.occurred_at.replace(microsecond=0)).total_seconds() == 600
    assert (breached.occurred_at, breached.actor.kind, breached.actor.id) == (breached.event.due_at, "AUTOMATION", None)


async def test_it_is_decided_from_the_events_whatever_the_read_model_said(api):  # noqa: F811
    promised = await promise(api)
    met, running = await open_ticket(api, promised, 60), await open_ticket(api, promised, 5)
    await answer(api, met, 55)
    store, now = api.engine.store, datetime.now(UTC)

    for id_, kind, cycle in (
        (met, SlaKind.FIRST_RESPONSE, 1),
        (running, SlaKind.RESOLUTION, 1),
        (met, SlaKind.NEXT_RESPONSE, 1),
    ):
        assert await record(store, {}, Due(api.workspace, id_, kind, cycle), now=now) is None


async def test_many_at_the_same_moment_record_it_once(api, place):  # noqa: F811
    id_ = await open_ticket(api, await promise(api), 60)
    due = Due(api.workspace, id_, SlaKind.RESOLUTION, 1)
    other = await Store.open(place.urls.app, AGGREGATES, place.keys)

    try:
        tries = [record(store, {}, due, now=datetime.now(UTC)) for store in (api.engine.store, other) * 8]
        outcomes = [outcome for outcome in await asyncio.gather(*tries) if outcome]
    finally:
        await other.close()

    assert list(breaches(api, place).values()) == [1]
    assert len({outcome.position for outcome in outcomes}) == 1


async def test_a_reply_that_comes_in_between_is_heard(api, monkeypatch):  # noqa: F811
    """It is recorded between the look at the events and the append: the decision is taken anew."""
    id_ = await open_ticket(api, await promise(api), 60)
    store, read = api.engine.store, api.engine.store.facts

    async def facts(workspace, stream, **more):
        found = await read(workspace, stream, **more)
        if len(found) == 1:
            await answer(api, id_, 55)
        return found

    monkeypatch.setattr(store, "facts", facts)
    due = Due(api.workspace, id_, SlaKind.FIRST_RESPONSE, 1)

    assert await record(store, {}, due, now=datetime.now(UTC)) is None


async def test_one_that_cannot_be_decided_holds_up_no_other(api, place, caplog):  # noqa: F811
    promised = await promise(api)
    await open_ticket(api, promised, 60)
    other = Due(api.workspace, await open_ticket(api, promised, 60), SlaKind.RESOLUTION, 1)
    timer = Timer(place.urls, place.keys)
    unheard = Due(api.workspace, uuid4(), SlaKind.RESOLUTION, 1)
    broken = Due(api.workspace, api.known["admin"].member_id, SlaKind.RESOLUTION, 1)

    await timer._record(api.engine.store, [unheard, broken, other])

    assert [ticket for ticket, _ in breaches(api, place)] == [other.ticket]
    assert [record.args[1] for record in caplog.records if "waits" in record.msg] == [broken.ticket]
