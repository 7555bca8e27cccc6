"""What an interaction accepts and refuses."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from crm_es.errors import ErasedError, InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Ref
from crm_es.eventstore.event import ERASED, Reservation
from crm_es.interactions.interaction import (
    INTERACTION,
    InteractionCorrected,
    InteractionLinked,
    InteractionRecorded,
    InteractionRedacted,
    InteractionRetracted,
    InteractionType,
    InteractionUnlinked,
    Participant,
    ParticipantPart,
    Visibility,
)
from crm_es.interactions.recording import Correction, correct, record, redact, retract
from crm_es.values import Money, joint_key
from tests.deciding import fold, given

ID, ANNA, BEA, CARL = (UUID(int=n) for n in (30, 31, 32, 33))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CALL = InteractionRecorded(
    type=InteractionType.CALL,
    occurred_at=NOON,
    channel="phone",
    external_id="call-1",
    subject="About Anna's leg",
    body="Anna broke her leg. Anna was sad.",
    contact_ids=(ANNA, BEA),
    participants=(Participant(part=ParticipantPart.CALLER, contact_id=ANNA, address="+4930111"),),
    visibility=Visibility.SHARED,
)


def test_a_purchase_keeps_amount_and_quantity():
    [event] = record(
        type=InteractionType.PURCHASE,
        occurred_at=NOON,
        amount=Money(0, "USD"),
        quantity=Decimal(2),
        contact_ids=[ANNA, ANNA],
    )

    assert (event.amount, event.quantity, event.contact_ids) == (Money(0, "USD"), Decimal(2), (ANNA,))


@pytest.mark.parametrize(
    ("type_", "by_api_key", "said", "visibility"),
    [
        (InteractionType.EMAIL, True, None, Visibility.PRIVATE),
        (InteractionType.EMAIL, True, Visibility.SHARED, Visibility.SHARED),
        (InteractionType.EMAIL, False, None, Visibility.SHARED),
        (InteractionType.CALL, True, None, Visibility.SHARED),
    ],
)
def test_only_emails_that_a_program_brings_are_private(type_, by_api_key, said, visibility):
    [event] = record(type=type_, occurred_at=NOON, by_api_key=by_api_key, visibility=said)

    assert event.visibility is visibility


def test_an_external_id_needs_its_channel():
    with pytest.raises(InvalidInputError) as refusal:
        record(type=InteractionType.CALL, occurred_at=NOON, external_id="1")

    assert (refusal.value.rule, refusal.value.field) == ("interaction.channel_missing", ("channel",))


@pytest.mark.parametrize(
    ("named", "rule"),
    [
        ({"duration_seconds": -1}, "interaction.negative_duration"),
        ({"contact_ids": [UUID(int=n) for n in range(101)]}, "interaction.too_many_contactids"),
        (
            {"participants": [Participant(part=ParticipantPart.TO, address=f"a{n}@example.com") for n in range(501)]},
            "interaction.too_many_participants",
        ),
    ],
)
def test_what_cannot_be_is_refused(named, rule):
    with pytest.raises(InvalidInputError) as refusal:
        record(type=InteractionType.CALL, occurred_at=NOON, **named)

    assert refusal.value.rule == rule


def test_a_correction_says_only_what_changed():
    form = Correction(subject="About Anna's leg", amount=Money(100, "EUR"), occurred_at=NOON)

    given(INTERACTION, CALL).when(correct, form).then(InteractionCorrected(amount=Money(100, "EUR")))


def test_contacts_are_linked_and_unlinked():
    form = Correction(add_contact_ids=[CARL, BEA], remove_contact_ids=[ANNA, UUID(int=99)])

    after = (
        given(INTERACTION, CALL)
        .when(correct, form)
        .then(InteractionUnlinked(contact_ids=(ANNA,)), InteractionLinked(contact_ids=(CARL,)))
    )

    assert INTERACTION.subjects(ID, after) == (BEA, CARL)


def test_passages_are_cut_out_of_subject_and_body_and_stored_nowhere():
    after = (
        given(INTERACTION, CALL)
        .when(redact, ["Anna", "Anna's leg", "her leg"])
        .then(
            InteractionRedacted(
                external_id="call-1",
                subject="About [redacted]",
                body="[redacted] broke [redacted]. [redacted] was sad.",
                participants=CALL.participants,
            )
        )
    )

    assert after.redacted


def test_without_passages_the_whole_body_goes():
    after = (
        given(INTERACTION, CALL)
        .when(redact, None)
        .then(InteractionRedacted(external_id="call-1", subject="About Anna's leg", participants=CALL.participants))
    )

    assert (after.body, after.subject) == (None, "About Anna's leg")


def test_the_remaining_text_stands_where_the_old_key_is_gone():
    gone = InteractionRecorded(
        type=InteractionType.CALL,
        occurred_at=NOON,
        channel="phone",
        external_id=ERASED,
        subject=ERASED,
        body=ERASED,
        participants=ERASED,
        contact_ids=(ANNA,),
        visibility=Visibility.SHARED,
    )

    state = given(INTERACTION, gone, InteractionRedacted(external_id="call-1", subject="Kept")).state

    assert not state.erased
    assert (state.subject, state.body, state.participants) == ("Kept", None, ())
    assert {one.value for one in INTERACTION.reservations(ID, state)} == {joint_key("phone", "call-1")}


def test_a_passage_that_is_not_there_is_refused_without_repeating_it():
    given(INTERACTION, CALL).when(redact, ["Anna", "secret"]).then_refused(
        InvalidInputError, "interaction.passage_not_found", ("passages", "1")
    )


def test_redacted_text_stays_as_it_is():
    redacted = given(INTERACTION, CALL, InteractionRedacted(subject="Kept"))

    redacted.when(correct, Correction(body="Anna")).then_refused(RuleViolatedError, "interaction.redacted")
    redacted.when(correct, Correction(duration_seconds=60)).then(InteractionCorrected(duration_seconds=60))


def test_a_retracted_interaction_accepts_nothing_and_frees_its_id():
    retracted = given(INTERACTION, CALL, InteractionRetracted())

    retracted.when(correct, Correction(subject="x")).then_refused(RuleViolatedError, "interaction.retracted")
    retracted.when(redact, None).then_refused(RuleViolatedError, "interaction.retracted")
    retracted.when(retract).then()
    given(INTERACTION, CALL).when(retract).then(InteractionRetracted())
    assert INTERACTION.reservations(ID, retracted.state) == frozenset()


def test_an_erased_interaction_accepts_nothing():
    erased = InteractionRecorded(
        type=InteractionType.CALL, occurred_at=NOON, subject=ERASED, visibility=Visibility.SHARED
    )

    given(INTERACTION, erased).when(redact, None).then_refused(ErasedError, "record.erased")


def test_channel_and_external_id_are_reserved_together():
    assert INTERACTION.reservations(ID, given(INTERACTION, CALL).state) == {
        Reservation(kind="interaction", value=joint_key("phone", "call-1"), holder=ID)
    }


def test_fields_answer_as_the_api_does():
    answered = INTERACTION.fields(given(INTERACTION, CALL).state)

    assert answered["occurredAt"] == "2026-03-01T12:00:00Z"
    assert answered["contacts"] == [Ref(type="Contact", id=ANNA), Ref(type="Contact", id=BEA)]
    assert answered["participants"] == [
        {"part": "CALLER", "contact": Ref(type="Contact", id=ANNA), "member": None, "address": "+4930111"}
    ]


def test_links_of_different_contacts_do_not_meet():
    first, second = InteractionLinked(contact_ids=(ANNA,)), InteractionUnlinked(contact_ids=(BEA,))

    assert not set(INTERACTION.touches(first)) & set(INTERACTION.touches(second))


@forall(st.text(min_size=1, max_size=200), st.lists(st.text(min_size=1, max_size=5), max_size=5))
def test_no_redacted_passage_can_be_read_afterwards(body, passages):
    [recorded] = record(type=InteractionType.NOTE, occurred_at=NOON, body=body)
    found = [passage for passage in passages if passage in body and passage.strip()]

    [event] = redact(fold(INTERACTION, None, [recorded]), found)

    left = str(event.body).split("[redacted]")
    assert not any(passage in part for passage in found for part in left)


def test_overlapping_passages_leave_no_rest():
    [recorded] = record(type=InteractionType.NOTE, occurred_at=NOON, body="abcd")

    [event] = redact(fold(INTERACTION, None, [recorded]), ["abc", "bc", "bcd"])

    assert event.body == "[redacted]"
