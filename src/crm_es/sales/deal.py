"""A deal: a chance of a sale, on its way through the stages of one pipeline. Its events are in `deal_events.py`.

It is about its contacts: they hold the key of its free texts. Whether members, contacts, companies, products and stages exist
is the mutation's question.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, assert_never, get_args
from uuid import UUID

from crm_es.eventstore.aggregate import Aggregate, Ref
from crm_es.eventstore.event import ERASED, Erased, Reservation, values_set
from crm_es.sales.deal_events import (
    DealArchived,
    DealContactsChanged,
    DealEvent,
    DealLinesChanged,
    DealLost,
    DealMoved,
    DealOpened,
    DealOwnerChanged,
    DealReopened,
    DealRestored,
    DealUpdated,
    DealWon,
)
from crm_es.sales.deal_values import DealContact, DealLine, total
from crm_es.sales.stages import DealStatus, ForecastCategory
from crm_es.values import ExternalId, Money, joint_key, money_answer

_NOBODY: Final = UUID(int=0)
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deal:
    """`open_stage_id` is where it stood last while it was open; `moved_at` when its stage, amount or owner last changed."""

    name: str | Erased | None = None
    pipeline_id: UUID = _NOBODY
    stage_id: UUID = _NOBODY
    open_stage_id: UUID = _NOBODY
    status: DealStatus = DealStatus.OPEN
    rank: str = ""
    amount: Money | None = None
    probability: Decimal | None = None
    forecast_category: ForecastCategory | None = None
    expected_close_date: date | None = None
    company_id: UUID | None = None
    contacts: tuple[DealContact, ...] = ()
    owner_id: UUID | None = None
    lines: tuple[DealLine, ...] = ()
    line_descriptions: tuple[str | None, ...] | Erased = ()
    external_ids: tuple[ExternalId, ...] = ()
    lost_reason: str | Erased | None = None
    opened_at: datetime = _NEVER
    closed_at: datetime | None = None
    moved_at: datetime = _NEVER
    archived: bool = False

    @property
    def erased(self) -> bool:
        """Whether everybody it is about was erased: no text can be written to it any more."""
        return ERASED in (self.name, self.line_descriptions, self.lost_reason)

    @property
    def category(self) -> ForecastCategory:
        """What it counts as in a forecast: the one chosen while it is open, else what became of it."""
        match self.status:
            case DealStatus.OPEN:
                return self.forecast_category or ForecastCategory.PIPELINE
            case DealStatus.WON:
                return ForecastCategory.CLOSED
            case DealStatus.LOST:
                return ForecastCategory.OMITTED


PLAIN: Final = ("name", "amount", "probability", "forecast_category", "expected_close_date", "company_id")
_OPENED: Final = (
    "name", "pipeline_id", "stage_id", "rank", "amount", "expected_close_date", "company_id", "contacts", "owner_id", "lines",
    "line_descriptions", "external_ids",
)  # fmt: skip


def evolve(deal: Deal | None, event: DealEvent) -> Deal:  # noqa: C901, PLR0911  # one match per fold
    """The state after one more event. Never raises on stored history, erased or not."""
    was = deal or Deal()
    match event:
        case DealOpened(occurred_at=at, stage_id=stage):
            said = values_set(event, _OPENED)
            return replace(was, **said, open_stage_id=stage, opened_at=at, moved_at=at)
        case DealUpdated(occurred_at=at):
            return replace(was, **values_set(event, PLAIN), moved_at=at if isinstance(at, datetime) else was.moved_at)
        case DealOwnerChanged(owner_id=owner, occurred_at=at):
            return replace(was, owner_id=owner, moved_at=at)
        case DealContactsChanged(contacts=contacts):
            return replace(was, contacts=contacts)
        case DealLinesChanged(lines=lines):
            none: dict[str, Any] = {"line_descriptions": ()}
            return replace(was, lines=lines, **(none | values_set(event, ("line_descriptions",))))
        case DealMoved():
            return _moved(was, event)
        case DealWon(stage_id=stage, rank=rank, occurred_at=at):
            return replace(was, status=DealStatus.WON, stage_id=stage, rank=rank, closed_at=at, moved_at=at)
        case DealLost(stage_id=stage, rank=rank, occurred_at=at):
            said = {"lost_reason": None} | values_set(event, ("lost_reason",))
            return replace(was, status=DealStatus.LOST, stage_id=stage, rank=rank, closed_at=at, moved_at=at, **said)
        case DealReopened(stage_id=stage, rank=rank, occurred_at=at):
            again: dict[str, Any] = {"status": DealStatus.OPEN, "closed_at": None, "lost_reason": None}
            return replace(was, stage_id=stage, open_stage_id=stage, rank=rank, moved_at=at, **again)
        case DealArchived():
            return replace(was, archived=True)
        case DealRestored():
            return replace(was, archived=False)
        case _:
            assert_never(event)


def _moved(deal: Deal, event: DealMoved) -> Deal:
    """A place in the column is no move of the deal's own: its clock stays."""
    said = values_set(event, ("stage_id", "rank"))
    if isinstance(event.stage_id, UUID):
        said["moved_at"] = event.occurred_at
        if deal.status is DealStatus.OPEN:
            said["open_stage_id"] = event.stage_id
    return replace(deal, **said)


