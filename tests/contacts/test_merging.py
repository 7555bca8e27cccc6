"""What a merge says on both streams, and what it shows beforehand."""

from uuid import UUID

import pytest
from msgspec import UNSET

from crm_es.contacts.contact import archive
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import ContactAbsorbed, ContactMerged, Email, Item, LifecycleStage
from crm_es.contacts.editing import ContactEdit, EmailEntry, PhoneEntry, register, update
from crm_es.contacts.merging import merge, merge_preview
from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.values import EmailAddress, PhoneNumber, Tag
from tests.deciding import Log

A, B, C = (UUID(int=n) for n in (10, 11, 12))


def log_of(**forms: ContactEdit) -> Log:
    log = Log(CONTACT)
    for id_, form in zip((A, B, C), forms.values(), strict=False):
        log.append({id_: register(form)})
    return log


def person(name: str, **more: object) -> ContactEdit:
    return ContactEdit(display_name=name, **more)


def email(address: str) -> EmailEntry:
    return EmailEntry(address=EmailAddress(address))


def test_a_merge_says_all_the_survivor_adopts_and_points_the_absorbed_to_it():
    log = log_of(
        a=person("Anna", add_emails=[email("a@example.com")], add_tags=[Tag("vip")]),
        b=person("Anna B.", add_emails=[email("b@example.com")], add_tags=[Tag("vip"), Tag("new")], job_title="Pilot"),
    )

    done = merge(log.load(A), log.load(B))

    assert done.survivor == [
        ContactMerged(
            absorbed_id=B,
            absorbed_version=1,
            absorbed_ids=(B,),
            job_title="Pilot",
            emails=(Email(address="b@example.com"),),
            email_items=(Item(number=1, holder=B),),
            tags=("new",),
        )
    ]
    assert done.absorbed == [ContactAbsorbed(survivor_id=A, survivor_version=1)]


def test_what_was_chosen_stands():
    log = log_of(a=person("Anna", job_title="Pilot"), b=person("Anne", job_title="Captain"))

    [event] = merge(log.load(A), log.load(B), {"displayName": B, "jobTitle": A}).survivor

    assert event.display_name == "Anne"
    assert event.job_title is UNSET


def test_a_chosen_absence_clears():
    log = log_of(a=person("Anna", job_title="Pilot"), b=person("Anne"))

    [event] = merge(log.load(A), log.load(B), {"jobTitle": B}).survivor

    assert event.job_title is None


def test_the_further_lifecycle_stage_stands_unless_chosen_otherwise():
    log = log_of(a=person("Anna"), b=person("Anne", lifecycle_stage=LifecycleStage.CUSTOMER))

    assert merge(log.load(A), log.load(B)).survivor[0].lifecycle_stage is LifecycleStage.CUSTOMER
    kept = merge(log.load(A), log.load(B), {"lifecycleStage": A}).survivor[0]
    assert kept.lifecycle_stage is UNSET


def test_a_phone_that_both_have_is_adopted_once():
    number = PhoneEntry(number=PhoneNumber("+4930111"))
    log = log_of(a=person("Anna", add_phones=[number]), b=person("Anne", add_phones=[number]))

    done = merge(log.load(A), log.load(B))
    log.append({A: done.survivor, B: done.absorbed})

    assert len(log.load(A).state.phones) == 1


def test_a_merge_takes_along_what_the_absorbed_had_absorbed():
    log = log_of(
        a=person("Anna"),
        b=person("Anne", add_emails=[email("b@example.com")]),
        c=person("Ann", add_emails=[email("c@example.com")]),
    )
    inner = merge(log.load(B), log.load(C))
    log.append({B: inner.survivor, C: inner.absorbed})

    [event] = merge(log.load(A), log.load(B)).survivor

    assert event.absorbed_ids == (B, C)
    assert event.email_items == (Item(number=1, holder=B), Item(number=1, holder=C))


def test_the_preview_proposes_what_the_merge_does():
    log = log_of(a=person("Anna"), b=person("Anne", job_title="Pilot", source="fair"))

    preview = {one.field: (one.survivor, one.absorbed, one.proposed) for one in merge_preview(log.load(A), log.load(B))}

    assert preview == {
        "displayName": ("Anna", "Anne", A),
        "jobTitle": (None, "Pilot", B),
        "source": (None, "fair", B),
    }


@pytest.mark.parametrize(
    ("keep", "rule", "field"),
    [
        ({"shoeSize": A}, "contact.unknown_choice", ("keep", "0", "field")),
        ({"jobTitle": A, "owner": C}, "contact.foreign_choice", ("keep", "1", "from")),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(keep, rule, field):
    log = log_of(a=person("Anna"), b=person("Anne"))

    with pytest.raises(InvalidInputError) as refusal:
        merge(log.load(A), log.load(B), keep)

    assert (refusal.value.rule, refusal.value.field) == (rule, field)


def test_a_contact_does_not_absorb_itself():
    log = log_of(a=person("Anna"))

    with pytest.raises(InvalidInputError) as refusal:
        merge(log.load(A), log.load(A))

    assert refusal.value.rule == "contact.same"


def test_archived_and_merged_contacts_are_not_merged():
    log = log_of(a=person("Anna"), b=person("Anne"), c=person("Ann"))
    log.edit(B, archive)
    for survivor, absorbed in ((A, B), (B, A)):
        with pytest.raises(RuleViolatedError) as refusal:
            merge(log.load(survivor), log.load(absorbed))
        assert refusal.value.rule == "contact.archived"

    done = merge(log.load(A), log.load(C))
    log.append({A: done.survivor, C: done.absorbed})
    with pytest.raises(RuleViolatedError) as refusal:
        merge(log.load(A), log.load(C))
    assert refusal.value.rule == "contact.merged"


def test_a_merge_that_would_hold_too_much_is_refused():
    many = [[email(f"{name}{n}@example.com") for n in range(60)] for name in "ab"]
    log = log_of(a=person("Anna", add_emails=many[0]), b=person("Anne", add_emails=many[1]))

    with pytest.raises(RuleViolatedError) as refusal:
        merge(log.load(A), log.load(B))

    assert refusal.value.rule == "contact.too_many_emails"


def test_a_mutation_of_the_absorbed_id_changes_the_survivor():
    log = log_of(a=person("Anna"), b=person("Anne"))
    done = merge(log.load(A), log.load(B))
    log.append({A: done.survivor, B: done.absorbed})

    log.edit(B, lambda contact: update(contact, ContactEdit(job_title="Pilot")))

    assert log.load(A).state.job_title == "Pilot"
    assert log.streams[A][-1].via == B
