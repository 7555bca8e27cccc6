"""A replay at the machine, killed on the way and sent again."""

import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from crm_es.database.server import EmbeddedServer
from tests.commands.running import CRM, crm, environment
from tests.waiting import PATIENCE_SECONDS

MAPPING = Path(__file__).parents[2] / "examples/mappings/cdnow.toml"
ROWS = 1_500
TABLES = (
    ("audit_trail", "event"),
    ("contact_profiles", "contact"),
    ("contact_profiles", "contact_history"),
    ("interactions", "interaction"),
)
APART = SQL("((TABLE {one}) EXCEPT ALL (TABLE {other})) UNION ALL ((TABLE {other}) EXCEPT ALL (TABLE {one})) LIMIT 3")
Connection = psycopg.Connection[Any]


def applied(connection: Connection, name: str) -> int:
    """How many events a replay has taken in so far."""
    try:
        statement = SQL("SELECT count(*) FROM {}").format(Identifier(f"{name}__audit_trail", "event"))
        row = connection.execute(statement).fetchone()
    except psycopg.errors.UndefinedTable:
        return 0
    return row[0] if row else 0


def killed_on_the_way(connection: Connection, data_dir: Path, argv: list[str]) -> int:
    """How many events were in when it was killed. One that was faster than we is sent again, as any that was killed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with subprocess.Popen([*CRM, *argv], env=environment(data_dir), stdout=subprocess.DEVNULL) as process:  # noqa: S603
            began = applied(connection, "march")
            while process.poll() is None and applied(connection, "march") in {0, began}:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.kill()
        if process.returncode < 0:
            return applied(connection, "march")


@pytest.mark.slow
def test_a_replay_that_was_killed_begins_anew_and_says_so(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "cdnow.txt"
    file.write_text("".join(f"{n:05d} {n:04d} 19970101 1 10.00\n" for n in range(1, ROWS + 1)))
    tmp_path.chmod(0o755)
    done = crm(data_dir, "import", str(MAPPING), str(file), "--workspace", "Acme")
    assert done.returncode == 0, done.stderr
    argv = ["replay", "--to", "2100-01-01", "--schema", "march", "--workspace", "Acme"]

    with EmbeddedServer(data_dir) as urls, psycopg.connect(urls.owner, autocommit=True) as connection:
        row = connection.execute("SELECT max(sequence) FROM es.events").fetchone()
        assert row
        argv[2] = str(row[0])
        amid = killed_on_the_way(connection, data_dir, argv)
        again = crm(data_dir, *argv)
        fresh = crm(data_dir, *argv[:4], "fresh", *argv[5:])

        assert amid > 0
        assert (again.returncode, fresh.returncode) == (0, 0), again.stderr + fresh.stderr
        assert "Dropped what an earlier replay called march made" in again.stdout
        assert "Dropped" not in fresh.stdout
        for model, table in TABLES:
            one, other = (Identifier(f"{name}__{model}", table) for name in ("march", "fresh"))
            assert connection.execute(APART.format(one=one, other=other)).fetchall() == []
        assert applied(connection, "march") == row[0] >= 2 * ROWS