def _reservations(stream: UUID, deal: Deal) -> frozenset[Reservation]:
    if deal.archived:
        return frozenset()
    keys = (joint_key("deal", one.system, one.value) for one in deal.external_ids)
    return frozenset(Reservation(kind="external_id", value=key, holder=stream) for key in keys)


def _subjects(stream: UUID, deal: Deal) -> tuple[UUID, ...]:  # noqa: ARG001  # it belongs to those it is about
    return tuple(one.contact_id for one in deal.contacts)


def _fields(deal: Deal) -> Mapping[str, object]:
    return {
        "recordStatus": "ARCHIVED" if deal.archived else "ACTIVE",
        "name": _plain(deal.name),
        "pipeline": Ref(type="Pipeline", id=deal.pipeline_id),
        "stage": Ref(type="Stage", id=deal.stage_id),
        "status": deal.status.value,
        "rank": deal.rank,
        "amount": money_answer(deal.amount),
        "probability": None if deal.probability is None else float(deal.probability),
        "forecastCategory": deal.category.value,
        "expectedCloseDate": deal.expected_close_date,
        "openedAt": deal.opened_at,
        "closedAt": deal.closed_at,
        "lostReason": _plain(deal.lost_reason),
        "owner": _ref("Member", deal.owner_id),
        "company": _ref("Company", deal.company_id),
        "contacts": [_contact(one) for one in deal.contacts],
        "lines": [_line(line, description) for line, description in described(deal)],
        "externalIds": [{"system": one.system, "value": one.value} for one in deal.external_ids],
    }


def described(deal: Deal) -> list[tuple[DealLine, str | None]]:
    """The lines, each with its description."""
    texts = () if isinstance(deal.line_descriptions, Erased) else deal.line_descriptions
    return [(line, texts[at] if at < len(texts) else None) for at, line in enumerate(deal.lines)]


def _contact(one: DealContact) -> dict[str, object]:
    return {"contact": _ref("Contact", one.contact_id), "part": one.part, "primary": one.primary}


def _line(line: DealLine, description: str | None) -> dict[str, object]:
    return {
        "product": _ref("Product", line.product_id),
        "description": description,
        "quantity": line.quantity,
        "unitPrice": money_answer(line.unit_price),
        "discount": money_answer(line.discount),
        "total": money_answer(total(line)),
    }


def _ref(type: str, id: UUID | None) -> Ref | None:
    return Ref(type=type, id=id) if id else None


def _plain(value: str | Erased | None) -> str | None:
    return None if isinstance(value, Erased) else value


DEAL: Aggregate[Deal, DealEvent] = Aggregate(
    name="deal",
    events=get_args(DealEvent),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    moments={"archivedAt": lambda deal: deal.archived},
    derived={
        "forecastCategory": frozenset({"status"}),
        "probability": frozenset({"stage"}),
        "weightedAmount": frozenset({"amount", "probability", "stage"}),
        "contact": frozenset({"contacts"}),
        "stageEnteredAt": frozenset({"stage"}),
        "rotsAt": frozenset({"stage"}),
    },
    subjects=_subjects,
)
