"""The two files of a view, grown together a row group at a time. How far they are is noted in `.views/` beside them, so that a
killed run goes on behind its last note; the bytes come out the same.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import takewhile
from pathlib import Path
from typing import IO, Final

import msgspec

from crm_es.exports.bundle import NOTES
from crm_es.exports.csv_file import CsvFile
from crm_es.exports.files import put, settle
from crm_es.exports.parquet_file import MAGIC, ParquetFile
from crm_es.exports.view import Pages, PagesFrom, Row, Value, View

GROUP: Final = 5_000
"""Rows of a Parquet row group."""
NOTED: Final = 10
"""Groups between two notes: at most so many are written again by the run after a killed one."""


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    """The files' sizes after `rows` rows; `same` of them, the last, begin with `last`. `groups` came since the note before."""

    csv: int = 0
    parquet: int = 0
    rows: int = 0
    last: str | int | None = None
    same: int = 0
    groups: Sequence[str] = ()


class ViewFiles:
    """Of one view of a bundle in the making, in `folder`."""

    def __init__(self, folder: Path, view: View) -> None:
        self._paths = {suffix: folder / "views" / f"{view.name}.{suffix}" for suffix in ("csv", "parquet")}
        self._beside = {suffix: path.with_name(f"{path.name}.part") for suffix, path in self._paths.items()}
        self._noted = folder / NOTES / f"{view.name}.jsonl"
        self._begun = self._notes()
        self._last = self._begun[-1] if self._begun else _Note(parquet=len(MAGIC))
        groups = [b64decode(group) for note in self._begun for group in note.groups]
        self._csv, self._groups = CsvFile(view), len(groups)
        self._parquet = ParquetFile(view, at=self._last.parquet, count=self.rows, groups=groups)

    @property
    def whole(self) -> bool:
        return all(path.exists() for path in self._paths.values())

    @property
    def rows(self) -> int:
        """So many are written for good."""
        return self._last.rows

    def write(self, pages: PagesFrom) -> Iterator[tuple[int, Value]]:
        """All that is missing; gives the number of rows of each group it wrote, and what the last of them begins with."""
        put(self._noted, b"".join(map(_line, self._begun)))
        with ExitStack() as stack:
            files = [stack.enter_context(self._opened(suffix, size)) for suffix, size in self._sizes().items()]
            if not self.rows:
                _add(files, self._csv.begin(), self._parquet.begin())
            for number, group in enumerate(_cut(self._new(pages)), 1):
                _add(files, self._csv.rows(group), self._parquet.rows(group))
                if number % NOTED == 0:
                    self._note(files, group)
                yield len(group), group[-1][0]
            if self._parquet.count > self.rows:
                self._note(files, group)
            _add(files, self._csv.end(), self._parquet.end())
            _settle(files)
        for suffix, path in self._paths.items():
            self._beside[suffix].rename(path)
        settle(next(iter(self._paths.values())).parent)

    def _sizes(self) -> dict[str, int]:
        return {"csv": self._last.csv, "parquet": self._last.parquet if self.rows else 0}

    def _notes(self) -> list[_Note]:
        """Of earlier runs, as far as the files are there. The last line may be torn."""
        notes: list[_Note] = []
        there = {suffix: _size(self._paths[suffix], self._beside[suffix]) for suffix in self._paths}
        with suppress(FileNotFoundError, msgspec.DecodeError):
            for line in self._noted.read_bytes().splitlines():
                note = msgspec.json.decode(line, type=_Note)
                if note.csv > there["csv"] or note.parquet > there["parquet"]:
                    break
                notes.append(note)
        return notes

    def _opened(self, suffix: str, size: int) -> IO[bytes]:
        """The file as it was noted, whichever of its names it has."""
        beside, path = self._beside[suffix], self._paths[suffix]
        beside.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.rename(beside)
        file = beside.open("r+b" if beside.exists() else "w+b")
        file.truncate(size)
        file.seek(size)
        return file

    def _new(self, pages: PagesFrom) -> Pages:
        """Rows that are not written."""
        known = self._last.same
        for page in pages(self._last.last):
            yield page[known:]
            known = max(0, known - len(page))

    def _note(self, files: Sequence[IO[bytes]], group: Sequence[Row]) -> None:
        """`group` are the newest rows. What is noted is on the disk."""
        _settle(files)
        last = group[-1][0]
        csv, parquet = (file.tell() for file in files)
        self._last = _Note(
            csv=csv, parquet=parquet, rows=self._parquet.count, last=last if isinstance(last, int) else str(last),
            same=sum(1 for _ in takewhile(lambda row: row[0] == last, reversed(group))),
            groups=[b64encode(each).decode() for each in self._parquet.groups[self._groups :]],
        )  # fmt: skip
        self._groups = len(self._parquet.groups)
        with self._noted.open("ab") as file:
            file.write(_line(self._last))
            _settle([file])


def _size(*names: Path) -> int:
    return next((path.stat().st_size for path in names if path.exists()), 0)


def _line(note: _Note) -> bytes:
    return msgspec.json.encode(note) + b"\n"


def _cut(pages: Pages) -> Iterator[list[Row]]:
    """The rows in groups of one size, however they came."""
    held: list[Row] = []
    for page in pages:
        held += page
        while len(held) >= GROUP:
            yield held[:GROUP]
            held = held[GROUP:]
    if held:
        yield held


def _add(files: Sequence[IO[bytes]], *data: bytes) -> None:
    for file, each in zip(files, data, strict=True):
        file.write(each)


def _settle(files: Sequence[IO[bytes]]) -> None:
    for file in files:
        file.flush()
        os.fsync(file.fileno())
