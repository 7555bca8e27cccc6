"""Real PostgreSQL for every test that wants one: a server shared by all workers of a run, a migrated template, cheap clones."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from crm_es.database.migrate import migrate
from crm_es.database.place import EMBEDDED_VERSION, binaries
from crm_es.database.server import EmbeddedServer
from crm_es.database.urls import DatabaseUrls, on_database

TEMPLATE = "crm_template"
ON_EVERY_VERSION = ("eventstore", "projector")

settings.register_profile(
    "ci", derandomize=True, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres", action="append", type=int, metavar="VERSION",
        help="run the event-store and projector tests on these versions (default 18); a missing one is skipped",
    )  # fmt: skip
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption(
        "--must-run", action="append", default=[], metavar="MARK", help="fail instead of skipping: node, chromium"
    )


RUN_DIR = pytest.StashKey[Path]()
OLD_SECONDS = 600


def pytest_configure(config: pytest.Config) -> None:
    """The controller makes the folder of this run, workers are told; short for sockets, open for the system user."""
    if not config.getoption("hypothesis-profile", default=None):
        settings.load_profile("ci")
    told: dict[str, str] | None = getattr(config, "workerinput", None)
    run_dir = Path(told["crm_run_dir"] if told else tempfile.mkdtemp(prefix="crm-es-test-"))
    run_dir.chmod(0o711)
    config.stash[RUN_DIR] = run_dir
    if not told:
        config.pluginmanager.register(MustRun(config.getoption("--must-run")))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


class MustRun:
    """Makes a run fail when a test with one of these marks was skipped: for CI, where what it needs must be there."""

    def __init__(self, marks: list[str]) -> None:
        self._marks = marks
        self._missed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and any(mark in report.keywords for mark in self._marks):
            self._missed.append(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._missed and not session.exitstatus:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for node in self._missed:
            terminalreporter.write_line(f"MUST RUN, and was skipped: {node}", red=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["crm_run_dir"] = str(node.config.stash[RUN_DIR])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Workers are gone: stop their servers. Then those of runs that were killed."""
    if hasattr(config, "workerinput") or RUN_DIR not in config.stash:
        return
    run_dir = config.stash[RUN_DIR]
    _remove_run(run_dir)
    for other in run_dir.parent.glob("crm-es-test-*"):
        with suppress(FileNotFoundError):  # another run ended at this moment
            found = other.stat()
            if found.st_uid == os.geteuid() and time.time() - found.st_mtime > OLD_SECONDS:
                _remove_run(other)


def _remove_run(run_dir: Path) -> None:
    for data_dir in (each for each in run_dir.iterdir() if each.name.isdigit()):
        server = EmbeddedServer(data_dir, version=int(data_dir.name), durable=False)
        server.start()
        if not server.stop():
            return
    shutil.rmtree(run_dir)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests of the event store and the projector run on each version asked for, all others on the embedded one."""
    if "postgres_version" in metafunc.fixturenames:
        everywhere = metafunc.module.__file__ and Path(metafunc.module.__file__).parent.name in ON_EVERY_VERSION
        asked = metafunc.config.getoption("--postgres") if everywhere else None
        metafunc.parametrize("postgres_version", asked or [EMBEDDED_VERSION], ids="pg{}".format)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class Servers:
    """The servers of this run by version, each started on first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: dict[int, tuple[EmbeddedServer, DatabaseUrls]] = {}

    def urls(self, version: int) -> DatabaseUrls:
        if version not in self._running:
            if binaries(version) is None:
                pytest.skip(f"no PostgreSQL {version} on this machine")
            server = EmbeddedServer(self._directory / str(version), version=version, durable=False)
            self._running[version] = server, server.start()
            _make_template(self._directory / str(version), self._running[version][1])
        return self._running[version][1]

    def leave(self) -> None:
        """Other workers may still be there; the last one out stops the server."""
        for server, _ in self._running.values():
            server.stop()


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Iterator[Servers]:
    running = Servers(pytestconfig.stash[RUN_DIR])
    yield running
    running.leave()


@contextmanager
def _admin(urls: DatabaseUrls) -> Iterator[psycopg.Connection]:
    with psycopg.connect(on_database(urls.owner, "postgres"), autocommit=True) as connection:
        yield connection


def _make_template(directory: Path, urls: DatabaseUrls) -> None:
    """Migrate once for all workers; nobody connects to a template, or it could not be cloned."""
    with (directory / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _admin(urls) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone():
                return
            connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}_being_made")
            connection.execute(f"CREATE DATABASE {TEMPLATE}_being_made")
            migrate(urls.on(f"{TEMPLATE}_being_made").owner)
            connection.execute(f"ALTER DATABASE {TEMPLATE}_being_made RENAME TO {TEMPLATE}")


def _clone(urls: DatabaseUrls) -> DatabaseUrls:
    name = f"t_{uuid4().hex}"
    with _admin(urls) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO crm_projector")  # clones take no grants along
    return urls.on(name)


def _drop(urls: DatabaseUrls) -> None:
    name = urls.owner.partition("?")[0].rpartition("/")[2]
    with _admin(urls) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def server(servers: Servers, postgres_version: int) -> DatabaseUrls:
    """A running server (its empty database `crm`)."""
    return servers.urls(postgres_version)


@pytest.fixture
def database(server: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """A migrated database of this test's own."""
    urls = _clone(server)
    yield urls
    _drop(urls)


_shared: dict[DatabaseUrls, DatabaseUrls] = {}


@pytest.fixture
def shared_database(server: DatabaseUrls) -> DatabaseUrls:
    """A migrated database of this worker: isolate by a workspace id of your own. It goes with the server."""
    if server not in _shared:
        _shared[server] = _clone(server)
    return _shared[server]
