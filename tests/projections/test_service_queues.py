"""Queues and tickets: events to rows, as of any position, however the log is cut."""

from datetime import timedelta
from itertools import pairwise
from random import Random
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_es.eventstore.event import ERASED, ActorKind
from crm_es.interactions import interaction as i
from crm_es.projector.rebuild import Rebuild
from crm_es.projector.runner import Projector
from crm_es.projector.scrub import scrub
from crm_es.service.enums import Priority, TicketStatus, TicketType
from crm_es.service.queue import QueueArchived, QueueCreated
from crm_es.service.sla import has_breached
from crm_es.service.ticket import evolve
from crm_es.service.ticket_events import (
    TicketAbsorbed,
    TicketAssigned,
    TicketMerged,
    TicketMoved,
    TicketOpened,
    TicketPrioritized,
    TicketRated,
    TicketReleased,
    TicketResolved,
    TicketStarted,
    TicketUnmerged,
    TicketUpdated,
)
from crm_es.values import ExternalId
from projections import changes, interactions, search, service_queues
from tests.projections.desk import Desk
from tests.projections.past import as_of, folded, meanings
from tests.projector.log import START

QUEUE, ANNA = UUID(int=1), UUID(int=2)
MODELS = (service_queues, interactions, search, changes)


def opened(at=START, **more):
    given = {"title": "It broke", "type": TicketType.INCIDENT, "priority": Priority.NORMAL, "queue_id": QUEUE}
    return TicketOpened(**(given | more), occurred_at=at)


def hour(n):
    return START + timedelta(hours=n)


@pytest.fixture
def desk(log, workspace):
    desk = Desk(log, workspace, Random(5))
    desk.steps(700)
    Desk(log, uuid4(), Random(6)).steps(60)
    return desk


# As of any position

SAME = (
    "title", "hold_reason", "priority", "type", "queue_id", "assignee_id", "requester_id", "company_id", "merged_into",
    "follow_up_of_id", "split_from_id", "opened_at", "resolved_at", "closed_at", "resolution", "satisfaction",
    "sla_policy_id", "sla_policy_version",
)  # fmt: skip


def test_tickets_as_of_any_position_equal_their_fold(desk, project, rows):
    project()
    random, seen = Random(1), set()

    for _ in range(400):
        ticket, position = random.choice(desk.tickets), random.randint(1, desk.log.positions[desk.workspace])
        state, facts = folded(desk.log, desk.workspace, ticket, position, evolve)
        found = as_of(
            rows, "service_queues.ticket",
            ", ".join((*SAME, "status", "standing", "satisfaction_comment", "breached", "version", "tags", "requester_means_id",
                       "to_close_from")),
            "workspace_id = %s AND id = %s", desk.workspace, ticket, position=position,
        )  # fmt: skip
        if state is None:
            assert found == []
            continue
        means = meanings(desk.log, desk.workspace, position).get(state.requester_id, state.requester_id)
        assert found == [
            (
                *(getattr(state, name) for name in SAME), state.status, state.standing, state.comment,
                bool(state.breached) or has_breached(desk.clocks(facts)), facts[-1].version, list(state.tags), means,
                state.resolved_at if state.standing is TicketStatus.RESOLVED else None,
            )
        ]  # fmt: skip
        seen.add(state.status)

    assert seen == set(TicketStatus)


def test_what_an_import_resolved_is_not_to_be_closed_by_itself(log, workspace, project, rows):
    ids = [UUID(int=n) for n in (21, 22)]
    for id_, by in zip(ids, (ActorKind.IMPORT, ActorKind.MEMBER), strict=True):
        log.append(workspace, (id_, opened()))
        log.append(workspace, (id_, TicketResolved(occurred_at=hour(1))), by=by)

    project()

    found = dict(rows("SELECT id, to_close_from FROM service_queues.ticket"))
    assert found == {ids[0]: None, ids[1]: hour(1)}


MOVES = ("ticket.started", "ticket.resumed", "ticket.assigned", "ticket.moved", "ticket.held", "ticket.resolved",
         "ticket.closed", "ticket.reopened", "ticket.absorbed", "ticket.unmerged")  # fmt: skip


def spans(facts):
    """(status, hold reason, queue, assignee, from) of each interval, by folding one event after the other."""
    state, found = None, []
    for fact in facts:
        state = evolve(state, fact.event)
        now = (state.status, state.hold_reason, state.queue_id, state.assignee_id)
        if fact.topic == "ticket.opened" or (fact.topic in MOVES and found[-1][:4] != now):
            found.append((*now, fact.event.occurred_at))
    return found


