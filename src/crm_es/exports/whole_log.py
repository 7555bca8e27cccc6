"""A bundle of all that a workspace's newest checkpoint was signed for, as the database has it: what `crm-es verify` looks at.

Events come from the table of events and tiles from the sealer's, so an event that was changed contradicts its tile.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import psycopg
from psycopg import Connection

from crm_es.errors import NotFoundError
from crm_es.exports import gaps
from crm_es.exports.bundle import BundleWriter, Contents, Purpose, Rotation
from crm_es.ledger.checkpoint import parse, vkey
from crm_es.ledger.log_events import stream_of
from crm_es.ledger.merkle import HASH, Tile
from crm_es.ledger.proofs import TileReader, consistency_proof, inclusion_proof
from crm_es.ledger.tiles import MissingTileError, reader

ROWS: Final = 2_000
_NEWEST: Final[LiteralString] = """
SELECT l.epoch, l.origin, c.size, c.note, k.public
FROM ledger.log l
JOIN ledger.checkpoint c ON c.workspace_id = l.workspace_id AND c.epoch = l.epoch
JOIN ledger.key k ON k.id = l.key_id
WHERE l.workspace_id = %s
ORDER BY l.epoch DESC, c.size DESC
LIMIT 1
"""
_ROTATIONS: Final[LiteralString] = """
SELECT c.size, c.note, e.state
FROM ledger.checkpoint c
JOIN es.events e ON e.workspace_id = c.workspace_id AND e.sequence = c.size
WHERE c.workspace_id = %s AND c.epoch = %s AND c.kind = 'ROTATION'
ORDER BY c.size
"""
_HEADS: Final[LiteralString] = """
SELECT sequence, state
FROM es.events
WHERE originator_id = %s AND topic = 'ledger.heads_sealed' AND sequence <= %s
ORDER BY originator_version DESC
LIMIT 1
"""
_EVENTS: Final[LiteralString] = """
SELECT sequence, state, originator_id::text, topic, originator_version,
  to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
FROM es.events
WHERE workspace_id = %s AND sequence > %s AND sequence <= %s
ORDER BY sequence
"""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest checkpoint and who signed it."""

    epoch: int
    origin: str
    size: int
    note: str
    public: bytes
    misfiled: list[int] = field(default_factory=list)  # positions whose columns are not what their bytes say


def newest(connection: Connection[Any], workspace: UUID) -> Newest:
    """Raises: NotFoundError: nothing was sealed yet."""
    row = connection.execute(_NEWEST, [workspace]).fetchone()
    if row is None:
        raise NotFoundError("Nothing of this workspace was sealed yet. The sealer runs with `crm-es serve`, or alone.")
    return Newest(*row)


def write(url: str, workspace: UUID, directory: Path) -> Newest:
    """Everything of one moment. Raises: NotFoundError."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        at = newest(connection, workspace)
        read = forgiving(reader(connection, workspace, at.epoch))
        heads = connection.execute(_HEADS, [stream_of(workspace), at.size], binary=True).fetchone()
        said: dict[str, Any] = json.loads(heads[1])["data"] if heads else {"size": 0, "root": ""}
        contents = Contents(
            origin=at.origin, workspace=workspace, scope={"kind": "log"}, position=int(said["size"]), tree_size=at.size,
            heads_position=heads[0] if heads else 0, heads_root=said["root"],
        )  # fmt: skip
        writer = BundleWriter(directory, contents)
        writer.events(lambda after: _events(connection, workspace, after, at, read), _topic)
        writer.tiles(read)
        if heads:
            writer.head_proofs(heads[1])
        rotations = list(_rotations(connection, workspace, at, read))
        purpose = Purpose(
            requester="the operator", purpose="crm-es verify", created_at=datetime.now(UTC).isoformat(),
            tool=f"crm-es {version('crm-es')}",
        )  # fmt: skip
        writer.manifest(purpose, custody=False, rotations=[each.size for each in rotations])
        checkpoint, _ = parse(at.note)
        writer.seal(at.note, checkpoint, vkey(checkpoint.origin, at.public), rotations=rotations)
    return at


def forgiving(read: TileReader) -> TileReader:
    """What is not there reads as zeros, which no signed hash agrees with: the verifier says where."""

    def reading(tile: Tile) -> bytes:
        try:
            return read(tile)
        except MissingTileError:
            return bytes(tile.width * HASH)

    return reading


def _events(
    connection: Connection[Any], workspace: UUID, after: int, at: Newest, read: TileReader
) -> Iterator[tuple[int, bytes | None]]:
    with connection.cursor(f"events_{uuid4().hex}", binary=True) as cursor:
        cursor.itersize = ROWS
        cursor.execute(_EVENTS, [workspace, after, at.size])
        yield from gaps.told(_looked_at(cursor, at), after + 1, at.size, at.size, read)


def _looked_at(rows: Iterable[tuple[Any, ...]], at: Newest) -> Iterator[tuple[int, bytes]]:
    for position, state, *columns in rows:
        if not _filed(state, *columns):
            at.misfiled.append(position)
        yield position, state


def _filed(state: bytes, stream: str, topic: str, version: int, recorded_at: str) -> bool:
    """What reads the log finds events by their columns; only their bytes are signed."""
    end = state[state.rfind(b'"recorded_at":"') :]
    said = f'"stream":"{stream}","type":"{topic}","version":{version},'.encode()
    return said in end and end.startswith(b'"recorded_at":"%b"' % recorded_at.encode())


def _rotations(connection: Connection[Any], workspace: UUID, at: Newest, read: TileReader) -> Iterator[Rotation]:
    for size, note, state in connection.execute(_ROTATIONS, [workspace, at.epoch], binary=True).fetchall():
        yield Rotation(
            size=size,
            note=note,
            state=state,
            proof=inclusion_proof(read, size - 1, size),
            consistency=consistency_proof(read, size, at.size),
        )


def _topic(state: bytes) -> str:
    """An event that was changed may be anything."""
    try:
        return str(json.loads(state)["type"])
    except (ValueError, KeyError, TypeError):
        return "?"
