"""The heads map: a sorted tree over each stream's last event and each subject's streams, by which a part of the log is proved
complete. Its root is sealed into the log now and then; here is what it holds at any size, from tables that heads_tables.py keeps.

A leaf is text: `s <stream> <last version> <last position>` or `p <contact> <number of streams> <SHA-256 of their ids, sorted>`.
Connections may be the application's, with `app.workspace` set, or the sealer's.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import msgspec
from psycopg import Connection

from crm_es.errors import NotFoundError, UnavailableError
from crm_es.ledger.log_events import LedgerHeadsSealed, stream_of
from crm_es.ledger.merkle import HASH, Growing, Tile, leaf_hash
from crm_es.ledger.proofs import inclusion_proof

ROWS: Final = 5_000
_SEALED: Final[LiteralString] = """
SELECT e.sequence, e.state
FROM (
  (SELECT size FROM ledger.checkpoint
   WHERE workspace_id = %(workspace)s AND epoch = %(epoch)s AND kind = 'HEADS' AND size > %(upto)s ORDER BY size LIMIT 1)
  UNION ALL
  (SELECT size FROM ledger.checkpoint
   WHERE workspace_id = %(workspace)s AND epoch = %(epoch)s AND kind = 'HEADS' AND size <= %(upto)s ORDER BY size DESC LIMIT 1)
) AS signed
JOIN es.events e ON e.workspace_id = %(workspace)s AND e.sequence = signed.size
ORDER BY e.sequence DESC
"""
_EPOCH: Final[LiteralString] = "SELECT coalesce(max(epoch), 1) FROM ledger.log WHERE workspace_id = %s"
_REACH: Final[LiteralString] = "SELECT size FROM ledger.heads_reach WHERE workspace_id = %s"
_MENTIONS: Final[LiteralString] = """
SELECT subject_id, stream_id
FROM ledger.mention
WHERE workspace_id = %s AND since <= %s
ORDER BY subject_id, stream_id
"""
_STREAMS_OF: Final[LiteralString] = """
SELECT stream_id
FROM ledger.mention
WHERE workspace_id = %s AND subject_id = %s AND since <= %s
ORDER BY stream_id
"""
# A stream that went on since stands further than the size asked for: its own events say where it stood then.
_STREAMS: Final[LiteralString] = """
SELECT s.stream_id, coalesce(before.originator_version, s.version), coalesce(before.sequence, s."position")
FROM ledger.stream s
LEFT JOIN LATERAL (
  SELECT e.originator_version, e.sequence
  FROM es.events e
  WHERE s."position" > %(size)s AND e.originator_id = s.stream_id AND e.workspace_id IS NOT DISTINCT FROM s.workspace_id
    AND e.sequence <= %(size)s
  ORDER BY e.originator_version DESC
  LIMIT 1
) AS before ON true
WHERE s.workspace_id = %(workspace)s AND (s."position" <= %(size)s OR before.sequence IS NOT NULL)
ORDER BY s.stream_id
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heads:
    """The map over positions 1 to `size`, and the event at `position` that seals its root."""

    size: int
    position: int
    root: bytes
    leaves: int
    streams: int
    subjects: int


@dataclass(frozen=True, slots=True)
class Proved:
    """A leaf, its place in the order (from 0), and its inclusion proof."""

    index: int
    leaf: str
    hashes: Sequence[bytes]


def newest(connection: Connection[Any], workspace: UUID, upto: int) -> Heads | None:
    """The newest sealed and signed map over positions up to `upto` at most."""
    (epoch,) = connection.execute(_EPOCH, [workspace]).fetchall()[0]
    rows = connection.execute(_SEALED, {"workspace": workspace, "epoch": epoch, "upto": upto}).fetchall()
    found = (_read(position, state) for position, state in rows)
    return next((heads for heads in found if heads.size <= upto), None)


def _read(position: int, state: bytes) -> Heads:
    said = msgspec.convert(msgspec.json.decode(state)["data"], LedgerHeadsSealed)
    return Heads(
        size=said.size,
        position=position,
        root=bytes.fromhex(said.root),
        leaves=said.leaves,
        streams=said.streams,
        subjects=said.subjects,
    )


