"""Rows out of files, one at a time: CSV, TSV, blank-separated, JSON lines. Bad rows come out too, saying what is wrong."""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from crm_es.errors import InvalidInputError
from crm_es.imports.mapping import FileShape

LONGEST_CELL = 1_000_000
BOM = "\ufeff"


class FileError(InvalidInputError):
    """The file as a whole cannot be read by this mapping."""

    rule = "file.invalid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A row of the file: `number` counts data rows from 1, `line` is where it starts. `problem` set: it cannot be used."""

    number: int
    line: int
    cells: dict[str, str]
    problem: str | None = None


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_rows(path: Path, shape: FileShape) -> Iterator[Row]:
    """Every row, in order. Raises: FileError when the header is not what it must be or the bytes are no text at all."""
    with _opened(path, shape) as file:
        yield from _numbered(_after_skipping(file, shape), shape)


def columns_of(path: Path, shape: FileShape) -> tuple[str, ...]:
    """The names of the columns: the mapping's, or the file's header."""
    if not shape.header:
        return shape.columns
    with _opened(path, shape) as file:
        lines = _after_skipping(file, shape)
        if shape.format == "blanks":
            return tuple(next((line.split() for _, line in lines if line.strip()), ()))
        return _header(_csv(lines, shape))


@contextmanager
def _opened(path: Path, shape: FileShape) -> Iterator[TextIO]:
    """Bytes that are not of the encoding come out as surrogates, and refuse their row alone."""
    try:
        with path.open(encoding=shape.encoding, errors="surrogateescape", newline="") as file:
            yield file
    except UnicodeError as exc:
        raise FileError(f"{path.name} is not {shape.encoding}: {exc}. Set `encoding` in [file].") from exc


def _after_skipping(file: TextIO, shape: FileShape) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(file, 1):
        if number > shape.skip_lines:
            yield number, line.removeprefix(BOM) if number == 1 else line


def _numbered(lines: Iterator[tuple[int, str]], shape: FileShape) -> Iterator[Row]:
    readers = {"blanks": _blanks, "jsonl": _json_lines}
    found = readers.get(shape.format, _separated)(lines, shape)
    for number, (line, cells, problem) in enumerate(found, 1):
        yield Row(number=number, line=line, cells=cells, problem=problem or _undecoded(cells, shape))


Found = Iterator[tuple[int, dict[str, str], str | None]]


class _Lines:
    """Lines for the csv module, remembering where the record being read began."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self._lines = iter(lines)
        self._first: int | None = None

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        if self._first is None:
            self._first = number
        return line

    def take_first(self) -> int:
        first, self._first = self._first or 0, None
        return first


def _csv(lines: Iterable[tuple[int, str]], shape: FileShape) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Records, and in their place errors: the csv module starts afresh with the next line."""
    csv.field_size_limit(LONGEST_CELL)
    source = _Lines(lines)
    reader = csv.reader(
        source, delimiter=shape.delimiter, quotechar=shape.quote, escapechar=shape.escape, strict=True
    )  # fmt: skip
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            yield source.take_first(), exc
        else:
            yield source.take_first(), record


def _header(records: Iterator[tuple[int, list[str] | csv.Error]]) -> tuple[str, ...]:
    _, header = next(records, (0, csv.Error("the file is empty")))
    if isinstance(header, csv.Error):
        raise FileError(f"The header line cannot be read: {header}.")
    names = tuple(name.strip() for name in header)
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise FileError(
            f"The header names {', '.join(twins)} twice. Set `header = false`, `skip_lines = 1` and `columns`."
        )
    return names


def _separated(lines: Iterator[tuple[int, str]], shape: FileShape) -> Found:
    records = _csv(lines, shape)
    columns = _header(records) if shape.header else shape.columns
    for line, record in records:
        if isinstance(record, csv.Error):
            yield line, {}, f"The line cannot be split into cells: {record}."
        elif record:
            yield line, *_named(columns, record)


def _blanks(lines: Iterator[tuple[int, str]], shape: FileShape) -> Found:
    words = ((number, line.split()) for number, line in lines)
    filled = ((number, cells) for number, cells in words if cells)
    columns = tuple(next(filled, (0, []))[1]) if shape.header else shape.columns
    for number, cells in filled:
        yield number, *_named(columns, cells)


def _named(columns: tuple[str, ...], cells: list[str]) -> tuple[dict[str, str], str | None]:
    named = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
    if len(cells) != len(columns):
        return named, f"{len(cells)} cells where {len(columns)} columns are expected."
    return named, None


def _json_lines(lines: Iterator[tuple[int, str]], shape: FileShape) -> Found:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            data = json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
        except (json.JSONDecodeError, RecursionError) as exc:
            yield number, {}, f"The line is not JSON: {exc}."
            continue
        if not isinstance(data, dict):
            yield number, {}, "The line is not a JSON object."
            continue
        cells = dict(_flat(data, ""))
        yield number, {name: cells.get(name, "") for name in shape.columns}, None


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """`{"a": {"b": [1, 2]}}` → `a.b.0` = 1, `a.b.1` = 2; null is an empty cell."""
    parts: Iterable[tuple[Any, Any]]
    match value:
        case dict():
            parts = value.items()
        case list():
            parts = enumerate(value)
        case _:
            yield path, _scalar(value)
            return
    for key, part in parts:
        yield from _flat(part, f"{path}.{key}" if path else str(key))


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    return ("false", "true")[value] if isinstance(value, bool) else str(value)


def _undecoded(cells: dict[str, str], shape: FileShape) -> str | None:
    for name, cell in cells.items():
        if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
            return f"Column {name} is not {shape.encoding}. Set `encoding` in [file]."
    return None
