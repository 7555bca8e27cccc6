"""What can happen to a ticket. Its state and decisions are in `ticket.py`.

`occurred_at` repeats the envelope's where a ticket moves, so that its state knows when: no move lies before the last.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.contacts.contact_values import Original
from crm_es.eventstore.event import Erased, changes, pii
from crm_es.service.enums import HoldReason, Priority, SlaKind, TicketType
from crm_es.values import ExternalId

PersonalText = str | None | Erased | UnsetType
MaybeId = UUID | None | UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketOpened:
    """The SLA policy is the newest of the queue then; absent: it has none. Later versions of it do not touch the ticket."""

    TOPIC: ClassVar[str] = "ticket.opened"
    title: PersonalText = pii(default=UNSET)
    type: TicketType
    priority: Priority
    queue_id: UUID = changes("queue")
    requester_id: MaybeId = changes("requester", default=UNSET)
    company_id: MaybeId = changes("company", default=UNSET)
    follow_up_of_id: MaybeId = changes("followUpOf", default=UNSET)
    split_from_id: MaybeId = changes("splitFrom", default=UNSET)
    tags: tuple[str, ...] | UnsetType = UNSET
    external_ids: tuple[ExternalId, ...] | UnsetType = UNSET
    sla_policy_id: MaybeId = changes("sla", default=UNSET)
    sla_policy_version: int | UnsetType | None = changes("sla", default=UNSET)
    occurred_at: datetime = changes("openedAt")


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketUpdated:
    """Plain attributes."""

    TOPIC: ClassVar[str] = "ticket.updated"
    title: PersonalText = pii(default=UNSET)
    type: TicketType | UnsetType = UNSET
    requester_id: MaybeId = changes("requester", default=UNSET)
    company_id: MaybeId = changes("company", default=UNSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketTagged:
    TOPIC: ClassVar[str] = "ticket.tagged"
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketUntagged:
    TOPIC: ClassVar[str] = "ticket.untagged"
    tags: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketArticlesLinked:
    TOPIC: ClassVar[str] = "ticket.articles_linked"
    article_ids: tuple[UUID, ...] = changes("articles")


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketArticlesUnlinked:
    TOPIC: ClassVar[str] = "ticket.articles_unlinked"
    article_ids: tuple[UUID, ...] = changes("articles")


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketStarted:
    """Somebody began with it: NEW becomes OPEN."""

    TOPIC: ClassVar[str] = "ticket.started"
    FIELDS: ClassVar[tuple[str, ...]] = ("status",)
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketAssigned:
    """None: nobody has it any more."""

    TOPIC: ClassVar[str] = "ticket.assigned"
    FIELDS: ClassVar[tuple[str, ...]] = ("assignee",)
    assignee_id: UUID | None
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketPrioritized:
    TOPIC: ClassVar[str] = "ticket.prioritized"
    FIELDS: ClassVar[tuple[str, ...]] = ("priority",)
    priority: Priority
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketMoved:
    """Into another queue, and under the newest SLA policy of that; None where it has none."""

    TOPIC: ClassVar[str] = "ticket.moved"
    FIELDS: ClassVar[tuple[str, ...]] = ("queue", "sla")
    queue_id: UUID
    sla_policy_id: UUID | None
    sla_policy_version: int | None
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketReplied:
    """Something was written on it: `interaction_id` holds the text. `inbound`: by the customer, else by us.

    `internal`: never to be shown to customers. `original`: where it stood before an unmerge gave it back.
    """

    TOPIC: ClassVar[str] = "ticket.replied"
    FIELDS: ClassVar[tuple[str, ...]] = ("conversation",)
    interaction_id: UUID
    internal: bool
    inbound: bool = False
    occurred_at: datetime
    original: Original | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketHeld:
    """Waiting: PENDING for the customer, else ON_HOLD."""

    TOPIC: ClassVar[str] = "ticket.held"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "holdReason")
    hold_reason: HoldReason
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketResumed:
    """Work goes on: OPEN."""

    TOPIC: ClassVar[str] = "ticket.resumed"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "holdReason")
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketResolved:
    """`article_id`: the article that answered it, linked from now on."""

    TOPIC: ClassVar[str] = "ticket.resolved"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "holdReason", "resolution", "resolvedAt")
    resolution: PersonalText = pii(default=UNSET)
    article_id: UUID | UnsetType = changes("articles", default=UNSET)
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketClosed:
    TOPIC: ClassVar[str] = "ticket.closed"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "holdReason", "closedAt")
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketReopened:
    """OPEN again. What resolved it stays to be read."""

    TOPIC: ClassVar[str] = "ticket.reopened"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "resolvedAt", "closedAt")
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketRated:
    """By the customer: 1 to 5."""

    TOPIC: ClassVar[str] = "ticket.rated"
    FIELDS: ClassVar[tuple[str, ...]] = ("satisfaction", "satisfactionComment")
    satisfaction: int
    comment: PersonalText = pii(default=UNSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketMerged:
    """Another ticket was absorbed, and all (`absorbed_ids`) that meant that."""

    TOPIC: ClassVar[str] = "ticket.merged"
    FIELDS: ClassVar[tuple[str, ...]] = ("absorbed", "conversation")
    absorbed_id: UUID
    absorbed_version: int
    absorbed_ids: tuple[UUID, ...]
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketAbsorbed:
    """Its id leads to the survivor from now on; its clocks stand still."""

    TOPIC: ClassVar[str] = "ticket.absorbed"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "mergedInto")
    survivor_id: UUID
    survivor_version: int
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketReleased:
    """An absorbed ticket was given back, with all that had meant that."""

    TOPIC: ClassVar[str] = "ticket.released"
    FIELDS: ClassVar[tuple[str, ...]] = ("absorbed", "conversation")
    absorbed_id: UUID
    absorbed_ids: tuple[UUID, ...]
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketUnmerged:
    """It stands for itself again, with the status it had."""

    TOPIC: ClassVar[str] = "ticket.unmerged"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "mergedInto")
    survivor_id: UUID
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketSplit:
    """A part of its conversation went to a ticket of its own."""

    TOPIC: ClassVar[str] = "ticket.split"
    FIELDS: ClassVar[tuple[str, ...]] = ("conversation",)
    split_id: UUID
    interaction_ids: tuple[UUID, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TicketSlaBreached:
    """A promise was not kept: `due_at` went by. `cycle` counts the clocks of one kind, from 1."""

    TOPIC: ClassVar[str] = "ticket.sla_breached"
    FIELDS: ClassVar[tuple[str, ...]] = ("sla",)
    kind: SlaKind
    cycle: int
    due_at: datetime


TicketEvent = (
    TicketOpened
    | TicketUpdated
    | TicketTagged
    | TicketUntagged
    | TicketArticlesLinked
    | TicketArticlesUnlinked
    | TicketStarted
    | TicketAssigned
    | TicketPrioritized
    | TicketMoved
    | TicketReplied
    | TicketHeld
    | TicketResumed
    | TicketResolved
    | TicketClosed
    | TicketReopened
    | TicketRated
    | TicketMerged
    | TicketAbsorbed
    | TicketReleased
    | TicketUnmerged
    | TicketSplit
    | TicketSlaBreached
)
