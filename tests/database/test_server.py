"""The embedded server: shared, restarted, found again after a kill, and run by whoever runs us."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from crm_es.commands.doctor import left_behind
from crm_es.database.place import SYSTEM_USER, ServerUser, binaries, orphans
from crm_es.database.server import EmbeddedServer
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import ConfigurationError
from tests.conftest import forget

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
HOLD = """
import sys
from pathlib import Path
from crm_es.database.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), durable=False)
print(server.start().owner, flush=True)
sys.stdin.read()
print(server.stop(), flush=True)
"""


@pytest.fixture
def data_dir(new_folder: Callable[[], Path]) -> Iterator[Path]:
    directory = new_folder()
    yield directory
    with EmbeddedServer(directory, durable=False):
        pass  # whoever still held it is gone by now: the last one out stops it
    shutil.rmtree(directory)


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data_dir, durable=False)
    yield server
    server.stop()


def hold(data_dir: Path) -> "subprocess.Popen[str]":
    """Another process that uses the server until its standard input ends."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", HOLD, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def answers(urls: DatabaseUrls, sql: str = "SELECT 1") -> object:
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        for statement in sql.split(";"):
            row = connection.execute(statement.encode())
        found = row.fetchone()
    return found and found[0]


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres-18" / "postmaster.pid").read_text().splitlines()[0])


def test_rows_are_there_after_stop_and_start(server: EmbeddedServer) -> None:
    urls = server.start()
    answers(urls, "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1")

    stopped = server.stop()

    assert stopped
    assert answers(server.start(), "SELECT n FROM kept") == 42


def test_the_last_process_out_stops_the_server(server: EmbeddedServer, data_dir: Path) -> None:
    other = hold(data_dir)
    assert other.stdout
    theirs = other.stdout.readline().strip()
    urls = server.start()

    out, _ = other.communicate("")

    assert theirs == urls.owner
    assert out.strip() == "False"
    assert answers(urls) == 1
    assert server.stop()
    with pytest.raises(psycopg.OperationalError):
        answers(urls)


def test_many_processes_starting_at_once_share_one_server(data_dir: Path) -> None:
    others = [hold(data_dir) for _ in range(4)]

    urls = {other.stdout.readline() for other in others if other.stdout}

    stops = [other.communicate("")[0].strip() for other in others]
    assert len(urls) == 1
    assert sorted(stops) == ["False", "False", "False", "True"]


def test_a_server_left_by_a_killed_process_is_joined_and_then_stopped(server: EmbeddedServer, data_dir: Path) -> None:
    other = hold(data_dir)
    assert other.stdout
    theirs = other.stdout.readline().strip()
    other.kill()
    other.communicate()

    urls = server.start()

    assert urls.owner == theirs
    assert server.stop()


def test_a_killed_postgres_is_started_again_with_all_that_was_committed(server: EmbeddedServer, data_dir: Path) -> None:
    urls = server.start()
    answers(urls, "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1")
    os.kill(postmaster(data_dir), signal.SIGKILL)

    again = server.start()

    assert answers(again, "SELECT n FROM kept") == 42


