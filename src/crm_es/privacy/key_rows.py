"""Where wrapped keys are kept: a SQLite file, or a PostgreSQL apart from the log. Rows only; no key is opened here."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from uuid import UUID

import psycopg

from crm_es.errors import KeyUnavailableError

T = TypeVar("T")


class KeyRow(NamedTuple):
    """`wrapped` is None once shredded: the row then is the tombstone."""

    key_id: UUID
    workspace: UUID
    kek_version: int
    wrapped: bytes | None
    commitment: bytes


class KeyRows(Protocol):
    """Every call is durable when it returns. Raises KeyUnavailableError when the store does not answer."""

    def add_keys(self, rows: Sequence[KeyRow]) -> None: ...
    def keys(self, ids: Sequence[UUID]) -> list[KeyRow]: ...
    def drop_spares(self, ids: Sequence[UUID]) -> None:
        """Forget keys that sealed nothing."""

    def shred(self, ids: Sequence[UUID], erasure: UUID | None) -> int:
        """Turn keys into tombstones; answers how many were keys until now. Where it raises, it is to be asked again."""
        ...

    def secret(self, name: str) -> bytes | None: ...
    def add_secret(self, name: str, wrapped: bytes) -> bytes:
        """Keep the first of what concurrent processes offer under a name; answers that one."""
        ...

    def close(self) -> None: ...


_SQLITE = """
CREATE TABLE IF NOT EXISTS key (
  key_id BLOB PRIMARY KEY,
  workspace BLOB NOT NULL,
  kek_version INTEGER NOT NULL,
  wrapped BLOB,
  commitment BLOB NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('spare', 'active', 'restricted', 'shredded')),
  shredded_at TEXT,
  erasure_id BLOB,
  CHECK ((state = 'shredded') = (wrapped IS NULL))
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, wrapped BLOB NOT NULL) WITHOUT ROWID;
"""


class SqliteKeyRows:
    """The default: one file. secure_delete overwrites what a shred removes; the WAL is truncated after one."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
            path.chmod(0o600)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_SQLITE)
        except sqlite3.Error as exc:
            raise KeyUnavailableError(f"The key store {path} does not open: {exc}") from exc

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    done = work(self._db)
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as exc:
                raise KeyUnavailableError(f"The key store does not answer: {exc}") from exc
            return done

    def _select(self, sql: str, params: Sequence[object]) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._db.execute(sql, params).fetchall()
            except sqlite3.Error as exc:
                raise KeyUnavailableError(f"The key store does not answer: {exc}") from exc

    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        values = [(r.key_id.bytes, r.workspace.bytes, r.kek_version, r.wrapped, r.commitment) for r in rows]
        self._do(lambda db: db.executemany("INSERT INTO key VALUES (?, ?, ?, ?, ?, 'spare', NULL, NULL)", values))

    def keys(self, ids: Sequence[UUID]) -> list[KeyRow]:
        found: list[KeyRow] = []
        by_bytes = {i.bytes: i for i in ids}  # a UUID is slow to make
        wanted = list(by_bytes)
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ",".join("?" * len(part))
            sql = f"SELECT key_id, workspace, kek_version, wrapped, commitment FROM key WHERE key_id IN ({marks})"  # noqa: S608
            rows: list[Any] = self._select(sql, part)
            for key_id, workspace, version, wrapped, commitment in rows:
                found.append(KeyRow(by_bytes[key_id], _uuid(workspace), version, wrapped, commitment))
        return found

    def drop_spares(self, ids: Sequence[UUID]) -> None:
        values = [(i.bytes,) for i in ids]
        self._do(lambda db: db.executemany("DELETE FROM key WHERE key_id = ? AND state = 'spare'", values))

    def shred(self, ids: Sequence[UUID], erasure: UUID | None) -> int:
        values = [(_now().isoformat(), erasure.bytes if erasure else None, i.bytes) for i in ids]
        sql = (
            "UPDATE key SET state = 'shredded', wrapped = NULL, shredded_at = ?, erasure_id = ?"
            " WHERE key_id = ? AND state <> 'shredded'"
        )
        done = self._do(lambda db: db.executemany(sql, values).rowcount)
        [(busy, *_)] = self._select(
            "PRAGMA wal_checkpoint(TRUNCATE)", ()
        )  # the old pages must not outlive it in the WAL
        if busy:
            raise KeyUnavailableError(
                "The key store is read by another process: what was destroyed lingers in its write-ahead log. Try again."
            )
        return max(done, 0)

    def secret(self, name: str) -> bytes | None:
        rows = self._select("SELECT wrapped FROM secret WHERE name = ?", (name,))
        return rows[0][0] if rows else None  # type: ignore[return-value]

    def add_secret(self, name: str, wrapped: bytes) -> bytes:
        self._do(lambda db: db.execute("INSERT OR IGNORE INTO secret VALUES (?, ?)", (name, wrapped)))
        kept = self.secret(name)
        return kept if kept is not None else wrapped

    def close(self) -> None:
        with self._lock:
            self._db.close()


