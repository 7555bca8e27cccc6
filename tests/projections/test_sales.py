"""Deals, their stages and intervals: as of any position they equal a fold of the log; merged contacts are followed."""

from datetime import timedelta
from decimal import Decimal
from random import Random
from uuid import UUID, uuid4

import pytest

from crm_es.contacts import contact_events as c
from crm_es.eventstore.event import ERASED
from crm_es.sales import deal_events as e
from crm_es.sales import pipeline as p
from crm_es.sales.deal_values import DealContact, DealLine
from crm_es.sales.product import ProductRegistered
from crm_es.sales.stages import ForecastCategory, Stage, StageType
from crm_es.values import ExternalId, Money
from tests.projections import sales_past
from tests.projections.histories import World
from tests.projector.log import START

PIPELINE, NEW, WON, LOST = (UUID(int=n) for n in range(1, 5))
STAGES = (
    Stage(id=NEW, name="New", type=StageType.OPEN, probability=Decimal("0.5"), rot_days=10),
    Stage(id=WON, name="Won", type=StageType.WON, probability=Decimal(1)),
    Stage(id=LOST, name="Lost", type=StageType.LOST, probability=Decimal(0)),
)
CREATED = p.PipelineCreated(name="Sales", stages=STAGES)
DAY = timedelta(days=1)


def opened(**more):
    given = {
        "name": "100 seats", "pipeline_id": PIPELINE, "stage_id": NEW, "rank": "a", "amount": Money(1001, "USD"),
        "occurred_at": START,
    }  # fmt: skip
    return e.DealOpened(**(given | more))


@pytest.fixture
def world(log, workspace):
    world = World(log, workspace, Random(5))
    world.steps(600)
    other = World(log, uuid4(), Random(6))
    other.steps(30)
    return world


def test_deals_as_of_any_position_equal_their_fold(world, project, rows):
    project()
    random, seen = Random(1), set()

    for _ in range(300):
        deal, position = random.choice(list(world.deals)), random.randint(0, world.log.positions[world.workspace])

        expected = sales_past.deal_by_fold(world.log, world.workspace, deal, position)
        assert sales_past.deal_by_rows(rows, world.workspace, deal, position) == expected
        seen.add(expected and expected["status"])

    assert seen == {None, "OPEN", "WON", "LOST"}


def test_what_a_stage_says_is_said_of_the_open_deals_in_it(log, workspace, project, rows):
    chosen, plain, won = uuid4(), uuid4(), uuid4()
    for deal in (chosen, plain, won):
        log.append(workspace, *([(PIPELINE, CREATED)] if deal == chosen else []), (deal, opened()))
    log.append(workspace, (chosen, e.DealUpdated(probability=Decimal("0.9"))))
    log.append(workspace, (won, e.DealWon(stage_id=WON, rank="b", occurred_at=START)))
    better = Stage(id=NEW, name="New", type=StageType.OPEN, probability=Decimal("0.25"), rot_days=None)
    log.append(workspace, (PIPELINE, p.PipelineChanged(stages=(better, *STAGES[1:]))))
    project()

    found = rows("SELECT id, probability, weighted_minor, rots_at FROM pipelines.deal")
    assert {id_: row for id_, *row in found} == {
        chosen: [Decimal("0.9"), 901, None], plain: [Decimal("0.25"), 250, None], won: [Decimal(1), 1001, None],
    }  # fmt: skip
    before = rows("SELECT probability, weighted_minor FROM pipelines.deal_history WHERE id = %s", plain)
    assert before == [(Decimal("0.5"), 501)]


def test_closing_credits_whoever_owned_it_then(log, workspace, project, rows):
    deal, first, second = uuid4(), UUID(int=5), UUID(int=6)
    log.append(workspace, (PIPELINE, CREATED), (deal, opened(owner_id=first)))
    log.append(workspace, (deal, e.DealWon(stage_id=WON, rank="b", occurred_at=START + DAY)))
    log.append(workspace, (deal, e.DealOwnerChanged(owner_id=second, occurred_at=START + 2 * DAY)))
    project()

    assert rows("SELECT owner_id, closing_owner_id, forecast_category FROM pipelines.deal") == [
        (second, first, "CLOSED")
    ]
    assert rows("SELECT status, owner_id, from_at, to_at FROM pipelines.deal_interval ORDER BY number") == [
        ("OPEN", first, START, START + DAY), ("WON", first, START + DAY, START + 2 * DAY),
        ("WON", second, START + 2 * DAY, None),
    ]  # fmt: skip
    log.append(workspace, (deal, e.DealReopened(stage_id=NEW, rank="c", occurred_at=START + 3 * DAY)))
    project()
    assert rows("SELECT status, closing_owner_id, closed_at FROM pipelines.deal") == [("OPEN", None, None)]


def test_a_deal_rots_after_the_stages_days_without_an_event(log, workspace, project, rows):
    deal = uuid4()
    log.append(workspace, (PIPELINE, CREATED), (deal, opened()))
    project()
    assert rows("SELECT rots_at FROM pipelines.deal") == [(START + 10 * DAY,)]

    log.append(workspace, (deal, e.DealMoved(rank="b", occurred_at=START + DAY)))
    project()
    assert rows("SELECT rots_at, stage_entered_at FROM pipelines.deal") == [(START + 11 * DAY, START)]