def leaves(connection: Connection[Any], workspace: UUID, size: int) -> Iterator[str]:
    """All of them, in order, as of `size`: the size of a map that was sealed. Raises: UnavailableError."""
    row = connection.execute(_REACH, [workspace]).fetchone()
    if row is None or row[0] < size:
        raise UnavailableError("The map of streams is being made anew. Try again in a while.")
    with connection.transaction():
        with connection.cursor(f"mentions_{uuid4().hex}", binary=True) as cursor:
            cursor.itersize = ROWS
            cursor.execute(_MENTIONS, [workspace, size])
            for subject, rows in groupby(cursor, key=lambda row: row[0]):
                yield subject_leaf(subject, [stream for _, stream in rows])
        with connection.cursor(f"streams_{uuid4().hex}", binary=True) as cursor:
            cursor.itersize = ROWS
            cursor.execute(_STREAMS, {"workspace": workspace, "size": size})
            for stream, version, position in cursor:
                yield f"s {stream} {version} {position}"


def subject_leaf(subject: UUID, streams: Sequence[UUID]) -> str:
    """`streams` in order."""
    joined = "\n".join(map(str, streams))
    return f"p {subject} {len(streams)} {sha256(joined.encode()).hexdigest()}"


def streams_of(connection: Connection[Any], workspace: UUID, subject: UUID, size: int) -> list[UUID]:
    """A subject's streams as of `size`, in order."""
    return [row[0] for row in connection.execute(_STREAMS_OF, [workspace, subject, size]).fetchall()]


def summed(connection: Connection[Any], workspace: UUID, size: int) -> LedgerHeadsSealed:
    """What the event says that seals the map as of `size`."""
    tree, subjects = Growing(), 0
    for leaf in leaves(connection, workspace, size):
        tree.add((leaf_hash(leaf.encode()),))
        subjects += leaf[0] == "p"
        if tree.size % ROWS == 0:
            tree.take()
    return LedgerHeadsSealed(
        size=size, root=tree.root().hex(), leaves=tree.size, streams=tree.size - subjects, subjects=subjects
    )


def prove(connection: Connection[Any], workspace: UUID, size: int, wanted: Iterable[str]) -> list[Proved]:
    """The leaves that begin so (`s <stream>`, `p <contact>`), in order, each with its proof. 32 bytes a leaf are held.

    Raises: NotFoundError: one of them is not in the map; UnavailableError.
    """
    looked_for, found, tree = set(wanted), list[tuple[int, str]](), Growing()
    tiles: dict[tuple[int, int], bytes] = {}
    for index, leaf in enumerate(leaves(connection, workspace, size)):
        if leaf[:38] in looked_for:
            found.append((index, leaf))
        tree.add((leaf_hash(leaf.encode()),))
        if tree.size % ROWS == 0:
            _keep(tiles, tree)
    _keep(tiles, tree)
    if len(found) != len(looked_for):
        missing = sorted(looked_for - {leaf[:38] for _, leaf in found})
        raise NotFoundError(f"Not in the log up to {size}: {', '.join(missing)}.")

    def read(tile: Tile) -> bytes:
        return tiles[tile.level, tile.number][: tile.width * HASH]

    return [Proved(index, leaf, inclusion_proof(read, index, tree.size)) for index, leaf in found]


def _keep(tiles: dict[tuple[int, int], bytes], tree: Growing) -> None:
    tiles.update({(tile.level, tile.number): hashes for tile, hashes in tree.take()})


# -- asking for it now


def request(connection: Connection[Any], workspace: UUID) -> UUID:
    """Have the map sealed as it is now. A sealer must run; `answered` tells when it has."""
    asked = uuid4()
    connection.execute("INSERT INTO ledger.request (workspace_id, id) VALUES (%s, %s)", [workspace, asked])
    connection.execute("NOTIFY ledger_requests")
    return asked


def answered(connection: Connection[Any], workspace: UUID, asked: UUID) -> Heads | None:
    """Nothing as long as it is not sealed and signed."""
    row = connection.execute(
        "SELECT size FROM ledger.request WHERE workspace_id = %s AND id = %s AND done_at IS NOT NULL",
        [workspace, asked],
    ).fetchone()
    return newest(connection, workspace, row[0]) if row else None


def size_of(state: bytes) -> int:
    """Up to where the map reaches that an event seals."""
    return _read(0, state).size


def heads_of(connection: Connection[Any], workspace: UUID) -> tuple[int, bytes] | None:
    """Position and bytes of the newest event that seals a map, signed or not yet."""
    row = connection.execute(
        "SELECT sequence, state FROM es.events WHERE originator_id = %s AND topic = 'ledger.heads_sealed'"
        " ORDER BY originator_version DESC LIMIT 1",
        [stream_of(workspace)],
    ).fetchone()
    return (row[0], row[1]) if row else None
