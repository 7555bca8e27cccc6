"""What a contact accepts and refuses, event by event."""

from uuid import UUID

from hypothesis import given as forall
from hypothesis import strategies as st

from crm_es.contacts.contact import archive, change_lifecycle_stage, change_owner, mark_not_duplicate, restore
from crm_es.contacts.contact_aggregate import CONTACT, fields, reservations, touches
from crm_es.contacts.contact_events import (
    ContactAbsorbed,
    ContactArchived,
    ContactEmailAdded,
    ContactEmailChanged,
    ContactEmailRemoved,
    ContactExternalIdAdded,
    ContactIdentityAdded,
    ContactIdentityRemoved,
    ContactLifecycleStageChanged,
    ContactMarkedNotDuplicate,
    ContactOwnerChanged,
    ContactPhoneAdded,
    ContactPhoneChanged,
    ContactPhoneRemoved,
    ContactRegistered,
    ContactRestored,
    ContactTagged,
    ContactUntagged,
    ContactUpdated,
    Email,
    Identity,
    Item,
    LifecycleStage,
    Phone,
    numbered,
)
from crm_es.contacts.editing import ContactEdit, EmailEntry, PhoneEntry, register, update
from crm_es.errors import ErasedError, InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Ref
from crm_es.eventstore.event import ERASED, Reservation, changed_fields
from crm_es.values import EmailAddress, ExternalId, PhoneNumber, PostalAddress, Tag, joint_key
from tests.deciding import fold, given

ID, OTHER, OWNER = UUID(int=10), UUID(int=11), UUID(int=12)
ANNA = ContactRegistered(
    display_name="Anna",
    lifecycle_stage=LifecycleStage.LEAD,
    emails=(Email(address="Anna@Example.com"), Email(address="anna@work.example")),
    email_items=(Item(number=1), Item(number=2)),
    primary_email=Item(number=1),
    phones=(Phone(number="+4930111"),),
    phone_items=(Item(number=3),),
    primary_phone=Item(number=3),
    tags=("vip",),
)


def email(address: str, **more: object) -> EmailEntry:
    return EmailEntry(address=EmailAddress(address), **more)


def phone(number: str, **more: object) -> PhoneEntry:
    return PhoneEntry(number=PhoneNumber(number), **more)


# Registering


def test_registering_says_all_in_one_event():
    form = ContactEdit(
        given_name="Anna",
        add_emails=[email("a@example.com", label="work"), email("b@example.com", primary=True)],
        add_external_ids=[ExternalId(system="cdnow", value="00004")],
        add_tags=[Tag("vip"), Tag("vip")],
        company_id=OTHER,
    )

    assert register(form) == [
        ContactRegistered(
            given_name="Anna",
            lifecycle_stage=LifecycleStage.SUBSCRIBER,
            emails=(Email(address="a@example.com", label="work"), Email(address="b@example.com")),
            email_items=(Item(number=1), Item(number=2)),
            primary_email=Item(number=2),
            external_ids=(ExternalId(system="cdnow", value="00004"),),
            external_id_items=(Item(number=3),),
            company_id=OTHER,
            tags=("vip",),
        )
    ]


def test_a_contact_may_be_registered_at_any_stage_without_a_reason():
    [event] = register(ContactEdit(display_name="Anna", lifecycle_stage=LifecycleStage.CUSTOMER))

    assert event.lifecycle_stage is LifecycleStage.CUSTOMER


def test_the_first_email_becomes_primary():
    [event] = register(ContactEdit(display_name="Anna", add_emails=[email("a@example.com"), email("b@example.com")]))

    assert event.primary_email == Item(number=1)


def test_a_contact_without_a_name_is_refused():
    given(CONTACT).when(lambda _: register(ContactEdit(job_title="Pilot"))).then_refused(
        InvalidInputError, "contact.nameless", ("displayName",)
    )


def test_two_primary_emails_are_refused():
    form = ContactEdit(
        display_name="Anna", add_emails=[email("a@example.com", primary=True), email("b@example.com", primary=True)]
    )

    given(CONTACT).when(lambda _: register(form)).then_refused(InvalidInputError, "contact.two_primaries", ("emails",))


# Attributes


def test_only_what_changed_is_said():
    form = ContactEdit(display_name="Anna", job_title="Pilot", source=None)

    after = given(CONTACT, ANNA).when(update, form).then(ContactUpdated(job_title="Pilot"))

    assert after.job_title == "Pilot"


def test_clearing_the_last_name_is_refused():
    given(CONTACT, ANNA).when(update, ContactEdit(display_name=None)).then_refused(
        InvalidInputError, "contact.nameless", ("displayName",)
    )


