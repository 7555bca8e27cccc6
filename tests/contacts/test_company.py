"""What a company accepts and refuses."""

from uuid import UUID

from crm_es.contacts.company import (
    COMPANY,
    CompanyArchived,
    CompanyDomainAdded,
    CompanyDomainRemoved,
    CompanyEdit,
    CompanyExternalIdAdded,
    CompanyExternalIdRemoved,
    CompanyOwnerChanged,
    CompanyParentChanged,
    CompanyRegistered,
    CompanyRestored,
    CompanyTagged,
    CompanyUntagged,
    CompanyUpdated,
    archive,
    register,
    restore,
    update,
)
from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import Reservation
from crm_es.values import DomainName, ExternalId, Money, PostalAddress, Tag, joint_key
from tests.deciding import given

ID, PARENT, TOP = UUID(int=20), UUID(int=21), UUID(int=22)
ACME = CompanyRegistered(
    name="Acme",
    domains=("acme.example",),
    annual_revenue=Money(110000, "USD"),
    tags=("big",),
    external_ids=(ExternalId(system="erp", value="1"),),
)


def test_registering_says_all_in_one_event():
    form = CompanyEdit(
        name="Acme",
        add_domains=[DomainName("acme.example"), DomainName("acme.example")],
        annual_revenue=Money(0, "JPY"),
        parent_id=PARENT,
        employee_count=0,
        addresses=(PostalAddress(lines=("1 Main St",), country="US"),),
    )

    given(COMPANY).when(lambda _: register(form, id=ID)).then(
        CompanyRegistered(
            name="Acme",
            domains=("acme.example",),
            annual_revenue=Money(0, "JPY"),
            parent_id=PARENT,
            employee_count=0,
            addresses=(PostalAddress(lines=("1 Main St",), country="US"),),
        )
    )


def test_a_company_without_a_name_is_refused():
    given(COMPANY).when(lambda _: register(CompanyEdit(), id=ID)).then_refused(
        InvalidInputError, "company.nameless", ("name",)
    )


def test_only_what_changed_is_said():
    form = CompanyEdit(name="Acme", industry="Toys", annual_revenue=None)

    given(COMPANY, ACME).when(update, form, id=ID).then(CompanyUpdated(industry="Toys", annual_revenue=None))


def test_domains_external_ids_and_tags_come_and_go():
    form = CompanyEdit(
        remove_domains=[DomainName("acme.example"), DomainName("unknown.example")],
        add_domains=[DomainName("new.example")],
        remove_external_ids=[ExternalId(system="erp", value="1")],
        add_external_ids=[ExternalId(system="erp", value="2")],
        remove_tags=[Tag("big")],
        add_tags=[Tag("small"), Tag("new")],
    )

    given(COMPANY, ACME).when(update, form, id=ID).then(
        CompanyDomainRemoved(domain="acme.example"),
        CompanyDomainAdded(domain="new.example"),
        CompanyExternalIdRemoved(system="erp", value="1"),
        CompanyExternalIdAdded(system="erp", value="2"),
        CompanyUntagged(tags=("big",)),
        CompanyTagged(tags=("small", "new")),
    )


def test_owner_and_parent_have_events_of_their_own():
    form = CompanyEdit(owner_id=TOP, parent_id=PARENT)

    given(COMPANY, ACME).when(update, form, id=ID, ancestors=[TOP]).then(
        CompanyParentChanged(parent_id=PARENT), CompanyOwnerChanged(owner_id=TOP)
    )


def test_a_company_cannot_stand_below_itself():
    acme = given(COMPANY, ACME)

    for parent, ancestors in ((ID, []), (PARENT, [TOP, ID])):
        acme.when(update, CompanyEdit(parent_id=parent), id=ID, ancestors=ancestors).then_refused(
            RuleViolatedError, "company.parent_cycle", ("parentId",)
        )


def test_too_many_domains_are_refused():
    form = CompanyEdit(add_domains=[DomainName(f"d{n}.example") for n in range(100)])

    given(COMPANY, ACME).when(update, form, id=ID).then_refused(
        RuleViolatedError, "company.too_many_domains", ("domains",)
    )


def test_an_archived_company_accepts_only_restore_and_frees_its_domains():
    archived = given(COMPANY, ACME, CompanyArchived())

    archived.when(update, CompanyEdit(name="Other"), id=ID).then_refused(RuleViolatedError, "company.archived")
    archived.when(archive).then_refused(RuleViolatedError, "company.archived")
    assert COMPANY.reservations(ID, archived.state) == frozenset()
    archived.when(restore).then(CompanyRestored())


def test_domains_and_external_ids_are_reserved():
    assert COMPANY.reservations(ID, given(COMPANY, ACME).state) == {
        Reservation(kind="domain", value="acme.example", holder=ID),
        Reservation(kind="external_id", value=joint_key("company", "erp", "1"), holder=ID),
    }


def test_edits_of_different_domains_do_not_meet():
    first, second = CompanyDomainAdded(domain="a.example"), CompanyDomainRemoved(domain="b.example")

    assert not set(COMPANY.touches(first)) & set(COMPANY.touches(second))
    assert set(COMPANY.touches(first)) & set(COMPANY.touches(CompanyDomainRemoved(domain="a.example")))


def test_fields_answer_as_the_api_does():
    answered = COMPANY.fields(given(COMPANY, ACME).state)

    assert answered["annualRevenue"] == {"amount": "1100.00", "currency": "USD"}
    assert answered["externalIds"] == [{"system": "erp", "value": "1"}]
