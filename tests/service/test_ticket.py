"""What a ticket accepts and refuses."""

from datetime import timedelta
from uuid import UUID

import pytest

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import ERASED, Reservation
from crm_es.occasions import Occasion
from crm_es.service import ticket as t
from crm_es.service.enums import HoldReason, Priority, SlaKind, TicketStatus, TicketType
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_editing import TicketEdit, open_ticket, update
from crm_es.service.ticket_events import (
    TicketArticlesLinked,
    TicketArticlesUnlinked,
    TicketAssigned,
    TicketClosed,
    TicketHeld,
    TicketMoved,
    TicketOpened,
    TicketPrioritized,
    TicketRated,
    TicketReopened,
    TicketReplied,
    TicketResolved,
    TicketResumed,
    TicketSlaBreached,
    TicketStarted,
    TicketTagged,
    TicketUntagged,
    TicketUpdated,
)
from crm_es.values import ExternalId, Tag, joint_key
from tests.deciding import NOON, given

QUEUE, OTHER, ANNA, ADA, TEXT, ARTICLE, POLICY = map(UUID, map("00000000-0000-0000-0000-{:012}".format, range(1, 8)))
OPENED = TicketOpened(
    title="It broke", type=TicketType.INCIDENT, priority=Priority.NORMAL, queue_id=QUEUE, requester_id=ADA,
    tags=("red",), external_ids=(ExternalId(system="desk", value="1-1"),), occurred_at=NOON,
)  # fmt: skip
LATER = NOON + timedelta(hours=1)
LAST = NOON + timedelta(hours=2)
STARTED = TicketStarted(occurred_at=NOON)
RESOLVED = TicketResolved(resolution="Mended", occurred_at=NOON)
CLOSED = TicketClosed(occurred_at=NOON)
MOVES = {
    "assign": lambda ticket, at: t.assign(ticket, ANNA, on=Occasion(at)),
    "prioritize": lambda ticket, at: t.prioritize(ticket, Priority.URGENT, on=Occasion(at)),
    "move": lambda ticket, at: t.move(ticket, OTHER, sla_policy_id=None, sla_policy_version=None, on=Occasion(at)),
    "reply": lambda ticket, at: t.reply(ticket, TEXT, internal=False, on=Occasion(at)),
    "hold": lambda ticket, at: t.hold(ticket, HoldReason.VENDOR, on=Occasion(at)),
    "resume": lambda ticket, at: t.resume(ticket, on=Occasion(at)),
    "resolve": lambda ticket, at: t.resolve(ticket, on=Occasion(at)),
    "close": lambda ticket, at: t.close(ticket, on=Occasion(at)),
}


def test_opening_says_all_in_one_event():
    made = (
        given(TICKET)
        .when(
            lambda _: open_ticket(
                title="It broke",
                queue_id=QUEUE,
                type=TicketType.INCIDENT,
                requester_id=ADA,
                tags=[Tag("red"), Tag("red")],
                external_ids=[ExternalId(system="desk", value="1-1")],
                on=Occasion(NOON),
            )
        )
        .then(OPENED)
    )

    assert (made.status, made.opened_at, made.moved_at) == (TicketStatus.NEW, NOON, NOON)
    key = joint_key("ticket", "desk", "1-1")
    held = frozenset({Reservation(kind="external_id", value=key, holder=TEXT)})
    assert TICKET.reservations(TEXT, made) == held
    assert TICKET.subjects(TEXT, made) == (ADA,)


def test_the_policy_chosen_at_opening_stands_in_the_event():
    events = open_ticket(title="It", queue_id=QUEUE, sla_policy_id=POLICY, sla_policy_version=3, on=Occasion(NOON))

    assert (events[0].sla_policy_id, events[0].sla_policy_version) == (POLICY, 3)


