"""Apache Parquet, as little of it as a flat table needs: one page of plain values a column and row group, gzip.

Written here and not by a library, so that the bytes follow from the rows alone, whatever is installed, for as long as somebody
may want to make them again (docs/decisions/0014-views-of-a-bundle.md). The format: github.com/apache/parquet-format.
"""

import struct
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from crm_es.exports.view import Field, Kind, Row, View

MAGIC: Final = b"PAR1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_ONE: Final = date(1970, 1, 1)
_BOOLEAN, _INT32, _INT64, _BYTES = 0, 1, 2, 6
_PHYSICAL: Final = {Kind.INTEGER: _INT64, Kind.BOOLEAN: _BOOLEAN, Kind.DATE: _INT32, Kind.MOMENT: _INT64}
_UTF8, _DATE, _MICROSECONDS, _JSON = 0, 6, 10, 19
_CONVERTED: Final = {
    Kind.TEXT: _UTF8,
    Kind.DECIMAL: _UTF8,
    Kind.LIST: _JSON,
    Kind.DATE: _DATE,
    Kind.MOMENT: _MICROSECONDS,
}
_OPTIONAL, _DATA_PAGE, _PLAIN, _RLE, _GZIP = 1, 0, 0, 3, 2
_LEVEL: Final = 6
_GZIP_HEADER: Final = bytes.fromhex("1f8b08000000000000ff")

# Thrift's compact protocol: a field is (number, type, value).
_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_WRITTEN: Final = 0x100 | _STRUCT  # structs that are bytes already
_MOST_SHORT: Final = 15
Fields = Sequence[tuple[int, int, Any]]


class ParquetFile:
    """Rows to bytes: each page of rows becomes a row group, so pages must be cut the same way for the same bytes."""

    def __init__(self, view: View, *, at: int = len(MAGIC), count: int = 0, groups: Sequence[bytes] = ()) -> None:
        """`at`, `count` and `groups` are of what an earlier run has written."""
        self._fields = view.fields
        self.at, self.count = at, count
        self.groups = list(groups)

    def begin(self) -> bytes:
        return MAGIC

    def rows(self, rows: Sequence[Row]) -> bytes:
        began, parts, chunks = self.at, [], []
        for values, field in zip(zip(*rows, strict=True), self._fields, strict=True):
            raw = _page(values, field.kind)
            packed = _gzip(raw)
            head = _struct(_page_header(len(raw), len(packed), len(rows)))
            chunks.append(_chunk(field, self.at, len(rows), len(head) + len(raw), len(head) + len(packed)))
            parts += [head, packed]
            self.at += len(head) + len(packed)
        self.count += len(rows)
        self.groups.append(_struct([(1, _LIST, (_STRUCT, chunks)), (2, _I64, self.at - began), (3, _I64, len(rows))]))
        return b"".join(parts)

    def end(self) -> bytes:
        columns = [_element(field) for field in self._fields]
        root = [(4, _BINARY, b"schema"), (5, _I32, len(columns))]
        footer = _struct(
            [
                (1, _I32, 1),
                (2, _LIST, (_STRUCT, [root, *columns])),
                (3, _I64, self.count),
                (4, _LIST, (_WRITTEN, self.groups)),
                (6, _BINARY, b"crm_es"),
            ]
        )
        return footer + struct.pack("<I", len(footer)) + MAGIC


def _element(field: Field) -> Fields:
    """A column in the schema."""
    named = [(1, _I32, _PHYSICAL.get(field.kind, _BYTES)), (3, _I32, _OPTIONAL), (4, _BINARY, field.name.encode())]
    return [*named, (6, _I32, _CONVERTED[field.kind])] if field.kind in _CONVERTED else named


def _page_header(raw: int, packed: int, rows: int) -> Fields:
    data = [(1, _I32, rows), (2, _I32, _PLAIN), (3, _I32, _RLE), (4, _I32, _RLE)]
    return [(1, _I32, _DATA_PAGE), (2, _I32, raw), (3, _I32, packed), (5, _STRUCT, data)]


def _chunk(field: Field, at: int, rows: int, raw: int, packed: int) -> Fields:
    """Where a column of a row group stands."""
    meta = [
        (1, _I32, _PHYSICAL.get(field.kind, _BYTES)),
        (2, _LIST, (_I32, [_PLAIN, _RLE])),
        (3, _LIST, (_BINARY, [field.name.encode()])),
        (4, _I32, _GZIP),
        (5, _I64, rows),
        (6, _I64, raw),
        (7, _I64, packed),
        (9, _I64, at),
    ]
    return [(2, _I64, at), (3, _STRUCT, meta)]


def _page(values: Sequence[Any], kind: Kind) -> bytes:
    """Which values there are, one bit each, then those."""
    there = _bits([value is not None for value in values])
    levels = _varint(len(there) << 1 | 1) + there
    return struct.pack("<I", len(levels)) + levels + _ENCODED.get(kind, _texts)([v for v in values if v is not None])


def _bits(values: list[bool]) -> bytes:
    """The first in the lowest bit."""
    digits = "".join(["1" if value else "0" for value in reversed(values)])
    return int(digits or "0", 2).to_bytes(-(-len(values) // 8), "little")


def _texts(values: list[str]) -> bytes:
    """Each text once: columns repeat themselves."""
    said = {value: len(text := value.encode()).to_bytes(4, "little") + text for value in set(values)}
    return b"".join([said[value] for value in values])


def _integers(values: list[int]) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def _moments(values: list[datetime]) -> bytes:
    return _integers([(value - _EPOCH) // timedelta(microseconds=1) for value in values])


def _days(values: list[date]) -> bytes:
    return struct.pack(f"<{len(values)}i", *[(value - _DAY_ONE).days for value in values])


_ENCODED: Final[dict[Kind, Callable[[list[Any]], bytes]]] = {
    Kind.INTEGER: _integers,
    Kind.BOOLEAN: _bits,
    Kind.DATE: _days,
    Kind.MOMENT: _moments,
}


def _gzip(data: bytes) -> bytes:
    """Nothing in it but the data: no time, no name."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
    packed = deflate.compress(data) + deflate.flush()
    return _GZIP_HEADER + packed + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def _struct(fields: Fields) -> bytes:
    written, before = bytearray(), 0
    for number, type_, value in fields:
        written.append((number - before) << 4 | type_)
        written += _value(type_, value)
        before = number
    return bytes(written) + b"\0"


def _value(type_: int, value: Any) -> bytes:
    match type_:
        case 5 | 6:
            return _varint(value << 1 ^ value >> 63)
        case 8:
            return _varint(len(value)) + bytes(value)
        case 12:
            return _struct(value)
        case 0x10C:
            return bytes(value)
        case _:
            item, items = value
            short = len(items) < _MOST_SHORT
            kind = item & 15
            head = bytes([len(items) << 4 | kind]) if short else bytes([0xF0 | kind]) + _varint(len(items))
            return head + b"".join(_value(item, each) for each in items)


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:  # noqa: PLR2004  # seven bits a byte
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
