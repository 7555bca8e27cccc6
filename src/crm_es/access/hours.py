"""The access log by the hour, as it is sealed: the canonical bytes of its rows and the RFC 6962 root over them.

An hour is that of `logged_at`; its rows are in the order of (logged_at, id).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import Connection

from crm_es.access.entry import COLUMNS
from crm_es.eventstore.canonical import encode
from crm_es.ledger.merkle import Growing, leaf_hash

HOUR: Final = timedelta(hours=1)
NAMES: Final = (*COLUMNS, "logged_at")
_WORKSPACE: Final = NAMES.index("workspace_id")
_LOGGED: Final = NAMES.index("logged_at")
_SELECT: Final[LiteralString] = """
SELECT workspace_id, id, at, actor_kind, actor_id, on_behalf_of, authenticated_by, kind, operation, operation_hash, purpose,
  node_types, node_counts, node_ids, node_count, query_digest, fields, rows, position, microseconds, allowed, code, logged_at
FROM access.entry
"""
OF_HOUR: Final[LiteralString] = (
    _SELECT + " WHERE logged_at >= %s AND logged_at < %s ORDER BY workspace_id, logged_at, id"
)
OF_WORKSPACE: Final[LiteralString] = _SELECT + " WHERE workspace_id = %s ORDER BY logged_at, id"
_PAGE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Hour:
    """What the rows of one workspace's hour come to."""

    workspace: UUID
    since: datetime
    count: int
    root: str

    @property
    def until(self) -> datetime:
        return self.since + HOUR


def canonical(row: Sequence[Any]) -> bytes:
    """A row as it is hashed: its columns by name, sorted, as JSON; times in UTC to the microsecond, bytes in hex."""
    return encode({name: _plain(value) for name, value in zip(NAMES, row, strict=True)})


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case bytes():
            return value.hex()
        case UUID():
            return str(value)
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


def hours(rows: Iterable[Sequence[Any]]) -> Iterator[Hour]:
    """Of rows that come workspace by workspace, in the order of an hour. Holds one row at a time."""
    for (workspace, since), found in groupby(rows, key=_of):
        tree = Growing()
        tree.add(leaf_hash(canonical(row)) for row in found)
        yield Hour(workspace, since, tree.size, tree.root().hex())


def _of(row: Sequence[Any]) -> tuple[UUID, datetime]:
    logged: datetime = row[_LOGGED].astimezone(UTC)
    return row[_WORKSPACE], logged.replace(minute=0, second=0, microsecond=0)


def read(connection: Connection[Any], statement: LiteralString, *given: object) -> Iterator[Hour]:
    """The hours that a statement's rows make, streamed. In a transaction of the caller's."""
    with connection.cursor(name="hours") as cursor:
        cursor.itersize = _PAGE
        yield from hours(cursor.execute(statement, given))
