"""What the events of a ticket mean to its SLA clocks: the one place that knows both."""

from collections.abc import Iterable
from functools import reduce
from typing import assert_never
from uuid import UUID

from crm_es.service import ticket_events as t
from crm_es.service.enums import TicketStatus
from crm_es.service.sla import Breach, Clocks, Policies, Transition, advance
from crm_es.service.sla_policy import version_id
from crm_es.service.ticket import waiting


def transition(event: t.TicketEvent) -> Transition | None:  # noqa: C901, PLR0911, PLR0912  # one match over the events
    """None: nothing. A queue without a policy leaves the one the ticket has in force."""
    match event:
        case t.TicketOpened(occurred_at=at, priority=priority):
            return Transition(at=at, status=TicketStatus.NEW, priority=priority, policy=attached(event))
        case t.TicketMoved(occurred_at=at):
            return Transition(at=at, policy=attached(event))
        case t.TicketPrioritized(occurred_at=at, priority=priority):
            return Transition(at=at, priority=priority)
        case t.TicketStarted(occurred_at=at) | t.TicketResumed(occurred_at=at) | t.TicketReopened(occurred_at=at):
            return Transition(at=at, status=TicketStatus.OPEN)
        case t.TicketHeld(occurred_at=at, hold_reason=reason):
            return Transition(at=at, status=waiting(reason), hold_reason=reason)
        case t.TicketResolved(occurred_at=at):
            return Transition(at=at, status=TicketStatus.RESOLVED)
        case t.TicketClosed(occurred_at=at):
            return Transition(at=at, status=TicketStatus.CLOSED)
        case t.TicketReplied(internal=False, inbound=inbound, occurred_at=at):
            return Transition(at=at, asked=inbound, replied=not inbound)
        case t.TicketAbsorbed(occurred_at=at):
            return Transition(at=at, merged=True)
        case t.TicketUnmerged(occurred_at=at):
            return Transition(at=at, merged=False)
        case t.TicketSlaBreached(kind=kind, cycle=cycle, due_at=due):
            return Transition(at=due, breach=Breach(kind=kind, cycle=cycle, due=due))
        case (
            t.TicketUpdated() | t.TicketTagged() | t.TicketUntagged() | t.TicketArticlesLinked()
            | t.TicketArticlesUnlinked() | t.TicketAssigned() | t.TicketReplied() | t.TicketRated() | t.TicketMerged()
            | t.TicketReleased() | t.TicketSplit()
        ):  # fmt: skip
            return None
        case _:
            assert_never(event)


def attached(event: t.TicketOpened | t.TicketMoved) -> UUID | None:
    """The policy's version that an event brings along."""
    policy, version = event.sla_policy_id, event.sla_policy_version
    return version_id(policy, version) if isinstance(policy, UUID) and isinstance(version, int) else None


def clocks(events: Iterable[t.TicketEvent], policies: Policies) -> Clocks:
    """A ticket's clocks out of all its events."""
    steps = (step for event in events if (step := transition(event)) is not None)
    return reduce(lambda state, step: advance(state, step, policies), steps, Clocks())
