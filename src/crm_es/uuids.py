"""New ids: UUIDv7 (RFC 9562), so that ids made later sort later and indexes grow at one end."""

import os
import time
from uuid import UUID

from crm_es.entropy import Pool

_RANDOM = 10  # bytes, of which 74 bits are used
_random = Pool(_RANDOM)
_random_ids = Pool(16)


def new_id() -> UUID:
    return _made(time.time_ns() // 1_000_000, int.from_bytes(_random.take()) >> 6)


def random_id() -> UUID:
    """A UUIDv4: what is no record's id needs no place in an index."""
    return UUID(bytes=_random_ids.take(), version=4)


def new_ids(count: int) -> list[UUID]:
    """So many of one moment, their randomness fetched at once."""
    milliseconds = time.time_ns() // 1_000_000
    random = os.urandom(count * _RANDOM)
    parts = (random[start : start + _RANDOM] for start in range(0, len(random), _RANDOM))
    return [_made(milliseconds, int.from_bytes(part) >> 6) for part in parts]


def _made(milliseconds: int, random: int) -> UUID:
    return UUID(int=milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & (1 << 62) - 1)
