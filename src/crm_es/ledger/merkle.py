"""The Merkle tree of a log: RFC 6962 hashes kept in tiles of height 8, as C2SP tlog-tiles lays them out.

Pure. Proofs from tiles are in proofs.py, signatures in checkpoint.py, storing in tiles.py.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

HASH = 32
HEIGHT = 8
WIDTH = 1 << HEIGHT
EMPTY = sha256().digest()
_PATH = re.compile(r"tile/(?P<level>[0-5])/(?P<number>(?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root over leaves, or over neighbouring subtrees of one size, a power of two; the last may be smaller."""
    if not hashes:
        return EMPTY
    row = hashes
    while len(row) > 1:
        above = [sha256(b"\x01" + row[i] + row[i + 1]).digest() for i in range(0, len(row) - 1, 2)]
        if len(row) % 2:
            above.append(row[-1])
        row = above
    return row[0]


def split(hashes: bytes) -> list[bytes]:
    """A tile's bytes as its hashes."""
    return [hashes[i : i + HASH] for i in range(0, len(hashes), HASH)]


@dataclass(frozen=True, order=True)
class Tile:
    """Where a tile stands: `width` hashes of the nodes at tree level 8 times `level`, from the 256 times `number`th."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        return f"tile/{self.level}/{number_path(self.number)}" + ("" if self.width == WIDTH else f".p/{self.width}")


def number_path(number: int) -> str:
    """C2SP's spelling of a tile's number: `x001/x234/067`."""
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.append(f"x{number % 1000:03}")
    return "/".join(reversed(groups))


def parse_path(path: str) -> Tile:
    """The tile of a path, in the one spelling it has. Raises: ValueError."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise ValueError(f"{path} is no tile")
    number = int(found["number"].replace("x", "").replace("/", ""))
    tile = Tile(int(found["level"]), number, int(found["width"] or WIDTH))
    if tile.path != path or not 1 <= tile.width <= WIDTH:
        raise ValueError(f"{path} is no tile")
    return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of a tree, level by level; the last of a level is partial unless it happens to be full."""
    level = 0
    while size:
        full, rest = divmod(size, WIDTH)
        for number in range(full):
            yield Tile(level, number)
        if rest:
            yield Tile(level, full, rest)
        size, level = full, level + 1


def edge_of(size: int) -> list[Tile]:
    """The partial tiles of a tree: all that growing it further has to know."""
    edge = []
    level = 0
    while size:
        full, rest = divmod(size, WIDTH)
        if rest:
            edge.append(Tile(level, full, rest))
        size, level = full, level + 1
    return edge


class Growing:
    """A tree that leaves are added to; it remembers the right edge alone, and hands over the tiles it has touched."""

    def __init__(self, size: int = 0, edge: Iterable[tuple[Tile, bytes]] = ()) -> None:
        """Raises ValueError where `edge` is not what `edge_of(size)` asks for."""
        self.size = size
        self._edge: list[list[bytes]] = []
        self._full: list[tuple[Tile, bytes]] = []
        self._fresh: set[int] = set()
        given = dict(edge)
        if set(given) != set(edge_of(size)):
            raise ValueError(f"not the right edge of a tree of {size}")
        for tile, hashes in given.items():
            if len(hashes) != tile.width * HASH:
                raise ValueError(f"{tile.path} has {len(hashes)} bytes")
            self._level(tile.level).extend(split(hashes))

    def add(self, leaves: Iterable[bytes]) -> None:
        """Leaf hashes, in order."""
        for leaf in leaves:
            self.size += 1
            self._add(0, self.size, leaf)

    def root(self) -> bytes:
        """Each level's unfinished tile is followed by what the levels below have left over."""
        rest: list[bytes] = []
        for hashes in self._edge:
            row = hashes + rest
            rest = [root_of(row)] if row else []
        return rest[0] if rest else EMPTY

    def edge(self) -> list[tuple[Tile, bytes]]:
        """The unfinished tiles, from which another can grow on."""
        return [(tile, b"".join(self._edge[tile.level])) for tile in edge_of(self.size)]

    def take(self) -> list[tuple[Tile, bytes]]:
        """The tiles that changed since they were last taken, as they are now."""
        taken, self._full = self._full, []
        for level in sorted(self._fresh):
            hashes = self._edge[level]
            if hashes:
                number = (self.size >> (HEIGHT * level)) // WIDTH
                taken.append((Tile(level, number, len(hashes)), b"".join(hashes)))
        self._fresh = set()
        return taken

    def _add(self, level: int, count: int, value: bytes) -> None:
        """`count`: how many nodes the level has with this one."""
        hashes = self._level(level)
        hashes.append(value)
        self._fresh.add(level)
        if len(hashes) == WIDTH:
            number = count // WIDTH - 1
            self._full.append((Tile(level, number), b"".join(hashes)))
            self._edge[level] = []
            self._add(level + 1, number + 1, root_of(hashes))

    def _level(self, level: int) -> list[bytes]:
        while len(self._edge) <= level:
            self._edge.append([])
        return self._edge[level]
