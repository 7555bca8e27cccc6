"""A resolved ticket is closed after its queue's days: once, whoever watches, and only while nobody says otherwise."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from crm_es.catalog import AGGREGATES
from crm_es.eventstore.event import Actor, ActorKind
from crm_es.eventstore.store import Store
from crm_es.occasions import Occasion
from crm_es.service import queue, ticket, ticket_editing
from crm_es.service.closing import Resolved, close
from crm_es.service.enums import TicketStatus
from crm_es.service.ticket_aggregate import TICKET
from crm_es.serving.timing import Timer
from tests.api.conftest import api, place  # noqa: F401  # fixtures
from tests.waiting import soon

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC)


def ago(days):
    return Occasion(NOW - timedelta(days=days))


async def queue_of(api, days):  # noqa: F811
    return await api.begin(queue.QUEUE, queue.create(queue.QueueEdit(name=f"Help {days}", auto_close_days=days)))


async def resolved(api, queue_id, days, **more):  # noqa: F811
    id_ = await api.begin(TICKET, ticket_editing.open_ticket(title="Help", queue_id=queue_id, on=ago(days + 1)))
    await api.change(TICKET, id_, lambda was: ticket.resolve(was, on=ago(days)), **more)
    return id_


async def status(api, id_):  # noqa: F811
    return (await api.engine.store.load(TICKET, api.workspace, id_)).state.status


async def closings(api, id_):  # noqa: F811
    facts = await api.engine.store.facts(api.workspace, id_)
    return [fact for fact in facts if fact.topic == "ticket.closed"]


async def test_what_was_resolved_for_its_queues_days_is_closed_and_nothing_else(api, place):  # noqa: F811
    week, never = await queue_of(api, 7), await queue_of(api, None)
    others = [await resolved(api, week, 6), await resolved(api, never, 900)]
    importing = Actor(kind=ActorKind.IMPORT)
    others.append(await resolved(api, week, 900, actor=importing))
    reopened = await resolved(api, week, 900)
    await api.change(TICKET, reopened, lambda was: ticket.reopen(was, on=ago(800), window=None))
    over = [await resolved(api, week, days) for days in (8, 900)]
    await api.projected()

    with Timer(place.urls, place.keys, poll=0.05).running():
        for id_ in over:
            await soon(lambda id_=id_: closed_by_now(api, id_))
        last = await resolved(api, week, 9)
        await soon(lambda: closed_by_now(api, last))

    assert [await status(api, id_) for id_ in others] == [TicketStatus.RESOLVED] * 3
    assert await status(api, reopened) is TicketStatus.OPEN


async def closed_by_now(api, id_):  # noqa: F811
    return await status(api, id_) is TicketStatus.CLOSED


async def test_the_event_says_that_nobody_did_it_and_when(api):  # noqa: F811
    id_ = await resolved(api, await queue_of(api, 7), 8)
    now = datetime.now(UTC)

    await close(api.engine.store, Resolved(api.workspace, id_), now=now)

    (closed,) = await closings(api, id_)
    assert (closed.event.occurred_at, closed.occurred_at) == (now, now)
    assert (closed.actor.kind, closed.actor.id) == (ActorKind.AUTOMATION, None)


async def test_it_is_decided_from_the_events_whatever_the_read_model_said(api):  # noqa: F811
    week = await queue_of(api, 7)
    early, reopened = await resolved(api, week, 6), await resolved(api, week, 8)
    await api.change(TICKET, reopened, lambda was: ticket.reopen(was, on=ago(0), window=None))
    imported = await resolved(api, week, 8, actor=Actor(kind=ActorKind.IMPORT))
    forever = await resolved(api, await queue_of(api, None), 8)

    for id_ in (early, reopened, imported, forever, uuid4()):
        assert await close(api.engine.store, Resolved(api.workspace, id_), now=datetime.now(UTC)) is None


async def test_many_at_the_same_moment_close_it_once_each_time_it_is_resolved(api, place):  # noqa: F811
    id_ = await resolved(api, await queue_of(api, 1), 8)
    other = await Store.open(place.urls.app, AGGREGATES, place.keys)

    async def all_at_once(now):
        due = Resolved(api.workspace, id_)
        await asyncio.gather(*(close(store, due, now=now) for store in (api.engine.store, other) * 8))

    try:
        await all_at_once(ago(6).at)
        await api.change(TICKET, id_, lambda was: ticket.reopen(was, on=ago(5), window=None))
        await api.change(TICKET, id_, lambda was: ticket.resolve(was, on=ago(4)))
        await all_at_once(ago(2).at)
    finally:
        await other.close()

    assert [fact.occurred_at for fact in await closings(api, id_)] == [ago(6).at, ago(2).at]


async def test_who_reopens_it_meanwhile_is_heard(api, monkeypatch):  # noqa: F811
    """It happens between the look at the events and the append: the decision is taken anew."""
    id_ = await resolved(api, await queue_of(api, 7), 8)
    store, read = api.engine.store, api.engine.store.facts

    async def facts(workspace, stream, **more):
        found = await read(workspace, stream, **more)
        if len(found) == 2:
            await api.change(TICKET, id_, lambda was: ticket.reopen(was, on=ago(0), window=None))
        return found

    monkeypatch.setattr(store, "facts", facts)

    assert await close(store, Resolved(api.workspace, id_), now=datetime.now(UTC)) is None
    assert await status(api, id_) is TicketStatus.OPEN
