"""Opening a log's next epoch, where the database no longer holds what was signed: a tree of all there is now, whose first new
event says what was signed before and which positions are lost. Nothing of the new epoch is signed before it has that event.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from crm_es.ledger import appending, tiles
from crm_es.ledger.book import NIL, Entry
from crm_es.ledger.checkpoint import NoteError, verify
from crm_es.ledger.log_events import LedgerEpochOpened
from crm_es.ledger.memory import Signed
from crm_es.ledger.merkle import EMPTY, WIDTH, Growing, Tile, leaf_hash, split
from crm_es.ledger.pretence import PretenceError, pretends
from crm_es.ledger.proofs import TileReader, root
from crm_es.ledger.sealer import CHUNK, Piece, Sealer, Standing, origin_of


@dataclass(slots=True)
class Found:
    """What growing the new tree came upon: whether it was once what the old epoch's end was signed for, and missing entries."""

    same: bool = False
    first_missing: int | None = None
    last_missing: int = 0


def reopen(sealer: Sealer, workspace: UUID) -> Piece:
    """The first piece of the next epoch. A process that died in here is followed by one that does the same again."""
    known = sealer.memory.of(workspace)
    if known is None:
        raise RuntimeError(f"nothing was ever signed of {workspace}")
    if known.size:
        sealer.memory.put([_emptied(sealer, known)])
    old = known if known.size else sealer.memory.before(workspace)
    if old is None:
        raise RuntimeError(f"the first epoch of {workspace} cannot be opened again")
    standing = sealer.begun(workspace, old.epoch + 1)
    found = Found()
    last = _grow(sealer, standing, old, found)
    if workspace != NIL:
        position = appending.append(
            sealer.book.connection, workspace, _event(sealer, standing, old, found), once=standing.origin
        )
        last = _grow(sealer, standing, old, found, upto=position)
    return sealer.signed(standing, "EPOCH", last)


def _emptied(sealer: Sealer, known: Signed) -> Signed:
    """From here on nothing of the old epoch is signed, whatever happens."""
    epoch = known.epoch + 1
    origin = origin_of(sealer.origin, known.workspace, epoch)
    return Signed(workspace=known.workspace, epoch=epoch, origin=origin, size=0, root=EMPTY)


def _grow(sealer: Sealer, standing: Standing, old: Signed, found: Found, *, upto: int = 2**62) -> Entry:
    """To the end of the log, or to `upto`; tiles are kept as they come. A missing entry has an empty one's place."""
    last = Entry(standing.tree.size, b"", "")
    while standing.tree.size < upto:
        size = standing.tree.size
        stop = min(size + CHUNK, upto, old.size if size < old.size else upto)
        entries = list(_without_gaps(sealer, standing, stop, found))
        if not entries:
            break
        hashes = [leaf_hash(entry.data) for entry in entries]
        standing.tree.add(hashes)
        standing.last, last = hashes[-1], entries[-1]
        tiles.save(sealer.book.connection, [(standing.workspace, standing.epoch, standing.tree.take())])
        if standing.tree.size == old.size:
            found.same = standing.tree.root() == old.root
    return last


def _without_gaps(sealer: Sealer, standing: Standing, stop: int, found: Found) -> Iterator[Entry]:
    expected = standing.tree.size + 1
    for entry in sealer.book.entries(standing.workspace, expected, stop - standing.tree.size):
        for number in range(expected, min(entry.number, stop + 1)):
            found.first_missing = found.first_missing or number
            found.last_missing = number
            yield Entry(number, b"", "")
        if entry.number > stop:
            return
        if standing.workspace != NIL and pretends(entry):
            raise PretenceError(f"{entry.number} says that it is the ledger's, and is not")
        yield entry
        expected = entry.number + 1


def _event(sealer: Sealer, standing: Standing, old: Signed, found: Found) -> LedgerEpochOpened:
    lost_from, lost_to = _lost(sealer, standing, old, found)
    return LedgerEpochOpened(
        epoch=standing.epoch,
        old_origin=old.origin,
        old_size=old.size,
        old_root=old.root.hex(),
        lost_from=lost_from,
        lost_to=lost_to,
    )


def _lost(sealer: Sealer, standing: Standing, old: Signed, found: Found) -> tuple[int | None, int | None]:
    """The positions from the first to the last that are not known to be what was signed, missing ones included."""
    missing = found.first_missing
    if found.same:
        return missing, found.last_missing if missing else None
    first, last = _differing(sealer, standing, old)
    return min(first, missing or first), max(last, found.last_missing)


def _differing(sealer: Sealer, standing: Standing, old: Signed) -> tuple[int, int]:
    """By the old epoch's tiles, as far as they are still those that were signed; else from after the last signed size at which
    history was the same."""
    read = tiles.reader(sealer.book.connection, standing.workspace, standing.epoch)
    before = tiles.reader(sealer.book.connection, standing.workspace, old.epoch)
    signed = sealer.book.checkpoints(old.workspace, old.epoch)
    newest = [(size, known) for size, known, note in signed[:-4:-1] if _is_ours(sealer, note, old.origin)]
    for size, known in [(old.size, old.root), *newest]:
        if _leads_to(before, size, known):
            common = min(size, standing.tree.size)
            first, last = _unequal(before, read, common)
            return first or common + 1, last if size == common == old.size else old.size
    return _last_good(sealer, read, old, [one for one in signed if one[0] <= standing.tree.size]) + 1, old.size


def _leads_to(read: TileReader, size: int, known: bytes) -> bool:
    """Whether every leaf of these tiles is one that was signed."""
    tree = Growing()
    try:
        if root(read, size) != known:  # by the upper tiles: soon said
            return False
        for start in range(0, size, WIDTH):
            tree.add(split(read(Tile(0, start // WIDTH, min(WIDTH, size - start)))))
            tree.take()
    except tiles.MissingTileError:
        return False
    return tree.root() == known


def _unequal(one: TileReader, other: TileReader, size: int) -> tuple[int, int]:
    """The first and the last position, up to a size, at which two trees have different leaves; 0 where there is none."""
    first = last = 0
    for start in range(0, size, WIDTH):
        tile = Tile(0, start // WIDTH, min(WIDTH, size - start))
        pairs = zip(split(one(tile)), split(other(tile)), strict=True)
        if unlike := [position for position, (a, b) in enumerate(pairs, start + 1) if a != b]:
            first, last = first or unlike[0], unlike[-1]
    return first, last


def _last_good(sealer: Sealer, read: TileReader, old: Signed, signed: Sequence[tuple[int, bytes, str]]) -> int:
    """The largest size that the old epoch was signed for and at which its root is still that of the entries."""
    low, high = 0, len(signed)
    while low < high:
        middle = (low + high) // 2
        size, known, note = signed[middle]
        if root(read, size) == known and _is_ours(sealer, note, old.origin):
            low = middle + 1
        else:
            high = middle
    return signed[low - 1][0] if low else 0


def _is_ours(sealer: Sealer, note: str, origin: str) -> bool:
    for public in sealer.key_ids:
        try:
            verify(note, origin=origin, public=public)
        except NoteError:
            continue
        return True
    return False
