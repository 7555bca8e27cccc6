"""What the sealer's role may do, as the database itself sees it."""

from contextlib import contextmanager
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_es.eventstore.codec import hole_of
from crm_es.ledger import appending
from crm_es.ledger.log_events import stream_of
from tests.ledger.logs import NIL, heads, state_of

HEADS = heads()
APPEND = """
SELECT es.append_events(
  ARRAY[%s]::uuid[], ARRAY[%s]::uuid[], ARRAY['']::bytea[], ARRAY['{}'], ARRAY[NULL]::text[], ARRAY[NULL]::timestamptz[],
  ARRAY[1], ARRAY[1], ARRAY[%s]::uuid[], ARRAY[1]::bigint[], ARRAY[%s], ARRAY[%s]::bytea[], ARRAY[%s]::int[],
  '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'
)
"""


@contextmanager
def connected(url, workspace=None):
    with psycopg.connect(url, autocommit=True) as connection:
        if workspace is not None:
            connection.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
        yield connection


@pytest.fixture
def sealer(shared_database):
    with connected(shared_database.sealer) as connection:
        yield connection


def refused():
    return pytest.raises(psycopg.errors.InsufficientPrivilege)


def offered(connection, workspace, state, *, topic=HEADS.TOPIC, version=1, command_id=None):
    return connection.execute(
        "SELECT status FROM ledger.append(%s, %s, %s, %s, %s, %s, %s)",
        [workspace, command_id or UUID(int=1), b"", version, topic, state, hole_of(state)],
    ).fetchone()


@pytest.mark.usefixtures("begun")
def test_the_sealer_appends_ledger_events_once_each(sealer, workspace):
    first = appending.append(sealer, workspace, HEADS, once="1")
    again = appending.append(sealer, workspace, HEADS, once="1")
    second = appending.append(sealer, workspace, HEADS, once="2")

    rows = sealer.execute(
        "SELECT originator_id, originator_version, topic FROM es.events WHERE workspace_id = %s AND sequence >= %s"
        " ORDER BY sequence",
        [workspace, first],
    ).fetchall()
    assert (again, second) == (first, first + 1)
    assert rows == [(stream_of(workspace), 1, HEADS.TOPIC), (stream_of(workspace), 2, HEADS.TOPIC)]


@pytest.mark.usefixtures("begun")
def test_the_sealer_appends_nothing_else(sealer, workspace):
    state = state_of(workspace, stream_of(workspace), 1, "contact.registered", {})

    for topic in ("contact.registered", HEADS.TOPIC):
        with refused():
            offered(sealer, workspace, state, topic=topic)
    with refused():
        sealer.execute(APPEND, [workspace, UUID(int=1), stream_of(workspace), HEADS.TOPIC, state, hole_of(state)])
    with refused():
        sealer.execute("INSERT INTO es.events (topic) VALUES ('ledger.heads_sealed')")


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("part", ["stream", "workspace", "version", "type", "command_id"])
def test_the_bytes_must_say_what_the_columns_say(sealer, workspace, part):
    said = {"stream": uuid4(), "workspace": uuid4(), "version": 2, "type": "ledger.key_rotated", "command_id": uuid4()}
    state = appending.encoded(workspace, UUID(int=1), 1, HEADS)
    true = {
        "stream": stream_of(workspace), "workspace": workspace, "version": 1, "type": HEADS.TOPIC,
        "command_id": UUID(int=1),
    }  # fmt: skip
    old, new = (
        f'"{part}":{value}' if part == "version" else f'"{part}":"{value}"' for value in (true[part], said[part])
    )
    assert old.encode() in state

    with refused():
        offered(sealer, workspace, state.replace(old.encode(), new.encode()))


def test_the_sealer_founds_no_workspace(sealer):
    with refused():
        appending.append(sealer, uuid4(), HEADS, once="1")


@pytest.mark.usefixtures("begun")
def test_those_who_serve_append_no_ledger_event(shared_database, workspace):
    state = appending.encoded(workspace, UUID(int=1), 1, HEADS)

    with connected(shared_database.app) as connection:
        with refused():
            offered(connection, workspace, state)
        with refused():
            connection.execute(
                APPEND, [workspace, UUID(int=1), stream_of(workspace), HEADS.TOPIC, state, hole_of(state)]
            )


@pytest.mark.parametrize("table", ["tile", "checkpoint", "log", "key", "note"])
@pytest.mark.parametrize("role", ["app", "projector"])
def test_nobody_but_the_sealer_writes_the_ledgers_tables(shared_database, workspace, role, table):
    for statement in (f"DELETE FROM ledger.{table}", f"INSERT INTO ledger.{table} DEFAULT VALUES"):
        with connected(getattr(shared_database, role), workspace) as connection, refused():
            connection.execute(statement)


def test_tiles_only_grow_and_checkpoints_stay(sealer, owner, workspace):
    tile = (workspace, 1, 0, 0)
    sealer.execute("INSERT INTO ledger.tile VALUES (%s, %s, %s, %s, %s)", [*tile, b"a" * 32])
    change = "UPDATE ledger.tile SET hashes = %s WHERE workspace_id = %s"

    sealer.execute(change, [b"a" * 64, workspace])
    for connection in (sealer, owner):
        for hashes in (b"a" * 32, b"b" * 96):
            with refused():
                connection.execute(change, [hashes, workspace])
    sealer.execute(
        "INSERT INTO ledger.checkpoint VALUES (%s, 1, 2, '', now(), 'TIME', ''), (%s, 1, 1, '', now() - interval '1 year',"
        " 'HEADS', '')",
        [workspace, workspace],
    )
    for connection in (sealer, owner):
        for statement in (
            "DELETE FROM ledger.checkpoint WHERE workspace_id = %s",
            "DELETE FROM ledger.tile WHERE workspace_id = %s",
        ):
            with refused():
                connection.execute(statement, [workspace])


@pytest.mark.parametrize("table", ["tile", "checkpoint", "log", "request"])
def test_a_workspace_sees_its_own_log_and_the_log_of_logs(shared_database, sealer, owner, workspace, table):
    key = owner.execute(
        "INSERT INTO ledger.key (public) VALUES (%s) RETURNING id", [uuid4().bytes + uuid4().bytes]
    ).fetchone()[0]
    values = {
        "tile": "1, 5, {n}, repeat('a', 32)::bytea", "checkpoint": "1, {n}, '', now(), 'TIME', ''",
        "log": "{n}, 'x', {key}, now()", "request": "gen_random_uuid(), now()",
    }[table]  # fmt: skip
    number = uuid4().int % 2**30
    for of in (workspace, uuid4(), NIL):
        owner.execute(f"INSERT INTO ledger.{table} VALUES ('{of}', {values.format(n=number, key=key)})")

    with connected(shared_database.app, workspace) as connection:
        seen = {row[0] for row in connection.execute(f"SELECT workspace_id FROM ledger.{table}")}
    assert seen == ({workspace} if table == "request" else {workspace, NIL})
    assert sealer.execute(f"SELECT count(DISTINCT workspace_id) FROM ledger.{table}").fetchone()[0] >= 3


@given(st.uuids())
def test_program_and_database_agree_on_the_ledgers_stream(shared_database, workspace):
    with connected(shared_database.sealer) as connection:
        assert connection.execute("SELECT ledger.stream_of(%s)", [workspace]).fetchone() == (stream_of(workspace),)
    assert stream_of(workspace).version == 8
