"""The sealer's SQL: what there is to seal, and what was sealed of it. Decides nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg import Connection

NIL: Final = UUID(int=0)  # the workspace of the log of logs
PAGE: Final = 1024

_ENDS: Final[LiteralString] = """
SELECT workspace_id, sequence FROM es.head
UNION ALL
SELECT '00000000-0000-0000-0000-000000000000', max(number) FROM ledger.note HAVING max(number) > 0
"""
_EVENTS: Final[LiteralString] = """
SELECT sequence, state, topic
FROM es.events
WHERE workspace_id = %s AND sequence >= %s
ORDER BY sequence
LIMIT %s
"""
_NOTES: Final[LiteralString] = "SELECT number, note, '' FROM ledger.note WHERE number >= %s ORDER BY number LIMIT %s"
_LOGS: Final[LiteralString] = """
SELECT DISTINCT ON (l.workspace_id) l.workspace_id, l.epoch, l.origin, l.key_id, c.size, c.root, c.note
FROM ledger.log l
LEFT JOIN LATERAL (
  SELECT k.size, k.root, k.note
  FROM ledger.checkpoint k
  WHERE k.workspace_id = l.workspace_id AND k.epoch = l.epoch
  ORDER BY k.size DESC
  LIMIT 1
) c ON true
WHERE l.workspace_id = %(workspace)s OR %(workspace)s IS NULL
ORDER BY l.workspace_id, l.epoch DESC
"""
_CHECKPOINTS: Final[LiteralString] = """
INSERT INTO ledger.checkpoint (workspace_id, epoch, size, root, signed_at, kind, note)
SELECT u.workspace_id, u.epoch, u.size, u.root, clock_timestamp(), u.kind, u.note
FROM unnest(%s::uuid[], %s::int[], %s::bigint[], %b::bytea[], %s::text[], %s::text[])
  AS u (workspace_id, epoch, size, root, kind, note)
ON CONFLICT DO NOTHING
"""
_NOTE: Final[LiteralString] = """
INSERT INTO ledger.note (number, log_of, note)
SELECT coalesce(max(number), 0) + 1, %s, %s FROM ledger.note
"""
# One an hour, the last, of those that nothing but the time asked for and that are older than 30 days.
_THIN: Final[LiteralString] = """
DELETE FROM ledger.checkpoint c
USING (
  SELECT ctid, row_number() OVER (
    PARTITION BY workspace_id, epoch, date_trunc('hour', signed_at, 'UTC') ORDER BY size DESC
  ) AS place
  FROM ledger.checkpoint
  WHERE kind = 'TIME' AND signed_at >= %(since)s AND signed_at < date_trunc('hour', now() - interval '30 days', 'UTC')
) old
WHERE c.ctid = old.ctid AND old.place > 1
"""


class Entry(NamedTuple):
    """A leaf to be: `number` counts from 1."""

    number: int
    data: bytes
    topic: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A log's newest epoch as the database has it; `size` 0: nothing signed yet."""

    workspace: UUID
    epoch: int
    origin: str
    key_id: int
    size: int
    root: bytes
    note: str


class Book:
    def __init__(self, connection: Connection[Any]) -> None:
        self.connection = connection

    def ends(self) -> Mapping[UUID, int]:
        """How long each log is."""
        return dict(self.connection.execute(_ENDS).fetchall())

    def entries(self, workspace: UUID, start: int, at_most: int) -> Iterator[Entry]:
        """From number `start` on, page by page."""
        while at_most > 0:
            page = min(PAGE, at_most)
            rows = self._page(workspace, start, page)
            for number, data, topic in rows:
                yield Entry(number, data.encode() if isinstance(data, str) else data, topic)
            if len(rows) < page:
                return
            start, at_most = rows[-1][0] + 1, at_most - page

    def _page(self, workspace: UUID, start: int, page: int) -> list[tuple[int, Any, str]]:
        if workspace == NIL:
            return self.connection.execute(_NOTES, [start, page], binary=True).fetchall()
        return self.connection.execute(_EVENTS, [workspace, start, page], binary=True).fetchall()

    def logs(self, workspace: UUID | None = None) -> dict[UUID, Kept]:
        rows = self.connection.execute(_LOGS, {"workspace": workspace}).fetchall()
        return {
            workspace: Kept(workspace, epoch, origin, key_id, size or 0, root or b"", note or "")
            for workspace, epoch, origin, key_id, size, root, note in rows
        }

    def checkpoints(self, workspace: UUID, epoch: int) -> list[tuple[int, bytes, str]]:
        """(size, root, note) of those before an epoch's end, in order."""
        return self.connection.execute(
            "SELECT size, root, note FROM ledger.checkpoint WHERE workspace_id = %s AND epoch = %s ORDER BY size",
            [workspace, epoch],
        ).fetchall()

    def keys(self) -> dict[bytes, int]:
        """Numbers of all public keys there ever were."""
        return dict(self.connection.execute("SELECT public, id FROM ledger.key").fetchall())

    def add_key(self, public: bytes) -> None:
        self.connection.execute("INSERT INTO ledger.key (public) VALUES (%s) ON CONFLICT DO NOTHING", [public])

    def begin(self, workspace: UUID, epoch: int, origin: str, key_id: int) -> None:
        """An epoch with nothing in it; of one that was begun and never signed nothing is left."""
        with self.connection.transaction():
            self.connection.execute(
                "INSERT INTO ledger.log (workspace_id, epoch, origin, key_id) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [workspace, epoch, origin, key_id],
            )
            self.connection.execute(
                "DELETE FROM ledger.tile t WHERE workspace_id = %s AND epoch = %s", [workspace, epoch]
            )

    def add_checkpoints(self, rows: Sequence[tuple[UUID, int, int, bytes, str, str]]) -> None:
        """(workspace, epoch, size, root, kind, note)."""
        if rows:
            self.connection.execute(_CHECKPOINTS, [list(column) for column in zip(*rows, strict=True)])

    def commit_without_waiting(self) -> None:
        """The transaction's commit waits for no disk: for what follows from the events alone and may be signed again."""
        self.connection.execute("SET LOCAL synchronous_commit = off")

    def add_note(self, workspace: UUID, note: str) -> None:
        """Into the log of logs."""
        self.connection.execute(_NOTE, [workspace, note])

    def entered(self) -> dict[UUID, str]:
        """The newest entry of each log in the log of logs."""
        rows = self.connection.execute(
            "SELECT DISTINCT ON (log_of) log_of, note FROM ledger.note ORDER BY log_of, number DESC"
        )
        return dict(rows.fetchall())

    def set_key(self, workspace: UUID, epoch: int, key_id: int) -> None:
        self.connection.execute(
            "UPDATE ledger.log SET key_id = %s WHERE workspace_id = %s AND epoch = %s", [key_id, workspace, epoch]
        )

    def thin(self, since: datetime) -> int:
        """Of those signed from `since` on."""
        return self.connection.execute(_THIN, {"since": since}).rowcount


def connect(url: str) -> Connection[Any]:
    """Raises: psycopg.OperationalError."""
    return psycopg.connect(url, autocommit=True)