def test_intervals_as_of_any_position_equal_their_fold_and_leave_no_gap(desk, project, rows):
    project()
    random = Random(2)

    for _ in range(300):
        ticket, position = random.choice(desk.tickets), random.randint(1, desk.log.positions[desk.workspace])
        _, facts = folded(desk.log, desk.workspace, ticket, position, evolve)
        found = as_of(
            rows, "service_queues.ticket_interval",
            "number, status, hold_reason, queue_id, assignee_id, from_at, to_at",
            "workspace_id = %s AND ticket_id = %s", desk.workspace, ticket, position=position,
        )  # fmt: skip
        found.sort()
        assert [row[1:6] for row in found] == spans(facts)
        assert [row[0] for row in found] == list(range(1, len(found) + 1))
        assert all(one[6] == after[5] for one, after in pairwise(found))
        assert [row[6] for row in found[-1:]] == [None] * len(found[-1:])


def means_of_tickets(log, workspace, position):
    means = {}
    for fact in log.facts:
        if fact.workspace == workspace and fact.position <= position:
            match fact.event:
                case TicketMerged(absorbed_ids=ids):
                    means |= dict.fromkeys(ids, fact.stream)
                case TicketReleased(absorbed_ids=ids, absorbed_id=target):
                    means |= dict.fromkeys(ids, target)
                case _:
                    pass
    return means


def test_what_is_written_follows_its_ticket_and_comes_back(desk, project, rows):
    project()
    random, moved = Random(3), 0

    for _ in range(300):
        text, position = random.choice(desk.texts), random.randint(1, desk.log.positions[desk.workspace])
        state, _ = folded(desk.log, desk.workspace, text, position, i.evolve)
        found = as_of(
            rows, "interactions.interaction", "ticket_id, ticket_means_id, internal", "workspace_id = %s AND id = %s",
            desk.workspace, text, position=position,
        )  # fmt: skip
        means = means_of_tickets(desk.log, desk.workspace, position)
        assert found == ([(state.ticket_id, means.get(state.ticket_id, state.ticket_id), True)] if state else [])
        moved += bool(state and means.get(state.ticket_id, state.ticket_id) != state.ticket_id)

    assert moved


def test_what_waits_sorts_by_due_time_then_priority_then_age(log, workspace, project, rows):
    ids = [uuid4() for _ in range(5)]
    log.append(workspace, (ids[0], opened(hour(3))), (ids[1], opened(hour(2))), (ids[2], opened(hour(1))))
    log.append(workspace, (ids[3], opened(hour(1))), (ids[4], opened(hour(4), priority=Priority.LOW)))
    log.append(workspace, (ids[0], TicketPrioritized(priority=Priority.URGENT, occurred_at=hour(5))))
    log.append(workspace, (ids[3], TicketResolved(occurred_at=hour(5))))
    project()

    found = rows("SELECT id FROM service_queues.ticket WHERE waiting_order <> '' ORDER BY waiting_order")
    assert [row[0] for row in found] == [ids[0], ids[2], ids[1], ids[4]]


# Cuts


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), pieces=st.lists(st.integers(1, 40), min_size=3, max_size=5), size=st.integers(1, 60))
def test_a_rebuild_equals_the_live_read_model_for_any_cuts(database, shared_log, seed, pieces, size):
    log = shared_log(database.owner)
    desk = Desk(log, uuid4(), Random(seed))
    for steps in pieces:
        desk.steps(steps)
        Projector(database.projector, log.decode, MODELS, page_size=size).drain()

    outcomes = Rebuild(database.projector, log.decode, MODELS).run(check=True)

    assert {o.read_model: o.differing for o in outcomes if o.differing} == {}


def test_numbers_follow_the_log_of_each_workspace(database, log, workspace):
    other, ids = uuid4(), [uuid4() for _ in range(5)]
    for number, id_ in enumerate(ids):
        log.append(other if number == 2 else workspace, (id_, opened()))
        if number == 1:
            Projector(database.projector, log.decode, MODELS).drain()
    Projector(database.projector, log.decode, MODELS).drain()

    with psycopg.connect(database.owner) as connection:
        found = dict(connection.execute("SELECT id, number FROM service_queues.ticket").fetchall())
    assert [found[id_] for id_ in ids] == [1, 2, 1, 3, 4]


# Merged, replied, erased


def test_a_merged_ticket_waits_no_more_until_it_is_given_back(log, workspace, project, rows):
    ticket, survivor = uuid4(), uuid4()
    asked = "SELECT status, standing, waiting_order = '', merged_into FROM service_queues.ticket WHERE id = %s"
    log.append(workspace, (survivor, opened()), (ticket, opened()))
    log.append(workspace, (ticket, TicketAbsorbed(survivor_id=survivor, survivor_version=1, occurred_at=hour(1))))
    project()

    assert rows(asked, ticket) == [("MERGED", "NEW", True, survivor)]
    log.append(workspace, (ticket, TicketUnmerged(survivor_id=survivor, occurred_at=hour(2))))
    project()
    assert rows(asked, ticket) == [("NEW", "NEW", False, None)]


