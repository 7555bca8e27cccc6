"""Which moment a read shows: `asOf {time | position}` as the last position of an append, so no command is ever half visible."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from psycopg.sql import SQL, Composable
from strawberry import UNSET

from crm_es.errors import FieldPath, InvalidInputError
from crm_es.reads.driver import Bookmark
from crm_es.reads.errors import AsOfOutOfRangeError, NotYetProjectedError
from crm_es.reads.places import AT_PLACE


class Rows(Protocol):
    """Where statements run: a `driver.Snapshot`. `newest` opens one of this very moment."""

    workspace: UUID

    async def rows(self, statement: Composable, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...
    def newest(self) -> AbstractAsyncContextManager["Rows"]: ...


@dataclass(frozen=True, slots=True)
class Past:
    """A resolved moment: the position answers stand at, when it was recorded, and its place in the house's log."""

    position: int
    time: datetime | None
    log_id: int


EMPTY = Past(0, None, 0)

# All events of an append share one recorded_at, and no two appends of a workspace share one.
_END = """
SELECT e.sequence, e.recorded_at, e.notification_id
FROM es.events e
WHERE e.workspace_id = $1::uuid
  AND e.recorded_at {comparison} {moment}
ORDER BY e.recorded_at DESC, e.sequence DESC
LIMIT 1
"""
_BY_TIME = SQL("""
SELECT last.sequence, last.notification_id, EXISTS (
  SELECT
  FROM es.events e
  WHERE e.workspace_id = $1::uuid
    AND e.recorded_at > $2::timestamptz
)
FROM (VALUES (1)) AS always
LEFT JOIN LATERAL ({}) AS last ON true
""").format(SQL(_END).format(comparison=SQL("<="), moment=SQL("$2::timestamptz")))
# Whoever appends takes this lock, then the time, and keeps the lock until all can see what was appended.
_ALL_APPENDED = SQL("SELECT pg_advisory_lock_shared(4711001), clock_timestamp(), pg_advisory_unlock_shared(4711001)")
# To add to a column is leaky for row-level security: it would be done to every row of the log, and no index asked.
BY_POSITION = SQL("""
SELECT e.sequence, e.recorded_at, e.notification_id, n.recorded_at = e.recorded_at
FROM es.events e
LEFT JOIN es.events n ON n.workspace_id = e.workspace_id AND n.sequence = least($2::bigint, 9223372036854775806) + 1
WHERE e.workspace_id = $1::uuid
  AND e.sequence = $2::bigint
""")
_PLACE = SQL("""
SELECT e.notification_id
FROM es.events e
WHERE e.workspace_id = $1::uuid
  AND e.sequence = $2::bigint
""")
_BEFORE = SQL(_END).format(comparison=SQL("<"), moment=SQL("$2::timestamptz"))
_HEAD = SQL("SELECT coalesce(max(e.sequence), 0) FROM es.events e WHERE e.workspace_id = $1::uuid")


async def resolve(rows: Rows, as_of: Any) -> Past | None:
    """None for the present. Raises: AsOfOutOfRangeError for the future, InvalidInputError unless it is one of the two."""
    if as_of is None or as_of is UNSET:
        return None
    given = [each for each in (as_of.time, as_of.position) if each is not UNSET]
    if len(given) != 1 or given[0] is None:
        raise InvalidInputError("asOf takes a time or a position: one of them.", rule="as_of.empty", field=("asOf",))
    if as_of.time is not UNSET:
        return await at_time(rows, as_of.time)
    return await at_position(rows, int(as_of.position))


async def at_time(rows: Rows, time: datetime) -> Past:
    """The same for ever: where nothing later is recorded, what is being appended is waited for, and then looked for."""
    sequence, log_id, passed = (await rows.rows(_BY_TIME, [rows.workspace, time]))[0]
    if not passed:
        async with rows.newest() as waiting:
            _, clock, _ = (await waiting.rows(_ALL_APPENDED))[0]
        if time > clock:
            raise AsOfOutOfRangeError("asOf is in the future. Leave it out for the present.", field=("asOf", "time"))
        async with rows.newest() as looking:
            sequence, log_id, _ = (await looking.rows(_BY_TIME, [rows.workspace, time]))[0]
    return EMPTY if sequence is None else Past(sequence, time, log_id)


async def at_position(rows: Rows, position: int) -> Past:
    """The append that ends at the position; in the middle of one, the append before."""
    if position == 0:
        return EMPTY
    found = await rows.rows(BY_POSITION, [rows.workspace, position])
    if not found:
        raise await _past_the_end(rows, ("asOf", "position"))
    sequence, recorded_at, log_id, amid = found[0]
    if not amid:
        return Past(sequence, recorded_at, log_id)
    before = await rows.rows(_BEFORE, [rows.workspace, recorded_at])
    return Past(*before[0]) if before else EMPTY


async def _past_the_end(rows: Rows, field: FieldPath) -> AsOfOutOfRangeError:
    head = (await rows.rows(_HEAD, [rows.workspace]))[0][0]
    return AsOfOutOfRangeError(f"The log ends at position {head}.", field=field)


async def place(rows: Rows, position: int) -> int | None:
    """Where in the house's log a position stands; None while it is not recorded."""
    if position == 0:
        return 0
    found = await rows.rows(_PLACE, [rows.workspace, position])
    return int(found[0][0]) if found else None


async def check_recorded(rows: Rows, position: int, field: FieldPath) -> None:
    """Raises: AsOfOutOfRangeError at the argument."""
    if await place(rows, position) is None:
        raise await _past_the_end(rows, field)


async def shown(rows: Rows, log_id: int) -> int:
    """The workspace's newest position at or before a place in the house's log."""
    found = await rows.rows(AT_PLACE, [rows.workspace, log_id])
    return int(found[0][0]) if found else 0


def require(past: Past, bookmark: Bookmark | None) -> None:
    """Raises: NotYetProjectedError where a read model had not come as far as the moment."""
    if past.log_id > (bookmark.log_id if bookmark else 0):
        raise NotYetProjectedError(wanted=past.position, reached=bookmark.position if bookmark else 0)
