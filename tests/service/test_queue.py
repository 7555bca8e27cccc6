"""What a queue accepts and refuses."""

from dataclasses import replace
from uuid import UUID

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import Reservation
from crm_es.service.queue import (
    QUEUE,
    QueueArchived,
    QueueChanged,
    QueueCreated,
    QueueEdit,
    QueueRestored,
    archive,
    change,
    create,
    restore,
)
from crm_es.values import ExternalId, joint_key
from tests.deciding import given

HELP = QueueCreated(name="Help")


def test_a_queue_needs_a_name():
    given(QUEUE).when(lambda _: create(QueueEdit())).then_refused(InvalidInputError, "queue.nameless", ("name",))


def test_a_new_queue_reopens_for_thirty_days_and_closes_nothing_by_itself():
    made = given(QUEUE).when(lambda _: create(QueueEdit(name="Help"))).then(HELP)

    assert (made.reopen_days, made.auto_close_days) == (30, None)


def test_external_ids_are_reserved_until_it_is_archived():
    known = ExternalId(system="desk", value="7")
    made = given(QUEUE).when(lambda _: create(QueueEdit(name="Help"), [known, known]))
    state = made.then(QueueCreated(name="Help", external_ids=(known,)))

    held = Reservation(kind="external_id", value=joint_key("queue", "desk", "7"), holder=UUID(int=7))
    assert QUEUE.reservations(UUID(int=7), state) == {held}
    assert QUEUE.reservations(UUID(int=7), replace(state, archived=True)) == frozenset()
    many = [ExternalId(system="desk", value=str(n)) for n in range(101)]
    given(QUEUE).when(lambda _: create(QueueEdit(name="Help"), many)).then_refused(
        InvalidInputError, "queue.too_many_externalids", ("externalIds",)
    )


def test_only_what_changed_is_said():
    form = QueueEdit(name="Help", reopen_days=7, auto_close_days=None)

    given(QUEUE, HELP).when(change, form).then(QueueChanged(reopen_days=7))


def test_days_out_of_range_are_refused():
    for form, field in (
        (QueueEdit(reopen_days=-1), "reopenDays"),
        (QueueEdit(auto_close_days=0), "autoCloseDays"),
        (QueueEdit(auto_close_days=3_651), "autoCloseDays"),
    ):
        given(QUEUE, HELP).when(change, form).then_refused(InvalidInputError, "queue.days_out_of_range", (field,))


def test_an_archived_queue_is_restored_before_it_changes():
    archived = given(QUEUE, HELP, QueueArchived())

    given(QUEUE, HELP).when(archive).then(QueueArchived())
    archived.when(archive).then_refused(RuleViolatedError, "queue.archived")
    archived.when(change, QueueEdit(name="Other")).then_refused(RuleViolatedError, "queue.archived")
    archived.when(restore).then(QueueRestored())
    given(QUEUE, HELP).when(restore).then_refused(RuleViolatedError, "queue.not_archived")
