"""What each event of a ticket means to its clocks."""

from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

import pytest

from crm_es.service import ticket_events as t
from crm_es.service.enums import HoldReason, Priority, SlaKind, TicketStatus, TicketType
from crm_es.service.sla import Breach, Transition
from crm_es.service.sla_policy import version_id
from crm_es.service.ticket_clocks import transition
from tests.eventstore.one_of_each import one_of

AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
ID, POLICY = UUID(int=1), UUID(int=2)
OPENED = {"type": TicketType.QUESTION, "priority": Priority.HIGH, "queue_id": ID, "occurred_at": AT}
MEANT = [
    (
        t.TicketOpened(**OPENED, sla_policy_id=POLICY, sla_policy_version=3),
        Transition(at=AT, status=TicketStatus.NEW, priority=Priority.HIGH, policy=version_id(POLICY, 3)),
    ),
    (t.TicketOpened(**OPENED), Transition(at=AT, status=TicketStatus.NEW, priority=Priority.HIGH)),
    (
        t.TicketMoved(queue_id=ID, sla_policy_id=POLICY, sla_policy_version=1, occurred_at=AT),
        Transition(at=AT, policy=version_id(POLICY, 1)),
    ),
    (t.TicketMoved(queue_id=ID, sla_policy_id=None, sla_policy_version=None, occurred_at=AT), Transition(at=AT)),
    (t.TicketPrioritized(priority=Priority.LOW, occurred_at=AT), Transition(at=AT, priority=Priority.LOW)),
    (t.TicketStarted(occurred_at=AT), Transition(at=AT, status=TicketStatus.OPEN)),
    (t.TicketResumed(occurred_at=AT), Transition(at=AT, status=TicketStatus.OPEN)),
    (t.TicketReopened(occurred_at=AT), Transition(at=AT, status=TicketStatus.OPEN)),
    (
        t.TicketHeld(hold_reason=HoldReason.CUSTOMER, occurred_at=AT),
        Transition(at=AT, status=TicketStatus.PENDING, hold_reason=HoldReason.CUSTOMER),
    ),
    (
        t.TicketHeld(hold_reason=HoldReason.VENDOR, occurred_at=AT),
        Transition(at=AT, status=TicketStatus.ON_HOLD, hold_reason=HoldReason.VENDOR),
    ),
    (t.TicketResolved(occurred_at=AT), Transition(at=AT, status=TicketStatus.RESOLVED)),
    (t.TicketClosed(occurred_at=AT), Transition(at=AT, status=TicketStatus.CLOSED)),
    (t.TicketReplied(interaction_id=ID, internal=False, occurred_at=AT), Transition(at=AT, replied=True)),
    (t.TicketReplied(interaction_id=ID, internal=False, inbound=True, occurred_at=AT), Transition(at=AT, asked=True)),
    (t.TicketReplied(interaction_id=ID, internal=True, occurred_at=AT), None),
    (t.TicketAbsorbed(survivor_id=ID, survivor_version=1, occurred_at=AT), Transition(at=AT, merged=True)),
    (t.TicketUnmerged(survivor_id=ID, occurred_at=AT), Transition(at=AT, merged=False)),
    (
        t.TicketSlaBreached(kind=SlaKind.RESOLUTION, cycle=2, due_at=AT),
        Transition(at=AT, breach=Breach(kind=SlaKind.RESOLUTION, cycle=2, due=AT)),
    ),
]
NOTHING = {
    t.TicketUpdated, t.TicketTagged, t.TicketUntagged, t.TicketArticlesLinked, t.TicketArticlesUnlinked, t.TicketAssigned,
    t.TicketRated, t.TicketMerged, t.TicketReleased, t.TicketSplit,
}  # fmt: skip


@pytest.mark.parametrize(("event", "meant"), MEANT, ids=lambda value: getattr(value, "TOPIC", ""))
def test_what_moves_a_clock(event, meant):
    assert transition(event) == meant


@pytest.mark.parametrize("event_class", sorted(NOTHING, key=lambda each: each.TOPIC), ids=lambda each: each.TOPIC)
def test_what_moves_none(event_class):
    assert transition(one_of(event_class)) is None


def test_no_event_is_forgotten_here():
    assert {type(event) for event, _ in MEANT} | NOTHING == set(get_args(t.TicketEvent))
