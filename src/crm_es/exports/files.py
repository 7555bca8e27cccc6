"""Files of a bundle: written beside their name and moved to it when whole, in bytes that depend on the contents alone."""

import json
import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from struct import pack
from typing import Any, Final

GZIP_HEADER: Final = bytes.fromhex("1f8b08000000000000ff")  # no name, no time, no system
LEVEL: Final = 6
_PIECE: Final = 1 << 20


def pretty(value: Any) -> bytes:
    """The one form of a .json file."""
    return f"{json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False)}\n".encode()


def line(value: Any) -> bytes:
    """The one form of a line of a .jsonl file."""
    return f"{json.dumps(value, sort_keys=True, separators=(',', ':'), ensure_ascii=False)}\n".encode()


def put(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Whole or not at all, whatever kills us; not `lasting`: a machine that loses power may lose it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path).open("wb") as file:
        file.write(data)
        if lasting:
            file.flush()
            _settle(file.fileno())
    _beside(path).rename(path)


def put_gzip(path: Path, lines: Iterable[bytes]) -> tuple[int, str]:
    """The lines, each with its end, compressed. Returns size and hash of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest, size = sha256(), 0
    with _beside(path).open("wb") as file:
        for piece in compressed(lines):
            digest.update(piece)
            size += file.write(piece)
        file.flush()
        _settle(file.fileno())
    _beside(path).rename(path)
    return size, digest.hexdigest()


def compressed(lines: Iterable[bytes]) -> Iterable[bytes]:
    """A gzip file, a piece at a time."""
    deflate, check, length = zlib.compressobj(LEVEL, zlib.DEFLATED, -15, 8, zlib.Z_FILTERED), 0, 0
    yield GZIP_HEADER
    for each in lines:
        check, length = zlib.crc32(each, check), length + len(each)
        if piece := deflate.compress(each):
            yield piece
    yield deflate.flush() + pack("<II", check, length & 0xFFFFFFFF)


def hash_of(path: Path) -> tuple[int, str]:
    """Size and SHA-256."""
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
        return file.tell(), digest.hexdigest()


def settle(folder: Path) -> None:
    """Names that were given are durable too."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        _settle(handle)
        os.close(handle)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _settle(handle: int) -> None:
    os.fsync(handle)
