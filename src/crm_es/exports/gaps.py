"""Positions without an event. The signed log itself may hold them to be lost; else somebody took them away behind its back."""

from collections.abc import Iterable, Iterator
from typing import Final

from crm_es.ledger.merkle import HASH, WIDTH, Tile, leaf_hash
from crm_es.ledger.proofs import TileReader

LOST: Final = leaf_hash(b"")


def told(
    rows: Iterable[tuple[int, bytes]], first: int, last: int, size: int, read: TileReader
) -> Iterator[tuple[int, bytes | None]]:
    """Every position from `first` to `last`: as it is in `rows`, else b"" where the tiles of a tree of `size` say that it is
    lost, and None where they know of an event."""
    expected = first
    for position, state in rows:
        yield from _gone(expected, position, size, read)
        yield position, state
        expected = position + 1
    yield from _gone(expected, last + 1, size, read)


def _gone(first: int, end: int, size: int, read: TileReader) -> Iterator[tuple[int, bytes | None]]:
    at, hashes = -1, b""
    for position in range(first, end):
        number, place = divmod(position - 1, WIDTH)
        if number != at:
            at, hashes = number, read(Tile(0, number, min(WIDTH, size - number * WIDTH)))
        yield position, b"" if hashes[place * HASH :][:HASH] == LOST else None
