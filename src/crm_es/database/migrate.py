"""The numbered, forward-only SQL files of the event tables: applied once each, in order, and remembered by their hash.

Read models are never migrated; they are rebuilt.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

import psycopg

from crm_es.database.urls import without_password
from crm_es.errors import ConfigurationError

LOCK: Final = 4711000  # es.append_events takes 4711001, the projector 4711002
FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
TABLE: Final = """
CREATE TABLE IF NOT EXISTS public.crm_migration (
  number integer CONSTRAINT crm_migration_pk PRIMARY KEY,
  name text NOT NULL,
  sha256 text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.number:04}_{self.name}"


def migrations(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """Those that ship with this version, by number; no number twice. Numbers may be left out."""
    folder = folder or files("crm_es.eventstore").joinpath("migrations")
    named = ((FILE_NAME.fullmatch(file.name), file) for file in folder.iterdir())
    found = sorted(
        (Migration(number=int(match[1]), name=match[2], sql=file.read_text()) for match, file in named if match),
        key=lambda m: m.number,
    )
    if len({m.number for m in found}) < len(found):
        raise ConfigurationError(f"Two migrations have one number: {', '.join(map(str, found))}.")
    return tuple(found)


def migrate(owner_url: str, known: Sequence[Migration] | None = None) -> tuple[Migration, ...]:
    """Apply what is missing, each in a transaction of its own; answers what was applied.

    A file that fails changes nothing; those before it stay. Two processes at once: the second waits and finds them done.
    """
    known = migrations() if known is None else known
    with _connect(owner_url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        with connection.transaction():
            connection.execute(TABLE)
            connection.execute("GRANT SELECT ON public.crm_migration TO PUBLIC")
        missing = known[_agreed(_applied(connection), known) :]
        for migration in missing:
            _apply(connection, migration)
        return tuple(missing)


def check(url: str, known: Sequence[Migration] | None = None) -> None:
    """Refuse a database whose schema is older or newer than this program.

    Raises: ConfigurationError, naming the command to run.
    """
    known = migrations() if known is None else known
    with _connect(url) as connection:
        done = _agreed(_applied(connection), known)
    if done < len(known):
        raise ConfigurationError(
            f"The database is at migration {done} and this program needs {len(known)}. Run `crm-es migrate`; "
            "it keeps every event.",
            rule="schema.old",
        )


def is_new(url: str) -> bool:
    """Whether no migration was ever applied."""
    with _connect(url) as connection:
        return not _applied(connection)


def _apply(connection: psycopg.Connection[Any], migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql.encode())  # bytes: the one SQL that is a file of ours and no literal
            connection.execute("RESET ROLE")
            connection.execute(
                "INSERT INTO public.crm_migration (number, name, sha256) VALUES (%s, %s, %s)",
                [migration.number, migration.name, migration.sha256],
            )
    except psycopg.Error as exc:
        raise ConfigurationError(
            f"Migration {migration} failed and was undone; the ones before it stay. PostgreSQL said: {exc}",
            rule="schema.migration_failed",
        ) from exc


def _applied(connection: psycopg.Connection[Any]) -> list[tuple[int, str, str]]:
    known = connection.execute("SELECT to_regclass('public.crm_migration')").fetchone()
    if not known or known[0] is None:
        return []
    return connection.execute("SELECT number, name, sha256 FROM public.crm_migration ORDER BY number").fetchall()


def _agreed(applied: Sequence[tuple[int, str, str]], known: Sequence[Migration]) -> int:
    """How many of ours the database has, all of them unchanged."""
    for (number, name, sha256), ours in zip(applied, known, strict=False):
        if number > ours.number:
            raise ConfigurationError(
                f"The database has {number:04}_{name} and lacks {ours}, which comes before it: made by a build between two "
                "releases. Make it anew, or install the release that follows that build's.",
                rule="schema.gap",
            )
        if sha256 != ours.sha256:
            raise ConfigurationError(
                f"Migration {number:04}_{name} was applied with another text than this program ships. "
                "A migration is never edited; install the version of crm-es that made this database, or restore the file.",
                rule="schema.edited",
            )
    if len(applied) > len(known):
        raise ConfigurationError(
            f"The database is at migration {len(applied)} and this program knows {len(known)}: it was made by a newer "
            "crm-es. Install that version or a later one.",
            rule="schema.new",
        )
    return len(applied)


def _connect(url: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(url, autocommit=True)
    except psycopg.OperationalError as exc:
        raise ConfigurationError(
            f"No connection to {without_password(url)}: {str(exc).strip()}\n"
            "If the database is there and was never migrated, its roles are missing: run `crm-es migrate`.",
            rule="database.unreachable",
        ) from exc
