"""One leadership of the sealer: grows each log's tree by what was appended, signs what it came to, and keeps both.

What is signed is remembered outside the database first. Where the database no longer holds what was signed, a log gets a new
epoch (epochs.py); nothing of the old one is signed again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import Connection

from crm_es.errors import ConfigurationError
from crm_es.ledger import appending, tiles
from crm_es.ledger.book import NIL, Book, Entry, Kept
from crm_es.ledger.checkpoint import Checkpoint, NoteError, parse_vkey, sign, verify, vkey
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.log_events import LedgerKeyRotated
from crm_es.ledger.memory import Memory, Signed
from crm_es.ledger.merkle import EMPTY, Growing, Tile, leaf_hash
from crm_es.ledger.pretence import PretenceError, pretends

log = logging.getLogger(__name__)

CHUNK: Final = 8192  # entries under one checkpoint at most
TOGETHER: Final = 64  # logs that share a transaction
KNOWN: Final = 2_000  # logs whose edges are kept in memory
NOTE_SECONDS: Final = 60.0  # between two entries of one log in the log of logs
ROTATED: Final = "ledger.key_rotated"
KINDS: Final = {"ledger.heads_sealed": "HEADS", ROTATED: "ROTATION", "ledger.epoch_opened": "EPOCH"}


class ContradictionError(Exception):
    """The database does not hold what was signed, or all that follows it."""


@dataclass(slots=True)
class Standing:
    """A log as far as it is sealed. `last` is the hash of its last leaf; `key` signs it."""

    workspace: UUID
    epoch: int
    origin: str
    key: bytes
    tree: Growing
    last: bytes = b""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one log grew by, signed and not yet kept."""

    standing: Standing
    checkpoint: Checkpoint
    kind: str
    note: str
    tiles: Sequence[tuple[Tile, bytes]]
    rotated: bytes | None


