"""What a revert is of: the events of one command, with those of its rows, or of one correlation. Imports are known by either."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, LiteralString
from uuid import UUID, uuid5

import psycopg

MOST_ROWS: Final = 1_000
"""Of a batch that was done row by row: each row is a command of its own, made of the batch's."""
_CHOSEN: Final[LiteralString] = """
SELECT e.stream_id, e.entity_type, e.version, e.actor_kind, e.actor_id
FROM audit_trail.event e
WHERE e.workspace_id = %(workspace)s
  AND e.position <= %(upto)s
  AND (e.command_id = ANY (%(commands)s) OR e.correlation_id = %(correlation)s)
ORDER BY e.position DESC
"""
# An import of before its events had its id as their correlation: they say where they came from, and no index tells who did.
_IMPORTED: Final[LiteralString] = """
SELECT e.stream_id, e.entity_type, e.version, e.actor_kind, e.actor_id
FROM audit_trail.event e
WHERE e.workspace_id = %(workspace)s
  AND e.position <= %(upto)s
  AND e.import_id = %(correlation)s
  AND EXISTS (SELECT FROM es.import_run r WHERE r.workspace_id = %(workspace)s AND r.id = %(correlation)s)
ORDER BY e.position DESC
"""


class TargetKind(StrEnum):
    COMMAND = "COMMAND"
    CORRELATION = "CORRELATION"


@dataclass(frozen=True, slots=True)
class Target:
    kind: TargetKind
    id: UUID

    @property
    def commands(self) -> list[UUID]:
        if self.kind is TargetKind.CORRELATION:
            return []
        return [self.id, *(uuid5(self.id, str(number)) for number in range(MOST_ROWS))]


@dataclass(frozen=True, slots=True)
class Touched:
    """A stream with events to take back: their versions, and who recorded them."""

    stream: UUID
    aggregate: str
    versions: frozenset[int]
    actors: frozenset[tuple[str, UUID | None]]


async def touched(
    connection: psycopg.AsyncConnection[Any], workspace: UUID, target: Target, upto: int
) -> Sequence[Touched]:
    """The streams, the last to be written first: always the same for the same position. `connection` is of the workspace."""
    named = {"workspace": workspace, "upto": upto, "commands": target.commands, "correlation": target.id}
    return await _touched(connection, _CHOSEN, named) or await _touched(connection, _IMPORTED, named)


async def _touched(
    connection: psycopg.AsyncConnection[Any], statement: LiteralString, named: dict[str, Any]
) -> Sequence[Touched]:
    found: dict[UUID, tuple[str, set[int], set[tuple[str, UUID | None]]]] = {}
    cursor = await connection.execute(statement, named)
    async for stream, aggregate, version, kind, actor in cursor:
        _, versions, actors = found.setdefault(stream, (aggregate, set(), set()))
        versions.add(version)
        actors.add((kind, actor))
    return [Touched(stream, name, frozenset(vs), frozenset(actors)) for stream, (name, vs, actors) in found.items()]
