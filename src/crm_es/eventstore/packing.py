"""Arrays for `es.append_events`, packed by hand: psycopg's list dumper was the largest cost of an append."""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import adapters, postgres
from psycopg.adapt import Dumper
from psycopg.pq import Format

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_HEAD = struct.Struct("!iiIii").pack  # dimensions, has NULLs, element type, length, lower bound
_EMPTY = struct.Struct("!iiI").pack
_INT4 = struct.Struct("!i").pack
_INT8 = struct.Struct("!q").pack
_NULL = _INT4(-1)


def _microseconds(value: datetime) -> bytes:
    since = value - _EPOCH
    return _INT8((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


_ELEMENT: dict[str, Callable[[Any], bytes]] = {
    "uuid": lambda value: value.bytes,
    "int4": _INT4,
    "int8": _INT8,
    "text": str.encode,
    "bytea": bytes,
    "bool": lambda value: b"\x01" if value else b"\x00",
    "timestamptz": _microseconds,
}


class Packed:
    """The bytes of one array, ready for the wire."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


def _packed_type(name: str) -> tuple[type[Packed], int]:
    info = postgres.types[name]

    class Ready(Dumper):
        format = Format.BINARY
        oid = info.array_oid

        def dump(self, obj: Packed) -> bytes:
            return obj.data

    packed = type(f"Packed_{name}", (Packed,), {"__slots__": ()})
    adapters.register_dumper(packed, Ready)
    return packed, info.oid


_TYPES = {name: _packed_type(name) for name in _ELEMENT}


def pack(name: str, values: Sequence[Any]) -> Packed:
    """An array of the PostgreSQL type `name`; None is NULL."""
    packed, oid = _TYPES[name]
    if not values:
        return packed(_EMPTY(0, 0, oid))
    element = _ELEMENT[name]
    parts = [_HEAD(1, int(None in values), oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            data = element(value)
            parts.append(_INT4(len(data)))
            parts.append(data)
    return packed(b"".join(parts))


def pack_rows(types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[Packed]:
    """One array a column."""
    if not rows:
        return [pack(name, ()) for name in types]
    return [pack(name, column) for name, column in zip(types, zip(*rows, strict=True), strict=True)]
