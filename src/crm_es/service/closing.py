"""Closing a resolved ticket after its queue's days: decided from its own events, since it may have been reopened meanwhile.

What an import resolved is left alone: the rest of its history is still to come.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from crm_es.errors import ConflictError
from crm_es.eventstore.aggregate import Loaded
from crm_es.eventstore.event import Actor, ActorKind, Command, Fact, WorkspaceId
from crm_es.eventstore.states import fold
from crm_es.eventstore.store import Outcome, Store
from crm_es.occasions import Occasion, dated
from crm_es.service import ticket as standing
from crm_es.service.enums import TicketStatus
from crm_es.service.queue import QUEUE
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_events import TicketResolved

TRIES: Final = 5


class Resolved(NamedTuple):
    """A ticket that its queue's days have gone by for, as a read model told."""

    workspace: WorkspaceId
    ticket: UUID


async def close(store: Store, due: Resolved, *, now: datetime) -> Outcome | None:
    """Close it, once for each time it was resolved; None where there is nothing to close after all."""
    for _ in range(TRIES):
        facts = await store.facts(due.workspace, due.ticket)
        there = fold(TICKET, None, facts)
        resolution = _resolution(facts)
        if there is None or resolution is None or not await _is_over(store, due, there, now):
            return None
        try:
            outcome = await store.transact(
                _command(store, due, resolution, now), [(TICKET, due.ticket)], partial(_decide, there, now)
            )
        except _OvertakenError:
            continue
        return outcome if outcome.position is not None else None
    raise ConflictError("This ticket is being changed too fast.", rule="record.busy")


class _OvertakenError(Exception):
    """The ticket has events that were not looked at."""


def _decide(there: Loaded[standing.Ticket], now: datetime, loaded: Any) -> dict[UUID, Any]:
    if loaded[there.id].version != there.version:
        raise _OvertakenError
    return {there.id: dated(standing.close(there.state, on=Occasion(now, said=False)))}


def _resolution(facts: Sequence[Fact]) -> Fact | None:
    """When it was last resolved, unless an import did it."""
    found = next((fact for fact in reversed(facts) if isinstance(fact.event, TicketResolved)), None)
    return None if found is None or found.actor.kind is ActorKind.IMPORT else found


async def _is_over(store: Store, due: Resolved, there: Loaded[standing.Ticket], now: datetime) -> bool:
    """Whether it is resolved, and has been for as long as its queue says."""
    ticket = there.state
    if ticket.status is not TicketStatus.RESOLVED or ticket.resolved_at is None:
        return False
    queue = await store.load(QUEUE, due.workspace, ticket.queue_id)
    days: int | None = None if queue is None else queue.state.auto_close_days
    return days is not None and ticket.resolved_at + timedelta(days=days) <= now


def _command(store: Store, due: Resolved, resolution: Fact, now: datetime) -> Command:
    """The same for the same resolution, whoever closes it."""
    id_ = uuid5(due.ticket, f"close/{resolution.version}")
    return Command(
        workspace=due.workspace,
        command_id=id_,
        request_hash=store.keys.blind(due.workspace, "request", "auto_close", str(due.ticket), str(resolution.version)),
        actor=Actor(kind=ActorKind.AUTOMATION),
        correlation_id=id_,
        occurred_at=now,
    )
