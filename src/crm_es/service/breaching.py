"""Recording that an SLA clock ran out: decided from the ticket's own events, since it may have been met meanwhile."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from crm_es.errors import ConflictError
from crm_es.eventstore.event import Actor, ActorKind, Command, Fact, WorkspaceId
from crm_es.eventstore.store import Outcome, Store
from crm_es.service.calendar import moment, seconds
from crm_es.service.enums import SlaKind
from crm_es.service.sla import Policy
from crm_es.service.sla_policy import SLA_POLICY, terms, version_id
from crm_es.service.ticket import breach
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_clocks import clocks
from crm_es.service.ticket_events import TicketMoved, TicketOpened

TRIES: Final = 5
Known = dict[UUID, Policy]
"""Versions loaded before; they never change."""


class Due(NamedTuple):
    """A clock that has run out, as a read model told."""

    workspace: WorkspaceId
    ticket: UUID
    kind: SlaKind
    cycle: int


async def record(store: Store, known: Known, due: Due, *, now: datetime) -> Outcome | None:
    """Append the breach of this clock, once for ever; None where it has not run out after all, or is recorded already."""
    for _ in range(TRIES):
        facts = await store.facts(due.workspace, due.ticket)
        await _learn(store, known, due.workspace, facts)
        at = _ran_out([fact.event for fact in facts], known, due, now)
        if at is None:
            return None
        decision = partial(_decide, due, at, len(facts))
        try:
            outcome = await store.transact(_command(store, due, at), [(TICKET, due.ticket)], decision)
        except _OvertakenError:
            continue
        return outcome if outcome.position is not None else None
    raise ConflictError("This ticket is being changed too fast.", rule="record.busy")


class _OvertakenError(Exception):
    """The ticket has events that were not looked at."""


def _decide(due: Due, at: datetime, version: int, loaded: Any) -> dict[UUID, Any]:
    found = loaded[due.ticket]
    if found.version != version:
        raise _OvertakenError
    return {due.ticket: breach(found.state, due.kind, due.cycle, at)}


def _ran_out(events: Sequence[Any], known: Known, due: Due, now: datetime) -> datetime | None:
    """When the clock did, by all that happened to the ticket."""
    for clock in clocks(events, known.__getitem__).clocks:
        if (clock.kind, clock.cycle) == (due.kind, due.cycle):
            at = clock.to_record
            return None if at is None or at >= seconds(now) else moment(at)
    return None


async def _learn(store: Store, known: Known, workspace: WorkspaceId, facts: Sequence[Fact]) -> None:
    """Load the policy versions that the ticket went by."""
    for fact in facts:
        match fact.event:
            case (
                TicketOpened(sla_policy_id=UUID() as policy, sla_policy_version=int(version))
                | TicketMoved(sla_policy_id=UUID() as policy, sla_policy_version=int(version))
            ) if version_id(policy, version) not in known:
                loaded = await store.load(SLA_POLICY, workspace, policy, at_version=version)
                if loaded is not None:
                    known[version_id(policy, version)] = terms(policy, version, loaded.state.published)
            case _:
                pass


def _command(store: Store, due: Due, at: datetime) -> Command:
    """The same for the same clock, whoever records it and whenever."""
    words = str(due.ticket), str(due.kind), str(due.cycle)
    id_ = uuid5(due.ticket, f"{due.kind}/{due.cycle}")
    return Command(
        workspace=due.workspace,
        command_id=id_,
        request_hash=store.keys.blind(due.workspace, "request", "sla_breach", *words),
        actor=Actor(kind=ActorKind.AUTOMATION),
        correlation_id=id_,
        occurred_at=at,
    )
