"""SLA policies and clocks: events to rows, as of any position, equal to the fold of the ticket's events."""

from random import Random
from uuid import uuid4

import pytest

from crm_es.service.calendar import moment
from crm_es.service.enums import SlaKind
from crm_es.service.sla import next_due
from crm_es.service.sla_policy import SLA_POLICY, version_id
from crm_es.service.ticket import evolve
from projections.service_queues import policies
from projections.service_queues.clocks import COLUMNS, of_row
from tests.projections.desk import Desk
from tests.projections.past import as_of, folded


class Talkative(Desk):
    DEEDS = (*Desk.DEEDS, *(Desk.reply, Desk.receive) * 6)


@pytest.fixture
def desk(log, workspace):
    desk = Talkative(log, workspace, Random(8))
    desk.steps(700)
    Desk(log, uuid4(), Random(9)).steps(40)
    return desk


def test_clocks_as_of_any_position_equal_their_fold(desk, project, rows):
    project()
    random, seen = Random(1), set()

    for _ in range(300):
        ticket, position = random.choice(desk.tickets), random.randint(1, desk.log.positions[desk.workspace])
        _, facts = folded(desk.log, desk.workspace, ticket, position, evolve)
        found = as_of(
            rows, "service_queues.ticket_clock", ", ".join(("number", *COLUMNS, "to_record_at")),
            "workspace_id = %s AND ticket_id = %s", desk.workspace, ticket, position=position,
        )  # fmt: skip
        made = desk.clocks(facts) if facts else None
        clocks = made.clocks if made else ()
        assert [of_row(row[1:-1]) for row in sorted(found)] == list(clocks)
        assert [row[-1] for row in sorted(found)] == [
            None if clock.to_record is None else moment(clock.to_record) for clock in clocks
        ]
        seen |= {(clock.kind, clock.done is not None, clock.breached is not None) for clock in clocks}
        due = as_of(
            rows, "service_queues.ticket", "sla_due_at", "workspace_id = %s AND id = %s", desk.workspace, ticket,
            position=position,
        )  # fmt: skip
        assert due == ([] if made is None else [(None if next_due(made) is None else moment(next_due(made)),)])

    assert {kind for kind, _, _ in seen} == set(SlaKind)
    assert len(seen) > 5


def test_policies_as_of_any_position_are_what_was_published(desk, project, rows):
    project()
    random = Random(2)

    for position in random.sample(range(1, desk.log.positions[desk.workspace]), 60):
        found = as_of(
            rows, "service_queues.sla_policy", "id, policy_id, version, newest, name, queue_ids", "workspace_id = %s",
            desk.workspace, position=position,
        )  # fmt: skip
        expected = []
        for id_ in desk.of(SLA_POLICY):
            for number in range(1, desk.log.versions[id_] + 1):
                state, facts = state_at(desk, id_, number, position)
                if facts:
                    newest = not state_at(desk, id_, number + 1, position)[1]
                    said = (state.published.name, list(state.queue_ids))
                    expected.append((version_id(id_, number), id_, number, newest, *said))
        assert sorted(found) == sorted(expected)


def state_at(desk, id_, version, position):
    """The policy's state at a version, and that version's fact if it is there by the position."""
    facts = [f for f in desk.log.facts if f.stream == id_ and f.version <= version]
    state = None
    for fact in facts:
        state = SLA_POLICY.evolve(state, fact.event)
    return state, [f for f in facts if f.version == version and f.position <= position]


def test_a_stored_policy_counts_as_the_published_one(log, workspace, project, rows):
    desk = Desk(log, workspace, Random(3))
    desk.queue()
    for _ in range(6):
        desk.publish()
    project()

    stored = rows("SELECT id, targets, calendar, paused_by FROM service_queues.sla_policy")
    for id_, said in desk.policies().items():
        (row,) = [row for row in stored if row[0] == id_]
        made = policies.of_row(*row)
        assert (made.time, made._targets, made._paused_by) == (said.time, said._targets, said._paused_by)
