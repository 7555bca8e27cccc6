"""The library's recorder over the log's own functions: one statement writes a batch of commands, one reads streams.

Verdicts and reads only; what they mean is the store's business. Its table statements are never used: migrations made the tables.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from eventsourcing.persistence import InterfaceError, OperationalError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg.rows import tuple_row

from crm_es.errors import OutcomeUnknownError, UnavailableError
from crm_es.eventstore.codec import Stored, hole_of
from crm_es.eventstore.commit import Answer, Append, Committer, Verdict
from crm_es.eventstore.connections import LOST, Connection, Connections, connect, outcome_known, transient
from crm_es.eventstore.event import WorkspaceId
from crm_es.eventstore.packing import Packed, pack, pack_rows

BACKOFF = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds before each attempt
END = 2**63 - 1
_REQUESTS = ("uuid", "uuid", "bytea", "text", "text", "timestamptz", "int4")
_EVENTS = ("int4", "uuid", "int8", "text", "bytea", "int4")
_RESERVED = ("int4", "text", "bytea", "uuid")
_HOLDERS = ("int4", "uuid", "uuid", "uuid", "bool")
_DOOMED = ("int4", "uuid", "uuid")
_APPEND: LiteralString = (
    "SELECT req, status, first_position, last_position, last_log_id, holder, kind, key, ids, refusals FROM es.append_events("
    "%b, %b, %b, %b, %b, %b, %b,  %b, %b, %b, %b, %b, %b,  %b, %b, %b, %b,  %b, %b, %b, %b,  %b, %b, %b, %b, %b,  %b, %b, %b)"
)
_READ: LiteralString = "SELECT * FROM es.read_streams(%b, %b, %b, %b, %b)"

_BEGUN: LiteralString = """
SELECT topic, originator_id, sequence
FROM es.events
WHERE workspace_id = %s AND sequence > %s AND originator_version = 1
ORDER BY sequence
LIMIT %s
"""
HOLDERS: LiteralString = """
SELECT held.kind, held.key, held.stream_id
FROM unnest(%b, %b) AS wanted (kind, key)
CROSS JOIN LATERAL (
  SELECT r.kind, r.key, r.stream_id
  FROM es.reservation r
  WHERE r.workspace_id = %s AND r.kind = wanted.kind AND r.key = wanted.key
  LIMIT 1
) AS held
"""
_RESERVED_ROWS: LiteralString = "SELECT kind, key, stream_id FROM es.reservation WHERE workspace_id = %s"


class StreamKey(NamedTuple):
    """What the library calls an originator id."""

    workspace: WorkspaceId
    stream: UUID


@dataclass(frozen=True)
class StoredFact(StoredEvent):
    """A stored event with its two numbers."""

    log_id: int
    position: int


class SeenCommand(NamedTuple):
    """The row of a command that was accepted before."""

    request_hash: bytes
    ids: tuple[UUID, ...]
    position: int | None  # None: it changed nothing
    refusals: str | None
    log_id: int | None


class Datastore(PostgresDatastore):
    """The library's datastore over our own connections; its pool stays closed."""

    def __init__(self, url: str, *, size: int) -> None:
        super().__init__("", "", "", "", "", schema="es")
        self.url = url
        self.connections = Connections(url, size=size, name="crm_es read")

    @contextmanager
    def get_connection(self) -> Iterator[Connection]:
        try:
            with self.connections.take() as connection:
                yield connection
        except psycopg.InterfaceError as exc:
            raise InterfaceError(str(exc)) from exc
        except psycopg.OperationalError as exc:
            raise OperationalError(str(exc)) from exc

    def register_type_adapters(self) -> None:
        """None: the log has no composite types."""

    def close(self) -> None:
        super().close()
        if hasattr(self, "connections"):
            self.connections.close()


