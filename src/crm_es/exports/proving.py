"""The provable side of an export, out of the database: events of its scope, tiles, heads, custody. Blocks, in a worker's thread.

Connections are the application's, fenced to the workspace, in autocommit: what is read of the log and its ledger only grows.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

import msgspec
from psycopg import Connection

from crm_es.errors import NotFoundError, RuleViolatedError, UnavailableError
from crm_es.exports import gaps
from crm_es.exports.bundle import BundleWriter, HeadProof, Proven, Rotation
from crm_es.ledger import heads, heads_parts
from crm_es.ledger.book import Book
from crm_es.ledger.checkpoint import parse, vkey
from crm_es.ledger.proofs import consistency_proof, inclusion_proof
from crm_es.ledger.running import LOCK as SEALER_LOCK
from crm_es.ledger.tiles import reader
from crm_es.workspaces.export import ExportRequested, ExportScope

ROWS: Final = 2_000
ASK_SECONDS: Final = 0.1
SEALER_SECONDS: Final = 1.0
STARTING_SECONDS: Final = 5.0
EPOCH_OVER: Final = "export.epoch_over"
NO_SEALER: Final = (
    "No sealer runs, so nothing is signed. Start one: `crm-es seal`, or `crm-es serve` without --no-seal."
)
_RANGE: Final[LiteralString] = """
SELECT sequence, state FROM es.events
WHERE workspace_id = %(workspace)s AND sequence >= %(first)s AND sequence <= %(last)s
ORDER BY sequence
LIMIT %(limit)s
"""
_STREAMS: Final[LiteralString] = """
SELECT sequence, state FROM es.events
WHERE workspace_id = %(workspace)s AND originator_id = ANY (%(streams)s) AND sequence >= %(first)s AND sequence <= %(last)s
ORDER BY sequence
"""
_MERGES: Final[LiteralString] = """
SELECT topic, state FROM es.events
WHERE workspace_id = %s AND originator_id = %s AND sequence <= %s AND topic IN ('contact.merged', 'contact.released')
ORDER BY originator_version
"""
_ROTATIONS: Final[LiteralString] = """
SELECT c.size, c.note, e.state
FROM ledger.checkpoint c
JOIN es.events e ON e.workspace_id = c.workspace_id AND e.sequence = c.size
WHERE c.workspace_id = %s AND c.epoch = %s AND c.kind = 'ROTATION' AND c.size <= %s
ORDER BY c.size
"""
_SEALER: Final[LiteralString] = """
SELECT EXISTS (
  SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
  WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = %s AND l.granted AND d.datname = current_database()
)
"""
_FIRST: Final[LiteralString] = """
SELECT state FROM es.events
WHERE workspace_id = %s AND sequence = 1 AND topic = 'workspace.created'
"""
_STATE: Final[LiteralString] = "SELECT state FROM es.events WHERE workspace_id = %s AND sequence = %s"


class _Typed(msgspec.Struct):
    type: str


class _Ids(msgspec.Struct):
    absorbed_ids: list[UUID]


class _Merge(msgspec.Struct):
    data: _Ids


_TYPED: Final = msgspec.json.Decoder(_Typed)
_MERGED: Final = msgspec.json.Decoder(_Merge)


@dataclass(frozen=True, slots=True)
class Pinned:
    """Where an export stands: the heads event at `tree_size` seals positions 1 to `position`, in an epoch of the log."""

    epoch: int
    origin: str
    position: int
    tree_size: int
    root: str


class Waiting:
    """Asks again and again until there is an answer. `stopped` ends it by raising, `says` hears what is waited for.

    A sealer that leads may take its time: a long log takes it minutes. Without one, `seconds` are what somebody has to start one.
    """

    def __init__(
        self,
        connection: Connection[Any],
        seconds: float,
        *,
        stopped: Callable[[], None],
        says: Callable[[str | None], None],
    ) -> None:
        self._connection = connection
        self._seconds = seconds
        self._stopped = stopped
        self._says = says
        self._led = self._looked = 0.0

    def ask(self, look: Callable[[], Any], for_what: str) -> Any:
        """Raises: UnavailableError."""
        self._led = self._looked = time.monotonic()
        while (found := look()) is None:
            self._stopped()
            if time.monotonic() - self._looked > SEALER_SECONDS:
                self._looked = time.monotonic()
                self._tell(for_what)
            time.sleep(ASK_SECONDS)
        self._says(None)
        return found

    def _tell(self, for_what: str) -> None:
        if self._connection.execute(_SEALER, [SEALER_LOCK]).fetchone() == (True,):
            self._led = time.monotonic()
        without = time.monotonic() - self._led
        self._says(NO_SEALER if without > STARTING_SECONDS else f"Waits for the sealer: {for_what} is not there yet.")
        if without > self._seconds:
            raise UnavailableError(NO_SEALER, rule="export.no_sealer")


def pin(connection: Connection[Any], workspace: UUID, upto: int | None, waiting: Waiting) -> Pinned:
    """The newest sealed heads up to a position; without one, sealed now. Raises: NotFoundError, UnavailableError."""
    if upto is None:
        asked = heads.request(connection, workspace)
        found = waiting.ask(lambda: heads.answered(connection, workspace, asked), "the seal of the log's heads")
    else:
        found = heads.newest(connection, workspace, upto)
    if found is None:
        raise NotFoundError(f"No heads were sealed up to position {upto}. Ask for a later one.", rule="export.no_heads")
    log = Book(connection).logs(workspace)[workspace]
    return Pinned(log.epoch, log.origin, found.size, found.position, found.root.hex())


def epoch_of(connection: Connection[Any], workspace: UUID) -> int:
    """The one that is signed by now."""
    return Book(connection).logs(workspace)[workspace].epoch


def is_demo(connection: Connection[Any], workspace: UUID) -> bool:
    """What the workspace's own first event says of it, for ever."""
    row = connection.execute(_FIRST, [workspace], binary=True).fetchone()
    return row is not None and msgspec.json.decode(row[0])["data"].get("demo") is True


