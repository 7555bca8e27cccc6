"""What can happen to a deal. Its state is in `deal.py`, its decisions are in `dealing.py`.

`occurred_at` repeats the envelope's where a deal moves (its stage, its amount, its owner), so that its state knows when.
Free texts are sealed with a key of the deal's own, which its contacts hold.
"""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.eventstore.event import Erased, changes, pii
from crm_es.sales.deal_values import DealContact, DealLine
from crm_es.sales.stages import ForecastCategory
from crm_es.values import ExternalId, Money

PersonalText = str | None | Erased | UnsetType
Descriptions = tuple[str | None, ...] | Erased | UnsetType
MaybeId = UUID | None | UnsetType
MaybeMoney = Money | None | UnsetType
MaybeDate = date | None | UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class DealOpened:
    """`rank` is its place in the stage's column. `line_descriptions` are those of `lines`, in order."""

    TOPIC: ClassVar[str] = "deal.opened"
    name: str | Erased = pii()
    pipeline_id: UUID = changes("pipeline")
    stage_id: UUID = changes("stage")
    rank: str
    amount: MaybeMoney = UNSET
    expected_close_date: MaybeDate = UNSET
    company_id: MaybeId = changes("company", default=UNSET)
    contacts: tuple[DealContact, ...] | UnsetType = UNSET
    owner_id: MaybeId = changes("owner", default=UNSET)
    lines: tuple[DealLine, ...] | UnsetType = UNSET
    line_descriptions: Descriptions = pii(api="lines", default=UNSET)
    external_ids: tuple[ExternalId, ...] | UnsetType = UNSET
    occurred_at: datetime = changes("openedAt")


@dataclass(frozen=True, kw_only=True, slots=True)
class DealUpdated:
    """Plain attributes. `probability` takes the place of its stage's; null: the stage's again.

    `occurred_at` is there where the amount changes.
    """

    TOPIC: ClassVar[str] = "deal.updated"
    name: PersonalText = pii(default=UNSET)
    amount: MaybeMoney = UNSET
    probability: Decimal | UnsetType | None = UNSET
    forecast_category: ForecastCategory | UnsetType | None = UNSET
    expected_close_date: MaybeDate = UNSET
    company_id: MaybeId = changes("company", default=UNSET)
    occurred_at: datetime | UnsetType = changes(None, default=UNSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class DealOwnerChanged:
    TOPIC: ClassVar[str] = "deal.owner_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("owner",)
    owner_id: UUID | None
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DealContactsChanged:
    """All of them."""

    TOPIC: ClassVar[str] = "deal.contacts_changed"
    contacts: tuple[DealContact, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DealLinesChanged:
    """All of them; `line_descriptions` are theirs, in order."""

    TOPIC: ClassVar[str] = "deal.lines_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("lines",)
    lines: tuple[DealLine, ...]
    line_descriptions: Descriptions = pii(default=UNSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class DealMoved:
    """To another stage of its pipeline (a retired stage's deals too), or to another place in its column."""

    TOPIC: ClassVar[str] = "deal.moved"
    stage_id: UUID | UnsetType = changes("stage", default=UNSET)
    rank: str | UnsetType = UNSET
    occurred_at: datetime = changes(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class DealWon:
    """For the amount it has then."""

    TOPIC: ClassVar[str] = "deal.won"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "stage", "rank", "closedAt")
    stage_id: UUID
    rank: str
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DealLost:
    """`lost_reason` is absent where those whom the deal was about are erased: it is sealed with their key."""

    TOPIC: ClassVar[str] = "deal.lost"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "stage", "rank", "closedAt", "lostReason")
    stage_id: UUID
    rank: str
    lost_reason: PersonalText = pii(default=UNSET)
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DealReopened:
    """It has no lost reason any more."""

    TOPIC: ClassVar[str] = "deal.reopened"
    FIELDS: ClassVar[tuple[str, ...]] = ("status", "stage", "rank", "closedAt", "lostReason")
    stage_id: UUID
    rank: str
    occurred_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class DealArchived:
    """Gone from lists, boards and sums; its external ids are free for others."""

    TOPIC: ClassVar[str] = "deal.archived"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "archivedAt")


@dataclass(frozen=True, kw_only=True, slots=True)
class DealRestored:
    TOPIC: ClassVar[str] = "deal.restored"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "archivedAt")


DealEvent = (
    DealOpened
    | DealUpdated
    | DealOwnerChanged
    | DealContactsChanged
    | DealLinesChanged
    | DealMoved
    | DealWon
    | DealLost
    | DealReopened
    | DealArchived
    | DealRestored
)
