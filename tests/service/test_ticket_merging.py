"""Merging tickets, taking that back, and splitting one."""

from datetime import timedelta
from uuid import UUID

import pytest

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Loaded
from crm_es.interactions.interaction import (
    INTERACTION,
    InteractionCorrected,
    InteractionRecorded,
    InteractionType,
    Visibility,
)
from crm_es.occasions import Occasion
from crm_es.service import ticket as t
from crm_es.service.enums import HoldReason, Priority, TicketStatus, TicketType
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_events import TicketHeld, TicketOpened, TicketReplied, TicketSplit
from crm_es.service.ticket_merging import merge, split, unmerge
from tests.deciding import NOON, Log, fold

A, B, C, NEW, QUEUE, ADA = (UUID(int=n) for n in range(1, 7))
NOTE, REPLY = UUID(int=21), UUID(int=22)


def hour(n):
    return NOON + timedelta(hours=n)


def opened(title, queue=QUEUE):
    return TicketOpened(
        title=title, type=TicketType.INCIDENT, priority=Priority.HIGH, queue_id=queue, requester_id=ADA, tags=("red",),
        occurred_at=NOON,
    )  # fmt: skip


@pytest.fixture
def log():
    log = Log(TICKET)
    for id_, title in ((A, "First"), (B, "Second"), (C, "Third")):
        log.append({id_: [opened(title)]})
    return log


def absorb(log, survivor, absorbed, at):
    both = merge(log.load(survivor), log.load(absorbed), on=Occasion(at))
    log.append({survivor: both.survivor, absorbed: both.absorbed})


def give_back(log, survivor, absorbed, at):
    changes = unmerge(log.load(survivor), log.load(absorbed), log.streams[survivor], on=Occasion(at))
    log.append({id_: [getattr(one, "event", one) for one in events] for id_, events in changes.items()})
    return changes


def test_an_absorbed_ticket_leads_to_its_survivor_and_keeps_its_standing(log):
    log.append({B: [TicketHeld(hold_reason=HoldReason.VENDOR, occurred_at=hour(1))]})

    absorb(log, A, B, hour(2))

    assert log.load(B).state.status is TicketStatus.MERGED
    assert log.load(B, follow=True).id == A
    assert log.load(A).state.absorbed_ids == (B,)
    give_back(log, A, B, hour(3))
    assert (log.load(B).state.status, log.load(B).state.hold_reason) == (TicketStatus.ON_HOLD, HoldReason.VENDOR)
    assert log.load(A).state.absorbed_ids == ()


def test_a_ticket_is_not_merged_into_itself(log):
    with pytest.raises(InvalidInputError) as refusal:
        merge(log.load(A), log.load(A), on=Occasion(hour(1)))

    assert (refusal.value.rule, refusal.value.field) == ("ticket.same", ("absorbedId",))


def test_merged_and_closed_tickets_are_not_merged(log):
    absorb(log, A, B, hour(1))
    log.append({C: t.close(log.load(C).state, on=Occasion(hour(1)))})

    for survivor, absorbed, rule, field in (
        (B, A, "ticket.merged", "survivorId"),
        (A, B, "ticket.merged", "absorbedId"),
        (A, C, "ticket.closed", "absorbedId"),
        (C, A, "ticket.closed", "survivorId"),
    ):
        with pytest.raises(RuleViolatedError) as refusal:
            merge(log.load(survivor), log.load(absorbed), on=Occasion(hour(2)))
        assert (refusal.value.rule, refusal.value.field) == (rule, (field,))


def test_a_merge_does_not_lie_before_the_last_move_of_either(log):
    log.append({B: [TicketHeld(hold_reason=HoldReason.VENDOR, occurred_at=hour(2))]})

    with pytest.raises(InvalidInputError) as refusal:
        merge(log.load(A), log.load(B), on=Occasion(hour(1)))

    assert refusal.value.field == ("occurredAt",)


def test_what_was_said_to_an_absorbed_ticket_goes_back_with_it(log):
    absorb(log, A, B, hour(1))
    log.edit(B, lambda was: t.reply(was, REPLY, internal=True, on=Occasion(hour(2))))
    log.edit(A, lambda was: t.reply(was, NOTE, internal=True, on=Occasion(hour(3))))

    changes = give_back(log, A, B, hour(4))

    again = [one.event for one in changes[B][1:]]
    assert [(one.interaction_id, one.internal, one.original.stream) for one in again] == [(REPLY, True, A)]
    assert changes[B][1].occurred_at > NOON
    assert isinstance(again[0], TicketReplied)


def test_only_the_innermost_merge_is_taken_back(log):
    absorb(log, B, C, hour(1))
    absorb(log, A, B, hour(2))

    assert log.load(A).state.absorbed_ids == (B, C)
    with pytest.raises(RuleViolatedError) as refusal:
        unmerge(log.load(B), log.load(C), log.streams[B], on=Occasion(hour(3)))
    assert refusal.value.rule == "ticket.unmerge_outer_first"
    give_back(log, A, B, hour(3))
    give_back(log, B, C, hour(4))
    assert [log.load(one).state.status for one in (A, B, C)] == [TicketStatus.NEW] * 3


def test_a_ticket_that_is_not_merged_is_not_taken_back(log):
    with pytest.raises(RuleViolatedError) as refusal:
        unmerge(log.load(A), log.load(B), log.streams[A], on=Occasion(hour(1)))

    assert refusal.value.rule == "ticket.not_merged"


def written(ticket, *, internal):
    event = InteractionRecorded(
        type=InteractionType.NOTE, body="Words", occurred_at=NOON, ticket_id=ticket, visibility=Visibility.SHARED,
        internal=internal,
    )  # fmt: skip
    return Loaded(id=NOTE, version=1, state=INTERACTION.evolve(None, event))


def cut(log, interactions):
    return split(
        log.load(A), interactions, split_id=NEW, title="Another thing", sla_policy_id=None, sla_policy_version=None,
        on=Occasion(hour(1)),
    )  # fmt: skip


def test_a_split_takes_texts_along_and_leaves_them_as_internal_as_they_were(log):
    note = written(A, internal=True)

    changes = cut(log, {NOTE: note})

    made = fold(TICKET, None, changes[NEW])
    assert (made.title, made.queue_id, made.requester_id, made.priority) == ("Another thing", QUEUE, ADA, Priority.HIGH)
    assert (made.split_from_id, made.tags) == (A, ("red",))
    assert changes[A] == [TicketSplit(split_id=NEW, interaction_ids=(NOTE,))]
    assert changes[NOTE] == [InteractionCorrected(ticket_id=NEW)]
    assert fold(INTERACTION, note.state, changes[NOTE]).internal


def test_texts_of_absorbed_tickets_are_split_off_too(log):
    absorb(log, A, B, hour(1))

    assert cut(log, {NOTE: written(B, internal=False)})[NOTE] == [InteractionCorrected(ticket_id=NEW)]


def test_only_what_is_in_the_conversation_is_split_off(log):
    for interactions, rule, field in (
        ({}, "ticket.nothing_to_split", ("interactionIds",)),
        ({NOTE: written(B, internal=False)}, "ticket.other_conversation", ("interactionIds", "0")),
    ):
        with pytest.raises(InvalidInputError) as refusal:
            cut(log, interactions)
        assert (refusal.value.rule, refusal.value.field) == (rule, field)