class Provable:
    """Fills a bundle with what proves it."""

    def __init__(self, connection: Connection[Any], workspace: UUID, asked: ExportRequested, pinned: Pinned) -> None:
        self._connection = connection
        self._workspace = workspace
        self._asked = asked
        self._pinned = pinned
        self._read = reader(connection, workspace, pinned.epoch)

    @property
    def scope(self) -> dict[str, Any]:
        """As MANIFEST.json says it."""
        kind = self._asked.scope.value.lower()
        match self._asked.scope:
            case ExportScope.WORKSPACE:
                return {"kind": kind}
            case ExportScope.RANGE:
                return {"kind": kind, "from": self.first, "to": self.last}
            case ExportScope.SUBJECT:
                absorbed = [str(one) for one in self.people[1:]]
                return {"kind": kind, "id": str(self._asked.id), **({"absorbed": absorbed} if absorbed else {})}
            case _:
                return {"kind": kind, "id": str(self._asked.id)}

    @property
    def first(self) -> int:
        return self._asked.first or 1

    @property
    def last(self) -> int:
        return min(self._asked.last or self._pinned.position, self._pinned.position)

    @property
    def streams(self) -> list[UUID] | None:
        """Those of the scope; None: all."""
        match self._asked.scope:
            case ExportScope.STREAM:
                return [_named(self._asked)]
            case ExportScope.SUBJECT:
                return sorted({stream for streams in self.subjects.values() for stream in streams})
            case _:
                return None

    @cached_property
    def people(self) -> list[UUID]:
        """The contact, then whom it had absorbed and not given back, in order: one person, who was recorded as several."""
        contact, held = _named(self._asked), set[UUID]()
        rows = self._connection.execute(
            _MERGES, [self._workspace, contact, self._pinned.position], binary=True
        ).fetchall()
        for topic, state in rows:
            ids = _MERGED.decode(state).data.absorbed_ids
            held = held.union(ids) if topic == "contact.merged" else held.difference(ids)
        return [contact, *sorted(held)]

    @cached_property
    def subjects(self) -> dict[str, list[UUID]]:
        """The streams of each of them."""
        position = self._pinned.position
        return {str(one): heads.streams_of(self._connection, self._workspace, one, position) for one in self.people}

    def fill(self, writer: BundleWriter, told: Callable[[int], None], still: Callable[[], None]) -> None:
        """`told` hears how many events are done, `still` that it goes on. Raises: NotFoundError: nothing is of that scope."""
        if self._asked.scope is ExportScope.RANGE and self.first > self.last:
            raise NotFoundError(
                f"The log was sealed up to {self._pinned.position}, before that range.", rule="export.no_heads"
            )
        streams = self.streams
        writer.events(lambda after: self._events(streams, after), _topic, told)
        writer.tiles(self._read)
        sealed = self.state(self._pinned.tree_size)
        match self._asked.scope:
            case ExportScope.WORKSPACE:
                leaves = heads.leaves(self._connection, self._workspace, self._pinned.position)
                writer.heads(sealed, _heard(leaves, still))
            case ExportScope.RANGE:
                writer.head_proofs(sealed)
            case ExportScope.STREAM:
                writer.head_proofs(sealed, self._proofs([f"s {_named(self._asked)}"]))
            case ExportScope.SUBJECT:
                wanted = [*(f"p {one}" for one in self.subjects), *(f"s {each}" for each in streams or ())]
                named = {one: [str(each) for each in theirs] for one, theirs in self.subjects.items()}
                writer.head_proofs(sealed, self._proofs(wanted), named)

    def state(self, position: int) -> bytes:
        """The very bytes of an event."""
        row = self._connection.execute(_STATE, [self._workspace, position], binary=True).fetchall()[0]
        return bytes(row[0])

    def seal(self, writer: BundleWriter, custody: Mapping[int, bytes], waiting: Waiting, promised: list[int]) -> Path:
        """When the last step of the custody is under a checkpoint. Raises: RuleViolatedError, UnavailableError."""
        last = max(custody)
        note, public = waiting.ask(lambda: self._signed(last), "the signature of the export's end")
        checkpoint, _ = parse(note)
        return writer.seal(
            note,
            checkpoint,
            vkey(checkpoint.origin, public),
            growth=consistency_proof(self._read, self._pinned.tree_size, checkpoint.size),
            custody=[
                Proven(position=position, state=state, proof=inclusion_proof(self._read, position - 1, checkpoint.size))
                for position, state in custody.items()
            ],
            rotations=list(self._rotations(checkpoint.size, promised)),
        )

    def rotations(self) -> list[int]:
        """Sizes at which the key changed so far."""
        log = Book(self._connection).logs(self._workspace)[self._workspace]
        return [row[0] for row in self._connection.execute(_ROTATIONS, [self._workspace, self._pinned.epoch, log.size])]

    def _rotations(self, size: int, promised: list[int]) -> Iterator[Rotation]:
        rows = self._connection.execute(_ROTATIONS, [self._workspace, self._pinned.epoch, size], binary=True).fetchall()
        assert {row[0] for row in rows} >= set(promised)  # noqa: S101  # the log only grows
        for at, note, state in rows:
            proof, growth = inclusion_proof(self._read, at - 1, at), consistency_proof(self._read, at, size)
            yield Rotation(size=at, note=note, state=state, proof=proof, consistency=growth)

    def _signed(self, position: int) -> tuple[str, bytes] | None:
        """The newest checkpoint with its key, once it is that large. Raises: RuleViolatedError."""
        log = Book(self._connection).logs(self._workspace)[self._workspace]
        if log.epoch != self._pinned.epoch:
            message = "The log began a new epoch before this export was signed. Ask for it again."
            raise RuleViolatedError(message, rule=EPOCH_OVER)
        publics = {number: public for public, number in Book(self._connection).keys().items()}
        return (log.note, publics[log.key_id]) if log.size >= position else None

    def _events(self, streams: list[UUID] | None, after: int) -> Iterator[tuple[int, bytes | None]]:
        first = max(self.first, after + 1)
        asked = {"workspace": self._workspace, "first": first, "last": self.last, "limit": ROWS, "streams": streams}
        if streams is None:
            yield from gaps.told(self._paged(asked), first, self.last, self._pinned.tree_size, self._read)
            return
        with self._connection.transaction(), self._connection.cursor(f"events_{uuid4().hex}", binary=True) as cursor:
            cursor.itersize = ROWS
            cursor.execute(_STREAMS, asked)
            yield from cursor

    def _paged(self, asked: dict[str, Any]) -> Iterator[tuple[int, bytes]]:
        """A statement for each page: no transaction lasts as long as the reading of a long log."""
        while rows := self._connection.execute(_RANGE, asked, binary=True).fetchall():
            yield from rows
            asked["first"] = rows[-1][0] + 1

    def _proofs(self, wanted: list[str]) -> list[HeadProof]:
        found = heads_parts.prove(self._connection, self._workspace, self._pinned.position, wanted)
        return [HeadProof(index=one.index, leaf=one.leaf, hashes=one.hashes) for one in found]


def _named(asked: ExportRequested) -> UUID:
    assert asked.id is not None  # noqa: S101  # a stream's or a subject's request names it
    return asked.id


def _heard(leaves: Iterator[str], still: Callable[[], None]) -> Iterator[str]:
    for number, leaf in enumerate(leaves):
        if number % ROWS == 0:
            still()
        yield leaf


def _topic(state: bytes) -> str:
    return _TYPED.decode(state).type
