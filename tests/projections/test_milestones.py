"""What became of deals and tickets, on the timelines of those it concerns: as of any position it equals a fold of the log."""

from datetime import timedelta
from random import Random
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_es.contacts import contact_events as c
from crm_es.projector.rebuild import Rebuild
from crm_es.projector.runner import Projector
from crm_es.sales import deal_events as d
from crm_es.sales.deal_values import DealContact
from crm_es.service import ticket_events as t
from crm_es.values import Money
from projections import milestones
from tests.projections.desk import Desk
from tests.projections.histories import World
from tests.projections.past import as_of, meanings
from tests.projections.test_sales import CREATED, LOST, NEW, PIPELINE, WON
from tests.projector.log import START

ANNA, BOB, FIRM = UUID(int=31), UUID(int=32), UUID(int=33)
DAY = timedelta(days=1)
DEAL_KINDS = {"deal.opened", "deal.moved", "deal.won", "deal.lost", "deal.reopened"}
TICKET_KINDS = {
    "ticket.opened", "ticket.resolved", "ticket.closed", "ticket.reopened", "ticket.sla_breached", "ticket.merged",
    "ticket.absorbed", "ticket.released", "ticket.unmerged",
}  # fmt: skip


def told(fact):
    return fact.topic in DEAL_KINDS | TICKET_KINDS and getattr(fact.event, "stage_id", True) is not milestones.UNSET


def by_fold(log, workspace, position):
    """All milestones: (id, kind, record, when, amount, company, archived, whose), newest first, as they stood at the position."""
    means = meanings(log, workspace, position)
    company, contacts, worth, shelved, found = {}, {}, {}, set(), []
    for fact in log.facts:
        if fact.workspace != workspace or fact.position > position:
            continue
        record, event = fact.stream, fact.event
        if isinstance(event, d.DealArchived | d.DealRestored):
            (shelved.add if isinstance(event, d.DealArchived) else shelved.discard)(record)
        if not fact.topic.startswith(("deal.", "ticket.")):
            continue
        for name, place in (("company_id", company), ("amount", worth)):
            if (said := getattr(event, name, milestones.UNSET)) is not milestones.UNSET:
                place[record] = said
        if (said := getattr(event, "contacts", milestones.UNSET)) is not milestones.UNSET:
            contacts[record] = {one.contact_id for one in said}
        if (said := getattr(event, "requester_id", milestones.UNSET)) is not milestones.UNSET:
            contacts[record] = {said} - {None}
        if told(fact):
            when = getattr(event, "occurred_at", fact.occurred_at)
            found.append((uuid5(record, str(fact.version)), fact.topic, record, when, worth.get(record)))
    return sorted(
        (*one, company.get(one[2]), one[2] in shelved, {means.get(each, each) for each in contacts.get(one[2], ())})
        for one in found
    )


def by_rows(rows, workspace, position):
    links = as_of(
        rows, "milestones.milestone_contact", "milestone_id, canonical_id, occurred_at, entity_id",
        "workspace_id = %s AND canonical_id IS NOT NULL AND NOT removed", workspace, position=position,
    )  # fmt: skip
    assert len({row[:2] for row in links}) == len(links), "nobody has a milestone twice"
    found = as_of(
        rows, "milestones.milestone",
        "id, kind, entity_id, occurred_at, amount_minor, amount_currency, company_id, archived", "workspace_id = %s",
        workspace, position=position,
    )  # fmt: skip
    for milestone, _, when, record in links:
        assert [one[3] for one in found if one[0] == milestone and one[2] == record] == [when]
    return sorted(
        (
            *one[:4], None if one[4] is None else Money(one[4], one[5]), *one[6:],
            {canonical for milestone, canonical, *_ in links if milestone == one[0]},
        )
        for one in found
    )  # fmt: skip


