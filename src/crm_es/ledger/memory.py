"""What the sealer remembers of its own signatures, outside the database that it watches: a restored database cannot make it
forget, so it never signs a smaller or another history under the same name.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from crm_es.errors import ConfigurationError

_TABLE = """
CREATE TABLE IF NOT EXISTS signed (
  workspace TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  origin TEXT NOT NULL,
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  PRIMARY KEY (workspace, epoch)
) WITHOUT ROWID
"""
_PUT = """
INSERT INTO signed (workspace, epoch, origin, size, root) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET size = excluded.size, root = excluded.root
"""
_NEWEST = "SELECT workspace, max(epoch), origin, size, root FROM signed GROUP BY workspace"

_BEFORE = """
SELECT workspace, epoch, origin, size, root FROM signed WHERE workspace = ? ORDER BY epoch DESC LIMIT 1 OFFSET 1
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """The newest that was signed of a log, or is about to be; size 0: an epoch that is being opened."""

    workspace: UUID
    epoch: int
    origin: str
    size: int
    root: bytes


class Memory:
    """One file for one sealer. What `put` was given is on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        """Raises: ConfigurationError."""
        try:
            path.touch(mode=0o600, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute(_TABLE)
            rows = self._db.execute(_NEWEST).fetchall()
        except (OSError, sqlite3.Error) as exc:
            raise ConfigurationError(f"CRM_SEALER_MEMORY: {path} cannot be used ({exc}).") from exc
        self._newest = {
            UUID(row[0]): Signed(workspace=UUID(row[0]), epoch=row[1], origin=row[2], size=row[3], root=row[4])
            for row in rows
        }

    def of(self, workspace: UUID) -> Signed | None:
        """Of its newest epoch; of an older one nothing is ever signed again."""
        return self._newest.get(workspace)

    def before(self, workspace: UUID) -> Signed | None:
        """The end of the epoch before the newest."""
        row = self._db.execute(_BEFORE, [str(workspace)]).fetchone()
        return _signed(row) if row else None

    @property
    def all(self) -> dict[UUID, Signed]:
        return dict(self._newest)

    def put(self, signed: Iterable[Signed]) -> None:
        """Raises: ValueError: smaller than what is remembered."""
        rows = list(signed)
        for one in rows:
            known = self._newest.get(one.workspace)
            if known and (one.epoch, one.size) < (known.epoch, known.size):
                raise ValueError(f"{one.origin} was signed at {known.size}, not to be signed at {one.size}")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(_PUT, [(str(one.workspace), one.epoch, one.origin, one.size, one.root) for one in rows])
        self._db.execute("COMMIT")
        self._newest.update({one.workspace: one for one in rows})

    def close(self) -> None:
        self._db.close()


def _signed(row: tuple[str, int, str, int, bytes]) -> Signed:
    workspace, epoch, origin, size, root = row
    return Signed(workspace=UUID(workspace), epoch=epoch, origin=origin, size=size, root=root)