def test_too_many_tags_are_refused():
    tags = [Tag(str(n)) for n in range(501)]

    given(TICKET).when(lambda _: open_ticket(title="It", queue_id=QUEUE, tags=tags, on=Occasion(NOON))).then_refused(
        RuleViolatedError, "ticket.too_many_tags", ("tags",)
    )


def test_an_update_says_only_what_changed():
    form = TicketEdit(
        title="It broke", type=TicketType.PROBLEM, company_id=None, requester_id=None, remove_tags=[Tag("red"), Tag("x")],
        add_tags=[Tag("blue")], add_article_ids=[ARTICLE],
    )  # fmt: skip

    given(TICKET, OPENED).when(update, form).then(
        TicketUpdated(type=TicketType.PROBLEM, requester_id=None),
        TicketUntagged(tags=("red",)),
        TicketTagged(tags=("blue",)),
        TicketArticlesLinked(article_ids=(ARTICLE,)),
    )
    given(TICKET, OPENED, TicketArticlesLinked(article_ids=(ARTICLE,))).when(
        update, TicketEdit(remove_article_ids=[ARTICLE])
    ).then(TicketArticlesUnlinked(article_ids=(ARTICLE,)))


def test_a_ticket_keeps_a_title():
    given(TICKET, OPENED).when(update, TicketEdit(title="")).then_refused(
        InvalidInputError, "ticket.titleless", ("title",)
    )


def test_the_first_to_have_a_ticket_begins_with_it():
    state = (
        given(TICKET, OPENED)
        .when(t.assign, ANNA, on=Occasion(LATER))
        .then(TicketAssigned(assignee_id=ANNA, occurred_at=LATER), TicketStarted(occurred_at=LATER))
    )

    assert (state.status, state.assignee_id) == (TicketStatus.OPEN, ANNA)


def test_an_assignment_to_the_same_or_to_nobody_begins_nothing():
    given(TICKET, OPENED).when(t.assign, None, on=Occasion(LATER)).then()
    had = given(TICKET, OPENED, TicketAssigned(assignee_id=ANNA, occurred_at=NOON))

    had.when(t.assign, ANNA, on=Occasion(NOON - timedelta(days=1))).then()
    state = had.when(t.assign, None, on=Occasion(LATER)).then(TicketAssigned(assignee_id=None, occurred_at=LATER))
    assert state.assignee_id is None


def test_a_resolved_ticket_can_be_assigned_and_a_closed_one_cannot():
    given(TICKET, OPENED, STARTED, RESOLVED).when(t.assign, ANNA, on=Occasion(LATER)).then(
        TicketAssigned(assignee_id=ANNA, occurred_at=LATER)
    )
    given(TICKET, OPENED, CLOSED).when(t.assign, ANNA, on=Occasion(LATER)).then_refused(
        RuleViolatedError, "ticket.closed"
    )


def test_a_move_attaches_the_policy_of_the_queue_entered():
    state = (
        given(TICKET, OPENED)
        .when(t.move, OTHER, sla_policy_id=POLICY, sla_policy_version=2, on=Occasion(LATER))
        .then(TicketMoved(queue_id=OTHER, sla_policy_id=POLICY, sla_policy_version=2, occurred_at=LATER))
    )

    assert (state.queue_id, state.sla_policy_id, state.sla_policy_version) == (OTHER, POLICY, 2)
    given(TICKET, OPENED).when(t.move, QUEUE, sla_policy_id=POLICY, sla_policy_version=2, on=Occasion(LATER)).then()


def test_a_priority_changes_once():
    given(TICKET, OPENED).when(t.prioritize, Priority.HIGH, on=Occasion(LATER)).then(
        TicketPrioritized(priority=Priority.HIGH, occurred_at=LATER)
    )
    given(TICKET, OPENED).when(t.prioritize, Priority.NORMAL, on=Occasion(LATER)).then()


