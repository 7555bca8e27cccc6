"""What the store promises its callers, one command at a time."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from crm_es.errors import (
    AlreadyExistsError,
    CommandReusedError,
    ConflictError,
    ErasedError,
    InvalidInputError,
    NotFoundError,
    RuleViolatedError,
    VersionConflictError,
)
from crm_es.eventstore.event import ERASED, Dated
from crm_es.eventstore.store import Decided
from crm_es.values import Money
from tests.eventstore.samples import (
    FIRM,
    PERSON,
    VISIT,
    FirmFounded,
    Person,
    PersonAbsorbed,
    PersonAdded,
    PersonChanged,
    VisitLinked,
    VisitRecorded,
    command,
)

pytestmark = pytest.mark.anyio


async def add(store, workspace, **values):
    id_ = uuid4()
    await store.create(command(workspace), PERSON, id_, [PersonAdded(**values)])
    return id_


def done(city):
    return [] if city == "Rome" else [PersonChanged(city="Oslo")]


def refused(city):
    if city != "Rome":
        raise RuleViolatedError("Only in Rome.")
    return [PersonChanged(name="Anna")]


async def test_what_was_created_is_loaded(store, workspace):
    id_ = uuid4()

    outcome = await store.create(
        command(workspace), PERSON, id_, [PersonAdded(name="王伟"), PersonChanged(city="Köln")]
    )

    loaded = await store.load(PERSON, workspace, id_)
    assert (outcome.position, outcome.ids, outcome.replayed) == (2, (id_,), False)
    assert (loaded.version, loaded.state) == (2, Person(name="王伟", city="Köln"))
    assert (await store.load(PERSON, workspace, id_, at_version=1)).state == Person(name="王伟")


async def test_facts_carry_the_whole_envelope(store, workspace):
    id_, at = uuid4(), datetime(2024, 2, 29, 12, tzinfo=UTC)
    asked = command(workspace, reason="met at the fair", causation_id=uuid4(), occurred_at=at)

    outcome = await store.create(asked, PERSON, id_, [PersonAdded(name="Ann")])

    (fact,) = await store.facts(workspace, id_)
    assert fact.event == PersonAdded(name="Ann")
    assert (fact.workspace, fact.stream, fact.version, fact.topic) == (workspace, id_, 1, "person.added")
    assert (fact.position, fact.log_id) == (outcome.position, outcome.log_id)
    assert (fact.actor, fact.origin, fact.reason) == (asked.actor, asked.origin, "met at the fair")
    assert (fact.command_id, fact.correlation_id, fact.causation_id) == (
        asked.command_id, asked.correlation_id, asked.causation_id,
    )  # fmt: skip
    assert fact.occurred_at == at
    assert fact.recorded_at.tzinfo is not None
    assert fact.via is None


async def test_a_decision_sees_the_state_and_appends_to_it(store, workspace):
    id_ = await add(store, workspace, name="Ann")

    await store.decide(command(workspace), PERSON, id_, lambda state: [PersonChanged(name=f"{state.name} Lee")])

    assert (await store.load(PERSON, workspace, id_)).state.name == "Ann Lee"


async def test_a_decision_on_nothing_is_not_found(store, workspace):
    with pytest.raises(NotFoundError):
        await store.decide(command(workspace), PERSON, uuid4(), lambda _state: [])


async def test_a_stream_of_another_aggregate_is_not_found(store, workspace):
    id_ = await add(store, workspace, name="Ann")

    assert await store.load(FIRM, workspace, id_) is None
    assert await store.exists(workspace, FIRM, [id_]) == set()
    assert await store.exists(workspace, PERSON, [id_, uuid4()]) == {id_}


async def test_a_stream_of_another_workspace_can_neither_be_read_nor_written(store, workspace):
    id_ = await add(store, workspace, name="Ann")
    other = uuid4()

    assert await store.load(PERSON, other, id_) is None
    assert await store.facts(other, id_) == []
    with pytest.raises(NotFoundError):
        await store.decide(command(other), PERSON, id_, lambda _state: [PersonChanged(city="Rome")])
    with pytest.raises(NotFoundError):
        await store.create(command(other), PERSON, id_, [PersonAdded(name="Eve")])
    assert len(await store.facts(workspace, id_)) == 1


async def test_the_same_command_is_answered_with_the_same_outcome(store, workspace):
    asked, id_ = command(workspace), uuid4()
    first = await store.create(asked, PERSON, id_, [PersonAdded(name="Ann")])

    again = await store.create(asked, PERSON, uuid4(), [PersonAdded(name="Ann")])
    seen = await store.seen(asked)

    assert (again.position, again.log_id, again.ids, again.replayed) == (first.position, first.log_id, (id_,), True)
    assert seen == again


async def test_a_replay_is_answered_before_the_decision(store, workspace):
    id_, asked = await add(store, workspace, name="Ann"), command(workspace)
    first = await store.decide(asked, PERSON, id_, lambda _state: [PersonChanged(city="Rome")])

    again = await store.decide(asked, PERSON, id_, lambda _state: pytest.fail("decided twice"))

    assert (again.position, again.replayed) == (first.position, True)


async def test_a_command_id_with_another_input_is_refused(store, workspace):
    asked = command(workspace)
    await store.create(asked, PERSON, uuid4(), [PersonAdded(name="Ann")])
    other = command(workspace, command_id=asked.command_id, request_hash=b"other")

    with pytest.raises(CommandReusedError):
        await store.create(other, PERSON, uuid4(), [PersonAdded(name="Bob")])
    with pytest.raises(CommandReusedError):
        await store.seen(other)


async def test_a_command_that_changes_nothing_is_remembered(store, workspace):
    id_, asked = await add(store, workspace, name="Ann"), command(workspace)

    first = await store.decide(asked, PERSON, id_, lambda _state: [])
    again = await store.decide(asked, PERSON, id_, lambda _state: [PersonChanged(city="Rome")])

    assert (first.position, first.replayed) == (None, False)
    assert (again.position, again.replayed) == (None, True)


async def test_a_reserved_value_has_one_holder(store, workspace):
    id_ = await add(store, workspace, email="ann@x.io")

    with pytest.raises(AlreadyExistsError) as refused:
        await add(store, workspace, email="ann@x.io")

    assert (refused.value.holder, refused.value.kind) == (id_, "email")
    assert await store.holder(workspace, "email", "ann@x.io") == id_
    assert await store.holder(uuid4(), "email", "ann@x.io") is None


async def test_a_value_given_up_can_be_taken_by_another(store, workspace):
    id_ = await add(store, workspace, email="ann@x.io")

    await store.decide(command(workspace), PERSON, id_, lambda _state: [PersonChanged(email=None)])
    second = await add(store, workspace, email="ann@x.io")

    assert await store.holders(workspace, [("email", "ann@x.io"), ("email", "no@x.io")]) == {
        ("email", "ann@x.io"): second
    }


async def test_a_value_moves_between_streams_of_one_append(store, workspace):
    one, two = await add(store, workspace, email="ann@x.io"), await add(store, workspace, name="Bob")

    await store.transact(
        command(workspace),
        [(PERSON, one), (PERSON, two)],
        lambda _loaded: {one: [PersonChanged(email=None)], two: [PersonChanged(email="ann@x.io")]},
    )

    assert await store.holder(workspace, "email", "ann@x.io") == two


async def test_an_absorbed_id_is_decided_on_its_survivor(store, workspace):
    absorbed, survivor = await add(store, workspace, name="Ann"), await add(store, workspace, name="Anna")
    await store.decide(command(workspace), PERSON, absorbed, lambda _state: [PersonAbsorbed(into=survivor)])

    await store.decide(command(workspace), PERSON, absorbed, lambda state: [PersonChanged(name=f"{state.name}!")])

    loaded = await store.load(PERSON, workspace, absorbed)
    assert (loaded.id, loaded.via, loaded.state.name) == (survivor, absorbed, "Anna!")
    assert (await store.facts(workspace, survivor))[-1].via == absorbed
    assert (await store.load(PERSON, workspace, absorbed, follow=False)).id == absorbed


async def test_edits_of_different_fields_both_stand(store, workspace):
    id_ = await add(store, workspace, name="Ann")

    for change in (PersonChanged(name="Anna"), PersonChanged(city="Rome")):
        await store.decide(command(workspace), PERSON, id_, lambda _state, change=change: [change], expected_version=1)

    assert (await store.load(PERSON, workspace, id_)).state == Person(name="Anna", city="Rome")


async def test_edits_of_one_field_are_a_conflict_that_shows_all_three_values(store, workspace):
    id_ = await add(store, workspace, name="Ann")
    await store.decide(command(workspace), PERSON, id_, lambda _state: [PersonChanged(name="Anna")], expected_version=1)

    with pytest.raises(VersionConflictError) as refused:
        await store.decide(
            command(workspace),
            PERSON,
            id_,
            lambda _state: [PersonChanged(name="Hannah", city="Rome")],
            expected_version=1,
        )

    (conflict,) = refused.value.conflicts
    assert (conflict.field, conflict.base, conflict.mine, conflict.theirs) == ("name", "Ann", "Hannah", "Anna")
    assert (conflict.event, refused.value.current_version) == ((id_, 2), 2)


async def test_a_version_that_never_was_is_invalid(store, workspace):
    id_ = await add(store, workspace, name="Ann")

    with pytest.raises(InvalidInputError):
        await store.decide(
            command(workspace), PERSON, id_, lambda _state: [PersonChanged(city="R")], expected_version=2
        )


async def test_an_id_is_used_once(store, workspace):
    id_ = await add(store, workspace, name="Ann")

    with pytest.raises(ConflictError):
        await store.create(command(workspace), PERSON, id_, [PersonAdded(name="Bob")])


async def test_several_streams_are_appended_to_or_none(store, workspace):
    one, two = await add(store, workspace, name="Ann"), uuid4()
    await add(store, workspace, email="bob@x.io")

    with pytest.raises(AlreadyExistsError):
        await store.transact(
            command(workspace),
            [(PERSON, one), (PERSON, two)],
            lambda _loaded: {one: [PersonChanged(city="Rome")], two: [PersonAdded(email="bob@x.io")]},
        )

    assert len(await store.facts(workspace, one)) == 1
    assert await store.load(PERSON, workspace, two) is None


async def test_a_batch_remembers_its_ids_and_refusals(store, workspace):
    one, two, asked = uuid4(), uuid4(), command(workspace)
    refusals = ({"row": 1, "rule": "email.malformed", "field": ["email"]},)

    def decision(_loaded):
        return Decided(events={one: [FirmFounded(name="One")]}, ids=(one, two), refusals=refusals)

    first = await store.transact(asked, [(FIRM, one)], decision)
    again = await store.transact(asked, [(FIRM, one)], decision)

    assert (first.ids, first.refusals) == ((one, two), refusals)
    assert (again.ids, again.refusals, again.replayed) == ((one, two), refusals, True)


async def test_rows_of_a_batch_keep_their_own_time(store, workspace):
    id_, at = uuid4(), datetime(1997, 1, 1, tzinfo=UTC)

    await store.create_many(command(workspace), [(FIRM, id_, [Dated(FirmFounded(name="Old"), at)])])

    assert (await store.facts(workspace, id_))[0].occurred_at == at


async def test_a_thousand_rows_are_one_append(store, workspace):
    rows = [(VISIT, uuid4(), [VisitRecorded(body=f"call {n}", amount=Money(n, "EUR"))]) for n in range(1000)]

    outcome = await store.create_many(command(workspace), rows)

    loaded = await store.load_many(VISIT, workspace, [id_ for _, id_, _ in rows])
    assert outcome.position == 1000
    assert {loaded[id_].state.body for id_ in outcome.ids} == {f"call {n}" for n in range(1000)}


async def test_another_process_is_seen_through_the_cache(store, shared_database, keys, workspace):
    id_ = await add(store, workspace, name="Ann")
    await store.load(PERSON, workspace, id_)
    other = await type(store).open(shared_database.app, (PERSON,), keys)
    await other.decide(command(workspace), PERSON, id_, lambda _state: [PersonChanged(city="Rome")])
    await other.close()

    assert (await store.load(PERSON, workspace, id_)).state == Person(name="Ann", city="Rome")


async def test_a_new_command_is_decided_without_reading_what_was_seen_last(store, workspace, monkeypatch):
    id_ = await add(store, workspace, name="Ann")
    monkeypatch.setattr(store.recorder, "read_streams", lambda *_, **__: pytest.fail("the log was read"))

    outcome = await store.decide(
        command(workspace, fresh=True), PERSON, id_, lambda state: [PersonChanged(name=f"{state.name}a")]
    )

    assert (outcome.position, outcome.ids) == (2, (id_,))


@pytest.mark.parametrize("ours", [lambda _city: [PersonChanged(name="Anna")], done, refused])
async def test_nothing_is_decided_on_an_old_state(store, shared_database, keys, workspace, ours):
    """Another process said where she lives: whether we change, find done or refuse, it is with that in sight."""
    id_ = await add(store, workspace, name="Ann")
    other = await type(store).open(shared_database.app, (PERSON,), keys)
    await other.decide(command(workspace), PERSON, id_, lambda _state: [PersonChanged(city="Rome")])
    await other.close()

    await store.decide(command(workspace, fresh=True), PERSON, id_, lambda state: ours(state.city))

    assert (await store.load(PERSON, workspace, id_)).state.city == "Rome"


async def test_a_state_ahead_of_a_log_that_lost_its_end_is_given_up(store, workspace):
    id_ = await add(store, workspace, name="Ann")
    loaded = await store.load(PERSON, workspace, id_)
    store._states.put(workspace, PERSON, replace(loaded, version=9, state=Person(name="Lost")))

    await store.decide(command(workspace, fresh=True), PERSON, id_, lambda _state: [PersonChanged(city="Rome")])

    assert (await store.load(PERSON, workspace, id_)).state == Person(name="Ann", city="Rome")


async def test_content_has_a_key_with_its_linked_subjects_as_holders(store, workspace, owner):
    ann, bob, id_ = uuid4(), uuid4(), uuid4()
    await store.create(command(workspace), VISIT, id_, [VisitRecorded(person_ids=(ann, bob), body="secret")])

    await store.decide(command(workspace), VISIT, id_, lambda _state: [VisitLinked(person_ids=(bob,))])

    key_id = (await store.load(VISIT, workspace, id_)).key_id
    rows = owner.execute("SELECT subject_id, key_id, stream_id FROM es.key_holder WHERE workspace_id = %s", [workspace])
    assert rows.fetchall() == [(bob, key_id, id_)]


async def test_nothing_personal_is_added_once_the_key_is_destroyed(store, workspace):
    id_ = await add(store, workspace, name="Ann")
    store.keys.destroy([(await store.load(PERSON, workspace, id_)).key_id])

    with pytest.raises(ErasedError):
        await store.decide(command(workspace), PERSON, id_, lambda _state: [PersonChanged(name="Anna")])
    await store.decide(command(workspace), PERSON, id_, lambda _state: [PersonChanged(city="Rome")])

    first, second = await store.facts(workspace, id_)
    assert (first.event.name, second.event.city) == (ERASED, "Rome")


async def test_forgetting_the_caches_shows_an_erasure_at_once(store, workspace):
    id_ = await add(store, workspace, name="Ann")
    key_id = (await store.load(PERSON, workspace, id_)).key_id
    store.keys._rows.shred([key_id], None)  # another process
    assert (await store.load(PERSON, workspace, id_)).state.name == "Ann"

    store.forget_cached()

    assert (await store.load(PERSON, workspace, id_)).state.name is ERASED


async def test_a_reason_is_sealed_where_the_stream_is_personal_and_plain_elsewhere(store, workspace, owner):
    await store.create(command(workspace, reason="Ann asked me"), PERSON, uuid4(), [PersonAdded(tags=("vip",))])
    await store.create(command(workspace, reason="founded anew"), FIRM, uuid4(), [FirmFounded(name="X")])

    rows = owner.execute(
        "SELECT state FROM es.events WHERE workspace_id = %s ORDER BY sequence", [workspace]
    ).fetchall()
    assert b"Ann asked me" not in rows[0][0]
    assert b'"reason":{"$pii":1,' in rows[0][0]
    assert b'"reason":"founded anew"' in rows[1][0]