@pytest.mark.parametrize(("house", "steps", "kinds"), [(World, 500, DEAL_KINDS), (Desk, 400, TICKET_KINDS)])
def test_milestones_as_of_any_position_equal_their_fold(  # noqa: PLR0917  # fixtures come by name
    log, workspace, project, rows, house, steps, kinds
):
    house(log, workspace, Random(5)).steps(steps)
    house(log, uuid4(), Random(6)).steps(30)
    project()
    random, last = Random(1), log.positions[workspace]

    for position in [*(random.randint(1, last) for _ in range(40)), last]:
        expected = by_fold(log, workspace, position)
        assert by_rows(rows, workspace, position) == expected

    assert {one[1] for one in expected} == kinds


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), pieces=st.lists(st.integers(1, 40), min_size=3, max_size=5), size=st.integers(1, 60))
def test_a_rebuild_equals_the_live_read_model_for_any_cuts(database, shared_log, seed, pieces, size):
    log = shared_log(database.owner)
    houses = [World(log, uuid4(), Random(seed)), Desk(log, uuid4(), Random(seed))]
    for steps in pieces:
        for house in houses:
            house.steps(steps)
        Projector(database.projector, log.decode, [milestones], page_size=size).drain()

    (outcome,) = Rebuild(database.projector, log.decode, [milestones]).run(check=True)

    assert not outcome.differing


def opened(**more):
    given = {"name": "100 seats", "pipeline_id": PIPELINE, "stage_id": NEW, "rank": "a", "occurred_at": START}
    return d.DealOpened(**(given | more))


def on_timeline(rows, contact):
    found = rows(
        "SELECT m.kind, m.amount_minor FROM milestones.milestone_contact l JOIN milestones.milestone m ON m.id = l.milestone_id"
        " WHERE l.canonical_id = %s AND NOT l.removed ORDER BY l.occurred_at DESC, m.id DESC",
        contact,
    )
    return [tuple(row) for row in found]


def test_a_milestone_keeps_the_amount_that_the_deal_had(log, workspace, project, rows):
    deal = uuid4()
    buyer = (DealContact(contact_id=ANNA, primary=True),)
    log.append(workspace, (PIPELINE, CREATED), (deal, opened(amount=Money(100, "USD"), contacts=buyer)))
    log.append(workspace, (deal, d.DealUpdated(amount=Money(250, "USD"), occurred_at=START)))
    log.append(workspace, (deal, d.DealWon(stage_id=WON, rank="b", occurred_at=START + DAY)))
    log.append(workspace, (deal, d.DealUpdated(amount=None, occurred_at=START + DAY)))

    project()

    assert on_timeline(rows, ANNA) == [("deal.won", 250), ("deal.opened", 100)]


def test_whoever_is_with_a_deal_now_has_all_its_milestones(log, workspace, project, rows):
    deal = uuid4()
    anna, bob = (DealContact(contact_id=each, primary=True) for each in (ANNA, BOB))
    log.append(workspace, (PIPELINE, CREATED), (deal, opened(contacts=(anna,))))
    log.append(workspace, (deal, d.DealMoved(rank="c", occurred_at=START)))
    log.append(workspace, (deal, d.DealContactsChanged(contacts=(bob,))))
    log.append(workspace, (deal, d.DealLost(stage_id=LOST, rank="b", occurred_at=START + DAY)))
    log.append(workspace, (deal, d.DealUpdated(company_id=FIRM)))

    project()

    assert on_timeline(rows, ANNA) == []
    assert on_timeline(rows, BOB) == [("deal.lost", None), ("deal.opened", None)]
    assert rows("SELECT DISTINCT company_id FROM milestones.milestone") == [(FIRM,)]


def test_merged_contacts_have_one_of_each_and_unmerged_ones_their_own(log, workspace, project, rows):
    deal, ticket = uuid4(), uuid4()
    both = tuple(DealContact(contact_id=each) for each in (ANNA, BOB))
    request = {"title": "Help", "type": t.TicketType.QUESTION, "priority": t.Priority.NORMAL, "queue_id": uuid4()}
    log.append(workspace, (PIPELINE, CREATED), (deal, opened(contacts=both)))
    log.append(workspace, (ticket, t.TicketOpened(requester_id=BOB, occurred_at=START + DAY, **request)))
    log.append(workspace, (ANNA, c.ContactMerged(absorbed_id=BOB, absorbed_version=1, absorbed_ids=(BOB,))))
    log.append(workspace, (ticket, t.TicketResolved(occurred_at=START + 2 * DAY)))

    project()

    assert [kind for kind, _ in on_timeline(rows, ANNA)] == ["ticket.resolved", "ticket.opened", "deal.opened"]
    assert on_timeline(rows, BOB) == []
    log.append(workspace, (ANNA, c.ContactReleased(absorbed_id=BOB, absorbed_ids=(BOB,))))
    project()
    assert [kind for kind, _ in on_timeline(rows, ANNA)] == ["deal.opened"]
    assert [kind for kind, _ in on_timeline(rows, BOB)] == ["ticket.resolved", "ticket.opened", "deal.opened"]
