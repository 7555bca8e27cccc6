"""Keeps the tables behind the heads map: read the events that came, note each stream's last and which subjects it names.

No schema is needed: a stream belongs to a subject when it is that contact, or when the data of one of its events holds the
contact's id as a value, once the contact exists.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from psycopg import Connection

PAGE: Final = 2_000
# A string that is an id and no key. Its quotes are a string's own: inside a string a quote has a backslash before it. The
# pattern begins with a quote, for which `re` can search, and not with a look behind, which it would try at every byte.
_ID: Final = re.compile(rb'"(?<!\\")([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"(?!:)')
_EVENTS: Final[LiteralString] = """
SELECT sequence, originator_id::text, originator_version, topic, state
FROM es.events
WHERE workspace_id = %s AND sequence > %s AND sequence <= %s
ORDER BY sequence
LIMIT %s
"""
_STREAMS: Final[LiteralString] = """
INSERT INTO ledger.stream (workspace_id, stream_id, version, "position")
SELECT %s, u.stream_id, u.version, u."position"
FROM unnest(string_to_array(%s, ',')::uuid[], string_to_array(%s, ',')::bigint[], string_to_array(%s, ',')::bigint[])
  AS u (stream_id, version, "position")
ON CONFLICT (workspace_id, stream_id) DO UPDATE SET version = excluded.version, "position" = excluded."position"
"""
_SUBJECTS: Final[LiteralString] = """
INSERT INTO ledger.mention (workspace_id, subject_id, stream_id, since)
SELECT %s, u.stream_id, u.stream_id, u.since
FROM unnest(string_to_array(%s, ',')::uuid[], string_to_array(%s, ',')::bigint[]) AS u (stream_id, since)
ON CONFLICT DO NOTHING
"""
_MENTIONS: Final[LiteralString] = """
INSERT INTO ledger.mention (workspace_id, subject_id, stream_id, since)
SELECT %(workspace)s, u.subject_id, u.stream_id, min(u.since)
FROM unnest(
  string_to_array(%(subjects)s, ',')::uuid[], string_to_array(%(streams)s, ',')::uuid[],
  string_to_array(%(since)s, ',')::bigint[]
) AS u (subject_id, stream_id, since)
JOIN ledger.mention own
  ON own.workspace_id = %(workspace)s AND own.subject_id = u.subject_id AND own.stream_id = u.subject_id
 AND own.since <= u.since
GROUP BY u.subject_id, u.stream_id
ON CONFLICT DO NOTHING
"""
_ADVANCE: Final[LiteralString] = """
INSERT INTO ledger.heads_reach (workspace_id, epoch, size) VALUES (%s, %s, %s)
ON CONFLICT (workspace_id) DO UPDATE SET size = excluded.size
"""


class _Data(msgspec.Struct):
    data: msgspec.Raw


_data = msgspec.json.Decoder(_Data)
Row = tuple[int, str, int, str, bytes]


def advance(connection: Connection[Any], workspace: UUID, epoch: int, upto: int) -> None:
    """Up to a position; from the first one on where a new epoch says that history is another."""
    row = connection.execute(
        "SELECT epoch, size FROM ledger.heads_reach WHERE workspace_id = %s", [workspace]
    ).fetchone()
    size = row[1] if row and row[0] == epoch else 0
    if row and row[0] != epoch:
        _forget(connection, workspace)
    while size < upto:
        rows = connection.execute(_EVENTS, [workspace, size, upto, PAGE], binary=True).fetchall()
        size = rows[-1][0] if len(rows) == PAGE else upto
        with connection.transaction():
            _note(connection, workspace, rows)
            connection.execute(_ADVANCE, [workspace, epoch, size])


def _forget(connection: Connection[Any], workspace: UUID) -> None:
    with connection.transaction():
        connection.execute("DELETE FROM ledger.stream WHERE workspace_id = %s", [workspace])
        connection.execute("DELETE FROM ledger.mention WHERE workspace_id = %s", [workspace])
        connection.execute("DELETE FROM ledger.heads_parts WHERE workspace_id = %s", [workspace])
        connection.execute("DELETE FROM ledger.heads_reach WHERE workspace_id = %s", [workspace])


def _note(connection: Connection[Any], workspace: UUID, rows: Sequence[Row]) -> None:
    """Ids stay text on their way through, and lists are one text each: a million of either cost more than the reading."""
    last = {stream: (version, position) for position, stream, version, _, _ in rows}
    versions, positions = (_listed(one[n] for one in last.values()) for n in (0, 1))
    connection.execute(_STREAMS, [workspace, _listed(last), versions, positions])
    begun = {stream: position for position, stream, _, topic, _ in reversed(rows) if topic.startswith("contact.")}
    connection.execute(_SUBJECTS, [workspace, _listed(begun), _listed(begun.values())])
    named = {(id_, stream, position) for position, stream, _, _, state in rows for id_ in ids_in(state)}
    subjects, streams, since = zip(*named, strict=True) if named else ((), (), ())
    connection.execute(
        _MENTIONS,
        {
            "workspace": workspace, "subjects": _listed(id_.decode() for id_ in subjects), "streams": _listed(streams),
            "since": _listed(since),
        },
    )  # fmt: skip


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def ids_in(state: bytes) -> set[bytes]:
    """The ids that stand as values anywhere in an event's data, however they are escaped."""
    data: bytes | msgspec.Raw = _data.decode(state).data
    if b"\\u00" in state:  # an id is of ASCII
        data = msgspec.json.encode(msgspec.json.decode(data))
    return set(_ID.findall(data))
