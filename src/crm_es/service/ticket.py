"""A ticket: a request for help. Here are its state, how events change it, and the decisions about its standing.

Decisions are pure: they take the state, parsed values and the occasion (`on`), and return events or raise. The events are in
`ticket_events.py`, opening and editing in `ticket_editing.py`, merging and splitting in `ticket_merging.py`, what the store
asks in `ticket_aggregate.py`.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, assert_never
from uuid import UUID

from msgspec import UNSET, Struct, field
from msgspec.structs import replace

from crm_es.errors import FieldPath, InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import Erased, values_set
from crm_es.occasions import Occasion
from crm_es.service.enums import HoldReason, Priority, SlaKind, TicketStatus, TicketType
from crm_es.service.ticket_events import (
    TicketAbsorbed,
    TicketArticlesLinked,
    TicketArticlesUnlinked,
    TicketAssigned,
    TicketClosed,
    TicketEvent,
    TicketHeld,
    TicketMerged,
    TicketMoved,
    TicketOpened,
    TicketPrioritized,
    TicketRated,
    TicketReleased,
    TicketReopened,
    TicketReplied,
    TicketResolved,
    TicketResumed,
    TicketSlaBreached,
    TicketSplit,
    TicketStarted,
    TicketTagged,
    TicketUnmerged,
    TicketUntagged,
    TicketUpdated,
)
from crm_es.values import ExternalId

BEST: Final = 5
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_NOWHERE: Final = UUID(int=0)
_PLAIN: Final = ("title", "type", "requester_id", "company_id")
_OPENED: Final = (
    *_PLAIN, "priority", "queue_id", "follow_up_of_id", "split_from_id", "tags", "external_ids", "sla_policy_id",
    "sla_policy_version",
)  # fmt: skip


class Ticket(Struct, frozen=True, kw_only=True):
    """What is so after some events. A struct, since a dataclass of so many fields takes forty times as long to `replace`.

    `standing` is the status it has by itself, which it keeps while it is merged. `moved_at` is when it last moved, in the
    world. `absorbed` are the merges that stand, oldest first: the absorbed id, and all ids that came with it.
    """

    title: str | Erased | None = None
    standing: TicketStatus = TicketStatus.NEW
    hold_reason: HoldReason | None = None
    priority: Priority = Priority.NORMAL
    type: TicketType = TicketType.QUESTION
    queue_id: UUID = _NOWHERE
    assignee_id: UUID | None = None
    requester_id: UUID | None = None
    company_id: UUID | None = None
    merged_into: UUID | None = None
    absorbed: tuple[tuple[UUID, tuple[UUID, ...]], ...] = ()
    follow_up_of_id: UUID | None = None
    split_from_id: UUID | None = None
    tags: tuple[str, ...] = ()
    external_ids: tuple[ExternalId, ...] = ()
    article_ids: tuple[UUID, ...] = ()
    resolution: str | Erased | None = None
    satisfaction: int | None = None
    comment: str | Erased | None = None
    sla_policy_id: UUID | None = None
    sla_policy_version: int | None = None
    opened_at: datetime = _NEVER
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    moved_at: datetime = _NEVER
    breached: frozenset[tuple[SlaKind, int]] = field(default_factory=frozenset)

    @property
    def status(self) -> TicketStatus:
        return TicketStatus.MERGED if self.merged_into else self.standing

    @property
    def absorbed_ids(self) -> tuple[UUID, ...]:
        """Every id that means this ticket, beside its own."""
        return tuple(one for _, ids in self.absorbed for one in ids)


def evolve(ticket: Ticket | None, event: TicketEvent) -> Ticket:  # noqa: C901, PLR0911, PLR0912  # one match per fold
    """The state after one more event. Never raises on stored history, erased or not."""
    was = ticket or Ticket()
    match event:
        case TicketOpened(occurred_at=at):
            return replace(was, **values_set(event, _OPENED), opened_at=at, moved_at=at)
        case TicketUpdated():
            return replace(was, **values_set(event, _PLAIN))
        case TicketTagged(tags=tags):
            return replace(was, tags=tuple(dict.fromkeys((*was.tags, *tags))))
        case TicketUntagged(tags=tags):
            return replace(was, tags=tuple(tag for tag in was.tags if tag not in tags))
        case TicketArticlesLinked(article_ids=articles):
            return replace(was, article_ids=tuple(dict.fromkeys((*was.article_ids, *articles))))
        case TicketArticlesUnlinked(article_ids=articles):
            return replace(was, article_ids=tuple(one for one in was.article_ids if one not in articles))
        case TicketStarted(occurred_at=at) | TicketResumed(occurred_at=at):
            return replace(was, standing=TicketStatus.OPEN, hold_reason=None, moved_at=at)
        case TicketAssigned(assignee_id=assignee, occurred_at=at):
            return replace(was, assignee_id=assignee, moved_at=at)
        case TicketPrioritized(priority=priority, occurred_at=at):
            return replace(was, priority=priority, moved_at=at)
        case TicketMoved(queue_id=queue, sla_policy_id=policy, sla_policy_version=version, occurred_at=at):
            return replace(was, queue_id=queue, sla_policy_id=policy, sla_policy_version=version, moved_at=at)
        case TicketHeld(hold_reason=reason, occurred_at=at):
            return replace(was, standing=waiting(reason), hold_reason=reason, moved_at=at)
        case TicketResolved(occurred_at=at):
            return _resolved(was, event, at)
        case TicketClosed(occurred_at=at):
            return replace(was, standing=TicketStatus.CLOSED, hold_reason=None, closed_at=at, moved_at=at)
        case TicketReopened(occurred_at=at):
            return replace(was, standing=TicketStatus.OPEN, resolved_at=None, closed_at=None, moved_at=at)
        case TicketRated(satisfaction=satisfaction, comment=comment):
            return replace(was, satisfaction=satisfaction, comment=None if comment is UNSET else comment)
        case TicketMerged(absorbed_id=absorbed, absorbed_ids=ids, occurred_at=at):
            return replace(was, absorbed=(*was.absorbed, (absorbed, ids)), moved_at=at)
        case TicketAbsorbed(survivor_id=survivor, occurred_at=at):
            return replace(was, merged_into=survivor, moved_at=at)
        case TicketReleased(absorbed_id=absorbed, occurred_at=at):
            return replace(was, absorbed=tuple(one for one in was.absorbed if one[0] != absorbed), moved_at=at)
        case TicketUnmerged(occurred_at=at):
            return replace(was, merged_into=None, moved_at=at)
        case TicketSlaBreached(kind=kind, cycle=cycle):
            return replace(was, breached=was.breached | {(kind, cycle)})
        case TicketReplied() | TicketSplit():
            return was
        case _:
            assert_never(event)


def waiting(reason: HoldReason) -> TicketStatus:
    """The status of a ticket that waits for this."""
    return TicketStatus.PENDING if reason is HoldReason.CUSTOMER else TicketStatus.ON_HOLD


def _resolved(was: Ticket, event: TicketResolved, at: datetime) -> Ticket:
    now = replace(was, standing=TicketStatus.RESOLVED, hold_reason=None, resolved_at=at, moved_at=at)
    resolution = was.resolution if event.resolution is UNSET else event.resolution
    articles = (*was.article_ids, event.article_id) if isinstance(event.article_id, UUID) else was.article_ids
    return replace(now, resolution=resolution, article_ids=tuple(dict.fromkeys(articles)))


# What may be decided


def check_not_closed(ticket: Ticket, field: FieldPath = ()) -> None:
    """Raises: RuleViolatedError `ticket.closed`."""
    if ticket.standing is TicketStatus.CLOSED:
        message = "This ticket is closed: reopen it, or open another one that follows it up."
        raise RuleViolatedError(message, rule="ticket.closed", field=field)


def _check_active(ticket: Ticket) -> None:
    check_not_closed(ticket)
    if ticket.standing is TicketStatus.RESOLVED:
        raise RuleViolatedError("This ticket is resolved: reopen it first.", rule="ticket.resolved")


def assign(ticket: Ticket, assignee_id: UUID | None, *, on: Occasion) -> list[TicketEvent]:
    """To a member, or to nobody. The first to have a new ticket begins with it.

    Raises: RuleViolatedError `ticket.closed`; InvalidInputError `occurred_at.before_last`.
    """
    check_not_closed(ticket)
    if assignee_id == ticket.assignee_id:
        return []
    at = on.following(ticket.moved_at)
    begun = _begun(ticket, at) if assignee_id else []
    return [TicketAssigned(assignee_id=assignee_id, occurred_at=at), *begun]


def prioritize(ticket: Ticket, priority: Priority, *, on: Occasion) -> list[TicketEvent]:
    """Raises: as `assign`."""
    check_not_closed(ticket)
    if priority is ticket.priority:
        return []
    at = on.following(ticket.moved_at)
    return [TicketPrioritized(priority=priority, occurred_at=at)]


def move(
    ticket: Ticket, queue_id: UUID, *, sla_policy_id: UUID | None, sla_policy_version: int | None, on: Occasion
) -> list[TicketEvent]:
    """To another queue, under its newest SLA policy. Raises: as `assign`."""
    check_not_closed(ticket)
    if queue_id == ticket.queue_id:
        return []
    at = on.following(ticket.moved_at)
    return [
        TicketMoved(
            queue_id=queue_id, sla_policy_id=sla_policy_id, sla_policy_version=sla_policy_version, occurred_at=at
        )
    ]


def reply(ticket: Ticket, interaction_id: UUID, *, internal: bool, on: Occasion) -> list[TicketEvent]:
    """A member writes on it: to the customer, or an internal note. A public reply is a beginning too.

    Raises: RuleViolatedError `ticket.closed` for a public one; InvalidInputError `occurred_at.before_last`.
    """
    if not internal:
        check_not_closed(ticket)
    at = on.following(ticket.moved_at)
    begun = [] if internal else _begun(ticket, at)
    return [TicketReplied(interaction_id=interaction_id, internal=internal, occurred_at=at), *begun]


def receive(interaction_id: UUID, *, inbound: bool, at: datetime) -> list[TicketEvent]:
    """A message that was recorded elsewhere is about this ticket. It happened, so nothing refuses it."""
    return [TicketReplied(interaction_id=interaction_id, internal=False, inbound=inbound, occurred_at=at)]


def hold(ticket: Ticket, reason: HoldReason, *, on: Occasion) -> list[TicketEvent]:
    """Raises: RuleViolatedError `ticket.closed`, `ticket.resolved`; InvalidInputError `occurred_at.before_last`."""
    _check_active(ticket)
    if reason is ticket.hold_reason:
        return []
    at = on.following(ticket.moved_at)
    return [TicketHeld(hold_reason=reason, occurred_at=at)]


def resume(ticket: Ticket, *, on: Occasion) -> list[TicketEvent]:
    """Work goes on, or begins. Raises: RuleViolatedError `ticket.not_held`, and as `hold`."""
    _check_active(ticket)
    at = on.following(ticket.moved_at)
    if ticket.standing is TicketStatus.NEW:
        return _begun(ticket, at)
    if ticket.standing is TicketStatus.OPEN:
        raise RuleViolatedError("This ticket waits for nobody: it is open.", rule="ticket.not_held")
    return [TicketResumed(occurred_at=at)]


def resolve(
    ticket: Ticket, *, resolution: str | None = None, article_id: UUID | None = None, on: Occasion
) -> list[TicketEvent]:
    """Raises: as `hold`."""
    _check_active(ticket)
    at = on.following(ticket.moved_at)
    return [TicketResolved(resolution=resolution or UNSET, article_id=article_id or UNSET, occurred_at=at)]


def close(ticket: Ticket, *, on: Occasion) -> list[TicketEvent]:
    """After it was resolved, or without (cancelled). Raises: as `assign`."""
    check_not_closed(ticket)
    at = on.following(ticket.moved_at)
    return [TicketClosed(occurred_at=at)]


def reopen(ticket: Ticket, *, on: Occasion, window: timedelta | None) -> list[TicketEvent]:
    """`window` is how long after closing it can be; None: always (imports).

    Raises: RuleViolatedError `ticket.not_resolved`, `ticket.reopen_window_over`; InvalidInputError `occurred_at.before_last`.
    """
    if ticket.standing not in (TicketStatus.RESOLVED, TicketStatus.CLOSED):
        raise RuleViolatedError("This ticket is neither resolved nor closed.", rule="ticket.not_resolved")
    at = on.following(ticket.moved_at)
    if window is not None and ticket.closed_at is not None and at > ticket.closed_at + window:
        message = f"It was closed more than {window.days} days ago: open another one that follows it up (followUpOfId)."
        raise RuleViolatedError(message, rule="ticket.reopen_window_over")
    return [TicketReopened(occurred_at=at)]


def rate(ticket: Ticket, satisfaction: int, comment: str | None = None) -> list[TicketEvent]:
    """Raises: InvalidInputError `ticket.satisfaction_out_of_range`; RuleViolatedError `ticket.not_resolved`."""
    if not 1 <= satisfaction <= BEST:
        message = f"Satisfaction is 1 to {BEST}."
        raise InvalidInputError(message, rule="ticket.satisfaction_out_of_range", field=("satisfaction",))
    if ticket.standing not in (TicketStatus.RESOLVED, TicketStatus.CLOSED):
        message = "A ticket is rated once it is resolved or closed."
        raise RuleViolatedError(message, rule="ticket.not_resolved")
    if (satisfaction, comment) == (ticket.satisfaction, ticket.comment):
        return []
    return [TicketRated(satisfaction=satisfaction, comment=comment or UNSET)]


def breach(ticket: Ticket, kind: SlaKind, cycle: int, due_at: datetime) -> list[TicketEvent]:
    """Once for each clock, however often it is told."""
    return [] if (kind, cycle) in ticket.breached else [TicketSlaBreached(kind=kind, cycle=cycle, due_at=due_at)]


def _begun(ticket: Ticket, at: datetime) -> list[TicketEvent]:
    return [TicketStarted(occurred_at=at)] if ticket.standing is TicketStatus.NEW else []