_POSTGRES = """
CREATE SCHEMA IF NOT EXISTS crm_keys;
CREATE TABLE IF NOT EXISTS crm_keys.key (
  key_id uuid PRIMARY KEY,
  workspace uuid NOT NULL,
  kek_version int NOT NULL,
  wrapped bytea,
  commitment bytea NOT NULL,
  state text NOT NULL CHECK (state IN ('spare', 'active', 'restricted', 'shredded')),
  shredded_at timestamptz,
  erasure_id uuid,
  CHECK ((state = 'shredded') = (wrapped IS NULL))
);
CREATE TABLE IF NOT EXISTS crm_keys.secret (name text PRIMARY KEY, wrapped bytea NOT NULL);
"""


class PostgresKeyRows:
    """The same rows in a PostgreSQL of their own; a lost connection is opened again once per call."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._db: psycopg.Connection[tuple[object, ...]] | None = None
        try:
            self._do(lambda db: db.execute(_POSTGRES))
        except KeyUnavailableError:
            self.close()
            raise

    def _do(self, work: Callable[[psycopg.Connection[tuple[object, ...]]], T]) -> T:
        with self._lock:
            try:
                try:
                    return self._attempt(work)
                except (psycopg.OperationalError, psycopg.InterfaceError):
                    self._drop()
                    return self._attempt(work)
            except psycopg.Error as exc:
                raise KeyUnavailableError(f"The key store does not answer: {exc}") from exc

    def _attempt(self, work: Callable[[psycopg.Connection[tuple[object, ...]]], T]) -> T:
        if self._db is None:
            self._db = psycopg.connect(self._url, autocommit=True)
        with self._db.transaction():
            return work(self._db)

    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        def write(db: psycopg.Connection[tuple[object, ...]]) -> None:
            columns = "key_id, workspace, kek_version, wrapped, commitment, state"
            with db.cursor() as cur, cur.copy(f"COPY crm_keys.key ({columns}) FROM STDIN") as copy:
                for r in rows:
                    copy.write_row((r.key_id, r.workspace, r.kek_version, r.wrapped, r.commitment, "spare"))

        self._do(write)

    def keys(self, ids: Sequence[UUID]) -> list[KeyRow]:
        sql = "SELECT key_id, workspace, kek_version, wrapped, commitment FROM crm_keys.key WHERE key_id = ANY (%s)"
        return [KeyRow(*row) for row in self._do(lambda db: db.execute(sql, (list(ids),)).fetchall())]  # type: ignore[arg-type]

    def drop_spares(self, ids: Sequence[UUID]) -> None:
        self._do(
            lambda db: db.execute("DELETE FROM crm_keys.key WHERE key_id = ANY (%s) AND state = 'spare'", (list(ids),))
        )

    def shred(self, ids: Sequence[UUID], erasure: UUID | None) -> int:
        sql = (
            "UPDATE crm_keys.key SET state = 'shredded', wrapped = NULL, shredded_at = %s, erasure_id = %s"
            " WHERE key_id = ANY (%s) AND state <> 'shredded'"
        )
        return self._do(lambda db: db.execute(sql, (_now(), erasure, list(ids))).rowcount)

    def secret(self, name: str) -> bytes | None:
        row = self._do(lambda db: db.execute("SELECT wrapped FROM crm_keys.secret WHERE name = %s", (name,)).fetchone())
        return row[0] if row else None  # type: ignore[return-value]

    def add_secret(self, name: str, wrapped: bytes) -> bytes:
        sql = "INSERT INTO crm_keys.secret VALUES (%s, %s) ON CONFLICT DO NOTHING"
        self._do(lambda db: db.execute(sql, (name, wrapped)))
        kept = self.secret(name)
        return kept if kept is not None else wrapped

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


def open_rows(location: str | Path) -> KeyRows:
    """A PostgreSQL URL, or the path of a SQLite file."""
    if isinstance(location, str) and location.startswith(("postgresql://", "postgres://")):
        return PostgresKeyRows(location)
    return SqliteKeyRows(Path(location))


@lru_cache(1024)
def _uuid(data: bytes) -> UUID:
    """Of a workspace: few, and met again and again."""
    return UUID(bytes=data)


def _now() -> datetime:
    return datetime.now(UTC)
