"""One PostgreSQL cluster on disk, run by our own initdb and pg_ctl on a private unix socket. Knows no sharing."""

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from crm_es.database.place import ServerUser
from crm_es.database.urls import DATABASE, on_database, socket_urls
from crm_es.errors import UnavailableError

START_SECONDS: Final = 600  # crash recovery of a large log takes minutes, and is not to be interrupted
ORPHAN_SECONDS: Final = 60  # backends of a killed postmaster need a moment to notice
NO_SUCH_PID: Final = 2**22 + 1  # above Linux's largest process id
BUILTIN_LOCALE_SINCE: Final = 17


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """`durable=False` gives up what a power cut would take, not what a kill would (tests)."""

    path: Path
    binaries: Path
    version: int
    user: ServerUser
    durable: bool = True

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    def initialise(self) -> None:
        """Make the cluster unless it is there. A half-made one (killed initdb) is made again."""
        if (self.path / "initialised").exists():
            return
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(mode=0o700, parents=True)
        self.user.own(self.path)
        locale = (
            ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
            if self.version >= BUILTIN_LOCALE_SINCE
            else ("--locale=C.UTF-8",)
        )
        sync = () if self.durable else ("--no-sync",)
        initdb = self.binaries / "initdb"
        self._run(initdb, "-D", self.path, "-U", "postgres", "-A", "trust", "-E", "UTF8", "-k", *locale, *sync)
        (self.path / "initialised").touch()

    def socket_directory(self) -> Path | None:
        """Where the running, or killed, server's socket is; its postmaster.pid says so."""
        lines = self._pid_file()
        return Path(lines[4]) if len(lines) > 4 and lines[4] else None  # noqa: PLR2004  # line 5 of the file

    def accepts(self) -> bool:
        directory = self.socket_directory()
        if directory is None:
            return False
        try:
            with psycopg.connect(on_database(socket_urls(str(directory)).owner, "postgres"), connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def launch(self) -> None:
        """Start the server and wait until it answers; a no-op when it does."""
        deadline = time.monotonic() + START_SECONDS
        while self._alive() and time.monotonic() < deadline:  # left behind by a process that was killed
            if self.accepts():
                return
            time.sleep(0.1)
        directory = self._usable_socket_directory()
        self._disown_stale_pid()
        directory = directory or self._new_socket_directory()
        try:
            self._start(directory)
        except UnavailableError:
            shutil.rmtree(directory, ignore_errors=True)
            raise

    def halt(self) -> None:
        """Stop the server; sessions are cut, what was committed stays."""
        directory = self.socket_directory()
        if self._alive():
            self._run(self.binaries / "pg_ctl", "-D", self.path, "-w", "-t", str(START_SECONDS), "-m", "fast", "stop")
        if directory:
            shutil.rmtree(directory, ignore_errors=True)

    def make_database(self) -> None:
        directory = self.socket_directory()
        owner = on_database(socket_urls(str(directory)).owner, "postgres")
        with psycopg.connect(owner, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if not known:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _start(self, directory: Path) -> None:
        options = " ".join(f"-c {name}={value}" for name, value in self._settings(directory).items())
        start = (
            self.binaries / "pg_ctl",
            "-D",
            self.path,
            "-w",
            "-t",
            str(START_SECONDS),
            "-l",
            self.log,
            "-o",
            options,
            "start",
        )
        deadline = time.monotonic() + ORPHAN_SECONDS
        while True:
            begin = self.log.stat().st_size if self.log.exists() else 0
            code, output = self.user.run(start)
            if code == 0:
                return
            with self.log.open(errors="replace") as log:
                log.seek(begin)
                said = log.read()
            if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
                raise UnavailableError(
                    f"The embedded PostgreSQL did not start. Nothing in {self.path} was changed. It said:\n"
                    f"{output.strip()}\n{said.strip()[-2000:]}",
                    rule="database.not_started",
                )
            time.sleep(0.5)

    def _settings(self, directory: Path) -> dict[str, str]:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(directory),
            "unix_socket_permissions": "0700",
            "port": "5432",
            "max_connections": "200",
            "shared_buffers": f"{max(64, min(1024, memory // 8))}MB",
            "work_mem": "16MB",
            "maintenance_work_mem": f"{max(64, min(512, memory // 16))}MB",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            "random_page_cost": "1.1",
            "jit": "off",
            "log_checkpoints": "off",
            "timezone": "UTC",
        }
        if not self.durable:
            settings |= dict.fromkeys(("fsync", "full_page_writes", "autovacuum"), "off")
            settings["shared_buffers"] = "128MB"
        return settings

    def _new_socket_directory(self) -> Path:
        """Short: a socket's path may have 107 bytes. Private: it is the only fence before a trusting server."""
        place = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108  # mkdtemp makes it private
        directory = Path(tempfile.mkdtemp(prefix="crm-es-", dir=place))
        self.user.own(directory)
        return directory

    def _usable_socket_directory(self) -> Path | None:
        """That of the server that died here, if nobody touched it: processes that knew the address find it again."""
        lines, directory = self._pid_file(), self.socket_directory()
        if directory is None or directory.is_symlink() or not directory.is_dir() or lines[1] != str(self.path):
            return None
        stat = directory.stat()
        if stat.st_uid != self.user.uid or stat.st_mode & 0o077:
            return None
        for left in directory.iterdir():
            left.unlink()  # its lock file names a process id that may be another's by now
        return directory

    def _pid_file(self) -> list[str]:
        try:
            return (self.path / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _alive(self) -> bool:
        """Whether the process named in postmaster.pid lives and is a PostgreSQL: ids are used again after a restart."""
        lines = self._pid_file()
        if not lines:
            return False
        if Path("/proc/self/cmdline").exists():
            try:
                return b"postgres" in Path(f"/proc/{int(lines[0])}/cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                return False
        return self.user.run(["kill", "-0", lines[0]])[0] == 0

    def _disown_stale_pid(self) -> None:
        """PostgreSQL refuses to start while the id in postmaster.pid is anybody's. Name nobody there; the file itself stays,
        because by its shared memory line PostgreSQL finds backends that outlived a killed postmaster."""
        lines = self._pid_file()
        if lines and not self._alive():
            (self.path / "postmaster.pid").write_text("\n".join([str(NO_SUCH_PID), *lines[1:]]) + "\n")

    def _run(self, *argv: str | Path) -> None:
        code, output = self.user.run(argv)
        if code:
            raise UnavailableError(f"{Path(argv[0]).name} failed: {output.strip()}", rule="database.not_started")