def test_one_name_may_take_the_place_of_another():
    form = ContactEdit(display_name=None, given_name="Anna", family_name="Berg")

    after = (
        given(CONTACT, ANNA)
        .when(update, form)
        .then(ContactUpdated(display_name=None, given_name="Anna", family_name="Berg"))
    )

    assert after.name == "Anna Berg"


def test_names_of_all_scripts_survive():
    for name in ("王伟", "محمد العربي", "🙂 Zoë", "Nguyễn Văn A"):
        [event] = register(ContactEdit(display_name=name))
        assert fold(CONTACT, None, [event]).name == name


def test_too_many_addresses_are_refused():
    form = ContactEdit(addresses=tuple(PostalAddress(lines=(str(n),)) for n in range(21)))

    given(CONTACT, ANNA).when(update, form).then_refused(
        RuleViolatedError, "contact.too_many_addresses", ("addresses",)
    )


# Emails


def test_an_added_email_gets_the_next_number():
    given(CONTACT, ANNA).when(update, ContactEdit(add_emails=[email("c@example.com")])).then(
        ContactEmailAdded(item=Item(number=4), email=Email(address="c@example.com"), primary=False)
    )


def test_a_number_is_never_used_again():
    removed = ContactEmailAdded(item=Item(number=4), email=Email(address="x@example.com"), primary=False)
    gone = ContactEmailRemoved(item=Item(number=4))

    given(CONTACT, ANNA, removed, gone).when(update, ContactEdit(add_emails=[email("c@example.com")])).then(
        ContactEmailAdded(item=Item(number=5), email=Email(address="c@example.com"), primary=False)
    )


def test_an_email_that_is_there_is_changed_whatever_its_case():
    given(CONTACT, ANNA).when(update, ContactEdit(add_emails=[email("ANNA@example.com", label="home")])).then(
        ContactEmailChanged(item=Item(number=1), email=Email(address="ANNA@example.com", label="home"))
    )


def test_an_email_that_is_there_as_it_is_changes_nothing():
    given(CONTACT, ANNA).when(update, ContactEdit(add_emails=[email("Anna@Example.com")])).then()


def test_another_email_can_become_primary():
    after = (
        given(CONTACT, ANNA)
        .when(update, ContactEdit(add_emails=[email("anna@work.example", primary=True)]))
        .then(ContactEmailChanged(item=Item(number=2), primary=True))
    )

    assert after.primary_email == Item(number=2)


def test_removing_the_primary_email_promotes_the_oldest_left():
    after = (
        given(CONTACT, ANNA)
        .when(update, ContactEdit(remove_emails=[EmailAddress("anna@EXAMPLE.com")]))
        .then(ContactEmailRemoved(item=Item(number=1), promoted=Item(number=2)))
    )

    assert after.primary_email == Item(number=2)


def test_removing_the_last_email_leaves_none_primary():
    gone = ContactEmailRemoved(item=Item(number=1), promoted=Item(number=2))

    after = (
        given(CONTACT, ANNA, gone)
        .when(update, ContactEdit(remove_emails=[EmailAddress("anna@work.example")]))
        .then(ContactEmailRemoved(item=Item(number=2), promoted=None))
    )

    assert after.primary_email is None


def test_removing_an_email_that_is_not_there_is_nothing():
    given(CONTACT, ANNA).when(update, ContactEdit(remove_emails=[EmailAddress("x@example.com")])).then()


def test_an_email_can_be_exchanged_in_one_edit():
    form = ContactEdit(
        remove_emails=[EmailAddress("anna@example.com"), EmailAddress("anna@work.example")],
        add_emails=[email("new@example.com")],
    )

    given(CONTACT, ANNA).when(update, form).then(
        ContactEmailRemoved(item=Item(number=1), promoted=Item(number=2)),
        ContactEmailRemoved(item=Item(number=2), promoted=None),
        ContactEmailAdded(item=Item(number=4), email=Email(address="new@example.com"), primary=True),
    )


def test_the_hundred_and_first_email_is_refused():
    form = ContactEdit(display_name="Anna", add_emails=[email(f"a{n}@example.com") for n in range(101)])

    given(CONTACT).when(lambda _: register(form)).then_refused(
        RuleViolatedError, "contact.too_many_emails", ("emails",)
    )


# Phones, identities, external ids, tags


def test_phones_follow_the_same_rules():
    form = ContactEdit(add_phones=[phone("+4930111", label="desk"), phone("+4930222", primary=True)])

    given(CONTACT, ANNA).when(update, form).then(
        ContactPhoneChanged(item=Item(number=3), phone=Phone(number="+4930111", label="desk")),
        ContactPhoneAdded(item=Item(number=4), phone=Phone(number="+4930222"), primary=True),
    )
    given(CONTACT, ANNA).when(update, ContactEdit(remove_phones=[PhoneNumber("+4930111")])).then(
        ContactPhoneRemoved(item=Item(number=3), promoted=None)
    )


