"""From a deal's events to its rows: the card, its lines, and the intervals between its moves."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, assert_never

from msgspec import UNSET

from crm_es.eventstore.event import Erased, Fact
from crm_es.projector.contract import Batch
from crm_es.sales import deal_events as e
from crm_es.sales.deal_values import DealLine, total
from crm_es.text import fold
from projections.pipelines import parties
from projections.pipelines.standing import Page, Standing, amount
from projections.pipelines.tables import DEAL, DEAL_EXTERNAL_ID, DEAL_INTERVAL, DEAL_LINE, STAGE_INTERVAL


def apply(batch: Batch, fact: Fact, page: Page) -> None:
    event: e.DealEvent = fact.event  # type: ignore[assignment]
    match event:
        case e.DealOpened():
            _open(batch, fact, event, page)
        case e.DealUpdated():
            _update(batch, fact, event, page)
        case e.DealOwnerChanged(owner_id=owner, occurred_at=at):
            deal = page.deals[fact.workspace, fact.stream]
            deal.owner_id = owner
            _go_on(batch, fact, deal, at)
            _touch(batch, fact, page, owner_id=owner)
        case e.DealContactsChanged():
            _with(batch, fact, event, page)
        case e.DealLinesChanged():
            _sell(batch, fact, event, page)
        case e.DealMoved(stage_id=stage, rank=rank, occurred_at=at):
            ranked = {} if rank is UNSET else {"rank": rank}
            deal = page.deals[fact.workspace, fact.stream]
            entered = {} if stage is UNSET else _enter(batch, fact, deal, stage, at)
            _touch(batch, fact, page, **ranked, **entered)
        case e.DealWon() | e.DealLost():
            _close(batch, fact, event, page)
        case e.DealReopened(stage_id=stage, rank=rank, occurred_at=at):
            deal = page.deals[fact.workspace, fact.stream]
            deal.status = "OPEN"
            again = {"closed_at": None, "closing_owner_id": None, "lost_reason": None}
            _touch(batch, fact, page, rank=rank, **_enter(batch, fact, deal, stage, at), **again)
        case e.DealArchived():
            _touch(batch, fact, page, archived_at=fact.recorded_at, record_status="ARCHIVED")
        case e.DealRestored():
            _touch(batch, fact, page, archived_at=None, record_status="ACTIVE")
        case _:
            assert_never(event)


def _touch(batch: Batch, fact: Fact, page: Page, **values: Any) -> None:
    """The card after the event: what it says, and what follows from how the deal stands then."""
    deal = page.deals[fact.workspace, fact.stream]
    deal.touched_at = max(deal.touched_at, _moment(fact))
    batch.update(
        DEAL, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, touched_at=deal.touched_at,
        stage_number=deal.stage_number, interval_number=deal.interval_number,
        **deal.derived(page.rule(fact, deal.stage_id)), **values,
    )  # fmt: skip


def _moment(fact: Fact) -> datetime:
    """When it happened: moves say so themselves."""
    own = getattr(fact.event, "occurred_at", UNSET)
    return own if isinstance(own, datetime) else fact.occurred_at


def _name(name: Any) -> dict[str, Any]:
    return {"name": name, "name_folded": None if isinstance(name, Erased) else fold(name)}


# Opening and changing


def _open(batch: Batch, fact: Fact, event: e.DealOpened, page: Page) -> None:
    contacts = () if event.contacts is UNSET else event.contacts
    money = None if event.amount is UNSET else event.amount
    said = {n: v for n in ("expected_close_date", "company_id", "owner_id") if (v := getattr(event, n)) is not UNSET}
    deal = page.deals[fact.workspace, fact.stream] = Standing(
        pipeline_id=event.pipeline_id, stage_id=event.stage_id, status="OPEN", owner_id=said.get("owner_id"),
        amount_minor=money.minor if money else None, amount_currency=money.currency if money else None, probability_set=None,
        category_set=None, contact_ids=[one.contact_id for one in contacts], touched_at=event.occurred_at,
        stage_number=1, interval_number=1,
    )  # fmt: skip
    at = event.occurred_at
    batch.insert(
        DEAL, fact, id=fact.stream, version=1, pipeline_id=event.pipeline_id, stage_id=event.stage_id, status="OPEN",
        rank=event.rank, contact_id=parties.primary(contacts, fact, page), contact_ids=deal.contact_ids, opened_at=at,
        stage_entered_at=at, touched_at=at, stage_number=1, interval_number=1, created_at=fact.recorded_at,
        updated_at=fact.recorded_at, **_name(event.name), **amount(money), **said,
        **deal.derived(page.rule(fact, event.stage_id)),
    )  # fmt: skip
    _begin(batch, fact, deal, at)
    _begin_stage(batch, fact, deal, at)
    parties.link(batch, fact, contacts, page)
    for one in () if event.external_ids is UNSET else event.external_ids:
        batch.insert(DEAL_EXTERNAL_ID, fact, deal_id=fact.stream, system=one.system, value=one.value)
    if event.lines is not UNSET:
        for row in _lines(fact, event.lines, event.line_descriptions, deal):
            batch.insert(DEAL_LINE, fact, **row)


def _update(batch: Batch, fact: Fact, event: e.DealUpdated, page: Page) -> None:
    deal = page.deals[fact.workspace, fact.stream]
    values = {n: v for n in ("expected_close_date", "company_id") if (v := getattr(event, n)) is not UNSET}
    if event.name is not UNSET:
        values |= _name(event.name)
    if event.probability is not UNSET:
        values["probability_set"] = deal.probability_set = event.probability
    if event.forecast_category is not UNSET:
        values["category_set"] = deal.category_set = event.forecast_category
    if event.amount is not UNSET:
        values |= amount(event.amount)
        deal.amount_minor, deal.amount_currency = values["amount_minor"], values["amount_currency"]
        _go_on(batch, fact, deal, _moment(fact))
    _touch(batch, fact, page, **values)


def _with(batch: Batch, fact: Fact, event: e.DealContactsChanged, page: Page) -> None:
    """Others are on the customer's side; the deal's texts are about them now."""
    ids = [one.contact_id for one in event.contacts]
    page.deals[fact.workspace, fact.stream].contact_ids = ids
    parties.unlink(batch, fact, ids)
    parties.link(batch, fact, event.contacts, page)
    batch.execute(fact, _LINES_ARE_ABOUT, deal=fact.stream, contacts=ids)
    _touch(batch, fact, page, contact_ids=ids, contact_id=parties.primary(event.contacts, fact, page))


def _sell(batch: Batch, fact: Fact, event: e.DealLinesChanged, page: Page) -> None:
    deal = page.deals[fact.workspace, fact.stream]
    batch.execute(fact, _FEWER_LINES, deal=fact.stream, kept=len(event.lines))
    for row in _lines(fact, event.lines, event.line_descriptions, deal):
        batch.save(DEAL_LINE, fact, **row)
    _touch(batch, fact, page)


def _lines(fact: Fact, lines: Sequence[DealLine], descriptions: Any, deal: Standing) -> list[dict[str, Any]]:
    texts = descriptions if isinstance(descriptions, tuple) else (None,) * len(lines)
    return [
        {
            "deal_id": fact.stream, "number": number, "product_id": line.product_id, "description": text,
            "contact_ids": deal.contact_ids, "quantity": line.quantity,
            "currency": line.unit_price and line.unit_price.currency,
            "unit_price_minor": line.unit_price and line.unit_price.minor,
            "discount_minor": line.discount and line.discount.minor,
            "total_minor": (sum_ := total(line)) and sum_.minor,
        }
        for number, (line, text) in enumerate(zip(lines, texts, strict=True), 1)
    ]  # fmt: skip


# Moving


def _close(batch: Batch, fact: Fact, event: e.DealWon | e.DealLost, page: Page) -> None:
    deal, at = page.deals[fact.workspace, fact.stream], event.occurred_at
    deal.status, reason = "WON", dict[str, Any]()
    if isinstance(event, e.DealLost):
        deal.status, reason = "LOST", {"lost_reason": None if event.lost_reason is UNSET else event.lost_reason}
    entered = _enter(batch, fact, deal, event.stage_id, at)
    _touch(batch, fact, page, rank=event.rank, closed_at=at, closing_owner_id=deal.owner_id, **entered, **reason)


def _enter(batch: Batch, fact: Fact, deal: Standing, stage: Any, at: datetime) -> dict[str, Any]:
    """Into another stage, with the status the deal has now: the columns that say so."""
    batch.update(STAGE_INTERVAL, fact, {"deal_id": fact.stream, "number": deal.stage_number}, to_at=at)
    deal.stage_id, deal.stage_number = stage, fact.version
    _begin_stage(batch, fact, deal, at)
    _go_on(batch, fact, deal, at)
    return {"stage_id": stage, "status": deal.status, "stage_entered_at": at}


def _go_on(batch: Batch, fact: Fact, deal: Standing, at: datetime) -> None:
    """One interval ends, the next begins."""
    batch.update(DEAL_INTERVAL, fact, {"deal_id": fact.stream, "number": deal.interval_number}, to_at=at)
    deal.interval_number = fact.version
    _begin(batch, fact, deal, at)


def _begin(batch: Batch, fact: Fact, deal: Standing, at: datetime) -> None:
    batch.insert(
        DEAL_INTERVAL, fact, deal_id=fact.stream, number=fact.version, pipeline_id=deal.pipeline_id,
        stage_id=deal.stage_id, status=deal.status, owner_id=deal.owner_id, amount_minor=deal.amount_minor,
        amount_currency=deal.amount_currency, from_at=at,
    )  # fmt: skip


def _begin_stage(batch: Batch, fact: Fact, deal: Standing, at: datetime) -> None:
    batch.insert(
        STAGE_INTERVAL, fact, deal_id=fact.stream, number=fact.version, pipeline_id=deal.pipeline_id,
        stage_id=deal.stage_id, from_at=at,
    )  # fmt: skip


_FEWER_LINES: Final = """
UPDATE {schema}.deal_line
SET removed = true, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND deal_id = %(deal)s AND number > %(kept)s AND NOT removed AND position <= %(position)s
"""
_LINES_ARE_ABOUT: Final = """
UPDATE {schema}.deal_line
SET contact_ids = %(contacts)s, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND deal_id = %(deal)s AND position <= %(position)s
"""
