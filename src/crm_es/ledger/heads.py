"""The heads map: a sorted tree over each stream's last event and each subject's streams, by which a part of the log is proved
complete. Its root is sealed into the log now and then; here is what it holds at any size, from tables that heads_tables.py keeps;
heads_parts.py sums it up and proves leaves of it.

A leaf is text: `s <stream> <last version> <last position>` or `p <contact> <number of streams> <SHA-256 of their ids, sorted>`.
Connections may be the application's, with `app.workspace` set, or the sealer's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import msgspec
from psycopg import Connection

from crm_es.errors import UnavailableError
from crm_es.ledger.log_events import LedgerHeadsSealed, stream_of

ROWS: Final = 5_000
Key = bytes
FIRST: Final = b"p" + bytes(16)
LAST: Final = b"s" + b"\xff" * 16
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
WHERE workspace_id = %(workspace)s AND subject_id BETWEEN %(first)s AND %(last)s AND since <= %(size)s
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
WHERE s.workspace_id = %(workspace)s AND s.stream_id BETWEEN %(first)s AND %(last)s
  AND (s."position" <= %(size)s OR before.sequence IS NOT NULL)
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


def key_of(leaf: str) -> Key:
    """Of a leaf, or of how it begins. Keys are in the order of the leaves."""
    return leaf[0].encode() + UUID(leaf[2:38]).bytes


def leaves(
    connection: Connection[Any], workspace: UUID, size: int, first: Key = FIRST, last: Key = LAST
) -> Iterator[str]:
    """All of them, or those from one to another, in order, as of `size`: the size of a map that was sealed.

    Raises: UnavailableError.
    """
    row = connection.execute(_REACH, [workspace]).fetchone()
    if row is None or row[0] < size:
        raise UnavailableError("The map of streams is being made anew. Try again in a while.")
    with connection.transaction():
        for subject, rows in groupby(
            _rows(connection, _MENTIONS, workspace, size, _ids("p", first, last)), itemgetter(0)
        ):
            yield subject_leaf(subject, [stream for _, stream in rows])
        for stream, version, position in _rows(connection, _STREAMS, workspace, size, _ids("s", first, last)):
            yield f"s {stream} {version} {position}"


def _ids(letter: str, first: Key, last: Key) -> tuple[UUID, UUID] | None:
    """The ends of what begins so, between two leaves."""
    mine = letter.encode()
    if not first[:1] <= mine <= last[:1]:
        return None
    return UUID(bytes=first[1:] if first[:1] == mine else FIRST[1:]), UUID(
        bytes=last[1:] if last[:1] == mine else LAST[1:]
    )


def _rows(
    connection: Connection[Any], statement: LiteralString, workspace: UUID, size: int, ends: tuple[UUID, UUID] | None
) -> Iterator[Any]:
    if ends is None:
        return
    with connection.cursor(f"heads_{uuid4().hex}", binary=True) as cursor:
        cursor.itersize = ROWS
        cursor.execute(statement, {"workspace": workspace, "size": size, "first": ends[0], "last": ends[1]})
        yield from cursor


def subject_leaf(subject: UUID, streams: Sequence[UUID]) -> str:
    """`streams` in order."""
    joined = "\n".join(map(str, streams))
    return f"p {subject} {len(streams)} {sha256(joined.encode()).hexdigest()}"


def streams_of(connection: Connection[Any], workspace: UUID, subject: UUID, size: int) -> list[UUID]:
    """A subject's streams as of `size`, in order."""
    return [row[0] for row in connection.execute(_STREAMS_OF, [workspace, subject, size]).fetchall()]


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
