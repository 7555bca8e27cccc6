"""Opening, changing, moving, closing and reopening a deal. Pure: stages come found and allowed, ranks come worked out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import ErasedError, InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import values_set
from crm_es.occasions import Occasion
from crm_es.sales.deal import PLAIN, Deal, described
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
from crm_es.sales.deal_values import (
    MOST_EXTERNAL_IDS,
    DealContact,
    DealLine,
    check_amount,
    check_lines,
    with_primary,
)
from crm_es.sales.stages import DealStatus, ForecastCategory
from crm_es.values import ExternalId, Money

Lines = Sequence[tuple[DealLine, str | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class DealEdit:
    """What a form says. UNSET = unchanged, None = cleared; `contacts` and `lines` (each with its description) are all of them.

    `contact_id` is who is the primary one; None: the one who was is not of the deal any more.
    """

    name: str | UnsetType = UNSET
    amount: Money | UnsetType | None = UNSET
    probability: Decimal | UnsetType | None = UNSET
    forecast_category: ForecastCategory | UnsetType | None = UNSET
    expected_close_date: date | UnsetType | None = UNSET
    company_id: UUID | UnsetType | None = UNSET
    owner_id: UUID | UnsetType | None = UNSET
    contact_id: UUID | UnsetType | None = UNSET
    contacts: Sequence[DealContact] | UnsetType = UNSET
    lines: Lines | UnsetType = UNSET


_FIXED: Final = {
    "amount": "amount", "probability": "probability", "forecast_category": "forecastCategory",
    "expected_close_date": "expectedCloseDate",
}  # fmt: skip
"""What a closed deal keeps, beside its lines."""


def open_deal(
    form: DealEdit,
    *,
    pipeline_id: UUID,
    stage_id: UUID,
    rank: str,
    on: Occasion,
    external_ids: Sequence[ExternalId] = (),
) -> list[DealEvent]:
    """One event for all of it. Raises: InvalidInputError `deal.nameless`, `money.negative`, and as its parts."""
    if not form.name:
        raise InvalidInputError("A deal needs a name.", rule="deal.nameless", field=("name",))
    if len(external_ids) > MOST_EXTERNAL_IDS:
        message = f"A deal has at most {MOST_EXTERNAL_IDS} external ids."
        raise InvalidInputError(message, rule="deal.too_many_externalids", field=("externalIds",))
    _check(form)
    names = ("amount", "expected_close_date", "company_id", "owner_id")
    said = {name: value for name, value in values_set(form, names).items() if value is not None}
    lines = () if isinstance(form.lines, UnsetType) else form.lines
    return [
        DealOpened(
            name=form.name,
            pipeline_id=pipeline_id,
            stage_id=stage_id,
            rank=rank,
            contacts=_contacts(Deal(), form) or UNSET,
            lines=tuple(line for line, _ in lines) or UNSET,
            line_descriptions=_descriptions(lines),
            external_ids=tuple(dict.fromkeys(external_ids)) or UNSET,
            occurred_at=on.following(None),
            **said,
        )
    ]


def update(deal: Deal, form: DealEdit, *, on: Occasion) -> list[DealEvent]:
    """The events that make it as the form says; none where it is so already.

    Raises: ErasedError for texts of an erased deal; RuleViolatedError `deal.closed` (amount, probability, forecast, lines),
    `deal.archived`; InvalidInputError `forecast.closed_is_no_choice`, and as its parts.
    """
    check_writable(deal)
    _check(form)
    events: list[DealEvent] = []
    changed = {name: value for name, value in values_set(form, PLAIN).items() if value != getattr(deal, name)}
    _check_changes(deal, changed)
    if changed:
        at = on.following(deal.moved_at) if "amount" in changed else UNSET
        events.append(DealUpdated(**changed, occurred_at=at))
    if not isinstance(form.owner_id, UnsetType):
        events += change_owner(deal, form.owner_id, on=on)
    if (contacts := _contacts(deal, form)) != deal.contacts:
        events.append(DealContactsChanged(contacts=contacts))
    return events + ([] if isinstance(form.lines, UnsetType) else _change_lines(deal, form.lines))


def change_owner(deal: Deal, owner_id: UUID | None, *, on: Occasion) -> list[DealEvent]:
    check_writable(deal)
    if owner_id == deal.owner_id:
        return []
    return [DealOwnerChanged(owner_id=owner_id, occurred_at=on.following(deal.moved_at))]


def move(deal: Deal, *, stage_id: UUID, rank: str, on: Occasion) -> list[DealEvent]:
    """To another stage, or to another place in its column. Raises: RuleViolatedError `deal.closed`, `deal.archived`."""
    check_open(deal)
    if stage_id == deal.stage_id:
        return [] if rank == deal.rank else [DealMoved(rank=rank, occurred_at=on.at)]
    return [DealMoved(stage_id=stage_id, rank=rank, occurred_at=on.following(deal.moved_at))]


def leave_retired(deal: Deal, *, stage_id: UUID, to_stage_id: UUID, on: Occasion) -> list[DealEvent]:
    """Out of a retired stage, keeping its place among the others; nothing where it stands elsewhere by now."""
    if deal.stage_id != stage_id:
        return []
    return [DealMoved(stage_id=to_stage_id, occurred_at=on.following(deal.moved_at))]


def win(
    deal: Deal, *, stage_id: UUID, rank: str, on: Occasion, amount: Money | UnsetType | None = UNSET
) -> list[DealEvent]:
    """For more than nothing. `amount` is changed with it, where it is given.

    Raises: RuleViolatedError `deal.closed`, `deal.archived`, `deal.amount_missing`; InvalidInputError `money.negative`.
    """
    check_open(deal)
    check_amount(amount)
    at = on.following(deal.moved_at)
    final = deal.amount if isinstance(amount, UnsetType) else amount
    if final is None or not final.minor:
        message = "A deal is won for an amount: give it one, more than 0."
        raise RuleViolatedError(message, rule="deal.amount_missing", field=("amount",))
    changed: list[DealEvent] = [] if final == deal.amount else [DealUpdated(amount=final, occurred_at=at)]
    return [*changed, DealWon(stage_id=stage_id, rank=rank, occurred_at=at)]


def lose(deal: Deal, *, reason: str, stage_id: UUID, rank: str, on: Occasion) -> list[DealEvent]:
    """Raises: InvalidInputError `deal.reason_missing`; RuleViolatedError `deal.closed`, `deal.archived`."""
    if not reason.strip():
        message = "Say why the deal was lost."
        raise InvalidInputError(message, rule="deal.reason_missing", field=("lostReason",))
    check_open(deal)
    said = UNSET if deal.erased else reason
    return [DealLost(stage_id=stage_id, rank=rank, lost_reason=said, occurred_at=on.following(deal.moved_at))]


def reopen(deal: Deal, *, stage_id: UUID, rank: str, on: Occasion) -> list[DealEvent]:
    """Raises: RuleViolatedError `deal.not_closed`, `deal.archived`."""
    check_writable(deal)
    if deal.status is DealStatus.OPEN:
        raise RuleViolatedError("This deal is open.", rule="deal.not_closed", field=("id",))
    return [DealReopened(stage_id=stage_id, rank=rank, occurred_at=on.following(deal.moved_at))]


def archive(deal: Deal) -> list[DealEvent]:
    check_writable(deal)
    return [DealArchived()]


def restore(deal: Deal) -> list[DealEvent]:
    """Takes its external ids again; the store refuses when another deal has one of them by now."""
    if not deal.archived:
        raise RuleViolatedError("This deal is not archived.", rule="deal.not_archived", field=("id",))
    return [DealRestored()]


def check_writable(deal: Deal) -> None:
    """Raises: RuleViolatedError `deal.archived`."""
    if deal.archived:
        raise RuleViolatedError("This deal is archived: restore it first.", rule="deal.archived", field=("id",))


def check_open(deal: Deal) -> None:
    """Raises: RuleViolatedError `deal.closed`, `deal.archived`."""
    check_writable(deal)
    if deal.status is not DealStatus.OPEN:
        message = f"This deal was {deal.status.lower()}: reopen it first."
        raise RuleViolatedError(message, rule="deal.closed", field=("id",))


def _check(form: DealEdit) -> None:
    check_amount(form.amount)
    if not isinstance(form.lines, UnsetType):
        check_lines([line for line, _ in form.lines])


def _check_changes(deal: Deal, changed: dict[str, Any]) -> None:
    if deal.erased and "name" in changed:
        raise ErasedError("Those whom this deal was about have been erased; no text can be written.", field=("name",))
    if "name" in changed and not changed["name"]:
        raise InvalidInputError("A deal needs a name.", rule="deal.nameless", field=("name",))
    if changed.get("forecast_category") is ForecastCategory.CLOSED:
        message = "CLOSED is what a won deal counts as: win it."
        raise InvalidInputError(message, rule="forecast.closed_is_no_choice", field=("forecastCategory",))
    fixed = [field for name, field in _FIXED.items() if name in changed and deal.status is not DealStatus.OPEN]
    if fixed:
        message = f"This deal was {deal.status.lower()}: reopen it to change this."
        raise RuleViolatedError(message, rule="deal.closed", field=(fixed[0],))


def _contacts(deal: Deal, form: DealEdit) -> tuple[DealContact, ...]:
    """Who they are once the form is done."""
    chosen = form.contact_id if isinstance(form.contact_id, UUID) else None
    if not isinstance(form.contacts, UnsetType):
        return with_primary(form.contacts, chosen)
    if form.contact_id is None:
        return with_primary([one for one in deal.contacts if not one.primary])
    return deal.contacts if chosen is None else with_primary([_unmarked(one) for one in deal.contacts], chosen)


def _unmarked(one: DealContact) -> DealContact:
    return DealContact(contact_id=one.contact_id, part=one.part)


def _change_lines(deal: Deal, lines: Lines) -> list[DealEvent]:
    if list(lines) == described(deal):
        return []
    if deal.status is not DealStatus.OPEN:
        message = f"This deal was {deal.status.lower()}: its lines stay as they are."
        raise RuleViolatedError(message, rule="deal.closed", field=("lines",))
    if deal.erased and any(description for _, description in lines):
        message = "Those whom this deal was about have been erased; no text can be written."
        raise ErasedError(message, field=("lines",))
    return [DealLinesChanged(lines=tuple(line for line, _ in lines), line_descriptions=_descriptions(lines))]


def _descriptions(lines: Lines) -> tuple[str | None, ...] | UnsetType:
    texts = tuple(description for _, description in lines)
    return texts if any(texts) else UNSET
