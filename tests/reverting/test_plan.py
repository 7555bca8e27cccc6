"""What is taken back leaves a record as it was; what somebody changed since stays, with the event that is in the way."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from crm_es.contacts import company, contact
from crm_es.contacts.company import COMPANY, CompanyEdit
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import Identity, LifecycleStage
from crm_es.contacts.editing import ContactEdit, EmailEntry, PhoneEntry, register, update
from crm_es.interactions.interaction import INTERACTION, InteractionType
from crm_es.interactions.recording import Correction, correct, record, retract
from crm_es.occasions import Occasion
from crm_es.reverting.inverses import ENDS, INVERSES
from crm_es.reverting.plan import WORDS, Why, undo, words
from crm_es.sales import dealing, product
from crm_es.sales.deal import DEAL
from crm_es.sales.dealing import DealEdit
from crm_es.sales.product import PRODUCT, ProductEdit
from crm_es.service import ticket, ticket_editing
from crm_es.service.enums import Priority
from crm_es.service.ticket_aggregate import TICKET
from crm_es.values import DomainName, EmailAddress, ExternalId, Money, PhoneNumber, PostalAddress, Tag
from crm_es.workspaces import api_key, member, role, saved_view, team
from crm_es.workspaces.actions import EntityType
from crm_es.workspaces.api_key import API_KEY
from crm_es.workspaces.member import MEMBER
from crm_es.workspaces.role import ROLE
from crm_es.workspaces.saved_view import SAVED_VIEW
from crm_es.workspaces.team import TEAM
from tests.deciding import Log

ID, OTHER = UUID(int=1), UUID(int=2)
AT = datetime(2026, 5, 1, tzinfo=UTC)
ON = Occasion(datetime(2026, 4, 1, tzinfo=UTC))


def email(address, **more):
    return EmailEntry(address=EmailAddress(address), **more)


ADA = ContactEdit(
    display_name="Ada", add_emails=[email("a@a.test"), email("b@a.test", label="home")], job_title="Pilot", owner_id=OTHER,
    add_phones=[PhoneEntry(number=PhoneNumber("+4930111"))], add_tags=[Tag("one")],
    add_identities=[Identity(channel="x", external_id="ada")], add_external_ids=[ExternalId(system="erp", value="1")],
)  # fmt: skip
EDITS = {
    "attributes": ContactEdit(
        display_name="Ada L.", job_title=None, source="web", addresses=(PostalAddress(city="Bonn"),)
    ),
    "links": ContactEdit(owner_id=None, company_id=OTHER, lifecycle_stage=LifecycleStage.CUSTOMER),
    "tags": ContactEdit(add_tags=[Tag("two")], remove_tags=[Tag("one")]),
    "new email": ContactEdit(add_emails=[email("c@a.test")]),
    "new primary email": ContactEdit(add_emails=[email("c@a.test", primary=True)]),
    "email changed": ContactEdit(add_emails=[email("b@a.test", label="work", primary=True)]),
    "identities": ContactEdit(add_identities=[Identity(channel="y", external_id="a")]),
    "external ids": ContactEdit(add_external_ids=[ExternalId(system="shop", value="1")]),
    "phones": ContactEdit(add_phones=[PhoneEntry(number=PhoneNumber("+4930222"), primary=True)]),
}


def undone(log, stream, wanted):
    found = undo(log.aggregate, log.streams[stream], wanted, at=AT)
    log.append({stream: found.events})
    return found


def shown(log, stream):
    return log.aggregate.fields(log.load(stream).state)


def contacts():
    log = Log(CONTACT)
    log.append({ID: register(ADA)})
    return log


def last(log, command=None):
    """The versions of a command, the last one unless said."""
    return {one.version for one in log.streams[ID] if one.command_id == UUID(int=command or log.commands)}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_taken_back_leaves_the_contact_as_it_was(name):
    log = contacts()
    before = shown(log, ID)
    log.edit(ID, lambda was: update(was, EDITS[name], reason="test"))
    assert shown(log, ID) != before

    found = undone(log, ID, last(log))

    assert shown(log, ID) == before
    assert found.skipped == []


def test_a_removed_email_comes_back_under_a_new_number():
    log = contacts()
    before = shown(log, ID)
    log.edit(ID, lambda was: update(was, ContactEdit(remove_emails=[EmailAddress("a@a.test")]), reason="test"))

    undone(log, ID, last(log))

    state = log.load(ID).state
    assert {held.known.address for held in state.emails} == {"a@a.test", "b@a.test"}
    assert shown(log, ID)["primaryEmail"] == before["primaryEmail"] == "a@a.test"
    assert len({held.item for held in state.emails}) == 2


def test_what_somebody_changed_since_stays():
    log = contacts()
    log.edit(ID, lambda was: update(was, ContactEdit(job_title="Captain", add_tags=[Tag("two")]), reason="test"))
    bulk = last(log)
    log.edit(ID, lambda was: update(was, ContactEdit(job_title="Admiral"), reason="test"))

    found = undone(log, ID, bulk)

    (skip,) = found.skipped
    assert (skip.why, skip.by.version) == (Why.CHANGED, log.streams[ID][-2].version)
    assert shown(log, ID)["jobTitle"] == "Admiral"
    assert shown(log, ID)["tags"] == ["one"]


def test_what_was_taken_back_is_in_its_own_way():
    log = contacts()
    log.edit(ID, lambda was: update(was, ContactEdit(job_title="Captain"), reason="test"))
    bulk = last(log)
    undone(log, ID, bulk)

    again = undone(log, ID, bulk)

    assert [skip.why for skip in again.skipped] == [Why.CHANGED]
    assert again.events == []


def test_an_edit_behind_one_that_stays_stays_too():
    log = contacts()
    log.edit(ID, lambda was: update(was, ContactEdit(job_title="Captain"), reason="test"))
    log.edit(ID, lambda was: update(was, ContactEdit(job_title="Major", source="web"), reason="test"))
    wanted = last(log) | last(log, log.commands - 1)
    log.edit(ID, lambda was: update(was, ContactEdit(source="shop"), reason="test"))

    found = undone(log, ID, wanted)

    assert [skip.why for skip in found.skipped] == [Why.CHANGED, Why.CHANGED]
    assert shown(log, ID)["jobTitle"] == "Major"


def test_a_record_that_was_begun_ends_or_stays_as_a_whole():
    log = contacts()
    alone = undo(CONTACT, log.streams[ID], last(log), at=AT)
    begun = last(log)
    log.edit(ID, lambda was: update(was, ContactEdit(add_tags=[Tag("two")]), reason="test"))

    touched = undo(CONTACT, log.streams[ID], begun, at=AT)

    assert [type(one).TOPIC for one in alone.events] == ["contact.archived"]
    assert touched.events == []
    assert {skip.by.version for skip in touched.skipped} == {log.streams[ID][-1].version}


def test_archiving_is_taken_back_by_restoring():
    log = contacts()
    log.edit(ID, contact.archive)

    undone(log, ID, last(log))

    assert shown(log, ID)["recordStatus"] == "ACTIVE"


def test_companies_products_deals_tickets_and_interactions_go_back_too():
    cases = [
        (
            COMPANY,
            company.register(CompanyEdit(name="Acme", add_domains=[DomainName("a.test")]), id=ID),
            lambda was: company.update(
                was,
                CompanyEdit(name="Bolt", add_domains=[DomainName("b.test")], remove_domains=[DomainName("a.test")]),
                id=ID,
            ),
        ),
        (
            PRODUCT,
            product.register(ProductEdit(name="Mug", price=Money(100, "EUR"))),
            lambda was: product.update(was, ProductEdit(price=Money(200, "EUR"), retired=True)),
        ),
        (
            DEAL,
            dealing.open_deal(
                DealEdit(name="D", amount=Money(1, "EUR")), pipeline_id=ID, stage_id=OTHER, rank="a", on=ON
            ),
            lambda was: dealing.win(was, stage_id=ID, rank="b", on=ON),
        ),
        (
            TICKET,
            ticket_editing.open_ticket(title="T", queue_id=OTHER, on=ON),
            lambda was: ticket.prioritize(was, Priority.URGENT, on=ON),
        ),
        (
            INTERACTION,
            record(type=InteractionType.NOTE, occurred_at=ON.at, body="Hello", contact_ids=(ID,)),
            lambda was: correct(
                was, Correction(body="Bye", occurred_at=AT, add_contact_ids=[OTHER], amount=Money(1, "EUR"))
            ),
        ),
    ]
    for aggregate, begun, decision in cases:
        log = Log(aggregate)
        log.append({ID: begun})
        before = shown(log, ID)
        log.edit(ID, lambda was, decide=decision: [getattr(one, "event", one) for one in decide(was)])
        assert shown(log, ID) != before

        found = undone(log, ID, last(log))

        assert shown(log, ID) == before, aggregate.name
        assert found.skipped == []


def begun(aggregate, events):
    log = Log(aggregate)
    log.append({ID: events})
    return undo(aggregate, log.streams[ID], set(range(1, len(events) + 1)), at=AT)


ERP = ExternalId(system="erp", value="1")


@pytest.mark.parametrize(
    ("aggregate", "events", "end"),
    [
        (TICKET, ticket_editing.open_ticket(title="T", queue_id=OTHER, on=ON), "ticket.closed"),
        (MEMBER, member.invite(name="Ada", email=EmailAddress("a@a.test"), roles=["sales"]), "member.deactivated"),
        (MEMBER, member.register(name="Ada"), "member.deactivated"),
        (
            API_KEY,
            api_key.issue(name="K", scopes=["integration"], secret_hmac="00", now=AT),
            "api_key.revoked",
        ),
        (
            SAVED_VIEW,
            saved_view.save(None, name="V", target=EntityType.CONTACT, filter={}, by=OTHER),
            "saved_view.removed",
        ),
    ],
)
def test_what_was_begun_ends_as_such_records_end(aggregate, events, end):
    found = begun(aggregate, events)

    assert [type(one).TOPIC for one in found.events] == [end]
    assert found.skipped == []


@pytest.mark.parametrize(
    ("aggregate", "events", "said"),
    [
        (TICKET, ticket_editing.open_ticket(title="T", queue_id=OTHER, on=ON, external_ids=[ERP]), "close it"),
        (MEMBER, member.register(name="Ada", external_ids=[ERP]), "deactivate the member"),
        (MEMBER, member.register(name="Ada", roles=["admin"]), "deactivate the member"),
        (TEAM, team.create("Sales"), "rename it"),
        (ROLE, role.define(None, key="field", name="R", permissions=[]), "no end"),
    ],
)
def test_what_has_no_end_says_what_may_be_done(aggregate, events, said):
    (skip,) = begun(aggregate, events).skipped

    assert skip.why is Why.ENDLESS
    assert said in words(skip.why, aggregate.name)


def test_a_ticket_that_is_closed_is_not_closed_again():
    log = Log(TICKET)
    log.append({ID: ticket_editing.open_ticket(title="T", queue_id=OTHER, on=ON)})
    log.edit(ID, lambda was: [getattr(one, "event", one) for one in ticket.close(was, on=ON)])

    found = undo(TICKET, log.streams[ID], {1, 2}, at=AT)

    assert {skip.why for skip in found.skipped} == {Why.ENDLESS}
    assert found.events == []


def test_what_people_decided_cannot_be_said_again():
    log = Log(TICKET)
    log.append({ID: ticket_editing.open_ticket(title="T", queue_id=OTHER, on=ON)})
    log.edit(ID, lambda was: [getattr(one, "event", one) for one in ticket.resolve(was, resolution="x", on=ON)])

    resolved = undo(TICKET, log.streams[ID], last(log), at=AT)

    assert [skip.why for skip in resolved.skipped] == [Why.CANNOT]


def test_an_interaction_is_retracted_once():
    log = Log(INTERACTION)
    log.append({ID: record(type=InteractionType.PURCHASE, occurred_at=ON.at, amount=Money(Decimal(1), "USD"))})
    log.edit(ID, retract)
    wanted = {1, 2}

    found = undo(INTERACTION, log.streams[ID], wanted, at=AT)

    assert (found.events, found.skipped) == ([], [])


def test_every_reason_has_words_and_no_event_two_ways_back():
    assert WORDS.keys() == set(Why)
    assert not INVERSES.keys() & ENDS.keys()
