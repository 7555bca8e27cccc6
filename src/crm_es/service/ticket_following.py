"""Bringing a ticket to where another system has it: by the moves that lead there, all at one moment. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import InvalidInputError
from crm_es.occasions import Occasion
from crm_es.service.enums import HoldReason, TicketStatus
from crm_es.service.ticket import Ticket, assign, close, evolve, hold, reopen, resolve, resume, waiting
from crm_es.service.ticket_events import TicketEvent

DONE: Final = frozenset({TicketStatus.RESOLVED, TicketStatus.CLOSED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A status, `hold_reason` where it waits, and who has the ticket (UNSET: whoever has it)."""

    status: TicketStatus
    hold_reason: HoldReason | None = None
    assignee_id: UUID | UnsetType | None = UNSET


def standing(
    status: TicketStatus, hold_reason: HoldReason | None, assignee_id: UUID | UnsetType | None = UNSET
) -> Standing:
    """PENDING waits for the customer. Raises: InvalidInputError `ticket.status_no_choice`, `ticket.hold_reason`."""
    if status in (TicketStatus.NEW, TicketStatus.MERGED):
        message = f"{status} is no status to bring a ticket to."
        raise InvalidInputError(message, rule="ticket.status_no_choice", field=("status",))
    if status is TicketStatus.PENDING and hold_reason is None:
        hold_reason = HoldReason.CUSTOMER
    if hold_reason is None and status is TicketStatus.ON_HOLD:
        message = "Say what it waits for."
        raise InvalidInputError(message, rule="ticket.hold_reason", field=("holdReason",))
    if hold_reason is not None and status is not waiting(hold_reason):
        message = "PENDING waits for the customer, ON_HOLD for others; no other status waits."
        raise InvalidInputError(message, rule="ticket.hold_reason", field=("holdReason",))
    return Standing(status=status, hold_reason=hold_reason, assignee_id=assignee_id)


@dataclass(slots=True)
class _Walk:
    """A ticket on its way, and what happened to it there."""

    ticket: Ticket
    events: list[TicketEvent] = field(default_factory=list)

    def take(self, decision: Callable[[Ticket], Sequence[TicketEvent]]) -> None:
        for event in decision(self.ticket):
            self.events.append(event)
            self.ticket = evolve(self.ticket, event)


def follow(ticket: Ticket, to: Standing, *, on: Occasion, window: timedelta | None) -> list[TicketEvent]:
    """None where it stands so already. `window` is how long after closing it can be reopened; None: always.

    Raises: RuleViolatedError `ticket.closed` (from CLOSED a ticket is only reopened), `ticket.reopen_window_over`;
    InvalidInputError `occurred_at.before_last`.
    """
    walk = _Walk(ticket)
    if ticket.standing in DONE and to.status not in DONE:
        walk.take(lambda now: reopen(now, on=on, window=window))
    if not isinstance(assignee := to.assignee_id, UnsetType):
        walk.take(lambda now: assign(now, assignee, on=on))
    if (walk.ticket.standing, walk.ticket.hold_reason) != (to.status, to.hold_reason):
        walk.take(lambda now: _move(now, to, on))
    return walk.events


def _move(ticket: Ticket, to: Standing, on: Occasion) -> list[TicketEvent]:
    if to.hold_reason is not None:
        return hold(ticket, to.hold_reason, on=on)
    match to.status:
        case TicketStatus.RESOLVED:
            return resolve(ticket, on=on)
        case TicketStatus.CLOSED:
            return close(ticket, on=on)
        case _:
            return resume(ticket, on=on)
