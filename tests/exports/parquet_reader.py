"""Reads the Parquet files of views, by the specification and knowing nothing of the writer: footer, pages, levels, values."""

import gzip
import struct
from datetime import UTC, date, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Thrift:
    """The compact protocol."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def value(self, kind: int) -> Any:
        match kind:
            case 5 | 6:
                raw = self.varint()
                return raw >> 1 if raw % 2 == 0 else -(raw >> 1) - 1
            case 8:
                size = self.varint()
                self.at += size
                return self.data[self.at - size : self.at]
            case 9:
                head = self.byte()
                size = self.varint() if head >> 4 == 15 else head >> 4
                return [self.value(head & 15) for _ in range(size)]
            case 12:
                return self.struct()
        raise AssertionError(kind)

    def struct(self) -> dict[int, Any]:
        found: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            assert head >> 4
            number += head >> 4
            found[number] = self.value(head & 15)
        return found


def read(data: bytes) -> dict[str, list[Any]]:
    """Every column."""
    assert data[:4] == data[-4:] == b"PAR1"
    (size,) = struct.unpack("<I", data[-8:-4])
    footer = Thrift(data[-8 - size : -8]).struct()
    root, *elements = footer[2]
    assert root[5] == len(elements)
    columns: dict[str, list[Any]] = {element[4].decode(): [] for element in elements}
    for group in footer[4]:
        for element, chunk in zip(elements, group[1], strict=True):
            assert chunk[3][3] == [element[4]]
            assert chunk[3][4] == 2  # gzip
            columns[element[4].decode()] += page(data, chunk[3], element)
    assert all(len(values) == footer[3] for values in columns.values())
    return columns


def page(data: bytes, meta: dict[int, Any], element: dict[int, Any]) -> list[Any]:
    reader = Thrift(data, meta[9])
    head = reader.struct()
    packed = data[reader.at : reader.at + head[3]]
    assert reader.at + head[3] - meta[9] == meta[7]
    raw = gzip.decompress(packed)
    assert len(raw) == head[2]
    count, (levels,) = head[5][1], struct.unpack_from("<I", raw)
    there = defined(raw[4 : 4 + levels], count)
    values = iter(plain(raw[4 + levels :], meta[1], element.get(6), sum(there)))
    return [next(values) if is_there else None for is_there in there]


def defined(data: bytes, count: int) -> list[bool]:
    """The hybrid of runs and packed bits, of one bit."""
    reader, found = Thrift(data), list[bool]()
    while len(found) < count:
        head = reader.varint()
        if head & 1:
            for _ in range(head >> 1):
                byte = reader.byte()
                found += [bool(byte >> bit & 1) for bit in range(8)]
        else:
            found += [bool(reader.byte())] * (head >> 1)
    return found[:count]


def plain(data: bytes, physical: int, converted: int | None, count: int) -> list[Any]:
    match physical, converted:
        case 0, None:
            return [bool(data[n // 8] >> n % 8 & 1) for n in range(count)]
        case 1, 6:
            return [date(1970, 1, 1) + timedelta(days=days) for days in struct.unpack(f"<{count}i", data)]
        case 2, None:
            return list(struct.unpack(f"<{count}q", data))
        case 2, 10:
            return [EPOCH + timedelta(microseconds=each) for each in struct.unpack(f"<{count}q", data)]
        case 6, (0 | 19):
            return texts(data, count)
    raise AssertionError((physical, converted))


def texts(data: bytes, count: int) -> list[str]:
    found, at = list[str](), 0
    for _ in range(count):
        (size,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    assert at == len(data)
    return found
