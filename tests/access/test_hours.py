"""Hours of the access log: sealed in the main log once they are over, and proved against it."""

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from crm_es.access.hours import HOUR, NAMES, OF_WORKSPACE, Hour, canonical, read
from crm_es.access.proving import compared, prove
from crm_es.access.writer import AccessLog
from crm_es.ledger.merkle import leaf_hash, node_hash
from crm_es.ledger.reads_sealed import seal_hours
from tests.access.test_writer import row
from tests.ledger.logs import Writer
from tests.waiting import eventually

pytestmark = pytest.mark.anyio
LATER = timedelta(hours=2)
FORGED = """INSERT INTO access.entry SELECT (jsonb_populate_record(e, jsonb_build_object('operation', 'Forged'))).*
FROM access.entry e WHERE e.ctid = {one} AND e.tableoid = {table}"""
INSERTED = """INSERT INTO access.{} (workspace_id, id, at, actor_kind, kind, operation, operation_hash, node_types,
node_counts, node_ids, node_count, fields, rows, position, microseconds, allowed) VALUES
(gen_random_uuid(), gen_random_uuid(), now(), 'SYSTEM', 'QUERY', 'Q', '', '{{}}', '{{}}', '{{}}', 0, '{{}}', 0, 0, 0, true)"""


@pytest.fixture
async def workspaces(database):
    """Three rows of one, one of another; both have a log."""
    ours, theirs = uuid4(), uuid4()
    for workspace in (ours, theirs):
        Writer(database.app, workspace).fill(1)
    async with AccessLog.running(database.app, patience=60) as access:
        for workspace in (ours, ours, ours, theirs):
            await access.record(row(workspace, "emails", nodes=[uuid4()], purpose="为什么"))
    return ours, theirs


def seal(database, now=None):
    with psycopg.connect(database.sealer, autocommit=True) as connection:
        return seal_hours(connection, now)


def proved(database, workspace):
    with psycopg.connect(database.app) as connection:
        return prove(connection, workspace)


def sealed(database, workspace):
    with psycopg.connect(database.owner) as connection:
        return connection.execute(
            "SELECT convert_from(state, 'UTF8')::jsonb -> 'data' FROM es.events"
            " WHERE workspace_id = %s AND topic = 'ledger.access_sealed' ORDER BY sequence",
            [workspace],
        ).fetchall()


def tamper(database, statement, *given):
    """As a superuser who switches triggers off."""
    with psycopg.connect(database.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        assert connection.execute(statement, given).rowcount == 1


async def test_every_hour_that_is_over_is_sealed_once(database, workspaces):
    ours, theirs = workspaces

    early, first, again = (
        seal(database),
        seal(database, datetime.now(UTC) + LATER),
        seal(database, datetime.now(UTC) + LATER),
    )

    counts = [sum(said["count"] for (said,) in sealed(database, each)) for each in workspaces]
    assert counts == [3, 1]
    assert again == 0
    assert early + first == len(sealed(database, ours)) + len(sealed(database, theirs))
    assert proved(database, ours).findings == proved(database, theirs).findings == ()
    assert (proved(database, ours).rows, proved(database, theirs).rows) == (3, 1)


async def test_an_hour_that_is_not_over_waits(database, workspaces):
    with psycopg.connect(database.owner) as connection:
        newest = connection.execute("SELECT max(logged_at) FROM access.entry").fetchone()[0]
    over = newest.replace(minute=0, second=0, microsecond=0)

    seal(database, over)

    assert sum(said["count"] for each in workspaces for (said,) in sealed(database, each)) < 4
    assert proved(database, workspaces[0]).findings == ()


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("UPDATE access.entry SET purpose = 'another' WHERE ctid = {one} AND tableoid = {table}", False),
        ("UPDATE access.entry SET node_ids = '{{}}' WHERE ctid = {one} AND tableoid = {table}", False),
        ("DELETE FROM access.entry WHERE ctid = {one} AND tableoid = {table}", True),
        (FORGED, False),
    ],
)
async def test_whoever_changes_a_sealed_hour_is_found_with_the_hour(database, workspaces, statement, missing):
    ours, theirs = workspaces
    seal(database, datetime.now(UTC) + LATER)
    with psycopg.connect(database.owner) as connection:
        one, table, logged = connection.execute(
            "SELECT ctid::text, tableoid, logged_at FROM access.entry WHERE workspace_id = %s LIMIT 1", [ours]
        ).fetchone()

    tamper(database, statement.format(one=f"'{one}'", table=table))

    (finding,) = proved(database, ours).findings
    assert finding.since == logged.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    assert (finding.missing, finding.left) == (missing, False)
    assert proved(database, theirs).findings == ()


def test_rows_in_an_hour_that_was_sealed_empty_are_found_and_months_that_left_are_not():
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    hour = Hour(uuid4(), since, 3, "root")
    before = Hour(hour.workspace, since - HOUR, 1, "root")
    after = Hour(hour.workspace, since + HOUR, 1, "root")

    added = [*compared({since: hour}, {since: hour, before.since: before, after.since: after}, hour.until, None)]
    left = [*compared({since: hour}, {}, hour.until, since + timedelta(days=31))]
    gone = [*compared({since: hour}, {}, hour.until, since - timedelta(days=31))]

    assert [(finding.since, finding.missing) for finding in added] == [(before.since, False)]
    assert [(finding.left, finding.missing) for finding in left] == [(True, False)]
    assert [(finding.left, finding.missing) for finding in gone] == [(False, True)]


async def test_the_root_is_that_of_the_canonical_rows(database, workspaces):
    _, theirs = workspaces
    with psycopg.connect(database.owner) as connection:
        found = [*read(connection, OF_WORKSPACE, theirs)]
        (only,) = connection.execute(
            f"SELECT {', '.join(NAMES)} FROM access.entry WHERE workspace_id = %s",  # noqa: S608  # columns of ours
            [theirs],
        ).fetchall()

    assert [(hour.count, hour.root) for hour in found] == [(1, leaf_hash(canonical(only)).hex())]
    assert node_hash(b"a", b"b") == hashlib.sha256(b"\x01ab").digest()
    assert b'"purpose":"\xe4\xb8\xba\xe4\xbb\x80\xe4\xb9\x88"' in canonical(only)


async def test_an_hour_is_closed_when_its_writers_have_committed(database, workspaces):
    assert workspaces
    told = []

    def settle():
        with psycopg.connect(database.sealer, autocommit=True) as connection:
            told.append(connection.execute("SELECT access.settle()").fetchone())

    with psycopg.connect(database.app) as writer, psycopg.connect(database.owner, autocommit=True) as owner:
        (month,) = writer.execute("SELECT name FROM access.month()").fetchone()
        writer.execute(SQL(INSERTED).format(Identifier(month)))
        thread = threading.Thread(target=settle)
        thread.start()
        waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711003 AND NOT granted"
        eventually(lambda: owner.execute(waits).fetchone())
        assert told == []
        writer.commit()
    thread.join()

    assert len(told) == 1