def test_identities_are_added_once_and_removed():
    whatsapp = Identity(channel="whatsapp", external_id="49151")
    added = ContactIdentityAdded(item=Item(number=4), identity=whatsapp)

    given(CONTACT, ANNA).when(update, ContactEdit(add_identities=[whatsapp, whatsapp])).then(added)
    given(CONTACT, ANNA, added).when(update, ContactEdit(remove_identities=[whatsapp])).then(
        ContactIdentityRemoved(item=Item(number=4))
    )


def test_tags_come_and_go_together():
    form = ContactEdit(add_tags=[Tag("a"), Tag("b"), Tag("vip")], remove_tags=[Tag("none")])

    given(CONTACT, ANNA).when(update, form).then(ContactTagged(tags=("a", "b")))
    given(CONTACT, ANNA).when(update, ContactEdit(remove_tags=[Tag("vip")])).then(ContactUntagged(tags=("vip",)))


def test_too_many_tags_are_refused():
    form = ContactEdit(add_tags=[Tag(f"t{n}") for n in range(500)])

    given(CONTACT, ANNA).when(update, form).then_refused(RuleViolatedError, "contact.too_many_tags", ("tags",))


# Stage, owner, status


def test_going_forward_needs_no_reason():
    given(CONTACT, ANNA).when(change_lifecycle_stage, LifecycleStage.CUSTOMER, reason=None).then(
        ContactLifecycleStageChanged(lifecycle_stage=LifecycleStage.CUSTOMER)
    )


def test_going_back_needs_a_reason():
    back = given(CONTACT, ANNA)

    back.when(change_lifecycle_stage, LifecycleStage.SUBSCRIBER, reason=None).then_refused(
        RuleViolatedError, "contact.stage_needs_reason", ("reason",)
    )
    back.when(change_lifecycle_stage, LifecycleStage.SUBSCRIBER, reason="was a mistake").then(
        ContactLifecycleStageChanged(lifecycle_stage=LifecycleStage.SUBSCRIBER)
    )


def test_an_owner_is_changed_and_cleared():
    owned = ContactOwnerChanged(owner_id=OWNER)

    given(CONTACT, ANNA).when(change_owner, OWNER).then(owned)
    given(CONTACT, ANNA, owned).when(change_owner, OWNER).then()
    given(CONTACT, ANNA, owned).when(change_owner, None).then(ContactOwnerChanged(owner_id=None))


def test_an_archived_contact_accepts_only_restore():
    archived = given(CONTACT, ANNA, ContactArchived())

    archived.when(update, ContactEdit(job_title="Pilot")).then_refused(RuleViolatedError, "contact.archived")
    archived.when(archive).then_refused(RuleViolatedError, "contact.archived")
    archived.when(change_owner, OWNER).then_refused(RuleViolatedError, "contact.archived")
    archived.when(restore).then(ContactRestored())


def test_only_an_archived_contact_is_restored():
    given(CONTACT, ANNA).when(restore).then_refused(RuleViolatedError, "contact.not_archived")


def test_an_absorbed_contact_accepts_nothing():
    absorbed = given(CONTACT, ANNA, ContactAbsorbed(survivor_id=OTHER, survivor_version=1))

    for decision in (archive, restore):
        absorbed.when(decision).then_refused(RuleViolatedError, "contact.merged")


def test_an_erased_contact_accepts_nothing():
    erased = given(CONTACT, ContactRegistered(display_name=ERASED, lifecycle_stage=LifecycleStage.LEAD))

    for decision in (archive, restore):
        erased.when(decision).then_refused(ErasedError, "record.erased")


def test_two_contacts_are_marked_as_two():
    given(CONTACT, ANNA).when(mark_not_duplicate, id=ID, other_id=OTHER).then(ContactMarkedNotDuplicate(other_id=OTHER))
    given(CONTACT, ANNA, ContactMarkedNotDuplicate(other_id=OTHER)).when(
        mark_not_duplicate, id=ID, other_id=OTHER
    ).then()
    given(CONTACT, ANNA).when(mark_not_duplicate, id=ID, other_id=ID).then_refused(
        InvalidInputError, "contact.same", ("otherId",)
    )


# What the store asks


def test_emails_identities_and_external_ids_are_reserved():
    identity = ContactIdentityAdded(item=Item(number=4), identity=Identity(channel="sms", external_id="49"))
    external = ContactExternalIdAdded(item=Item(number=5), external_id=ExternalId(system="erp", value="7"))

    state = given(CONTACT, ANNA, identity, external).state

    assert reservations(ID, state) == {
        Reservation(kind="email", value="anna@example.com", holder=ID),
        Reservation(kind="email", value="anna@work.example", holder=ID),
        Reservation(kind="identity", value=joint_key("sms", "49"), holder=ID),
        Reservation(kind="external_id", value=joint_key("contact", "erp", "7"), holder=ID),
    }


