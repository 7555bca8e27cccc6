"""One running `crm-es serve` for all that asks it, harms it or looks at what it does: it mends itself."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from crm_es.database.server import EmbeddedServer
from crm_es.ledger.crm_verify import pinned_key
from tests.commands.running import Serving, crm, token
from tests.waiting import eventually

pytestmark = pytest.mark.slow  # processes that are waited for


@pytest.fixture(scope="module")
def lasting(data_dir: Path, workspace: str) -> Iterator[Serving]:  # noqa: ARG001  # the order of fixtures
    running = Serving(data_dir, "--workers", "2")
    yield running
    assert running.stop() == 0


@pytest.fixture
def serving(lasting: Serving) -> Serving:
    """Ready, whatever the test before did to it."""
    lasting.get_until("/readyz", 200)
    eventually(lambda: len(lasting.children()) == 4)
    return lasting


ROTATED = """
SELECT EXISTS (
  SELECT FROM ledger.log l JOIN ledger.key k ON k.id = l.key_id
  WHERE k.public = %s AND l.workspace_id <> '00000000-0000-0000-0000-000000000000'
)
"""


def test_serve_answers_whoever_has_a_token_and_nobody_else(data_dir: Path, serving: Serving) -> None:
    answer = serving.ask("{ viewer { position } }", token(data_dir))
    refused = serving.ask("{ viewer { position } }", "nonsense")

    assert int(answer["data"]["viewer"]["position"]) > 0
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def test_processes_that_die_are_started_again(data_dir: Path, serving: Serving) -> None:
    mine = token(data_dir)
    before = eventually(lambda: found if len(found := serving.children()) == 4 else None)

    for child in before:
        with suppress(psutil.NoSuchProcess):  # it had lost the database that another test killed
            child.kill()

    serving.get_until("/readyz", 200)
    eventually(lambda: len(serving.children()) == 4)
    assert "data" in serving.ask("{ viewer { position } }", mine)


def test_a_killed_database_comes_back_under_a_running_serve(data_dir: Path, serving: Serving) -> None:
    mine = token(data_dir)
    pid_file = next(data_dir.glob("postgres-18/postmaster.pid"))
    os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)

    def told() -> Any:
        answer = serving.ask("{ viewer { position } }", mine)
        assert answer.get("data") or answer["errors"][0]["extensions"]["code"] == "TIMEOUT"
        return answer.get("data")

    assert int(eventually(told)["viewer"]["position"]) > 0


@pytest.mark.usefixtures("serving")
def test_what_was_recorded_is_sealed(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as urls, psycopg.connect(urls.owner, autocommit=True) as connection:
        eventually(
            lambda: connection.execute("SELECT unsealed = 0 AND signed_at IS NOT NULL FROM ledger.lag()").fetchone()[0]
        )

    assert (data_dir / "sealer.key").stat().st_mode & 0o077 == 0


@pytest.mark.usefixtures("serving")
def test_what_was_sealed_leaves_the_house(data_dir: Path, tmp_path: Path) -> None:
    with EmbeddedServer(data_dir) as urls, psycopg.connect(urls.owner, autocommit=True) as connection:
        eventually(lambda: connection.execute("SELECT count(*) FROM ledger.note").fetchone()[0])

    nowhere = crm(data_dir, "anchor", "--once")
    done = crm(data_dir, "anchor", "--once", "--file", str(tmp_path / "anchored.jsonl"))

    assert (nowhere.returncode, done.returncode) == (1, 0), done.stderr
    assert "Say where to" in nowhere.stderr
    assert "evidence outside this house begins with these" in done.stdout
    assert "crm-es.localhost/log/" in (tmp_path / "anchored.jsonl").read_text()


@pytest.mark.usefixtures("serving")
def test_the_keys_of_logs_are_rotated(data_dir: Path) -> None:
    token(data_dir)  # something is sealed
    eventually((data_dir / "sealer.key").exists)
    before = crm(data_dir, "ledger", "public-key")
    done = crm(data_dir, "ledger", "rotate-key")
    after = crm(data_dir, "ledger", "public-key")

    assert done.returncode == 0, done.stderr
    new = pinned_key(done.stdout.encode())  # what is printed can be pinned as it is
    with EmbeddedServer(data_dir) as urls, psycopg.connect(urls.owner, autocommit=True) as connection:
        eventually(lambda: connection.execute(ROTATED, [new]).fetchone()[0])
    assert after.stdout == done.stdout
    assert pinned_key(before.stdout.encode()) != new


@pytest.mark.usefixtures("serving")
def test_a_key_that_is_there_is_not_made_anew(data_dir: Path) -> None:
    eventually((data_dir / "sealer.key").exists)

    done = crm(data_dir, "ledger", "new-key")

    assert done.returncode == 1
    assert "rotate-key" in done.stderr


def test_a_key_where_there_is_none_is_told_as_it_is_pinned(tmp_path: Path) -> None:
    none = crm(tmp_path, "ledger", "public-key")
    new = crm(tmp_path, "ledger", "new-key")

    assert (none.returncode, new.returncode) == (1, 0), new.stderr
    assert "CRM_SEALER_KEY" in none.stderr
    assert len(pinned_key(new.stdout.encode())) == 32
    assert crm(tmp_path, "ledger", "public-key").stdout == new.stdout


def test_a_taken_port_is_named(data_dir: Path, serving: Serving) -> None:
    port = serving.url.rsplit(":", 1)[1].split("/")[0]

    done = crm(data_dir, "serve", "--port", port)

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
