"""Real PostgreSQL for every test that wants one: a server shared by all workers of a run, a migrated template, cheap clones."""

import fcntl
import gc
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
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
from crm_es.database.urls import PATIENCE, DatabaseUrls, on_database
from crm_es.errors import CrmError
from crm_es.projector.leader import Leader
from projections import READ_MODELS
from tests.sharing import ByFile, long_ones_first
from tests.waiting import PATIENCE_SECONDS, eventually

MIGRATED = "crm_migrated"
READY = "crm_ready"
ON_EVERY_VERSION = {"eventstore", "projector", "ledger/test_door", "ledger/test_sealer"}  # folders, and single modules

PATIENT = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}
settings.register_profile("ci", derandomize=True, print_blob=True, **PATIENT)
settings.register_profile("explore", max_examples=1000, **PATIENT)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres", action="append", type=int, metavar="VERSION",
        help="run the event-store and projector tests on these versions (default 18); a missing one is skipped",
    )  # fmt: skip
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption(
        "--must-run",
        action="append",
        default=[],
        metavar="MARK",
        help="fail instead of skipping: node, chromium, openssl, python312",
    )
    parser.addoption("--requests", type=int, default=100, help="how many requests the fuzzer makes")


RUN_DIR = pytest.StashKey[Path]()
ALIVE = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """The controller makes the folder of this run, workers are told; short for sockets, open for the system user."""
    if not config.getoption("hypothesis-profile", default=None):
        settings.load_profile("ci")
    told: dict[str, str] | None = getattr(config, "workerinput", None)
    if told:
        config.stash[RUN_DIR] = Path(told["crm_run_dir"])
        return
    made = Path(tempfile.mkdtemp(prefix="crm-es-begins-"))
    made.chmod(0o711)
    config.stash[ALIVE] = os.open(made / "alive", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(config.stash[ALIVE], fcntl.LOCK_EX)
    config.stash[RUN_DIR] = made.rename(
        made.with_name(f"crm-es-test-{made.name[-8:]}")
    )  # not before it is seen to live
    config.pluginmanager.register(MustRun(config.getoption("--must-run")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    long_ones_first(items)
    if not config.getoption("--slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


def pytest_collection_finish() -> None:
    """What is there before the first test stays to the end: the garbage collector need not look through it ever again."""
    gc.collect()
    gc.freeze()


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
    if ALIVE not in config.stash:
        return
    run_dir = config.stash[RUN_DIR]
    os.close(config.stash[ALIVE])
    for each in (run_dir, *run_dir.parent.glob("crm-es-test-*")):
        with suppress(FileNotFoundError, PermissionError):  # another run ended at this moment, or is another user's
            _remove_run(each)


def _remove_run(run_dir: Path) -> None:
    """Its servers too, unless it lives."""
    with (run_dir / "alive").open("r+") as alive, suppress(BlockingIOError):
        fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if all(_remove_cluster(*found) for found in _clusters(run_dir)):
            shutil.rmtree(run_dir)


def _clusters(run_dir: Path) -> set[tuple[Path, int]]:
    """Data directories with the version of the cluster in each, or of one that they say is elsewhere."""
    found = (*run_dir.glob("*/postgres-*"), *run_dir.glob("*/*/postgres-*"))
    named = ((path.parent, re.fullmatch(r"postgres-([0-9]+)(\.elsewhere)?", path.name)) for path in found)
    return {(data_dir, int(name[1])) for data_dir, name in named if name}


def _remove_cluster(data_dir: Path, version: int) -> bool:
    """False when somebody still uses it."""
    note = data_dir / f"postgres-{version}.elsewhere"
    elsewhere = Path(note.read_text().strip()) if note.exists() else None
    server = EmbeddedServer(data_dir, version=version, durable=False)
    with suppress(CrmError):  # one that was hurt too much to start is not running either
        server.start()
        if not server.stop():
            return False
    if elsewhere is not None:
        forget(elsewhere)
    return True


def forget(cluster: Path) -> None:
    """Remove a cluster from the system user's home, with the note whose it was."""
    shutil.rmtree(cluster, ignore_errors=True)
    cluster.with_suffix(".of").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def new_folder(pytestconfig: pytest.Config) -> Callable[[], Path]:
    """Makes empty folders that the server's user can reach and whose servers do not outlive a killed run for long."""
    return lambda: Path(tempfile.mkdtemp(dir=pytestconfig.stash[RUN_DIR]))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Event store, projector and some of the ledger are tested on each version asked for, all others on the embedded one."""
    if "postgres_version" in metafunc.fixturenames:
        path = Path(metafunc.module.__file__ or "")
        everywhere = {path.parent.name, f"{path.parent.name}/{path.stem}"} & ON_EVERY_VERSION
        asked = metafunc.config.getoption("--postgres") if everywhere else None
        metafunc.parametrize("postgres_version", asked or [EMBEDDED_VERSION], ids="pg{}".format)


@pytest.fixture(scope="session", autouse=True)
def no_power_cuts() -> Iterator[None]:
    """As with our PostgreSQL: what a killed process wrote is there without it, and no test cuts the power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


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
            self._running[version] = server, patiently(server.start())
            self.template(version, MIGRATED, lambda urls: migrate(urls.owner), source="template1")
        return self._running[version][1]

    def template(self, version: int, name: str, fill: Callable[[DatabaseUrls], None], *, source: str = MIGRATED) -> str:
        """A database to clone, made once for all workers. Nobody connects to it any more, or it could not be cloned."""
        urls, lock = self.urls(version), self._directory / str(version) / f"{name}.lock"
        with locked(lock), _admin(urls) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                begun = f"{name}_being_made"
                connection.execute(f"DROP DATABASE IF EXISTS {begun}")
                _copy(connection, begun, source)
                fill(urls.on(begun))
                _once_left(connection, f"ALTER DATABASE {begun} RENAME TO {name}")
        return name

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
def locked(path: Path) -> Iterator[None]:
    """One worker at a time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _admin(urls: DatabaseUrls) -> Iterator[psycopg.Connection]:
    with psycopg.connect(on_database(urls.owner, "postgres"), autocommit=True) as connection:
        yield connection


def patiently(urls: DatabaseUrls) -> DatabaseUrls:
    """The same doors, at which one waits long to be let in."""
    said = {name: getattr(urls, name) for name in ("owner", "app", "projector", "sealer")}
    usual, patient = (f"connect_timeout={seconds}" for seconds in (PATIENCE["connect_timeout"], PATIENCE_SECONDS))
    return DatabaseUrls(**{name: url.replace(usual, patient) for name, url in said.items()})


def _once_left(connection: psycopg.Connection, statement: str) -> None:
    """Whoever used the database may still be on the way out: PostgreSQL waits five seconds for them, we longer."""

    def done() -> bool:
        with suppress(psycopg.errors.ObjectInUse):
            connection.execute(statement.encode())
            return True
        return False

    eventually(done)


def _copy(connection: psycopg.Connection, name: str, source: str) -> None:
    statement = f"CREATE DATABASE {name} TEMPLATE {source} STRATEGY file_copy"
    try:
        connection.execute("SET file_copy_method = clone")  # in the kernel: half the work
        connection.execute(statement)
    except psycopg.Error:
        connection.execute("RESET ALL")  # PostgreSQL, the system or the file system knows no such thing
        _once_left(connection, statement)
    if source != "template1":
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO crm_projector")  # clones take no grants along


def _make_read_models(urls: DatabaseUrls) -> None:
    with Leader(urls.projector, lambda _: [], READ_MODELS) as leader:
        assert leader.try_lead()


def _clone(urls: DatabaseUrls, template: str = MIGRATED) -> DatabaseUrls:
    name = f"t_{uuid4().hex}"
    with _admin(urls) as connection:
        _copy(connection, name, template)
    return urls.on(name)


def _drop(urls: DatabaseUrls) -> None:
    name = urls.owner.partition("?")[0].rpartition("/")[2]
    with _admin(urls) as connection:
        connection.execute("SET statement_timeout = '2s'")
        with suppress(psycopg.errors.QueryCanceled, psycopg.errors.ObjectInUse):  # amid a COPY: it goes with the server
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


@pytest.fixture(scope="session")
def ready(servers: Servers) -> str:
    """The template whose read models are made: making them takes long, and projecting into them is the same."""
    return servers.template(EMBEDDED_VERSION, READY, _make_read_models)


@pytest.fixture
def ready_database(server: DatabaseUrls, ready: str) -> Iterator[DatabaseUrls]:
    """A database of this test's own with every read model."""
    urls = _clone(server, ready)
    yield urls
    _drop(urls)


_shared: dict[DatabaseUrls, DatabaseUrls] = {}


@pytest.fixture
def shared_database(server: DatabaseUrls) -> DatabaseUrls:
    """A migrated database of this worker: isolate by a workspace id of your own. It goes with the server."""
    if server not in _shared:
        _shared[server] = _clone(server)
    return _shared[server]
