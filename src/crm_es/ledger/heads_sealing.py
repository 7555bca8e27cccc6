"""Seals the heads map of each workspace every few minutes while it grows, and when somebody asks.

On a connection and a thread of its own: the map of a large workspace takes seconds, and events are to be sealed within one.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import Connection

from crm_es.ledger import appending, heads, heads_parts, heads_tables

log = logging.getLogger(__name__)

INTERVAL: Final = 300.0  # seconds
SIGNED_SECONDS: Final = 0.1
LONGEST_WAIT: Final = 60.0
_PENDING: Final[LiteralString] = """
SELECT DISTINCT r.workspace_id FROM ledger.request r JOIN es.head h USING (workspace_id) WHERE r.done_at IS NULL
"""
# Log ids are no help here: what matters is whether anything but the ledger's own events came after the map's end.
_GROWN: Final[LiteralString] = """
SELECT EXISTS (
  SELECT FROM es.events e
  WHERE e.workspace_id = %s AND e.sequence > %s AND NOT starts_with(e.topic, 'ledger.')
)
"""
_END: Final[LiteralString] = """
SELECT h.sequence, l.epoch
FROM es.head h
JOIN ledger.log l USING (workspace_id)
WHERE h.workspace_id = %s
ORDER BY l.epoch DESC
LIMIT 1
"""
_DONE: Final[LiteralString] = """
UPDATE ledger.request
SET done_at = clock_timestamp(), size = %s, tree_size = %s
WHERE workspace_id = %s AND done_at IS NULL AND id = ANY (%s)
"""


class HeadsSealer:
    """`step` on one connection; give it the sealer's role. `appended` is called when there is an event to be sealed."""

    def __init__(
        self, connection: Connection[Any], *, interval: float = INTERVAL, appended: Callable[[], None] = lambda: None
    ) -> None:
        self._connection = connection
        self._appended = appended
        self._interval = interval
        self._due = time.monotonic() + interval

    def step(self, stop: threading.Event) -> None:
        """Those who asked; all that grew, when it is time."""
        for (workspace,) in self._connection.execute(_PENDING).fetchall():
            self._answer(workspace, stop)
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self._interval
            for (workspace,) in self._connection.execute("SELECT workspace_id FROM es.head").fetchall():
                if stop.is_set():
                    return
                self.seal(workspace)

    def _answer(self, workspace: UUID, stop: threading.Event) -> None:
        asked = [row[0] for row in self._connection.execute(
            "SELECT id FROM ledger.request WHERE workspace_id = %s AND done_at IS NULL", [workspace]
        )]  # fmt: skip
        sealed = self.seal(workspace)
        if sealed and self._signed(workspace, sealed[1], stop):
            self._connection.execute(_DONE, [*sealed, workspace, asked])

    def seal(self, workspace: UUID) -> tuple[int, int] | None:
        """(size, position of the event) of the map as it is now, sealed before or now; none for a log not begun yet."""
        row = self._connection.execute(_END, [workspace]).fetchone()
        if row is None:
            return None
        end, epoch = row
        known = heads.heads_of(self._connection, workspace)
        size = heads.size_of(known[1]) if known else 0
        same_epoch = known and self._epoch_of(workspace) == epoch
        if known and same_epoch and not self._connection.execute(_GROWN, [workspace, size]).fetchall()[0][0]:
            return size, known[0]
        heads_tables.advance(self._connection, workspace, epoch, end)
        event, parts = heads_parts.summed(self._connection, workspace, end)
        heads_parts.keep(self._connection, workspace, end, parts)
        position = appending.append(self._connection, workspace, event, once=f"{epoch}:{end}")
        self._appended()
        return end, position

    def _epoch_of(self, workspace: UUID) -> int | None:
        row = self._connection.execute(
            "SELECT epoch FROM ledger.heads_reach WHERE workspace_id = %s", [workspace]
        ).fetchone()
        return row[0] if row else None

    def _signed(self, workspace: UUID, position: int, stop: threading.Event) -> bool:
        """Wait until the event is under a checkpoint; later when it takes long."""
        deadline = time.monotonic() + LONGEST_WAIT
        while time.monotonic() < deadline and not stop.is_set():
            found = self._connection.execute(
                "SELECT EXISTS (SELECT FROM ledger.checkpoint WHERE workspace_id = %s AND kind = 'HEADS' AND size = %s)",
                [workspace, position],
            ).fetchall()
            if found[0][0]:
                return True
            stop.wait(SIGNED_SECONDS)
        return False