def test_a_public_reply_begins_with_a_new_ticket_and_a_note_does_not():
    public = TicketReplied(interaction_id=TEXT, internal=False, occurred_at=LATER)
    note = TicketReplied(interaction_id=TEXT, internal=True, occurred_at=LATER)

    given(TICKET, OPENED).when(t.reply, TEXT, internal=False, on=Occasion(LATER)).then(
        public, TicketStarted(occurred_at=LATER)
    )
    given(TICKET, OPENED).when(t.reply, TEXT, internal=True, on=Occasion(LATER)).then(note)
    given(TICKET, OPENED, CLOSED).when(t.reply, TEXT, internal=True, on=Occasion(LATER)).then(note)


def test_a_message_recorded_elsewhere_is_never_refused():
    given(TICKET, OPENED, CLOSED).when(lambda _: t.receive(TEXT, inbound=True, at=NOON - timedelta(days=1))).then(
        TicketReplied(interaction_id=TEXT, internal=False, inbound=True, occurred_at=NOON - timedelta(days=1))
    )


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (HoldReason.CUSTOMER, TicketStatus.PENDING),
        (HoldReason.VENDOR, TicketStatus.ON_HOLD),
        (HoldReason.IMPLEMENTATION, TicketStatus.ON_HOLD),
        (HoldReason.OTHER, TicketStatus.ON_HOLD),
    ],
)
def test_the_reason_says_how_a_ticket_waits(reason, status):
    state = (
        given(TICKET, OPENED)
        .when(t.hold, reason, on=Occasion(LATER))
        .then(TicketHeld(hold_reason=reason, occurred_at=LATER))
    )

    assert (state.status, state.hold_reason) == (status, reason)
    given(TICKET, OPENED, TicketHeld(hold_reason=reason, occurred_at=NOON)).when(
        t.hold, reason, on=Occasion(LATER)
    ).then()


def test_work_goes_on_after_waiting_and_begins_on_a_new_ticket():
    held = given(TICKET, OPENED, TicketHeld(hold_reason=HoldReason.OTHER, occurred_at=NOON))

    state = held.when(t.resume, on=Occasion(LATER)).then(TicketResumed(occurred_at=LATER))
    assert (state.status, state.hold_reason) == (TicketStatus.OPEN, None)
    given(TICKET, OPENED).when(t.resume, on=Occasion(LATER)).then(TicketStarted(occurred_at=LATER))
    given(TICKET, OPENED, STARTED).when(t.resume, on=Occasion(LATER)).then_refused(RuleViolatedError, "ticket.not_held")


def test_resolving_keeps_what_was_said_and_links_the_article():
    state = (
        given(TICKET, OPENED, STARTED)
        .when(t.resolve, resolution="Mended", article_id=ARTICLE, on=Occasion(LATER))
        .then(TicketResolved(resolution="Mended", article_id=ARTICLE, occurred_at=LATER))
    )

    assert (state.status, state.resolved_at) == (TicketStatus.RESOLVED, LATER)
    assert (state.resolution, state.article_ids) == ("Mended", (ARTICLE,))


@pytest.mark.parametrize("move", ["hold", "resume", "resolve"])
def test_a_resolved_ticket_is_reopened_first(move):
    given(TICKET, OPENED, RESOLVED).when(MOVES[move], LATER).then_refused(RuleViolatedError, "ticket.resolved")


@pytest.mark.parametrize("move", MOVES)
def test_a_closed_ticket_takes_none_of_these(move):
    given(TICKET, OPENED, CLOSED).when(MOVES[move], LATER).then_refused(RuleViolatedError, "ticket.closed")


@pytest.mark.parametrize("move", MOVES)
def test_no_move_lies_before_the_last_and_two_may_meet(move):
    moved = given(
        TICKET, OPENED, TicketMoved(queue_id=QUEUE, sla_policy_id=None, sla_policy_version=None, occurred_at=LATER)
    )

    moved.when(MOVES[move], NOON).then_refused(InvalidInputError, "occurred_at.before_last", ("occurredAt",))
    assert moved.when(MOVES[move], LATER).decide()