def test_deals_follow_merged_contacts_and_come_back(log, workspace, project, rows):
    ann, bob, deal = UUID(int=11), UUID(int=12), uuid4()
    both = (DealContact(contact_id=ann, part="user"), DealContact(contact_id=bob, part="buyer", primary=True))
    log.append(workspace, (PIPELINE, CREATED), (deal, opened(contacts=both)))
    log.append(workspace, (ann, c.ContactMerged(absorbed_id=bob, absorbed_version=1, absorbed_ids=(bob,))))
    project()
    listed = "SELECT canonical_id, part FROM pipelines.deal_contact WHERE canonical_id IS NOT NULL ORDER BY place"

    assert rows(listed) == [(ann, "buyer")]
    assert rows("SELECT contact_id, contact_ids FROM pipelines.deal") == [(ann, [ann, bob])]
    log.append(workspace, (ann, c.ContactReleased(absorbed_id=bob, absorbed_ids=(bob,))))
    project()
    assert rows(listed) == [(ann, "user"), (bob, "buyer")]
    assert rows("SELECT contact_id FROM pipelines.deal") == [(bob,)]


def test_a_deal_opened_with_an_absorbed_contact_is_the_survivors(log, workspace, project, rows):
    ann, bob = UUID(int=11), UUID(int=12)
    log.append(workspace, (PIPELINE, CREATED))
    log.append(workspace, (ann, c.ContactMerged(absorbed_id=bob, absorbed_version=1, absorbed_ids=(bob,))))
    project()
    log.append(workspace, (uuid4(), opened(contacts=(DealContact(contact_id=bob, primary=True),))))
    project()

    assert rows("SELECT contact_id, canonical_id FROM pipelines.deal_contact") == [(bob, ann)]
    assert rows("SELECT contact_id FROM pipelines.deal") == [(ann,)]


def test_erased_texts_are_missing_and_figures_stay(log, workspace, project, rows):
    line = DealLine(quantity=Decimal(2), unit_price=Money(5, "JPY"))
    deal = uuid4()
    gone = opened(
        name=ERASED, lines=(line,), line_descriptions=ERASED, external_ids=(ExternalId(system="e", value="1"),)
    )
    lost = e.DealLost(stage_id=LOST, rank="b", lost_reason=ERASED, occurred_at=START)
    log.append(workspace, (PIPELINE, CREATED), (deal, gone), (deal, lost))
    project()

    assert rows("SELECT name, name_folded, lost_reason, amount_minor FROM pipelines.deal") == [(None, None, None, 1001)]
    assert rows("SELECT description, total_minor, currency FROM pipelines.deal_line") == [(None, 10, "JPY")]
    assert rows("SELECT system, value FROM pipelines.deal_external_id") == [("e", "1")]


def test_what_was_chosen_for_a_deal_outlives_its_closing(log, workspace, project, rows):
    deal = uuid4()
    log.append(workspace, (PIPELINE, CREATED), (deal, opened()))
    log.append(workspace, (deal, e.DealUpdated(forecast_category=ForecastCategory.COMMIT, probability=Decimal("0.7"))))
    log.append(workspace, (deal, e.DealLost(stage_id=LOST, rank="b", lost_reason="dear", occurred_at=START)))
    project()
    asked = "SELECT forecast_category, probability, weighted_minor FROM pipelines.deal"

    assert rows(asked) == [("OMITTED", 0, 0)]
    log.append(workspace, (deal, e.DealReopened(stage_id=NEW, rank="c", occurred_at=START)))
    project()
    assert rows(asked) == [("COMMIT", Decimal("0.7"), 701)]


def test_a_deal_leaves_the_containers_it_is_moved_out_of(log, workspace, project, rows):
    ann, bob, firm, deal = (UUID(int=n) for n in range(11, 15))
    log.append(workspace, (PIPELINE, CREATED))
    both = (DealContact(contact_id=ann, primary=True),)
    log.append(workspace, (deal, opened(contacts=both, company_id=firm)))
    log.append(workspace, (deal, e.DealContactsChanged(contacts=(DealContact(contact_id=bob, primary=True),))))
    log.append(workspace, (deal, e.DealUpdated(name="200 seats", company_id=None)))
    log.append(workspace, (deal, e.DealWon(stage_id=WON, rank="b", occurred_at=START)), (deal, e.DealArchived()))
    project()

    assert rows("SELECT container_id, type, left_it FROM changes.contained ORDER BY 1") == [
        (PIPELINE, "PIPELINE", False), (NEW, "STAGE", True), (WON, "STAGE", False), (ann, "CONTACT", True),
        (bob, "CONTACT", False), (firm, "COMPANY", True),
    ]  # fmt: skip
    assert rows("SELECT id, type, version, gone FROM changes.record ORDER BY 1") == [
        (PIPELINE, "PIPELINE", 1, False), (deal, "DEAL", 5, True),
    ]  # fmt: skip


def test_deals_are_found_by_their_name_and_are_about_their_contacts(log, workspace, project, rows):
    ann, bob, deal, mug = UUID(int=11), UUID(int=12), uuid4(), uuid4()
    both = tuple(DealContact(contact_id=one) for one in (ann, bob))
    known = (ExternalId(system="erp", value="D-7"),)
    log.append(workspace, (PIPELINE, CREATED), (deal, opened(contacts=both, external_ids=known)))
    log.append(workspace, (deal, e.DealUpdated(name="Größere Küche")))
    log.append(workspace, (mug, ProductRegistered(name="Mug", sku="M-1")))
    project()
    asked = "SELECT slot, folded, subject_ids FROM search.term WHERE id = %s ORDER BY slot"

    assert rows(asked, deal) == [("external erp D-7", "d-7", [ann, bob]), ("name", "grossere kuche", [ann, bob])]
    assert rows(asked, mug) == [("name", "mug", []), ("sku", "m-1", [])]
    log.append(workspace, (deal, e.DealContactsChanged(contacts=())), (deal, e.DealArchived()))
    project()
    assert [subjects for *_, subjects in rows(asked, deal)] == [[], []]
    assert rows("SELECT archived FROM search.record WHERE id = %s", deal) == [(True,)]
