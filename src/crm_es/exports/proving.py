"""The provable side of an export, out of the database: events of its scope, tiles, heads, custody. Blocks, in a worker's thread.

Connections are the application's, fenced to the workspace, in autocommit: what is read of the log and its ledger only grows.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID, uuid4

from psycopg import Connection

from crm_es.errors import NotFoundError, UnavailableError
from crm_es.exports.bundle import BundleWriter, HeadProof, Proven, Rotation
from crm_es.ledger import heads
from crm_es.ledger.book import Book
from crm_es.ledger.checkpoint import parse, vkey
from crm_es.ledger.proofs import consistency_proof, inclusion_proof
from crm_es.ledger.tiles import reader
from crm_es.workspaces.export import ExportRequested, ExportScope

ROWS: Final = 2_000
ASK_SECONDS: Final = 0.1
_RANGE: Final[LiteralString] = """
SELECT sequence, state FROM es.events
WHERE workspace_id = %(workspace)s AND sequence >= %(first)s AND sequence <= %(last)s
ORDER BY sequence
"""
_STREAMS: Final[LiteralString] = """
SELECT sequence, state FROM es.events
WHERE workspace_id = %(workspace)s AND originator_id = ANY (%(streams)s) AND sequence >= %(first)s AND sequence <= %(last)s
ORDER BY sequence
"""
_ROTATIONS: Final[LiteralString] = """
SELECT c.size, c.note, e.state
FROM ledger.checkpoint c
JOIN es.events e ON e.workspace_id = c.workspace_id AND e.sequence = c.size
WHERE c.workspace_id = %s AND c.epoch = %s AND c.kind = 'ROTATION' AND c.size <= %s
ORDER BY c.size
"""
_STATE: Final[LiteralString] = "SELECT state FROM es.events WHERE workspace_id = %s AND sequence = %s"


@dataclass(frozen=True, slots=True)
class Pinned:
    """Where an export stands: the heads event at `tree_size` seals positions 1 to `position`, in an epoch of the log."""

    epoch: int
    origin: str
    position: int
    tree_size: int
    root: str


class Waiting:
    """Asks again and again until there is an answer, or it is time. `stopped` ends it by raising."""

    def __init__(self, seconds: float, stopped: Callable[[], None]) -> None:
        self._until = time.monotonic() + seconds
        self._stopped = stopped

    def ask(self, look: Callable[[], Any], for_what: str) -> Any:
        """Raises: UnavailableError."""
        while (found := look()) is None:
            self._stopped()
            if time.monotonic() > self._until:
                raise UnavailableError(f"{for_what} is not there yet. The sealer runs with `crm-es serve`, or alone.")
            time.sleep(ASK_SECONDS)
        return found


def pin(connection: Connection[Any], workspace: UUID, upto: int | None, waiting: Waiting) -> Pinned:
    """The newest sealed heads up to a position; without one, sealed now. Raises: NotFoundError, UnavailableError."""
    if upto is None:
        asked = heads.request(connection, workspace)
        found = waiting.ask(lambda: heads.answered(connection, workspace, asked), "The seal of the log's heads")
    else:
        found = heads.newest(connection, workspace, upto)
    if found is None:
        raise NotFoundError(f"No heads were sealed up to position {upto}. Ask for a later one.", rule="export.no_heads")
    log = Book(connection).logs(workspace)[workspace]
    return Pinned(log.epoch, log.origin, found.size, found.position, found.root.hex())


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
                return heads.streams_of(self._connection, self._workspace, _named(self._asked), self._pinned.position)
            case _:
                return None

    def fill(self, writer: BundleWriter, told: Callable[[int], None]) -> None:
        """Raises: NotFoundError: there is nothing of that scope."""
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
                writer.heads(sealed, heads.leaves(self._connection, self._workspace, self._pinned.position))
            case ExportScope.RANGE:
                writer.head_proofs(sealed)
            case ExportScope.STREAM:
                writer.head_proofs(sealed, self._proofs([f"s {_named(self._asked)}"]))
            case ExportScope.SUBJECT:
                named, all_ = _named(self._asked), [str(each) for each in streams or ()]
                wanted = [f"p {named}", *(f"s {each}" for each in all_)]
                writer.head_proofs(sealed, self._proofs(wanted), {str(named): all_})

    def state(self, position: int) -> bytes:
        """The very bytes of an event."""
        row = self._connection.execute(_STATE, [self._workspace, position], binary=True).fetchall()[0]
        return bytes(row[0])

    def seal(self, writer: BundleWriter, custody: Mapping[int, bytes], waiting: Waiting, promised: list[int]) -> Path:
        """When the last step of the custody is under a checkpoint. Raises: UnavailableError."""
        last = max(custody)
        note, public = waiting.ask(lambda: self._signed(last), "The signature of the export's end")
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
        """The newest checkpoint with its key, once it is that large. Raises: UnavailableError."""
        log = Book(self._connection).logs(self._workspace)[self._workspace]
        if log.epoch != self._pinned.epoch:
            raise UnavailableError("The log began a new epoch meanwhile. Ask for the export again.")
        publics = {number: public for public, number in Book(self._connection).keys().items()}
        return (log.note, publics[log.key_id]) if log.size >= position else None

    def _events(self, streams: list[UUID] | None, after: int) -> Iterator[tuple[int, bytes]]:
        asked = {
            "workspace": self._workspace,
            "first": max(self.first, after + 1),
            "last": self.last,
            "streams": streams,
        }
        with self._connection.transaction(), self._connection.cursor(f"events_{uuid4().hex}", binary=True) as cursor:
            cursor.itersize = ROWS
            cursor.execute(_RANGE if streams is None else _STREAMS, asked)
            yield from cursor

    def _proofs(self, wanted: list[str]) -> list[HeadProof]:
        found = heads.prove(self._connection, self._workspace, self._pinned.position, wanted)
        return [HeadProof(index=one.index, leaf=one.leaf, hashes=one.hashes) for one in found]


def _named(asked: ExportRequested) -> UUID:
    assert asked.id is not None  # noqa: S101  # a stream's or a subject's request names it
    return asked.id


def _topic(state: bytes) -> str:
    return str(json.loads(state)["type"])
