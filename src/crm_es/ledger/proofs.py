"""Proofs of RFC 6962, 2.1.1 and 2.1.2, read from the tiles of a tree: that a leaf is in it, that it grew from a smaller one."""

from collections.abc import Callable, Sequence

from crm_es.ledger.merkle import EMPTY, HASH, HEIGHT, WIDTH, Tile, node_hash, root_of, split

# The hashes of a tile of at least that width: a stored tile may have grown meanwhile.
TileReader = Callable[[Tile], bytes]


def root(read: TileReader, size: int) -> bytes:
    return _range(_once(read), size, 0, size) if size else EMPTY


def inclusion_proof(read: TileReader, index: int, size: int) -> list[bytes]:
    """The siblings of leaf `index` (from 0), the lowest first.

    Raises: ValueError: no such leaf in a tree of that size.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    read = _once(read)
    begin, end = 0, size
    siblings = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            siblings.append(_range(read, size, middle, end))
            end = middle
        else:
            siblings.append(_range(read, size, begin, middle))
            begin = middle
    return siblings[::-1]


def root_by_inclusion(leaf: bytes, index: int, size: int, siblings: Sequence[bytes]) -> bytes:
    """What an inclusion proof comes to. Raises: ValueError: it has another length than such a proof."""
    begin, end, left = 0, size, list[bool]()
    while end - begin > 1:
        middle = begin + _split(end - begin)
        left.append(index < middle)
        begin, end = (begin, middle) if index < middle else (middle, end)
    root = leaf
    for is_left, sibling in zip(reversed(left), siblings, strict=True):
        root = node_hash(root, sibling) if is_left else node_hash(sibling, root)
    return root


def consistency_proof(read: TileReader, first: int, second: int) -> list[bytes]:
    """What shows that the tree of `second` leaves begins with the tree of `first`; nothing where that is plain.

    Raises: ValueError: `first` is beyond `second` or below 0.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {second} cannot begin with one of {first}")
    if first in (0, second):
        return []
    read = _once(read)
    begin, end = 0, second
    siblings = []
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            siblings.append(_range(read, second, middle, end))
            end = middle
        else:
            siblings.append(_range(read, second, begin, middle))
            begin = middle
    if begin:
        siblings.append(_range(read, second, begin, end))
    return siblings[::-1]


def tiles_for_leaf(index: int, size: int) -> list[Tile]:
    """The tiles over a leaf. With the right edge (`merkle.edge_of`) they hold every hash of its inclusion proof."""
    tiles = []
    level, node, count = 0, index, size
    while node < count:
        number = node // WIDTH
        tiles.append(Tile(level, number, min(WIDTH, count - number * WIDTH)))
        level, node, count = level + 1, number, count // WIDTH
    return tiles


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _range(read: TileReader, size: int, begin: int, end: int) -> bytes:
    """The hash over leaves `begin` to `end`: both as RFC 6962 splits a tree of `size`."""
    count = end - begin
    if count & (count - 1) == 0:
        return _node(read, size, count.bit_length() - 1, begin // count)
    middle = begin + _split(count)
    return node_hash(_range(read, size, begin, middle), _range(read, size, middle, end))


def _node(read: TileReader, size: int, height: int, index: int) -> bytes:
    """The node `index` at tree level `height`, all of whose leaves the tree has."""
    level, inside = divmod(height, HEIGHT)
    number, first = divmod(index << inside, WIDTH)
    count = 1 << inside
    width = min(WIDTH, (size >> (HEIGHT * level)) - number * WIDTH)
    hashes = read(Tile(level, number, width))
    return root_of(split(hashes[first * HASH : (first + count) * HASH]))


def _once(read: TileReader) -> TileReader:
    """Neighbouring hashes stand in one tile: read each once."""
    known: dict[Tile, bytes] = {}

    def reading(tile: Tile) -> bytes:
        if tile not in known:
            hashes = read(tile)
            if len(hashes) < tile.width * HASH:
                raise ValueError(f"{tile.path} is too short")
            known[tile] = hashes
        return known[tile]

    return reading
