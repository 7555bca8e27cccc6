"""Does the access log still come to the roots that stand in the main log? Reads both; changes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from psycopg import Connection

from crm_es.access.hours import HOUR, OF_WORKSPACE, Hour, read
from crm_es.ledger.log_events import stream_of

_FENCE: Final[LiteralString] = "SELECT set_config('app.workspace', %s, true)"
_SEALED: Final[LiteralString] = """
SELECT state FROM es.events WHERE originator_id = %s AND workspace_id = %s AND topic = 'ledger.access_sealed'
ORDER BY originator_version
"""
_KEPT: Final[LiteralString] = """
SELECT min(to_timestamp(substring(c.relname FROM 7), 'YYYY_MM')) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'access.entry'::regclass
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """An hour that is not as it was sealed. `left`: its month has left by retention, which is no fault."""

    since: datetime
    what: str
    left: bool = False
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Proof:
    """How much was compared, and what did not fit. Rows after `until` are not sealed yet."""

    hours: int
    rows: int
    until: datetime | None
    findings: tuple[Finding, ...]


def prove(connection: Connection[Any], workspace: UUID) -> Proof:
    """As the application's role, which sees its workspace."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SET LOCAL timezone = 'UTC'")
        connection.execute(_FENCE, [str(workspace)])
        sealed = {hour.since: hour for hour in _sealed(connection, workspace)}
        row = connection.execute(_KEPT).fetchone()
        found = {hour.since: hour for hour in read(connection, OF_WORKSPACE, workspace)}
    until = max((hour.until for hour in sealed.values()), default=None)
    findings = tuple(compared(sealed, found, until, row[0] if row else None))
    both = [hour for hour in found.values() if hour.since in sealed]
    return Proof(len(both), sum(hour.count for hour in both), until, findings)


def _sealed(connection: Connection[Any], workspace: UUID) -> Iterator[Hour]:
    for (state,) in connection.execute(_SEALED, [stream_of(workspace), workspace]):
        said = msgspec.json.decode(state)["data"]
        since = datetime.fromisoformat(said["since"]).astimezone(UTC)
        yield Hour(workspace, since, int(said["count"]), said["root"])


def compared(
    sealed: Mapping[datetime, Hour], found: Mapping[datetime, Hour], until: datetime | None, kept: datetime | None
) -> Iterator[Finding]:
    """`until` is the end of the last sealed hour; rows logged before `kept` have left with their months."""
    for since in sorted({*sealed, *found}):
        was, now = sealed.get(since), found.get(since)
        if was is None and until is not None and since + HOUR <= until:
            yield Finding(since, f"{now.count if now else 0} rows stand in an hour that was sealed without any")
        elif was is not None and now is None:
            left = kept is not None and since < kept
            yield Finding(
                since, f"{was.count} rows are gone" + (" with their month" if left else ""), left, missing=not left
            )
        elif was is not None and now is not None and (was.count, was.root) != (now.count, now.root):
            missing = now.count < was.count
            yield Finding(
                since, f"{was.count} rows were sealed and {now.count} stand there, with another root", missing=missing
            )
