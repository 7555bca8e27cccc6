"""What an operator does with the access log."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner

from crm_es.access.writer import AccessLog
from crm_es.cli import crm_es
from crm_es.ledger.reads_sealed import seal_hours
from tests.access.test_writer import row


@pytest.fixture
def crm(ready_database, tmp_path, monkeypatch):
    """The command line on a database of the test's own."""
    monkeypatch.setenv("CRM_DATABASE_URL", ready_database.owner)
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path))
    return lambda *argv: CliRunner().invoke(crm_es, argv)


def read_something(urls, workspace):
    async def write():
        async with AccessLog.running(urls.app, patience=60) as access:
            await access.record(row(workspace, "emails"))

    asyncio.run(write())


def test_verify_names_the_hour_that_differs(ready_database, crm):
    workspace = UUID(crm("workspace", "create", "Acme").output.splitlines()[-1])
    read_something(ready_database, workspace)

    unsealed = crm("access", "verify", "--workspace", "Acme")
    with psycopg.connect(ready_database.sealer, autocommit=True) as connection:
        seal_hours(connection, datetime.now(UTC) + timedelta(hours=2))
    sealed = crm("access", "verify", "--workspace", "Acme")
    with psycopg.connect(ready_database.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE access.entry SET purpose = 'none' WHERE workspace_id = %s", [workspace])
    changed = crm("access", "verify", "--workspace", str(workspace))
    with psycopg.connect(ready_database.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM access.entry WHERE workspace_id = %s", [workspace])
    gone = crm("access", "verify", "--workspace", str(workspace))

    assert (unsealed.exit_code, unsealed.output) == (
        0,
        "0 hours with 0 rows compared, 0 differ; nothing is sealed yet\n",
    )
    assert (sealed.exit_code, "1 hours with 1 rows compared, 0 differ" in sealed.output) == (0, True)
    assert (changed.exit_code, changed.output.startswith("DIFFERS ")) == (1, True)
    assert (gone.exit_code, "1 rows are gone" in gone.output) == (2, True)


def test_only_months_that_are_old_go_and_only_when_told(ready_database, crm):
    with psycopg.connect(ready_database.owner, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE access.entry_2020_01 PARTITION OF access.entry FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z')"
        )
        months = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'access.entry'::regclass"
        before = {name for (name,) in connection.execute(months)}

        asked, told, again = crm("access", "retain"), crm("access", "retain", "--yes"), crm("access", "retain", "--yes")

        after = {name for (name,) in connection.execute(months)}

    assert asked.output == "would go: access.entry_2020_01\n"
    assert told.output == "gone: access.entry_2020_01\n"
    assert again.output == "Nothing is older than 13 months.\n"
    assert before - after == {"access.entry_2020_01"}
    assert len(after) >= 3