def test_a_ticket_is_closed_with_or_without_a_resolution():
    for before in ([], [STARTED], [STARTED, RESOLVED]):
        state = given(TICKET, OPENED, *before).when(t.close, on=Occasion(LATER)).then(TicketClosed(occurred_at=LATER))
        assert (state.status, state.closed_at) == (TicketStatus.CLOSED, LATER)


def test_reopening_takes_resolution_and_closing_back():
    state = (
        given(TICKET, OPENED, STARTED, RESOLVED, CLOSED)
        .when(t.reopen, on=Occasion(LATER), window=timedelta(days=30))
        .then(TicketReopened(occurred_at=LATER))
    )

    assert (state.status, state.resolved_at, state.closed_at) == (TicketStatus.OPEN, None, None)
    assert state.resolution == "Mended"
    given(TICKET, OPENED).when(t.reopen, on=Occasion(LATER), window=None).then_refused(
        RuleViolatedError, "ticket.not_resolved"
    )


def test_a_ticket_is_reopened_to_the_last_moment_of_its_window():
    closed, window = given(TICKET, OPENED, CLOSED), timedelta(days=30)
    end = NOON + window

    closed.when(t.reopen, on=Occasion(end), window=window).then(TicketReopened(occurred_at=end))
    late = end + timedelta(microseconds=1)
    closed.when(t.reopen, on=Occasion(late), window=window).then_refused(RuleViolatedError, "ticket.reopen_window_over")
    closed.when(t.reopen, on=Occasion(late), window=None).then(TicketReopened(occurred_at=late))


def test_the_window_counts_from_closing_not_from_resolving():
    resolved, late = given(TICKET, OPENED, RESOLVED), NOON + timedelta(days=90)

    resolved.when(t.reopen, on=Occasion(late), window=timedelta(days=30)).then(TicketReopened(occurred_at=late))


def test_a_done_ticket_is_rated_from_one_to_five():
    done = given(TICKET, OPENED, RESOLVED)

    state = done.when(t.rate, 5, "Fast").then(TicketRated(satisfaction=5, comment="Fast"))
    given(TICKET, OPENED, RESOLVED, TicketRated(satisfaction=5, comment="Fast")).when(t.rate, 5, "Fast").then()
    given(TICKET, OPENED).when(t.rate, 5).then_refused(RuleViolatedError, "ticket.not_resolved")
    for wrong in (0, 6):
        done.when(t.rate, wrong).then_refused(InvalidInputError, "ticket.satisfaction_out_of_range", ("satisfaction",))
    assert (state.satisfaction, state.comment) == (5, "Fast")


def test_a_promise_is_broken_once():
    broken = TicketSlaBreached(kind=SlaKind.RESOLUTION, cycle=1, due_at=LATER)

    given(TICKET, OPENED).when(t.breach, SlaKind.RESOLUTION, 1, LATER).then(broken)
    given(TICKET, OPENED, broken).when(t.breach, SlaKind.RESOLUTION, 1, LAST).then()
    given(TICKET, OPENED, broken).when(t.breach, SlaKind.RESOLUTION, 2, LAST).then(
        TicketSlaBreached(kind=SlaKind.RESOLUTION, cycle=2, due_at=LAST)
    )


def test_an_erased_ticket_goes_on_without_its_words():
    erased = TicketOpened(
        title=ERASED,
        type=TicketType.INCIDENT,
        priority=Priority.NORMAL,
        queue_id=QUEUE,
        requester_id=ADA,
        occurred_at=NOON,
    )

    state = (
        given(TICKET, erased)
        .when(t.hold, HoldReason.VENDOR, on=Occasion(LATER))
        .then(TicketHeld(hold_reason=HoldReason.VENDOR, occurred_at=LATER))
    )
    assert TICKET.fields(state)["title"] is None
