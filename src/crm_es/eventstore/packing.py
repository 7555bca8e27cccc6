"""Columns of rows as binary arrays, packed by hand: psycopg's list dumper was the largest cost of an append."""

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from types import NoneType
from typing import Any, Final

from psycopg import adapters, postgres
from psycopg.adapt import Dumper
from psycopg.pq import Format

from crm_es.eventstore.event import Erased

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEAD = struct.Struct("!iiIii").pack  # dimensions, has NULLs, element type, length, lower bound
_EMPTY = struct.Struct("!iiI").pack
_INT4 = struct.Struct("!i").pack
_INT8 = struct.Struct("!q").pack
_NULL = _INT4(-1)
_NOTHING: Final = frozenset({NoneType, Erased})

_ELEMENT: dict[str, Callable[[Any], bytes]] = {
    "uuid": attrgetter("bytes"),
    "int4": _INT4,
    "int8": _INT8,
    "text": str.encode,
    "bytea": bytes,
    "bool": lambda value: b"\x01" if value else b"\x00",
    "timestamptz": lambda value: _INT8((value - _EPOCH) // _MICROSECOND),
}
_SIZE: dict[str, bytes] = {
    "uuid": _INT4(16),
    "int4": _INT4(4),
    "int8": _INT4(8),
    "bool": _INT4(1),
    "timestamptz": _INT4(8),
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
    """An array of the PostgreSQL type `name`; None is NULL, and so is `ERASED`."""
    packed, oid = _TYPES[name]
    if not values:
        return packed(_EMPTY(0, 0, oid))
    kinds = set(map(type, values))
    nothing = bool(kinds & _NOTHING)
    if name in _SIZE and not nothing:
        body = _SIZE[name] + _SIZE[name].join(map(_ELEMENT[name], values))
    else:
        body = _cells(_ELEMENT[name], values)
    return packed(_HEAD(1, nothing, oid, len(values), 1) + body)


def repeat(name: str, value: Any, times: int) -> Packed:
    """The same as `pack` of one value so many times."""
    packed, oid = _TYPES[name]
    return packed(_HEAD(1, type(value) in _NOTHING, oid, times, 1) + _cells(_ELEMENT[name], (value,)) * times)


def _cells(element: Callable[[Any], bytes], values: Sequence[Any]) -> bytes:
    parts = []
    for value in values:
        if type(value) in _NOTHING:
            parts.append(_NULL)
        else:
            data = element(value)
            parts.append(_INT4(len(data)))
            parts.append(data)
    return b"".join(parts)


def pack_rows(types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[Packed]:
    """One array a column."""
    if not rows:
        return [pack(name, ()) for name in types]
    return [pack(name, column) for name, column in zip(types, zip(*rows, strict=True), strict=True)]