def test_two_moves_at_one_moment_leave_an_interval_of_no_length(log, workspace, project, rows):
    ticket = uuid4()
    log.append(workspace, (ticket, opened()))
    log.append(
        workspace, (ticket, TicketAssigned(assignee_id=ANNA, occurred_at=hour(1))), (ticket, TicketStarted(occurred_at=hour(1)))
    )  # fmt: skip
    project()

    assert rows("SELECT status, assignee_id, from_at, to_at FROM service_queues.ticket_interval ORDER BY number") == [
        ("NEW", None, START, hour(1)),
        ("NEW", ANNA, hour(1), hour(1)),
        ("OPEN", ANNA, hour(1), None),
    ]


def test_the_first_public_reply_of_ours_is_the_first_response(log, workspace, project, rows):
    desk = Desk(log, workspace, Random(1))
    desk.steps(300)
    project()

    for ticket in desk.tickets:
        replies = [
            fact.event.occurred_at
            for fact in log.facts
            if fact.stream == ticket
            and fact.topic == "ticket.replied"
            and not (fact.event.internal or fact.event.inbound)
        ]
        (found,) = rows("SELECT first_responded_at FROM service_queues.ticket WHERE id = %s", ticket)
        assert found[0] == min(replies, default=None)


def test_erased_words_are_null_now_and_in_the_past(database, log, workspace, project, rows):
    ticket, ada = uuid4(), uuid4()
    log.append(workspace, (ticket, opened(requester_id=ada)))
    log.append(workspace, (ticket, TicketResolved(resolution="Mended", occurred_at=hour(1))))
    log.append(workspace, (ticket, TicketRated(satisfaction=5, comment="Fast")))
    project()

    with psycopg.connect(database.owner) as connection:
        scrub(connection.cursor(), "service_queues", service_queues.TABLES, workspace, ada)

    for table in ("ticket", "ticket_history"):
        words = f"SELECT DISTINCT title, resolution, satisfaction_comment FROM service_queues.{table}"
        assert rows(words) == [(None, None, None)]
    assert rows("SELECT satisfaction FROM service_queues.ticket") == [(5,)]


def test_what_was_erased_before_it_is_projected_is_null(log, workspace, project, rows):
    log.append(workspace, (uuid4(), opened(title=ERASED, requester_id=uuid4())))
    project()

    assert rows("SELECT title, number FROM service_queues.ticket") == [(None, 1)]


# Search and changes


def test_a_ticket_is_found_by_its_title_until_it_is_absorbed(log, workspace, project, rows):
    ticket, other, ada = uuid4(), uuid4(), uuid4()
    log.append(
        workspace,
        (ticket, opened(title="Büro brennt", requester_id=ada, external_ids=(ExternalId(system="d", value="1-7"),))),
    )
    log.append(workspace, (ticket, TicketUpdated(title="Das Büro brennt", requester_id=other)))
    project()

    asked = "SELECT slot, folded, subject_ids FROM search.term WHERE id = %s ORDER BY slot"
    assert rows(asked, ticket) == [("external d 1-7", "1-7", [other]), ("title", "das buro brennt", [other])]
    log.append(workspace, (ticket, TicketAbsorbed(survivor_id=other, survivor_version=1, occurred_at=hour(1))))
    project()
    assert rows("SELECT absorbed FROM search.record WHERE id = %s", ticket) == [(True,)]


def test_a_ticket_that_moves_leaves_the_one_queue_and_enters_the_other(log, workspace, project, rows):
    ticket, ada, bob, firm, old, new = (UUID(int=n) for n in range(1, 7))
    log.append(workspace, (old, QueueCreated(name="Old")), (new, QueueCreated(name="New")))
    log.append(workspace, (ticket, opened(queue_id=old, requester_id=ada, company_id=firm)))
    moved = TicketMoved(queue_id=new, sla_policy_id=None, sla_policy_version=None, occurred_at=hour(1))
    log.append(workspace, (ticket, moved), (old, QueueArchived()))
    log.append(workspace, (ticket, TicketUpdated(requester_id=bob, company_id=None)))
    project()

    assert rows("SELECT container_id, type, left_it, position FROM changes.contained ORDER BY 1") == [
        (ada, "CONTACT", True, 6), (bob, "CONTACT", False, 6), (firm, "COMPANY", True, 6), (old, "QUEUE", True, 4),
        (new, "QUEUE", False, 4),
    ]  # fmt: skip
    assert rows("SELECT id, type, version, gone FROM changes.record ORDER BY 1") == [
        (ticket, "TICKET", 3, False), (old, "QUEUE", 2, True), (new, "QUEUE", 1, False)
    ]  # fmt: skip
