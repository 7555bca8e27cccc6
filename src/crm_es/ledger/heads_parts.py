"""A heads map in parts of 256 leaves: what is kept of the maps that were summed up lately, so that a few leaves are proved by
reading the parts in which they stand and the roots of the others.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import Connection

from crm_es.errors import NotFoundError
from crm_es.ledger import heads
from crm_es.ledger.heads import Key
from crm_es.ledger.log_events import LedgerHeadsSealed
from crm_es.ledger.merkle import WIDTH, leaf_hash, node_hash, root_of, split

KEPT: Final = 16  # maps of a workspace
KEY: Final = 17
NAME: Final = 38  # characters of a leaf that say whose it is
_READ: Final[LiteralString] = """
SELECT leaves, bounds, roots
FROM ledger.heads_parts
WHERE workspace_id = %s AND size = %s
"""
_KEEP: Final[LiteralString] = """
INSERT INTO ledger.heads_parts (workspace_id, size, leaves, bounds, roots) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (workspace_id, size) DO UPDATE SET leaves = excluded.leaves, bounds = excluded.bounds, roots = excluded.roots
"""
_FORGET: Final[LiteralString] = """
DELETE FROM ledger.heads_parts
WHERE workspace_id = %(workspace)s AND size <= (
  SELECT p.size FROM ledger.heads_parts p WHERE p.workspace_id = %(workspace)s ORDER BY p.size DESC LIMIT 1 OFFSET %(kept)s
)
"""


@dataclass(frozen=True, slots=True)
class Proved:
    """A leaf, its place in the order (from 0), and its inclusion proof."""

    index: int
    leaf: str
    hashes: Sequence[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The first and the last leaf of each part, and its root."""

    leaves: int
    bounds: Sequence[tuple[Key, Key]]
    roots: Sequence[bytes]

    def number_of(self, key: Key) -> int:
        """The one part in which a leaf can stand; none may have it."""
        return bisect_left(self.bounds, key, key=lambda ends: ends[1])


def summed(connection: Connection[Any], workspace: UUID, size: int) -> tuple[LedgerHeadsSealed, Parts]:
    """What the event says that seals the map as of `size`, and its parts. Raises: UnavailableError."""
    bounds, roots, leaves, subjects = list[tuple[Key, Key]](), list[bytes](), 0, 0
    every = heads.leaves(connection, workspace, size)
    while part := list(islice(every, WIDTH)):
        bounds.append((heads.key_of(part[0]), heads.key_of(part[-1])))
        roots.append(root_of(_hashes(part)))
        leaves += len(part)
        subjects += sum(leaf[0] == "p" for leaf in part)
    said = LedgerHeadsSealed(
        size=size, root=root_of(roots).hex(), leaves=leaves, streams=leaves - subjects, subjects=subjects
    )
    return said, Parts(leaves=leaves, bounds=bounds, roots=roots)


def keep(connection: Connection[Any], workspace: UUID, size: int, parts: Parts) -> None:
    """Those of the newest maps."""
    bounds = b"".join(key for ends in parts.bounds for key in ends)
    with connection.transaction():
        connection.execute(_KEEP, [workspace, size, parts.leaves, bounds, b"".join(parts.roots)])
        connection.execute(_FORGET, {"workspace": workspace, "kept": KEPT})


def prove(connection: Connection[Any], workspace: UUID, size: int, wanted: Iterable[str]) -> list[Proved]:
    """The leaves that begin so (`s <stream>`, `p <contact>`), in order, each with its proof. Of an older map, whose parts are not
    kept, every leaf is read once more.

    Raises: NotFoundError: one of them is not in the map; UnavailableError.
    """
    names = sorted(set(wanted))
    kept = _kept(connection, workspace, size)
    found = kept and _proved(connection, workspace, size, kept, names)
    if not found:
        _, made = summed(connection, workspace, size)
        found = _proved(connection, workspace, size, made, names) or {}
    if missing := [name for name in names if name not in found]:
        raise NotFoundError(f"Not in the log up to {size}: {', '.join(missing)}.")
    return [found[name] for name in names]


def _kept(connection: Connection[Any], workspace: UUID, size: int) -> Parts | None:
    row = connection.execute(_READ, [workspace, size], binary=True).fetchone()
    if row is None:
        return None
    leaves, bounds, roots = row
    keys = [bounds[at : at + KEY] for at in range(0, len(bounds), KEY)]
    return Parts(leaves=leaves, bounds=list(zip(keys[::2], keys[1::2], strict=True)), roots=split(roots))


def _proved(
    connection: Connection[Any], workspace: UUID, size: int, parts: Parts, names: Sequence[str]
) -> Mapping[str, Proved] | None:
    """Those that are there; None, where the parts are not those of the tables."""
    found, above = dict[str, Proved](), _rows(parts.roots)
    for number, asked in _by_part(parts, names):
        part = list(heads.leaves(connection, workspace, size, *parts.bounds[number]))
        below = _rows(_hashes(part))
        if below[-1] != [parts.roots[number]]:
            return None
        places = {leaf[:NAME]: at for at, leaf in enumerate(part)}
        for name in asked:
            if (at := places.get(name)) is not None:
                hashes = [*_siblings(below, at), *_siblings(above, number)]
                found[name] = Proved(number * WIDTH + at, part[at], hashes)
    return found


def _by_part(parts: Parts, names: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    by_part: dict[int, list[str]] = {}
    for name in names:
        by_part.setdefault(parts.number_of(heads.key_of(name)), []).append(name)
    by_part.pop(len(parts.roots), None)  # behind the last leaf there is none
    yield from by_part.items()


def _hashes(leaves: Iterable[str]) -> list[bytes]:
    return [leaf_hash(leaf.encode()) for leaf in leaves]


def _rows(hashes: Sequence[bytes]) -> list[Sequence[bytes]]:
    """A tree from its leaves to its root. What has no neighbour goes up as it is."""
    rows = [hashes]
    while len(rows[-1]) > 1:
        row = rows[-1]
        above = [node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        rows.append([*above, *row[len(row) & ~1 :]])
    return rows


def _siblings(rows: Sequence[Sequence[bytes]], index: int) -> Iterator[bytes]:
    for row in rows[:-1]:
        if index ^ 1 < len(row):
            yield row[index ^ 1]
        index >>= 1
