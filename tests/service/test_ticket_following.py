"""Bringing a ticket to where another system has it."""

from datetime import timedelta
from uuid import UUID

import pytest

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.occasions import Occasion
from crm_es.service.enums import HoldReason, Priority, TicketStatus, TicketType
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_events import (
    TicketAssigned,
    TicketClosed,
    TicketHeld,
    TicketOpened,
    TicketReopened,
    TicketResolved,
    TicketResumed,
    TicketStarted,
)
from crm_es.service.ticket_following import follow, standing
from tests.deciding import NOON, given

QUEUE, ANNA, BOB = UUID(int=1), UUID(int=2), UUID(int=3)
OPENED = TicketOpened(
    title="It broke", type=TicketType.INCIDENT, priority=Priority.NORMAL, queue_id=QUEUE, occurred_at=NOON
)
STARTED, RESOLVED, CLOSED = (kind(occurred_at=NOON) for kind in (TicketStarted, TicketResolved, TicketClosed))
HELD = TicketHeld(hold_reason=HoldReason.VENDOR, occurred_at=NOON)
ANNAS = TicketAssigned(assignee_id=ANNA, occurred_at=NOON)
LATER = NOON + timedelta(days=40)
ON = Occasion(LATER)
DAYS = timedelta(days=30)


def to(status, reason=None, **who):
    """A decision."""
    return lambda ticket, window=None: follow(ticket, standing(status, reason, **who), on=ON, window=window)


@pytest.mark.parametrize(
    ("before", "decision", "then"),
    [
        ([], to(TicketStatus.OPEN), [TicketStarted(occurred_at=LATER)]),
        (
            [], to(TicketStatus.OPEN, assignee_id=ANNA),
            [TicketAssigned(assignee_id=ANNA, occurred_at=LATER), TicketStarted(occurred_at=LATER)],
        ),
        ([STARTED, ANNAS], to(TicketStatus.OPEN, assignee_id=None), [TicketAssigned(assignee_id=None, occurred_at=LATER)]),
        ([STARTED, ANNAS], to(TicketStatus.OPEN, assignee_id=ANNA), []),
        ([STARTED], to(TicketStatus.PENDING), [TicketHeld(hold_reason=HoldReason.CUSTOMER, occurred_at=LATER)]),
        (
            [STARTED, HELD], to(TicketStatus.ON_HOLD, HoldReason.OTHER),
            [TicketHeld(hold_reason=HoldReason.OTHER, occurred_at=LATER)],
        ),
        ([STARTED, HELD], to(TicketStatus.ON_HOLD, HoldReason.VENDOR), []),
        ([STARTED, HELD], to(TicketStatus.OPEN), [TicketResumed(occurred_at=LATER)]),
        ([RESOLVED], to(TicketStatus.RESOLVED), []),
        (
            [RESOLVED, ANNAS], to(TicketStatus.CLOSED, assignee_id=BOB),
            [TicketAssigned(assignee_id=BOB, occurred_at=LATER), TicketClosed(occurred_at=LATER)],
        ),
        ([CLOSED], to(TicketStatus.CLOSED), []),
        (
            [CLOSED], to(TicketStatus.ON_HOLD, HoldReason.OTHER, assignee_id=BOB),
            [
                TicketReopened(occurred_at=LATER), TicketAssigned(assignee_id=BOB, occurred_at=LATER),
                TicketHeld(hold_reason=HoldReason.OTHER, occurred_at=LATER),
            ],
        ),
    ],
)  # fmt: skip
def test_a_ticket_is_brought_there_by_the_moves_between(before, decision, then):
    given(TICKET, OPENED, *before).when(decision).then(*then)


@pytest.mark.parametrize(
    ("before", "decision", "rule"),
    [
        ([CLOSED], to(TicketStatus.RESOLVED), "ticket.closed"),
        ([CLOSED], to(TicketStatus.CLOSED, assignee_id=BOB), "ticket.closed"),
        ([CLOSED], lambda ticket: to(TicketStatus.OPEN)(ticket, DAYS), "ticket.reopen_window_over"),
    ],
)
def test_what_the_rules_of_tickets_forbid_is_refused(before, decision, rule):
    given(TICKET, OPENED, *before).when(decision).then_refused(RuleViolatedError, rule)


@pytest.mark.parametrize(
    ("status", "reason", "rule", "field"),
    [
        (TicketStatus.NEW, None, "ticket.status_no_choice", "status"),
        (TicketStatus.MERGED, None, "ticket.status_no_choice", "status"),
        (TicketStatus.ON_HOLD, None, "ticket.hold_reason", "holdReason"),
        (TicketStatus.ON_HOLD, HoldReason.CUSTOMER, "ticket.hold_reason", "holdReason"),
        (TicketStatus.PENDING, HoldReason.OTHER, "ticket.hold_reason", "holdReason"),
        (TicketStatus.OPEN, HoldReason.OTHER, "ticket.hold_reason", "holdReason"),
    ],
)
def test_a_status_and_its_hold_reason_go_together(status, reason, rule, field):
    with pytest.raises(InvalidInputError) as raised:
        standing(status, reason)

    assert (raised.value.rule, raised.value.field) == (rule, (field,))
