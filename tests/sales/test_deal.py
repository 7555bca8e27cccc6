"""What a deal accepts and refuses."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from crm_es.errors import ErasedError, InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import ERASED, UNSET, Reservation
from crm_es.occasions import Occasion
from crm_es.sales import dealing
from crm_es.sales.deal import DEAL
from crm_es.sales.deal_events import (
    DealArchived,
    DealContactsChanged,
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
from crm_es.sales.dealing import DealEdit
from crm_es.sales.stages import DealStatus, ForecastCategory
from crm_es.values import ExternalId, Money, joint_key
from tests.deciding import given

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=1)
ID, PIPELINE, NEW, OFFER, WON, LOST = (UUID(int=n) for n in range(1, 7))
ANNA, BEN, OWNER, PRODUCT = (UUID(int=n) for n in range(11, 15))
ON = Occasion(LATER)

OPENED = DealOpened(
    name="100 seats",
    pipeline_id=PIPELINE,
    stage_id=NEW,
    rank="a",
    amount=Money(5000, "USD"),
    contacts=(DealContact(contact_id=ANNA, part="buyer", primary=True),),
    external_ids=(ExternalId(system="erp", value="7"),),
    occurred_at=NOON,
)
DONE = DealWon(stage_id=WON, rank="b", occurred_at=LATER)
FAILED = DealLost(stage_id=LOST, rank="b", lost_reason="too dear", occurred_at=LATER)


PRICE = Money(1000, "USD")


def line(quantity="2", price=PRICE, discount=None, product=PRODUCT):
    return DealLine(product_id=product, quantity=Decimal(quantity), unit_price=price, discount=discount)


def opening(form, **given_):
    where = {"pipeline_id": PIPELINE, "stage_id": NEW, "rank": "a", "on": Occasion(NOON)}
    return lambda _: dealing.open_deal(form, **(where | given_))


def test_opening_says_all_in_one_event():
    form = DealEdit(
        name="100 seats", amount=Money(5000, "USD"), expected_close_date=date(2026, 6, 30), company_id=None,
        contact_id=ANNA, owner_id=OWNER, lines=[(line(), "seats"), (line(), None)],
    )  # fmt: skip

    given(DEAL).when(opening(form, external_ids=[ExternalId(system="erp", value="7")] * 2)).then(
        DealOpened(
            name="100 seats", pipeline_id=PIPELINE, stage_id=NEW, rank="a", amount=Money(5000, "USD"),
            expected_close_date=date(2026, 6, 30), contacts=(DealContact(contact_id=ANNA, primary=True),), owner_id=OWNER,
            lines=(line(), line()), line_descriptions=("seats", None),
            external_ids=(ExternalId(system="erp", value="7"),), occurred_at=NOON,
        )
    )  # fmt: skip


def test_a_deal_needs_a_name():
    given(DEAL).when(opening(DealEdit())).then_refused(InvalidInputError, "deal.nameless", ("name",))
    given(DEAL, OPENED).when(dealing.update, DealEdit(name=""), on=ON).then_refused(InvalidInputError, "deal.nameless")


@pytest.mark.parametrize("form", [DealEdit(name="x", amount=Money(-1, "EUR"))])
def test_a_negative_amount_is_refused_wherever_it_is_said(form):
    refused = (InvalidInputError, "money.negative", ("amount", "amount"))

    given(DEAL).when(opening(form)).then_refused(*refused)
    given(DEAL, OPENED).when(dealing.update, form, on=ON).then_refused(*refused)
    given(DEAL, OPENED).when(dealing.win, stage_id=WON, rank="b", on=ON, amount=form.amount).then_refused(*refused)


def test_only_what_changed_is_said_and_a_new_amount_says_when():
    same = DealEdit(name="100 seats", amount=Money(5000, "USD"), contact_id=ANNA, owner_id=None)
    given(DEAL, OPENED).when(dealing.update, same, on=ON).then()

    given(DEAL, OPENED).when(dealing.update, DealEdit(amount=None), on=ON).then(
        DealUpdated(amount=None, occurred_at=LATER)
    )
    form = DealEdit(name="200 seats", probability=Decimal("0.7"), forecast_category=ForecastCategory.COMMIT)
    after = (
        given(DEAL, OPENED)
        .when(dealing.update, form, on=Occasion(NOON - timedelta(days=9)))
        .then(DealUpdated(name="200 seats", probability=Decimal("0.7"), forecast_category=ForecastCategory.COMMIT))
    )
    assert (after.category, after.moved_at) == (ForecastCategory.COMMIT, NOON)


def test_a_deal_is_moved_and_its_clock_with_it():
    after = (
        given(DEAL, OPENED)
        .when(dealing.move, stage_id=OFFER, rank="c", on=ON)
        .then(DealMoved(stage_id=OFFER, rank="c", occurred_at=LATER))
    )

    assert (after.stage_id, after.open_stage_id, after.moved_at) == (OFFER, OFFER, LATER)


def test_another_place_in_the_column_moves_no_clock():
    after = (
        given(DEAL, OPENED)
        .when(dealing.move, stage_id=NEW, rank="c", on=Occasion(NOON - timedelta(days=9)))
        .then(DealMoved(rank="c", occurred_at=NOON - timedelta(days=9)))
    )

    assert (after.rank, after.moved_at) == ("c", NOON)
    given(DEAL, OPENED).when(dealing.move, stage_id=NEW, rank="a", on=ON).then()


EARLY = Occasion(NOON - timedelta(seconds=1))


@pytest.mark.parametrize(
    "decide",
    [
        lambda deal, on: dealing.move(deal, stage_id=OFFER, rank="c", on=on),
        lambda deal, on: dealing.win(deal, stage_id=WON, rank="c", on=on),
        lambda deal, on: dealing.lose(deal, stage_id=LOST, rank="c", on=on, reason="dear"),
        lambda deal, on: dealing.change_owner(deal, OWNER, on=on),
        lambda deal, on: dealing.update(deal, DealEdit(amount=None), on=on),
    ],
)
def test_no_move_lies_before_the_last(decide):
    given(DEAL, OPENED).when(decide, EARLY).then_refused(InvalidInputError, "occurred_at.before_last", ("occurredAt",))

    dated = given(DEAL, OPENED).when(decide, Occasion(EARLY.at, said=False)).decide()
    assert {event.occurred_at for event in dated} == {NOON}


def test_winning_says_the_stage_and_a_last_amount():
    given(DEAL, OPENED).when(dealing.win, stage_id=WON, rank="b", on=ON).then(DONE)
    after = (
        given(DEAL, OPENED)
        .when(dealing.win, stage_id=WON, rank="b", on=ON, amount=Money(700, "KWD"))
        .then(DealUpdated(amount=Money(700, "KWD"), occurred_at=LATER), DONE)
    )

    assert (after.status, after.closed_at, after.category) == (DealStatus.WON, LATER, ForecastCategory.CLOSED)


@pytest.mark.parametrize("amount", [None, Money(0, "USD")])
def test_a_deal_is_won_for_more_than_nothing(amount):
    free = replace(OPENED, amount=amount)

    given(DEAL, free).when(dealing.win, stage_id=WON, rank="b", on=ON).then_refused(
        RuleViolatedError, "deal.amount_missing", ("amount",)
    )


def test_a_loss_needs_a_reason():
    given(DEAL, OPENED).when(dealing.lose, reason=" ", stage_id=LOST, rank="b", on=ON).then_refused(
        InvalidInputError, "deal.reason_missing", ("lostReason",)
    )
    after = given(DEAL, OPENED).when(dealing.lose, reason="too dear", stage_id=LOST, rank="b", on=ON).then(FAILED)
    assert (after.status, after.category, after.lost_reason) == (DealStatus.LOST, ForecastCategory.OMITTED, "too dear")


@pytest.mark.parametrize("closed", [DONE, FAILED])
@pytest.mark.parametrize(
    "decide",
    [
        lambda deal: dealing.win(deal, stage_id=WON, rank="c", on=ON),
        lambda deal: dealing.lose(deal, stage_id=LOST, rank="c", on=ON, reason="dear"),
        lambda deal: dealing.move(deal, stage_id=OFFER, rank="c", on=ON),
    ],
)
def test_a_closed_deal_is_not_moved_won_or_lost(closed, decide):
    given(DEAL, OPENED, closed).when(decide).then_refused(RuleViolatedError, "deal.closed", ("id",))


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (DealEdit(amount=Money(1, "USD")), "amount"),
        (DealEdit(probability=Decimal("0.5")), "probability"),
        (DealEdit(forecast_category=ForecastCategory.COMMIT), "forecastCategory"),
        (DealEdit(expected_close_date=date(2026, 1, 1)), "expectedCloseDate"),
        (DealEdit(lines=[(line(), None)]), "lines"),
    ],
)
def test_a_closed_deal_keeps_its_value_and_lines(form, field):
    given(DEAL, OPENED, DONE).when(dealing.update, form, on=ON).then_refused(RuleViolatedError, "deal.closed", (field,))


def test_a_closed_deal_still_changes_name_and_owner():
    form = DealEdit(name="Won", owner_id=OWNER, amount=Money(5000, "USD"))

    given(DEAL, OPENED, DONE).when(dealing.update, form, on=ON).then(
        DealUpdated(name="Won"), DealOwnerChanged(owner_id=OWNER, occurred_at=LATER)
    )


def test_a_reopened_deal_is_open_again_where_it_is_told():
    reopened = DealReopened(stage_id=OFFER, rank="d", occurred_at=LATER)

    after = given(DEAL, OPENED, FAILED).when(dealing.reopen, stage_id=OFFER, rank="d", on=ON).then(reopened)

    assert (after.status, after.stage_id, after.closed_at, after.lost_reason) == (DealStatus.OPEN, OFFER, None, None)
    given(DEAL, OPENED).when(dealing.reopen, stage_id=OFFER, rank="d", on=ON).then_refused(
        RuleViolatedError, "deal.not_closed", ("id",)
    )


def test_a_closed_deal_remembers_the_stage_it_was_open_in():
    moved = DealMoved(stage_id=OFFER, rank="c", occurred_at=NOON)

    assert given(DEAL, OPENED, moved, DONE).state.open_stage_id == OFFER


def test_deals_leave_a_retired_stage_and_keep_their_place():
    after = (
        given(DEAL, OPENED)
        .when(dealing.leave_retired, stage_id=NEW, to_stage_id=OFFER, on=Occasion(LATER, said=False))
        .then(DealMoved(stage_id=OFFER, occurred_at=LATER))
    )

    assert (after.stage_id, after.rank) == (OFFER, "a")
    elsewhere = given(DEAL, OPENED, DONE)
    elsewhere.when(dealing.leave_retired, stage_id=NEW, to_stage_id=OFFER, on=ON).then()


def test_contacts_are_said_whole_with_one_of_them_primary():
    both = (DealContact(contact_id=BEN, part="user"), DealContact(contact_id=ANNA, primary=True))
    given(DEAL, OPENED).when(dealing.update, DealEdit(contacts=both), on=ON).then(DealContactsChanged(contacts=both))

    first = [DealContact(contact_id=BEN), DealContact(contact_id=ANNA)]
    given(DEAL, OPENED).when(dealing.update, DealEdit(contacts=first), on=ON).then(
        DealContactsChanged(contacts=(DealContact(contact_id=BEN, primary=True), DealContact(contact_id=ANNA)))
    )


def test_another_primary_contact_joins_the_others():
    given(DEAL, OPENED).when(dealing.update, DealEdit(contact_id=BEN), on=ON).then(
        DealContactsChanged(
            contacts=(DealContact(contact_id=BEN, primary=True), DealContact(contact_id=ANNA, part="buyer"))
        )
    )
    given(DEAL, OPENED).when(dealing.update, DealEdit(contact_id=None), on=ON).then(DealContactsChanged(contacts=()))


@pytest.mark.parametrize(
    ("form", "rule"),
    [
        (DealEdit(contacts=[DealContact(contact_id=ANNA), DealContact(contact_id=ANNA)]), "deal.contact_twice"),
        (
            DealEdit(contacts=[DealContact(contact_id=n, primary=True) for n in (ANNA, BEN)]),
            "deal.two_primaries",
        ),
        (DealEdit(contacts=[DealContact(contact_id=ANNA, primary=True)], contact_id=BEN), "deal.two_primaries"),
        (DealEdit(contacts=[DealContact(contact_id=UUID(int=n)) for n in range(101)]), "deal.too_many_contacts"),
    ],
)
def test_contacts_stand_once_and_one_is_primary(form, rule):
    given(DEAL, OPENED).when(dealing.update, form, on=ON).then_refused(InvalidInputError, rule)


def test_lines_are_said_whole_with_their_descriptions():
    lines = [(line(), "seats"), (line("0.5", None), None)]

    after = (
        given(DEAL, OPENED)
        .when(dealing.update, DealEdit(lines=lines), on=ON)
        .then(DealLinesChanged(lines=(line(), line("0.5", None)), line_descriptions=("seats", None)))
    )

    assert DEAL.fields(after)["lines"][0]["description"] == "seats"
    said = DealLinesChanged(lines=(line(),), line_descriptions=UNSET)
    given(DEAL, OPENED, said).when(dealing.update, DealEdit(lines=[(line(), None)]), on=ON).then()


@pytest.mark.parametrize(
    ("one", "rule", "field"),
    [
        (line("0"), "line.quantity", "quantity"),
        (line("-1"), "line.quantity", "quantity"),
        (line("NaN"), "line.quantity", "quantity"),
        (line("1.0000001"), "line.quantity", "quantity"),
        (line("1e13"), "line.quantity", "quantity"),
        (line(price=Money(-1, "USD")), "money.negative", "unitPrice"),
        (line(discount=Money(-1, "USD")), "money.negative", "discount"),
        (line(discount=Money(2001, "USD")), "line.discount", "discount"),
        (line(discount=Money(1, "EUR")), "line.currencies", "discount"),
        (line(price=None, discount=Money(1, "USD")), "line.discount", "discount"),
        (line("1e12", price=Money(2**62, "USD")), "money.too_large", "unitPrice"),
    ],
)
def test_a_line_that_makes_no_sense_is_refused(one, rule, field):
    refusal = given(DEAL, OPENED).when(dealing.update, DealEdit(lines=[(line(), None), (one, None)]), on=ON)

    refusal.then_refused(InvalidInputError, rule)
    with pytest.raises(InvalidInputError) as error:
        refusal.decide()
    assert error.value.field[:3] == ("lines", "1", field)


@pytest.mark.parametrize(
    ("one", "minor"),
    [
        (line("2"), 2000),
        (line("0.3335"), 334),
        (line("0.5", Money(1, "JPY")), 0),
        (line(discount=Money(1, "USD")), 1999),
    ],
)
def test_a_lines_total_is_rounded_to_the_currencys_unit(one, minor):
    assert total(one).minor == minor


def test_nobody_chooses_to_count_a_deal_as_closed():
    given(DEAL, OPENED).when(dealing.update, DealEdit(forecast_category=ForecastCategory.CLOSED), on=ON).then_refused(
        InvalidInputError, "forecast.closed_is_no_choice", ("forecastCategory",)
    )


GONE = replace(OPENED, name=ERASED)


def test_a_deal_whose_people_are_erased_goes_on_without_words():
    given(DEAL, GONE).when(dealing.update, DealEdit(name="Anna"), on=ON).then_refused(
        ErasedError, "record.erased", ("name",)
    )
    given(DEAL, GONE).when(dealing.update, DealEdit(lines=[(line(), "for Anna")]), on=ON).then_refused(
        ErasedError, "record.erased", ("lines",)
    )
    given(DEAL, GONE).when(dealing.lose, reason="Anna left", stage_id=LOST, rank="b", on=ON).then(
        DealLost(stage_id=LOST, rank="b", occurred_at=LATER)
    )
    given(DEAL, GONE).when(dealing.win, stage_id=WON, rank="b", on=ON).then(DONE)
    assert DEAL.fields(given(DEAL, GONE).state)["name"] is None


def test_it_is_about_its_contacts_and_holds_its_external_ids():
    state = given(DEAL, OPENED).state

    assert DEAL.subjects(ID, state) == (ANNA,)
    held = Reservation(kind="external_id", value=joint_key("deal", "erp", "7"), holder=ID)
    assert DEAL.reservations(ID, state) == {held}
    assert not DEAL.reservations(ID, given(DEAL, OPENED, DealArchived()).state)


def test_an_archived_deal_is_restored_before_it_changes():
    put_away = given(DEAL, OPENED, DealArchived())

    put_away.when(dealing.update, DealEdit(name="x"), on=ON).then_refused(RuleViolatedError, "deal.archived", ("id",))
    put_away.when(dealing.move, stage_id=OFFER, rank="c", on=ON).then_refused(RuleViolatedError, "deal.archived")
    put_away.when(dealing.archive).then_refused(RuleViolatedError, "deal.archived")
    put_away.when(dealing.restore).then(DealRestored())
    given(DEAL, OPENED).when(dealing.archive).then(DealArchived())
    given(DEAL, OPENED).when(dealing.restore).then_refused(RuleViolatedError, "deal.not_archived")
