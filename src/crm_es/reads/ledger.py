"""What those who serve read of the ledger: checkpoints, tiles, entries; the log of a workspace, or the log of logs."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from crm_es.ledger.book import NIL
from crm_es.ledger.checkpoint import vkey
from crm_es.ledger.merkle import HASH, Tile, edge_of, leaf_hash
from crm_es.ledger.proofs import TileReader, consistency_proof, inclusion_proof, root, root_by_inclusion, tiles_for_leaf
from crm_es.reads.driver import Snapshot
from crm_es.reads.errors import ContradictedError

_HEAD: Final = b"""
SELECT l.epoch, l.origin, k.public, c.size, c.root, c.signed_at, c.note
FROM ledger.log l
JOIN ledger.key k ON k.id = l.key_id
JOIN LATERAL (
  SELECT c.size, c.root, c.signed_at, c.note
  FROM ledger.checkpoint c
  WHERE c.workspace_id = l.workspace_id AND c.epoch = l.epoch AND c.size >= $3::bigint
"""
_TAIL: Final = b"""
  LIMIT 1
) AS c ON true
WHERE l.workspace_id = $1::uuid AND coalesce(l.epoch = $2::int, true)
ORDER BY l.epoch DESC
LIMIT 1
"""
_NEWEST: Final = _HEAD + b"  ORDER BY c.size DESC" + _TAIL
_FIRST: Final = _HEAD + b"  ORDER BY c.size" + _TAIL
_TILES: Final = b"""
SELECT t.level, t.number, t.hashes
FROM unnest($3::int[], $4::bigint[]) AS wanted (level, number)
JOIN ledger.tile t
  ON t.workspace_id = $1::uuid AND t.epoch = $2::int AND t.level = wanted.level AND t.number = wanted.number
"""
_EVENTS: Final = b"""
SELECT sequence, state FROM es.events WHERE workspace_id = $1::uuid AND sequence > $2::bigint AND sequence <= $3::bigint
"""
_NOTES: Final = (
    b"SELECT number, convert_to(note, 'UTF8') FROM ledger.note WHERE number > $1::bigint AND number <= $2::bigint"
)


@dataclass(frozen=True, slots=True)
class SignedLog:
    """An epoch of a log at one of its checkpoints."""

    epoch: int
    origin: str
    public: bytes
    size: int
    root: bytes
    signed_at: datetime
    note: str

    @property
    def public_key(self) -> str:
        return vkey(self.origin, self.public)


@dataclass(frozen=True, slots=True)
class Included:
    """The inclusion of an event in the tree of a checkpoint."""

    log: SignedLog
    leaf: bytes
    hashes: list[bytes]


async def newest(snapshot: Snapshot, workspace: UUID, epoch: int | None = None) -> SignedLog | None:
    """Of the newest epoch unless another is asked for; nothing where nothing was signed yet."""
    return await _signed(snapshot, _NEWEST, workspace, epoch, 0)


async def first_from(snapshot: Snapshot, workspace: UUID, size: int) -> SignedLog | None:
    """The first that was signed at this size or a larger one."""
    return await _signed(snapshot, _FIRST, workspace, None, size)


async def _signed(
    snapshot: Snapshot, statement: bytes, workspace: UUID, epoch: int | None, size: int
) -> SignedLog | None:
    rows = await snapshot.fetch(statement, (str(workspace), epoch, size))
    return SignedLog(*rows[0]) if rows else None


async def tiles(snapshot: Snapshot, workspace: UUID, epoch: int, wanted: Iterable[Tile]) -> TileReader:
    """Reads these tiles, by one statement, and no others."""
    asked = list(wanted)
    rows = await snapshot.fetch(
        _TILES, (str(workspace), epoch, [tile.level for tile in asked], [tile.number for tile in asked])
    )
    found = {(level, number): hashes for level, number, hashes in rows}

    def read(tile: Tile) -> bytes:
        return bytes(found.get((tile.level, tile.number), b""))[: tile.width * HASH]

    return read


async def entries(snapshot: Snapshot, workspace: UUID, start: int, count: int) -> list[bytes]:
    """So many after the first `start`; an empty one stands where history lost its own."""
    if workspace == NIL:
        rows = await snapshot.fetch(_NOTES, (start, start + count))
    else:
        rows = await snapshot.fetch(_EVENTS, (str(workspace), start, start + count))
    found = dict(rows)
    return [bytes(found.get(number, b"")) for number in range(start + 1, start + count + 1)]


async def included(snapshot: Snapshot, workspace: UUID, position: int, tree_size: int | None) -> Included | None:
    """In the newest checkpoint's tree, or in that of the first checkpoint of `tree_size` or more; none yet: nothing.

    Raises: ContradictedError: the event, or what leads from it to the root, is not what was signed.
    """
    if tree_size is None:
        log = await newest(snapshot, workspace)
    else:
        log = await first_from(snapshot, workspace, tree_size)
    if log is None or not 1 <= position <= log.size:
        return None
    index = position - 1
    wanted = {*tiles_for_leaf(index, log.size), *edge_of(log.size)}
    read = await tiles(snapshot, workspace, log.epoch, wanted)
    leaf = read(Tile(0, index // 256, index % 256 + 1))[-HASH:]
    (stored,) = await entries(snapshot, workspace, index, 1)
    try:
        hashes = inclusion_proof(read, index, log.size)
    except ValueError:  # a tile is cut short, or gone
        raise ContradictedError(position) from None
    if leaf != leaf_hash(stored) or root_by_inclusion(leaf, index, log.size, hashes) != log.root:
        raise ContradictedError(position)
    return Included(log, leaf, hashes)


async def consistent(
    snapshot: Snapshot, workspace: UUID, first: int, second: int | None
) -> tuple[int, list[bytes]] | None:
    """(size of the larger tree, proof); nothing where it is not signed that far. Raises: ContradictedError."""
    log = await newest(snapshot, workspace)
    if log is None:
        return None
    upto = log.size if second is None else second
    if not 0 <= first <= upto <= log.size:
        return None
    wanted = {*tiles_for_leaf(max(first - 1, 0), upto), *edge_of(upto)} if upto else set()
    read = await tiles(snapshot, workspace, log.epoch, wanted)
    try:
        if upto == log.size and root(read, upto) != log.root:
            raise ContradictedError(upto)
        return upto, consistency_proof(read, first, upto)
    except ValueError:
        raise ContradictedError(upto) from None