def test_an_archived_contact_frees_what_it_reserved():
    assert reservations(ID, given(CONTACT, ANNA, ContactArchived()).state) == frozenset()


def test_fields_answer_as_the_api_does():
    answered = fields(given(CONTACT, ANNA, ContactOwnerChanged(owner_id=OWNER)).state)

    assert answered["displayName"] == "Anna"
    assert answered["primaryEmail"] == "Anna@Example.com"
    assert answered["owner"] == Ref(type="Member", id=OWNER)
    assert answered["phones"] == [{"number": "+4930111", "label": None, "primary": True}]
    assert answered["tags"] == ["vip"]


def test_an_erased_contact_folds_and_answers_nothing_personal():
    erased = ContactRegistered(
        display_name=ERASED,
        lifecycle_stage=LifecycleStage.LEAD,
        emails=ERASED,
        email_items=(Item(number=1), Item(number=2)),
        addresses=ERASED,
    )
    state = given(CONTACT, erased, ContactEmailRemoved(item=Item(number=1))).state

    answered = fields(state)

    assert len(state.emails) == 1
    assert (answered["displayName"], answered["emails"], answered["addresses"]) == (None, None, None)
    assert answered["recordStatus"] == "ERASED"
    assert reservations(ID, state) == frozenset()


def test_erased_items_stay_countable():
    assert numbered(ANNA.email_items, ERASED) == [(Item(number=1), ERASED), (Item(number=2), ERASED)]


def test_edits_of_different_emails_do_not_meet_and_of_one_do():
    one, other = ContactEmailRemoved(item=Item(number=1)), ContactEmailRemoved(item=Item(number=2))

    assert not set(touches(one)) & set(touches(other))
    assert set(touches(one)) & set(touches(ContactEmailChanged(item=Item(number=1), primary=True)))


def test_two_new_primaries_meet():
    first = ContactEmailAdded(item=Item(number=8), email=Email(address="a@example.com"), primary=True)
    second = ContactEmailChanged(item=Item(number=2), primary=True)

    assert set(touches(first)) & set(touches(second)) == {("primaryEmail", None)}


def test_events_name_the_fields_of_the_api():
    assert changed_fields(ContactUpdated(given_name="Anna", job_title=None)) == ("givenName", "jobTitle")
    assert set(changed_fields(ANNA)) == {
        "displayName", "emails", "primaryEmail", "phones", "primaryPhone", "lifecycleStage", "tags",
    }  # fmt: skip


def test_an_event_of_an_item_names_the_primary_mark_only_where_it_moves():
    item, mail = Item(number=2), Email(address="a@example.com")

    assert changed_fields(ContactEmailAdded(item=item, email=mail, primary=False)) == ("emails",)
    assert changed_fields(ContactEmailAdded(item=item, email=mail, primary=True)) == ("emails", "primaryEmail")
    assert changed_fields(ContactPhoneRemoved(item=item)) == ("phones",)
    assert changed_fields(ContactPhoneRemoved(item=item, promoted=None)) == ("phones", "primaryPhone")


TEXT = st.text(min_size=1, max_size=20)
EDITS = st.builds(
    ContactEdit,
    display_name=TEXT,
    job_title=st.none() | TEXT,
    lifecycle_stage=st.sampled_from(LifecycleStage),
    add_emails=st.lists(st.sampled_from("abcd").map(lambda name: email(f"{name}@example.com")), max_size=3),
    remove_emails=st.lists(st.sampled_from("abcd").map(lambda name: EmailAddress(f"{name}@example.com")), max_size=3),
    add_phones=st.lists(st.sampled_from("1234").map(lambda digit: phone(f"+4930{digit}")), max_size=2),
    remove_phones=st.lists(st.sampled_from("1234").map(lambda digit: PhoneNumber(f"+4930{digit}")), max_size=2),
    add_tags=st.lists(TEXT.map(Tag), max_size=3),
    remove_tags=st.lists(TEXT.map(Tag), max_size=3),
)


@forall(st.lists(EDITS, max_size=8))
def test_any_accepted_sequence_folds_and_keeps_one_primary(forms):
    state = given(CONTACT, ANNA).state

    for form in forms:
        state = fold(CONTACT, state, update(state, form, reason="test"))
        numbers = [held.item.number for held in (*state.emails, *state.phones)]
        assert len(set(numbers)) == len(numbers)
        assert state.primary_email in [held.item for held in state.emails] if state.emails else not state.primary_email
