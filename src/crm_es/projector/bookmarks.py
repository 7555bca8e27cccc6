"""How far each read model has come: the rows of `es.bookmark`. `<NAME>__next` is the bookmark of one being rebuilt."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Cursor
from psycopg.types.json import Jsonb

NEXT: Final = "__next"

_READ: Final = "SELECT read_model, version, log_id, parked, ready FROM es.bookmark ORDER BY read_model"
_BEGIN: Final = """
INSERT INTO es.bookmark (read_model, version, log_id)
VALUES (%(name)s, %(version)s, 0)
ON CONFLICT (read_model) DO UPDATE SET version = excluded.version, log_id = 0, parked = NULL, ready = false, updated_at = now()
"""
_ADVANCE: Final = """
UPDATE es.bookmark
SET log_id = %(new)s, updated_at = now()
WHERE read_model = ANY (%(names)s) AND log_id = %(old)s
RETURNING read_model
"""
_ADVANCE_OR_FAIL: Final = """
WITH moved AS (
  UPDATE es.bookmark
  SET log_id = %(new)s, updated_at = now()
  WHERE read_model = ANY (%(names)s::text[]) AND log_id = %(old)s
  RETURNING read_model
)
SELECT 1 / (count(*) = cardinality(%(names)s::text[]))::integer
FROM moved
"""
_PARK: Final = """
UPDATE es.bookmark
SET parked = %(letter)s, updated_at = now()
WHERE read_model = %(name)s AND log_id = %(old)s
"""
_UNPARK: Final = "UPDATE es.bookmark SET parked = NULL WHERE read_model = ANY (%(names)s)"
_READY: Final = "UPDATE es.bookmark SET ready = true WHERE read_model = %(name)s"
_REMOVE: Final = "DELETE FROM es.bookmark WHERE read_model = %(name)s"


class AbdicatedError(Exception):
    """Somebody else moved the bookmark: this leader leads no more."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """`parked` is the dead letter of the event that stopped the read model; `ready` hands a rebuilt one to the leader."""

    read_model: str
    version: int
    log_id: int
    parked: Mapping[str, Any] | None
    ready: bool


def read(cursor: Cursor[Any]) -> dict[str, Bookmark]:
    return {row[0]: Bookmark(*row) for row in cursor.execute(_READ, prepare=True)}


def begin(cursor: Cursor[Any], name: str, version: int) -> None:
    """A bookmark at the start of the log."""
    cursor.execute(_BEGIN, {"name": name, "version": version})


def advance(cursor: Cursor[Any], names: Iterable[str], *, old: int, new: int) -> None:
    """Move bookmarks that all stand at `old`. Raises: AbdicatedError when one does not."""
    wanted = sorted(names)
    moved = cursor.execute(_ADVANCE, {"names": wanted, "old": old, "new": new}, prepare=True).fetchall()
    if len(moved) != len(wanted):
        raise AbdicatedError(f"bookmarks of {wanted} no longer stand at {old}")


def advance_or_fail(cursor: Cursor[Any], names: Iterable[str], *, old: int, new: int) -> None:
    """The same in a pipeline, waiting for no answer: where a bookmark stands elsewhere, the statement fails, and with it all
    that is sent after it."""
    cursor.execute(_ADVANCE_OR_FAIL, {"names": sorted(names), "old": old, "new": new}, prepare=True)


def park(cursor: Cursor[Any], name: str, *, old: int, letter: Mapping[str, Any]) -> None:
    if cursor.execute(_PARK, {"name": name, "old": old, "letter": Jsonb(dict(letter))}).rowcount != 1:
        raise AbdicatedError(f"bookmark of {name} no longer stands at {old}")


def unpark(cursor: Cursor[Any], names: Iterable[str]) -> None:
    cursor.execute(_UNPARK, {"names": sorted(names)})


def make_ready(cursor: Cursor[Any], name: str) -> None:
    cursor.execute(_READY, {"name": name})


def remove(cursor: Cursor[Any], name: str) -> None:
    cursor.execute(_REMOVE, {"name": name})