class Recorder(PostgresApplicationRecorder):
    """Appends by group commit, reads by workspace. All its calls block; the store's threads wait for them."""

    datastore: Datastore

    def __init__(self, url: str, *, readers: int = 8) -> None:
        super().__init__(Datastore(url, size=readers), events_table_name="events")
        self.commits = Committer(self._write)
        self._writer: Connection | None = None

    def close(self) -> None:
        self.commits.close()
        if self._writer is not None:
            self._writer.close()
        self.datastore.close()

    # -- the library's doors

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Raises: RefusedAppendError for every verdict but OK, so that the library never sees a short list."""
        append: Append = kwargs["append"]
        verdict = self.commits.append_and_wait(append)
        if verdict.status != "OK":
            raise RefusedAppendError(verdict)
        last = verdict.last_log_id or 0
        return range(last - len(stored_events) + 1, last + 1)

    def select_events(
        self,
        originator_id: Any,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Events of a StreamKey, of that workspace only."""
        workspace, stream = originator_id
        rows, _ = self.read_streams(workspace, {stream: gt or 0}, upto=END if lte is None else lte)
        found = [StoredFact(originator_id, version, "", row.state, *row[:2]) for version, row in rows.get(stream, ())]
        return (found[::-1] if desc else found)[:limit]

    # -- reads

    def read_streams(
        self, workspace: WorkspaceId, after: Mapping[UUID, int], *, upto: int = END, command_id: UUID | None = None
    ) -> tuple[dict[UUID, list[tuple[int, Stored]]], SeenCommand | None]:
        """(version, row) of each stream after the version given for it, and the row of the command if it was seen."""
        streams = pack("uuid", list(after)), pack("int8", list(after.values()))
        rows = self._query(_READ, (workspace, *streams, upto, command_id))
        found: dict[UUID, list[tuple[int, Stored]]] = {}
        for stream, version, log_id, position, state, *_ in rows:
            if stream is not None:
                found.setdefault(stream, []).append((version, Stored(log_id, position, state)))
        request_hash, ids, position, refusals, log_id = rows[0][5:]
        seen = None if request_hash is None else SeenCommand(request_hash, tuple(ids), position, refusals, log_id)
        return found, seen

    def holders(self, workspace: WorkspaceId, wanted: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], UUID]:
        kinds, keys = pack("text", [kind for kind, _ in wanted]), pack("bytea", [key for _, key in wanted])
        rows = self._scan(workspace, HOLDERS, (kinds, keys, workspace))
        return {(kind, key): stream for kind, key, stream in rows}

    def existing(self, workspace: WorkspaceId, aggregate: str, streams: Sequence[UUID]) -> set[UUID]:
        rows = self._query(
            "SELECT stream FROM es.read_existing(%b, %s, %b)", (workspace, aggregate, pack("uuid", streams))
        )
        return {stream for (stream,) in rows}

    def begun(self, workspace: WorkspaceId, after: int, at_most: int) -> list[tuple[str, UUID, int]]:
        """(aggregate name, stream, position) of the streams that began after a position, in order."""
        rows = self._scan(workspace, _BEGUN, (workspace, after, at_most))
        return [(topic.partition(".")[0], stream, position) for topic, stream, position in rows]

    def reserved(self, workspace: WorkspaceId) -> dict[tuple[str, bytes], UUID]:
        rows = self._scan(workspace, _RESERVED_ROWS, (workspace,))
        return {(kind, key): stream for kind, key, stream in rows}

    def _scan(self, workspace: WorkspaceId, sql: LiteralString, params: Sequence[object]) -> list[tuple[Any, ...]]:
        return self._read(lambda connection: fenced(connection, workspace, sql, params))

    def workspaces_with_doomed_keys(self, at_most: int = 500) -> list[WorkspaceId]:
        return [row[0] for row in self._query("SELECT es.workspaces_with_doomed_keys(%s)", (at_most,))]

    def pending_doomed_keys(self, workspace: WorkspaceId, at_most: int = 500) -> list[UUID]:
        return [row[0] for row in self._scan(workspace, "SELECT key_id FROM es.pending_doomed_keys(%s)", (at_most,))]

    def doomed_keys_destroyed(self, workspace: WorkspaceId, keys: Sequence[UUID]) -> None:
        self._scan(workspace, "SELECT es.doomed_keys_destroyed(%b)", (pack("uuid", keys),))

    def _query(self, sql: LiteralString, params: Sequence[object]) -> list[tuple[Any, ...]]:
        def query(connection: Connection) -> list[tuple[Any, ...]]:
            cursor = connection.cursor(binary=True, row_factory=tuple_row)
            return cursor.execute(sql, params, prepare=True).fetchall()

        return self._read(query)

    def _read(self, ask: Callable[[Connection], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        """One more try for a connection that had gone stale; then Raises: UnavailableError."""
        for last in (False, True):
            try:
                with self.datastore.connections.take() as connection:
                    return ask(connection)
            except LOST as exc:
                if last or outcome_known(exc):
                    raise UnavailableError(f"The log cannot be read now: {exc}") from exc
        raise AssertionError("unreachable")

    # -- writes, in the committer's thread only

    def _write(self, appends: Sequence[Append]) -> Sequence[Answer]:
        """Send the batch, unchanged, until it is answered: the command rows make sending twice safe."""
        arrays = _arrays(appends)
        failure: psycopg.Error | None = None
        unknown = False
        for wait in BACKOFF:
            if wait:
                time.sleep(wait)
            try:
                return self._verdicts(appends, self._call(arrays), resent=unknown)
            except psycopg.Error as exc:
                failure = exc
                unknown = unknown or (self._sent and not outcome_known(exc))
                if not outcome_known(exc):
                    self._drop_writer()
                if not transient(exc):
                    break
        if failure is not None and len(appends) > 1 and not transient(failure):
            return [self._write([append])[0] for append in appends]  # one of them is at fault; the others are not
        return [_failed(failure, unknown=unknown)] * len(appends)

    _sent = False

    def _call(self, arrays: Sequence[object]) -> list[tuple[Any, ...]]:
        self._sent = False
        if self._writer is None or self._writer.closed:
            self._writer = connect(self.datastore.url, "crm_es append")
        cursor = self._writer.cursor(binary=True, row_factory=tuple_row)
        self._sent = True
        return cursor.execute(_APPEND, arrays, prepare=True).fetchall()

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _verdicts(self, appends: Sequence[Append], rows: Sequence[tuple[Any, ...]], *, resent: bool) -> list[Answer]:
        found: dict[int, Verdict] = {}
        for req, status, first, last, log_id, holder, kind, key, ids, refusals in rows:
            found[req] = Verdict(status, first, last, log_id, holder, kind, key, tuple(ids or ()), refusals)
        answers = [found[number] for number in range(1, len(appends) + 1)]
        if not resent:
            return list(answers)
        # What was stored by the sending whose reply was lost is no replay for the client; by another's, it is: ids tell.
        return [_told(answer, append) for answer, append in zip(answers, appends, strict=True)]


def fenced(
    connection: Connection, workspace: WorkspaceId, sql: LiteralString, params: Sequence[object]
) -> list[tuple[Any, ...]]:
    """Rows of tables, whose fence asks for the workspace."""
    with connection.transaction():
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        cursor.execute("SELECT set_config('app.workspace', %s, true)", (str(workspace),), prepare=True)
        return cursor.execute(sql, params, prepare=True).fetchall()


class RefusedAppendError(Exception):
    """Any verdict but OK, for callers of the library's `save`."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.status)
        self.verdict = verdict


def _told(answer: Verdict, append: Append) -> Verdict:
    ours = answer.status == "REPLAYED" and answer.ids == tuple(append.ids)
    return answer._replace(status="OK") if ours else answer


def _failed(failure: psycopg.Error | None, *, unknown: bool) -> Exception:
    if unknown:
        return OutcomeUnknownError(
            "The log stopped answering; the append may stand. Send it again with the same commandId."
        )
    return UnavailableError(f"The log does not accept appends now; nothing was recorded: {failure}")


def _arrays(appends: Sequence[Append]) -> list[Packed]:
    numbered = list(enumerate(appends, 1))
    groups: tuple[tuple[Sequence[str], list[tuple[Any, ...]]], ...] = (
        (_REQUESTS, [_request(append) for append in appends]),
        (_EVENTS, [_event(number, event) for number, append in numbered for event in append.events]),
        (_RESERVED, [(number, *row) for number, append in numbered for row in append.taken]),
        (_RESERVED, [(number, *row) for number, append in numbered for row in append.freed]),
        (_HOLDERS, [(number, *row) for number, append in numbered for row in append.holders]),
        (_DOOMED, [(number, *row) for number, append in numbered for row in append.doomed]),
    )
    return [array for types, rows in groups for array in pack_rows(types, rows)]


def _request(append: Append) -> tuple[Any, ...]:
    command = append.command
    ids = "{" + ",".join(map(str, append.ids)) + "}"
    events = len(append.events)
    return (
        command.workspace,
        command.command_id,
        command.request_hash,
        ids,
        append.refusals,
        command.recorded_at,
        events,
    )


def _event(number: int, event: StoredEvent) -> tuple[Any, ...]:
    key: Any = event.originator_id
    return number, key.stream, event.originator_version, event.topic, event.state, hole_of(event.state)