COLLECTING_NOBODY = """
import ctypes, os, signal, sys
from pathlib import Path
from crm_es.database.server import EmbeddedServer
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: whoever is left by his parent is ours
server = EmbeddedServer(Path(sys.argv[1]), durable=False)
server.start()
(file,) = Path(sys.argv[1]).glob("postgres-*/postmaster.pid")
for begin in (server.start, server.revive):
    killed = int(file.read_text().split()[0])
    os.kill(killed, signal.SIGKILL)
    while (state := Path(f"/proc/{killed}/stat").read_text().rpartition(") ")[2][0]) != "Z":
        pass
    begin()
    print(state, int(file.read_text().split()[0]) != killed, server._cluster().accepts())
server.stop()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="zombies are made by a call of Linux")
def test_a_killed_postgres_that_nobody_collects_is_started_again(data_dir: Path) -> None:
    """As in a container whose first process collects no others."""
    argv = [sys.executable, "-c", COLLECTING_NOBODY, str(data_dir)]

    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)  # noqa: S603

    assert done.stdout.splitlines() == ["Z True True"] * 2, done.stderr


def test_a_pid_file_naming_another_live_process_does_not_stop_a_start(server: EmbeddedServer, data_dir: Path) -> None:
    server.start()
    killed = postmaster(data_dir)
    os.kill(killed, signal.SIGKILL)
    sleeper = subprocess.Popen(["/bin/sleep", "3600"])
    pid_file = data_dir / "postgres-18" / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(killed), str(sleeper.pid), 1))

    urls = server.start()

    sleeper.kill()
    sleeper.wait()
    assert answers(urls) == 1


def test_no_port_is_open_and_the_socket_is_private(server: EmbeddedServer) -> None:
    urls = server.start()

    assert answers(urls, "SHOW listen_addresses") == ""
    directory = Path(str(answers(urls, "SHOW unix_socket_directories")))
    assert directory.stat().st_mode & 0o777 == 0o700
    assert len(str(directory)) < 60


def test_a_half_made_cluster_is_made_again(server: EmbeddedServer, data_dir: Path) -> None:
    cluster = data_dir / "postgres-18"
    cluster.mkdir(mode=0o700)
    (cluster / "PG_VERSION").write_text("18\n")

    assert answers(server.start()) == 1


def test_a_failing_start_says_what_postgres_said(server: EmbeddedServer, data_dir: Path) -> None:
    server.start()
    server.stop()
    settings = data_dir / "postgres-18" / "postgresql.conf"
    kept = settings.read_text()
    settings.write_text("nonsense = on\n")

    with pytest.raises(Exception, match='unrecognized configuration parameter "nonsense"'):
        server.start()

    settings.write_text(kept)


@pytest.mark.skipif(binaries(15) is None, reason="no PostgreSQL 15 on this machine")
def test_an_older_postgres_of_the_distribution_can_be_chosen(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir / "old", version=15, durable=False)

    version = answers(server.start(), "SHOW server_version")

    server.stop()
    assert str(version).startswith("15.")


@root_only
def test_root_runs_it_as_the_system_user(server: EmbeddedServer, data_dir: Path) -> None:
    server.start()

    owner = Path(f"/proc/{postmaster(data_dir)}").stat().st_uid
    assert pwd.getpwuid(owner).pw_name == SYSTEM_USER


@root_only
def test_a_data_directory_the_system_user_cannot_reach_keeps_its_cluster_elsewhere(
    new_folder: Callable[[], Path],
) -> None:
    closed = new_folder()
    server = EmbeddedServer(closed / "data", durable=False)
    answers(server.start(), "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1")
    server.stop()

    found = answers(server.start(), "SELECT n FROM kept")

    server.stop()
    elsewhere = Path((closed / "data" / "postgres-18.elsewhere").read_text().strip())
    forget(elsewhere)
    assert found == 42
    with pytest.raises(ConfigurationError, match=r"there is nothing\. Restore that folder, or remove"):
        server.start()
    shutil.rmtree(closed)


@root_only
def test_a_cluster_whose_data_directory_is_gone_is_an_orphan_and_the_doctor_says_how_to_remove_it(
    new_folder: Callable[[], Path],
) -> None:
    closed = new_folder()
    data_dir = closed / "data"
    server = EmbeddedServer(data_dir, durable=False)
    server.start()
    server.stop()
    cluster = Path((data_dir / "postgres-18.elsewhere").read_text().strip())
    kept = orphans()

    shutil.rmtree(closed)

    found, advice = orphans(), {finding.what: finding for finding in left_behind()}
    forget(cluster)
    assert (cluster, data_dir) not in kept
    assert (cluster, data_dir) in found
    (told,) = (finding for what, finding in advice.items() if str(cluster) in what)
    assert (told.advice, told.wrong) == (f"When nothing in it is wanted: rm -r {cluster}*", False)


AS_NOBODY = """
import sys
from pathlib import Path
from crm_es.database.server import EmbeddedServer
import psycopg
server = EmbeddedServer(Path(sys.argv[1]), durable=False)
with psycopg.connect(server.start().owner) as connection:
    print(connection.execute("SELECT 42").fetchone()[0])
print(server.stop())
"""


def as_nobody(*argv: str) -> "subprocess.CompletedProcess[str]":
    """Run a Python that nobody can reach: ours, or the system's when ours is in a closed home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = {"PYTHONPATH": ":".join(p for p in sys.path if "site-packages" in p or p.endswith("src"))}
    for python in (sys.executable, f"/usr/bin/{version}"):
        with suppress(PermissionError):
            return subprocess.run(  # noqa: S603
                [python, "-W", "ignore", "-c", *argv],
                capture_output=True, text=True, check=False, timeout=600, cwd="/", env=environment,
                user=65534, group=65534, extra_groups=[],
            )  # fmt: skip
    pytest.skip("no Python on this machine that another user can run")


@root_only
def test_another_user_than_root_runs_it_as_itself(new_folder: Callable[[], Path]) -> None:
    directory = new_folder()
    os.chown(directory, 65534, 65534)

    done = as_nobody(AS_NOBODY, str(directory / "data"))

    assert done.stdout.split() == ["42", "True"], done.stderr
    with EmbeddedServer(directory / "data", durable=False) as urls:  # root may come later: it runs as the owner
        assert answers(urls) == 1
    shutil.rmtree(directory)


@root_only
def test_a_data_directory_of_another_user_is_refused_with_what_to_do(server: EmbeddedServer, data_dir: Path) -> None:
    data_dir.chmod(0o777)
    server.start()

    done = as_nobody(AS_NOBODY, str(data_dir))

    assert "ConfigurationError: CRM_DATA_DIR" in done.stderr
    assert "belongs to another user" in done.stderr


def test_a_running_server_is_not_started_again(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    urls, run, ran = server.start(), ServerUser.run, list[str]()

    def noted(self: ServerUser, argv: Sequence[str | Path]) -> tuple[int, str]:
        ran.append(Path(argv[0]).name)
        return run(self, argv)

    monkeypatch.setattr(ServerUser, "run", noted)

    assert server.start() == urls
    assert {"initdb", "pg_ctl"}.isdisjoint(ran)
