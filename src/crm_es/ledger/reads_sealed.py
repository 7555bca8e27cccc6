"""Hours of the access log into the main log: one root for each workspace and hour, when the hour is over."""

import logging
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg import Connection

from crm_es.access.hours import HOUR, OF_HOUR, read
from crm_es.errors import ConflictError
from crm_es.ledger import appending
from crm_es.ledger.book import connect
from crm_es.ledger.log_events import LedgerAccessSealed

log = logging.getLogger(__name__)

LOCK: Final = 4711011  # session advisory lock: one process seals hours
POLL_SECONDS: Final = 15.0
TRIES: Final = 5
_FIRST: Final = "SELECT date_trunc('hour', min(logged_at), 'UTC') FROM access.entry"
_UNTIL: Final = "SELECT until FROM access.sealed"
_GO_ON: Final = """
INSERT INTO access.sealed (until) VALUES (%s) ON CONFLICT (one) DO UPDATE SET until = greatest(sealed.until, excluded.until)
"""


class HourSealing:
    """Beside the sealer, on a connection of its own: hashing a busy hour takes longer than a log may wait for its seal."""

    def __init__(self, url: str, *, poll: float = POLL_SECONDS) -> None:
        self._url = url
        self._poll = poll

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            try:
                with closing(connect(self._url)) as connection:
                    while not stop.is_set():
                        if self._leads(connection):
                            seal_hours(connection)
                        stop.wait(self._poll)
            except (psycopg.Error, ConflictError) as error:  # the log can wait for its hours
                log.warning("hours of the access log are not sealed yet: %s: %s", type(error).__name__, error)
                stop.wait(self._poll)

    def _leads(self, connection: Connection[Any]) -> bool:
        """Asked again, the session that holds the lock holds it still."""
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND pid = pg_backend_pid())"
            " OR pg_try_advisory_lock(%s)",
            [LOCK, LOCK],
        ).fetchone()
        return bool(row and row[0])


def seal_hours(connection: Connection[Any], now: datetime | None = None) -> int:
    """Seal every hour that is over (by `now`, for tests) and not sealed; how many roots were said."""
    said = 0
    since = _next(connection)
    while since is not None and since + HOUR <= (now or datetime.now(UTC)):
        settled = _settled(connection)
        if now is None and since + HOUR > settled:
            break
        with connection.transaction():
            found = [*read(connection, OF_HOUR, since, since + HOUR)]
        for hour in found:
            event = LedgerAccessSealed(since=hour.since, until=hour.until, count=hour.count, root=hour.root)
            _say(connection, event, hour.workspace)
        said += len(found)
        since += HOUR
        connection.execute(_GO_ON, [since])
    return said


def _say(connection: Connection[Any], event: LedgerAccessSealed, workspace: Any) -> None:
    """The sealer itself may speak in the same stream meanwhile. Raises: ConflictError."""
    once = event.since.isoformat()
    for _ in range(TRIES - 1):
        try:
            appending.append(connection, workspace, event, once=once)
        except ConflictError:
            continue
        return
    appending.append(connection, workspace, event, once=once)


def _next(connection: Connection[Any]) -> datetime | None:
    """The first hour that is not sealed; None while nothing was ever read."""
    for statement in (_UNTIL, _FIRST):
        row = connection.execute(statement).fetchone()
        if row and row[0]:
            found: datetime = row[0].astimezone(UTC)
            return found
    return None


def _settled(connection: Connection[Any]) -> datetime:
    row = connection.execute("SELECT access.settle()").fetchone()
    assert row is not None  # noqa: S101  # it answers one row
    return row[0]  # type: ignore[no-any-return]