class Sealer:
    """Use it while its connection holds the sealers' lock, and throw it away with that. `reopen` opens a log's next epoch."""

    def __init__(
        self, connection: Connection[Any], memory: Memory, keys: KeyFile, origin: str,
        reopen: Callable[["Sealer", UUID], "Piece"],
    ) -> None:  # fmt: skip
        self.book = Book(connection)
        self.memory = memory
        self.keys = keys
        self.key_ids: dict[bytes, int] = {}
        self._reopen = reopen
        self.origin = origin
        self._standing: dict[UUID, Standing] = {}
        self._sizes: dict[UUID, int] = {}
        self._refused: dict[UUID, int] = {}  # logs that go on with what is not signed, and how long they were
        self._entered: dict[UUID, float] = {}
        self._waiting: dict[UUID, str] = {}  # newest notes that are not in the log of logs yet
        self._noted = False
        self._announced = b""

    def begin(self) -> None:
        """Look at what the database has of what was signed. Raises: ConfigurationError."""
        for public in self.keys.private():
            self.book.add_key(public)
        self.key_ids = self.book.keys()
        kept = self.book.logs()
        self._agree(kept)
        ends = self.book.ends()
        for gone in self.memory.all.keys() - ends.keys():
            if self.memory.all[gone].size:
                log.error("the log of %s was signed up to %s, and is gone", gone, self.memory.all[gone].size)
        entered = self.book.entered()
        for workspace, one in kept.items():
            known = self.memory.of(workspace)
            if known and (known.epoch, known.size, known.root) == (one.epoch, one.size, one.root):
                self._sizes[workspace] = one.size
            if workspace != NIL and one.note and entered.get(workspace) != one.note:
                self._waiting[workspace] = one.note

    def _agree(self, kept: dict[UUID, Kept]) -> None:
        for workspace, one in kept.items():
            known = self.memory.of(workspace)
            if one.size and known is None:
                raise ConfigurationError(
                    f"CRM_SEALER_MEMORY: it knows nothing of {one.origin}, which was signed up to {one.size}. "
                    "Restore the file; without it the sealer could sign another history under the same name. "
                    "If it is lost: `crm-es ledger trust-database`."
                )
        for known in self.memory.all.values():
            if known.origin != origin_of(self.origin, known.workspace, known.epoch):
                raise ConfigurationError(
                    f"CRM_LOG_ORIGIN: it was another when {known.origin} was signed. It is the logs' name for ever."
                )

    # -- a round

    def step(self) -> bool:
        """Seal what every log has grown by, a chunk of each; whether more is left."""
        self.announce()
        ends = self.book.ends()
        known = {**self._sizes, **self._refused}
        due = [workspace for workspace, end in ends.items() if known.get(workspace) != end and workspace != NIL]
        for start in range(0, len(due), TOGETHER):
            self.seal(due[start : start + TOGETHER])
        self._refused = {workspace: ends[workspace] for workspace in self._refused}
        self._enter_waiting()
        if self._noted or self._sizes.get(NIL, 0) != ends.get(NIL, 0):
            self.seal([NIL])
            self._noted = False
        return any(
            self._sizes.get(workspace, 0) < ends[workspace] for workspace in due if workspace not in self._refused
        )

    def seal(self, workspaces: Iterable[UUID]) -> None:
        pieces = [piece for workspace in workspaces if (piece := self._piece(workspace))]
        self.keep(pieces)

    def keep(self, pieces: Sequence[Piece]) -> None:
        """First in memory, then in the database: from here on each may have been seen by anybody."""
        signed = [
            Signed(
                workspace=one.standing.workspace, epoch=one.standing.epoch, origin=one.standing.origin,
                size=one.checkpoint.size, root=one.checkpoint.root,
            )
            for one in pieces
        ]  # fmt: skip
        self.memory.put(one for one in signed if self._is_news(one))
        with self.book.connection.pipeline(), self.book.connection.transaction():
            if all(one.kind == "TIME" for one in pieces):
                self.book.commit_without_waiting()
            self._write(pieces)
        for one in pieces:
            self._sizes[one.standing.workspace] = one.checkpoint.size
            self._refused.pop(one.standing.workspace, None)

    def _is_news(self, signed: Signed) -> bool:
        known = self.memory.of(signed.workspace)
        return known is None or (signed.epoch, signed.size) > (known.epoch, known.size)

    def _write(self, pieces: Sequence[Piece]) -> None:
        tiles.save(self.book.connection, [(one.standing.workspace, one.standing.epoch, one.tiles) for one in pieces])
        self.book.add_checkpoints([
            (one.standing.workspace, one.standing.epoch, one.checkpoint.size, one.checkpoint.root, one.kind, one.note)
            for one in pieces
        ])  # fmt: skip
        for piece in pieces:
            at = piece.standing
            if piece.rotated:
                self.book.set_key(at.workspace, at.epoch, self.key_ids[piece.rotated])
                at.key = piece.rotated
            if at.workspace != NIL:
                self._waiting[at.workspace] = piece.note
                if piece.kind != "TIME":
                    self._enter(at.workspace)

    def _enter(self, workspace: UUID) -> None:
        self.book.add_note(workspace, self._waiting.pop(workspace))
        self._entered[workspace] = time.monotonic()
        self._noted = True

    def _enter_waiting(self) -> None:
        before = time.monotonic() - NOTE_SECONDS
        due = [one for one in self._waiting if self._entered.get(one, before) <= before]
        if due:
            with self.book.connection.transaction():
                for workspace in due:
                    self._enter(workspace)

    # -- one log

    def _piece(self, workspace: UUID) -> Piece | None:
        try:
            standing = self.standing(workspace)
            grown = self._grown(standing)
            if grown is None:
                return None
            return self.signed(standing, *grown)
        except ContradictionError as error:
            log.error("the log of %s is not what was signed: %s", workspace, error)  # noqa: TRY400  # no fault of ours
            self._standing.pop(workspace, None)
            return self._reopened(workspace)
        except PretenceError as error:
            self._not_signed(workspace, error)
        return None

    def _reopened(self, workspace: UUID) -> Piece | None:
        try:
            return self._reopen(self, workspace)
        except PretenceError as error:
            self._not_signed(workspace, error)
        return None

    def _not_signed(self, workspace: UUID, error: PretenceError) -> None:
        log.error("the log of %s is signed no further: %s", workspace, error)
        self._refused[workspace] = 0

    def _grown(self, standing: Standing) -> tuple[str, Entry] | None:
        """Add what came after; the last entry of it, and why the piece ends there."""
        last: Entry | None = None
        kind = "TIME"
        hashes = []
        for entry in self.following(standing, CHUNK):
            if standing.workspace != NIL and pretends(entry):
                if last is None:
                    raise PretenceError(f"{entry.number} says that it is the ledger's, and is not")
                break
            hashes.append(leaf_hash(entry.data))
            last = entry
            if entry.topic.startswith("ledger."):
                kind = KINDS.get(entry.topic, "OTHER")
                break
        if last is None:
            return None
        standing.tree.add(hashes)
        standing.last = hashes[-1]
        return kind, last

    def following(self, standing: Standing, at_most: int) -> Iterator[Entry]:
        """Entries after what is sealed. Raises: ContradictionError."""
        size = standing.tree.size
        expected = max(size, 1)
        for entry in self.book.entries(standing.workspace, expected, at_most + bool(size)):
            if entry.number != expected:
                raise ContradictionError(f"{expected} is missing")
            if expected > size:
                yield entry
            elif leaf_hash(entry.data) != standing.last:
                raise ContradictionError(f"{size} is not what it was")
            expected += 1
        if expected == size:
            raise ContradictionError(f"{size} is missing")

    def signed(self, standing: Standing, kind: str, last: Entry) -> Piece:
        new = self._new_key(standing, kind, last)
        private = self.keys.private()
        at = Checkpoint(origin=standing.origin, size=standing.tree.size, root=standing.tree.root())
        try:
            signing = [private[key] for key in ((standing.key, new) if new else (standing.key,))]
        except KeyError as exc:
            raise ConfigurationError(
                f"CRM_SEALER_KEY: the key that signs {standing.origin} is not in {self.keys.path}."
            ) from exc
        return Piece(standing, at, "ROTATION" if new else kind, sign(at, *signing), standing.tree.take(), new)

    def _new_key(self, standing: Standing, kind: str, last: Entry) -> bytes | None:
        if standing.workspace == NIL:
            return self.keys.newest if self.keys.newest != standing.key else None
        if kind != "ROTATION":
            return None
        _, public = parse_vkey(msgspec.json.decode(last.data)["data"]["new_key"])
        return public if public != standing.key else None

    # -- what stands

    def standing(self, workspace: UUID) -> Standing:
        """Raises: ContradictionError."""
        if workspace not in self._standing:
            if len(self._standing) >= KNOWN:
                del self._standing[next(iter(self._standing))]
            self._standing[workspace] = self._found(workspace)
        return self._standing[workspace]

    def _found(self, workspace: UUID) -> Standing:
        known, kept = self.memory.of(workspace), self.book.logs(workspace).get(workspace)
        if known is None or (known.size == 0 and known.epoch == 1):
            return self.begun(workspace, 1)
        if known.size == 0:
            raise ContradictionError(f"epoch {known.epoch} is being opened")
        if kept and kept.epoch > known.epoch and kept.size:
            return self._caught_up(kept)
        if kept is None or kept.epoch != known.epoch or kept.size == 0:
            self._must_lead_to(Standing(workspace, known.epoch, known.origin, b"", Growing()), known)
            return self.begun(workspace, known.epoch)  # not before: where events were lost, its tiles say which
        standing = self._resumed(kept)
        self._must_lead_to(standing, known)
        return standing

    def _caught_up(self, kept: Kept) -> Standing:
        """The memory is a copy from before an epoch that our key has signed. Raises: ContradictionError."""
        standing = self._resumed(kept)
        if kept.origin != origin_of(self.origin, kept.workspace, kept.epoch):
            raise ContradictionError(f"{kept.origin} is not the name of epoch {kept.epoch}")
        signed = Signed(
            workspace=kept.workspace, epoch=kept.epoch, origin=kept.origin, size=kept.size, root=kept.root
        )  # fmt: skip
        self.memory.put([signed])
        return standing

    def begun(self, workspace: UUID, epoch: int) -> Standing:
        """An epoch from its first position on."""
        origin, key = origin_of(self.origin, workspace, epoch), self.keys.newest
        if self.memory.of(workspace) is None:
            self.memory.put([Signed(workspace=workspace, epoch=epoch, origin=origin, size=0, root=EMPTY)])
        self.book.begin(workspace, epoch, origin, self.key_ids[key])
        return Standing(workspace, epoch, origin, key, Growing())

    def _resumed(self, kept: Kept) -> Standing:
        """As the database has it, if that is what one of our keys signed."""
        keys = {number: public for public, number in self.key_ids.items()}
        key = keys.get(kept.key_id, b"")
        if key not in self.keys.private():
            raise ContradictionError("what the database has is signed by another key")
        try:
            edge = tiles.read_edge(self.book.connection, kept.workspace, kept.epoch, kept.size)
            last = tiles.reader(self.book.connection, kept.workspace, kept.epoch)(
                Tile(0, (kept.size - 1) // 256, (kept.size - 1) % 256 + 1)
            )[-32:]
            signed = verify(kept.note, origin=kept.origin, public=key)
        except (tiles.MissingTileError, NoteError, ValueError) as error:
            raise ContradictionError(str(error)) from error
        tree = Growing(kept.size, edge)
        if (signed.size, signed.root, kept.root) != (kept.size, tree.root(), tree.root()):
            raise ContradictionError(f"the tiles at {kept.size} are not those that were signed")
        return Standing(kept.workspace, kept.epoch, kept.origin, key, tree, last)

    def _must_lead_to(self, standing: Standing, known: Signed) -> None:
        """Nothing is signed before what the database holds is found to lead to what was signed."""
        if standing.tree.size > known.size:
            return  # the memory is an older copy; what is signed in the database is ours all the same
        tree, size = standing.tree, standing.tree.size
        ahead = Standing(
            standing.workspace, standing.epoch, standing.origin, standing.key, Growing(size, tree.edge()), standing.last
        )
        while ahead.tree.size < known.size:
            hashes = [
                leaf_hash(entry.data) for entry in self.following(ahead, min(CHUNK, known.size - ahead.tree.size))
            ]
            if not hashes:
                raise ContradictionError(f"it ends at {ahead.tree.size}, and was signed up to {known.size}")
            ahead.tree.add(hashes)
            ahead.tree.take()
            ahead.last = hashes[-1]
        if ahead.tree.root() != known.root:
            raise ContradictionError(f"another history than the one signed at {known.size}")

    # -- keys

    def announce(self) -> None:
        """A key that came into the file is announced in every log, and the one before goes when all have it."""
        newest = self.keys.newest
        if newest == self._announced:
            return
        for public in self.keys.private():
            self.book.add_key(public)
        self.key_ids = self.book.keys()
        publics = {number: public for public, number in self.key_ids.items()}
        held = {self.key_ids[public] for public in self.keys.private()}  # where a key was lost, a new epoch says so
        left = [one for one in self.book.logs().values() if one.size and one.key_id in held - {self.key_ids[newest]}]
        for one in left:
            if one.workspace != NIL:
                old, new = vkey(one.origin, publics[one.key_id]), vkey(one.origin, newest)
                event = LedgerKeyRotated(old_key=old, new_key=new)
                appending.append(self.book.connection, one.workspace, event, once=new)
        if not left:
            self._announced = newest
            if len(self.keys.private()) > 1:
                self.keys.drop_all_but(newest)


def origin_of(base: str, workspace: UUID, epoch: int) -> str:
    """The name of a log: of the log of logs, a workspace's, or a later epoch's."""
    name = f"{base}/log" if workspace == NIL else f"{base}/log/{workspace}"
    return name if epoch == 1 else f"{name}/{epoch}"
