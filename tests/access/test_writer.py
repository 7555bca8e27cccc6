"""The writer of the access log on real PostgreSQL: gathered, durable, refused, lost and counted."""

import asyncio
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from crm_es.access.entry import Kind, entry
from crm_es.access.trail import Trail
from crm_es.access.writer import AccessLog
from crm_es.config import AccessMode
from crm_es.errors import InvalidInputError, UnavailableError
from crm_es.eventstore.event import Actor, ActorKind
from tests.waiting import eventually, soon

pytestmark = pytest.mark.anyio
ACTOR = Actor(kind=ActorKind.MEMBER, id=uuid4(), auth="test")


def row(workspace, *fields, nodes=(), **more):
    trail = Trail()
    trail.fields |= set(fields)
    trail.saw("Contact", nodes)
    return entry(
        **{"workspace": workspace, "actor": ACTOR, "kind": Kind.QUERY, "operation": "Q", "trail": trail, **more}
    )


def written(urls, workspace, what="id"):
    with psycopg.connect(urls.owner) as connection:
        return connection.execute(
            f"SELECT {what} FROM access.entry WHERE workspace_id = %s ORDER BY logged_at",  # noqa: S608  # columns of this file
            [workspace],
        ).fetchall()


@contextmanager
def blocked(urls):
    """Nobody can write, as if the database were far away."""
    with psycopg.connect(urls.owner) as connection:
        connection.execute("LOCK TABLE access.entry IN EXCLUSIVE MODE")
        yield


@pytest.fixture
async def access(database):
    async with AccessLog.running(database.app, patience=60) as made:
        yield made


async def test_rows_nobody_waits_for_come_soon(database, access):
    workspace, one, many = uuid4(), uuid4(), [uuid4() for _ in range(3)]

    await access.record(row(workspace, nodes=[one], purpose="a complaint"))
    await access.record(row(workspace, nodes=many))

    await soon(lambda: len(written(database, workspace)) == 2)
    assert written(database, workspace, "node_ids, node_types, node_counts, node_count, purpose, rows, kind") == [
        ([one], ["Contact"], [1], 1, "a complaint", 0, "QUERY"),
        (many, ["Contact"], [3], 3, None, 0, "QUERY"),
    ]


async def test_a_sensitive_row_is_durable_when_record_returns(database, access):
    workspace = uuid4()

    await access.record(row(workspace, "emails"))

    assert written(database, workspace, "fields") == [(["emails"],)]


async def test_answers_that_wait_share_commits(database, access):
    workspace = uuid4()

    await asyncio.gather(*(access.record(row(workspace, "emails")) for _ in range(500)))

    commits = [commit for (commit,) in written(database, workspace, "xmin::text")]
    assert len(commits) == 500
    assert len({*commits}) <= 5


async def test_all_mode_waits_for_every_row(database):
    workspace = uuid4()
    async with AccessLog.running(database.app, mode=AccessMode.ALL, patience=60) as access:
        await access.record(row(workspace))

        assert len(written(database, workspace)) == 1


async def test_off_keeps_nothing(database):
    workspace = uuid4()
    async with AccessLog.running(database.app, mode=AccessMode.OFF) as access:
        await access.record(row(workspace, "emails"))

    assert written(database, workspace) == []


async def test_what_waits_is_written_at_the_end(database):
    workspace = uuid4()
    async with AccessLog.running(database.app, gather=3_600, patience=60) as access:
        await access.record(row(workspace))

    assert len(written(database, workspace)) == 1


async def test_without_the_database_sensitive_answers_are_refused_and_other_rows_wait(database):
    workspace = uuid4()
    async with AccessLog.running(database.app, patience=1.5) as access:
        with blocked(database):
            await access.record(row(workspace, operation="Plain"))
            with pytest.raises(UnavailableError):
                await access.record(row(workspace, "emails", operation="Refused"))
            assert written(database, workspace) == []

        await soon(lambda: len(written(database, workspace)) == 2)

    assert written(database, workspace, "operation, allowed, code") == [
        ("Plain", True, None),
        ("Refused", False, "TIMEOUT"),
    ]


async def test_rows_there_is_no_room_for_are_counted_in_the_log_itself(database):
    workspace, other = uuid4(), uuid4()
    async with AccessLog.running(database.app, room=2, patience=1.5) as access:
        with blocked(database):
            for _ in range(2):
                await access.record(row(workspace))
            for _ in range(3):
                await access.record(row(workspace))
            await access.record(row(other))
            assert written(database, workspace) == []
            with pytest.raises(UnavailableError):
                await access.record(row(workspace, "emails"))

        await soon(lambda: written(database, other))
        await soon(lambda: len(written(database, workspace)) == 3)

    assert written(database, workspace, "kind, rows")[2:] == [("GAP", 3)]
    assert written(database, other, "kind, rows, actor_kind") == [("GAP", 1, "SYSTEM")]


