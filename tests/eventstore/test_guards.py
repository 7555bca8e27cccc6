"""Who may do what to the log, as the database itself sees it."""

from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from crm_es.eventstore.commit import Append, Freed
from crm_es.eventstore.event import Change
from crm_es.eventstore.log import Entry
from tests.eventstore.samples import PERSON, VISIT, FirmFounded, PersonAdded, VisitRecorded, command

pytestmark = pytest.mark.anyio

SECRETS = ("Grace Hopper", "grace@navy.mil", "ring me about the invoice", "asked on the phone", "王伟")


@pytest.fixture
async def recorded(store, workspace):
    person = uuid4()
    await store.create(
        command(workspace, reason="asked on the phone"),
        PERSON,
        person,
        [PersonAdded(name="Grace Hopper", email="grace@navy.mil")],
    )
    await store.create(
        command(workspace),
        VISIT,
        uuid4(),
        [VisitRecorded(person_ids=(person,), body="ring me about the invoice, 王伟")],
    )
    return person


@contextmanager
def connected(url, workspace=None):
    with psycopg.connect(url) as connection:
        if workspace is not None:
            connection.execute("SELECT set_config('app.workspace', %s, true)", [str(workspace)])
        yield connection


def count(table):
    return f"SELECT count(*) FROM es.{table}"  # noqa: S608  # names of this file


def refused():
    return pytest.raises(psycopg.errors.InsufficientPrivilege)


@pytest.mark.parametrize("table", ["events", "head", "command", "reservation", "key_holder", "doomed_key"])
@pytest.mark.parametrize(
    "statement", ["UPDATE es.{0} SET workspace_id = workspace_id", "DELETE FROM es.{0}", "TRUNCATE es.{0}"]
)
@pytest.mark.parametrize("role", ["app", "projector"])
def test_nobody_but_the_append_function_writes_to_the_log(shared_database, workspace, role, statement, table):
    with connected(getattr(shared_database, role), workspace) as connection, refused():
        connection.execute(statement.format(table))


@pytest.mark.parametrize("role", ["app", "projector"])
def test_nobody_inserts_events_by_hand(shared_database, workspace, role):
    with connected(getattr(shared_database, role), workspace) as connection, refused():
        connection.execute(
            "INSERT INTO es.events"
            " (originator_id, originator_version, topic, state, workspace_id, sequence, recorded_at, command_id)"
            " VALUES (gen_random_uuid(), 1, 'x', '', %s, 1, now(), gen_random_uuid())",
            [workspace],
        )


@pytest.mark.parametrize(
    "statement", ["UPDATE es.events SET topic = 'x' WHERE sequence = 1", "DELETE FROM es.events", "TRUNCATE es.events"]
)
@pytest.mark.usefixtures("recorded")
def test_not_even_the_owner_changes_an_event(owner, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        owner.execute(statement)


def test_the_owner_of_the_log_cannot_log_in(owner):
    rows = owner.execute(
        "SELECT rolcanlogin, rolsuper, rolbypassrls FROM pg_roles WHERE rolname LIKE 'crm\\_%'"
    ).fetchall()
    assert sorted(rows) == [(False, False, False), (True, False, False), (True, False, False), (True, False, False)]


@pytest.mark.usefixtures("recorded")
def test_no_plaintext_stands_in_the_database(owner, workspace):
    rows = owner.execute(
        "SELECT state::text, convert_from(state, 'UTF8') FROM es.events WHERE workspace_id = %s", [workspace]
    )
    events = "".join(text for row in rows for text in row)
    rest = "".join(
        str(row)
        for table in ("command", "reservation", "key_holder")
        for row in owner.execute(f"SELECT t::text FROM es.{table} t WHERE workspace_id = %s", [workspace])  # noqa: S608
    )

    assert '"$pii":1' in events
    for secret in SECRETS:
        for shape in (secret, secret.encode().hex(), secret.encode("unicode_escape").decode()):
            assert shape not in events
            assert shape not in rest


@pytest.mark.usefixtures("recorded")
def test_a_workspace_sees_its_own_rows_only(shared_database, workspace):
    for table in ("events", "head", "command", "reservation", "key_holder", "audit"):
        with connected(shared_database.app, workspace) as connection:
            own = connection.execute(count(table)).fetchone()
        with connected(shared_database.app, uuid4()) as connection:
            others = connection.execute(count(table)).fetchone()

        assert (own[0] > 0, others) == (True, (0,)), table


@pytest.mark.parametrize("table", ["events", "head", "command", "reservation", "key_holder", "audit"])
@pytest.mark.usefixtures("recorded")
def test_without_a_workspace_nothing_is_answered_at_all(shared_database, workspace, table):
    with connected(shared_database.app) as connection, pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute(count(table))
    with connected(shared_database.app, workspace) as connection:
        connection.commit()  # the setting is now '', not unset
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute(count(table))


def test_the_audit_view_shows_a_state_as_json(shared_database, recorded, workspace):
    with connected(shared_database.app, workspace) as connection:
        row = connection.execute(
            "SELECT topic, stream, version, body ->> 'type', body -> 'actor' ->> 'kind' FROM es.audit WHERE position = 1"
        ).fetchone()

    assert row == ("person.added", recorded, 1, "person.added", "MEMBER")


async def test_a_freed_kind_needs_no_value(store, workspace, recorded):
    """After an erasure the value cannot be hashed any more; its reservation goes by stream and kind."""
    append = Append(command=command(workspace), freed=[Freed("email", None, recorded)])

    await store.recorder.commits.append(append)

    assert await store.holder(workspace, "email", "grace@navy.mil") is None


async def test_version_gaps_are_refused(store, workspace):
    asked, stream = command(workspace), uuid4()
    entries = [
        Entry(command=asked, change=Change(stream=stream, version=version, event=FirmFounded(name="x")), key=None)
        for version in (1, 3)
    ]
    append = Append(command=asked, events=[store._log.mapper.to_stored_event(entry) for entry in entries])

    verdict = await store.recorder.commits.append(append)

    assert verdict.status == "CONFLICT"
    assert await store.facts(workspace, stream) == []


def test_only_the_application_may_call_the_append_function(owner):
    rows = owner.execute(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'crm\\_%' AND NOT rolsuper"
        " AND has_function_privilege(rolname, (SELECT oid FROM pg_proc WHERE proname = 'append_events'), 'EXECUTE')"
    ).fetchall()

    assert sorted(rows) == [("crm_app",), ("crm_owner",)]