async def test_a_batch_in_doubt_is_not_written_twice(database, access):
    workspace = uuid4()
    first, second = row(workspace, "emails"), row(workspace, "emails")
    await access.record(first)

    access._doubt = True  # its connection broke off after the commit
    await asyncio.gather(access.record(first), access.record(second))

    assert {*written(database, workspace)} == {(first.id,), (second.id,)}
    assert len(written(database, workspace)) == 2


async def test_a_row_the_database_refuses_holds_up_nobody(database, access):
    workspace = uuid4()
    bad = row(workspace, operation="Bad")
    bad.purpose = "x" * 501

    await asyncio.gather(access.record(bad), access.record(row(workspace, "emails", operation="Good")))

    await soon(lambda: len(written(database, workspace)) == 2)
    assert written(database, workspace, "operation, rows") == [("Good", 0), ("lost", 1)]


async def test_a_lost_connection_is_made_again(database, access):
    workspace = uuid4()
    await access.record(row(workspace, "emails"))
    with psycopg.connect(database.owner, autocommit=True) as connection:
        mine = "FROM pg_stat_activity WHERE query LIKE 'COPY access%' AND datname = current_database()"
        assert connection.execute(f"SELECT pg_terminate_backend(pid) {mine}").fetchall() == [(True,)]
        eventually(lambda: connection.execute(f"SELECT 1 {mine}").fetchone() is None)

    with pytest.raises(UnavailableError):
        await access.record(row(workspace, "emails"))
    await access.record(row(workspace, "emails"))

    await soon(lambda: len(written(database, workspace)) == 3)


def test_a_thousand_ids_are_named_and_the_rest_counted():
    contacts, deals = [uuid4() for _ in range(900)], [uuid4() for _ in range(300)]
    trail = Trail()
    trail.saw("Company", [])
    trail.saw("Deal", deals)
    trail.saw("Contact", contacts)
    trail.saw("Contact", contacts[:5])

    made = entry(workspace=uuid4(), actor=ACTOR, kind=Kind.QUERY, operation="Q" * 500, trail=trail)

    assert (made.node_count, made.node_types, made.node_counts) == (1200, ["Contact", "Company", "Deal"], [900, 0, 100])
    assert made.node_ids == [*contacts, *deals[:100]]
    assert len(made.operation) == 200


@pytest.mark.parametrize("purpose", ["x" * 501, "a\0b", "\ud800"])
def test_a_purpose_that_cannot_be_kept_is_refused(purpose):
    with pytest.raises(InvalidInputError):
        row(uuid4(), purpose=purpose)


@pytest.fixture
async def stocked(access):
    workspaces, node = (uuid4(), uuid4()), uuid4()
    for workspace in workspaces:
        await access.record(row(workspace, "emails", nodes=[node]))
    return workspaces, node


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE access.entry SET operation = 'none'",
        "DELETE FROM access.entry",
        "TRUNCATE access.entry",
        "INSERT INTO access.entry SELECT * FROM access.entry",
        "SELECT * FROM access.{month}",
        "INSERT INTO access.{month} (logged_at) VALUES (now())",
        "UPDATE access.{month} SET operation = 'none'",
        "DELETE FROM access.{month}",
        "TRUNCATE access.{month}",
        "DROP TABLE access.{month}",
    ],
)
async def test_the_application_adds_rows_and_no_more(database, stocked, statement):
    (ours, _), _node = stocked
    with psycopg.connect(database.app) as connection:
        (month,) = connection.execute("SELECT name FROM access.month()").fetchone()
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(ours)])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.format(month=month))


@pytest.mark.parametrize("statement", ["UPDATE access.entry SET operation = 'none'", "DELETE FROM access.entry"])
async def test_the_owner_changes_no_row_either(database, stocked, statement):
    assert stocked
    with psycopg.connect(database.owner) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


async def test_a_workspace_sees_its_own_rows(database, stocked):
    (ours, _), node = stocked
    with psycopg.connect(database.app) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(ours)])
        seen = connection.execute("SELECT workspace_id, id FROM access.entry").fetchall()
        (ids,) = connection.execute("SELECT access.reads_of(%s)", [[node]]).fetchone()

    assert [workspace for workspace, _ in seen] == [ours]
    assert ids == [id_ for _, id_ in seen]


async def test_coming_months_are_there_before_their_time(database):
    with psycopg.connect(database.app) as connection:
        connection.execute("SELECT access.prepare(3)")
        (ahead,) = connection.execute(
            "SELECT count(*) FROM pg_inherits i WHERE i.inhparent = 'access.entry'::regclass"
        ).fetchone()
        missing = connection.execute(
            "SELECT n FROM generate_series(0, 3) n WHERE to_regclass('access.entry_' || to_char(date_trunc('month',"
            " now() AT TIME ZONE 'UTC') + make_interval(months => n), 'YYYY_MM')) IS NULL"
        ).fetchall()

    assert ahead >= 4
    assert missing == []
