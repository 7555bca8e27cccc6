"""Writes the views of a bundle: `views/*.csv`, `views/*.parquet` and `schema/*.json`, each row read once, a page in memory."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Composable, Identifier

from crm_es.exports import trail
from crm_es.exports.csv_file import CsvFile
from crm_es.exports.files import pretty, put, settle
from crm_es.exports.parquet_file import ParquetFile
from crm_es.exports.records import VIEWS, Reader
from crm_es.exports.view import Pages, Row, View, schema_of
from crm_es.reads.sql import AND, Condition, Query, Source
from projections import audit_trail, members

GROUP: Final = 5_000
"""Rows of a Parquet row group."""
_TRAIL: Final = Source(audit_trail.NAME, audit_trail.EVENT)
_FORMATS: Final[Mapping[str, Callable[[View], CsvFile | ParquetFile]]] = {"csv": CsvFile, "parquet": ParquetFile}
Told = Callable[[int], None]
NOBODY: Final[Told] = lambda _: None  # noqa: E731  # a default that does nothing


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowed:
    """Which events the views are of; records are those that these events are about. None: all."""

    first: int = 1
    last: int | None = None
    streams: Sequence[UUID] | None = None
    condition: Condition | None = None

    @property
    def everything(self) -> bool:
        return self.first == 1 and self.last is None and self.streams is None and self.condition is None


EVERYTHING: Final = Narrowed()


def write(
    folder: Path, connection: psycopg.Connection[Any], decode: trail.Decode, *, workspace: UUID, position: int,
    narrowed: Narrowed = EVERYTHING, told: Told = NOBODY,
) -> None:  # fmt: skip
    """Into `folder`, a bundle in the making: a view whose files are there is left as it is. `told` hears of rows done.

    `connection` is the application's, fenced to the workspace, its snapshot as late as the read models' reaching `position`.
    """
    reader = Reader(connection, workspace, position)
    only = None if narrowed.everything else _about(narrowed)
    for records in VIEWS:
        _view(folder, records.view, lambda records=records: reader.pages(records, only), told)  # type: ignore[misc]
    rows = trail.Trail(connection, decode, workspace, position, _names(reader))
    picked = None if narrowed.streams is None and narrowed.condition is None else _picker(reader, narrowed)
    _view(folder, trail.VIEW, lambda: rows.pages(narrowed.first, narrowed.last, picked), told)


def _view(folder: Path, view: View, pages: Callable[[], Pages], told: Told) -> None:
    paths = {suffix: folder / "views" / f"{view.name}.{suffix}" for suffix in _FORMATS}
    put(folder / "schema" / f"{view.name}.json", pretty(schema_of(view)))
    if all(path.exists() for path in paths.values()):
        return
    with _whole(paths) as files:
        makers = {suffix: make(view) for suffix, make in _FORMATS.items()}
        for suffix, maker in makers.items():
            files[suffix].write(maker.begin())
        for page in _cut(pages()):
            for suffix, maker in makers.items():
                files[suffix].write(maker.rows(page))
            told(len(page))
        for suffix, maker in makers.items():
            files[suffix].write(maker.end())


def _cut(pages: Pages) -> Iterator[list[Row]]:
    """The rows in pages of one size, however they came."""
    held: list[Row] = []
    for page in pages:
        held += page
        while len(held) >= GROUP:
            yield held[:GROUP]
            held = held[GROUP:]
    if held:
        yield held


@contextmanager
def _whole(paths: Mapping[str, Path]) -> Iterator[dict[str, Any]]:
    """Files that get their names together, when all is in them."""
    beside = {suffix: path.with_name(f"{path.name}.part") for suffix, path in paths.items()}
    next(iter(paths.values())).parent.mkdir(parents=True, exist_ok=True)
    files = {suffix: path.open("wb") for suffix, path in beside.items()}
    try:
        yield files
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    finally:
        for file in files.values():
            file.close()
    for suffix, path in paths.items():
        beside[suffix].rename(path)
    settle(next(iter(paths.values())).parent)


def _about(narrowed: Narrowed) -> Condition:
    """Records that an event is about which is asked for."""

    def condition(query: Query, alias: LiteralString) -> Composable:
        def asked(row: LiteralString) -> list[Composable]:
            return [
                SQL("{}.stream_id = {}.id").format(Identifier(row), Identifier(alias)),
                *_asked(query, row, narrowed),
            ]

        return query.exists(_TRAIL, asked)

    return condition


def _asked(query: Query, row: LiteralString, narrowed: Narrowed) -> list[Composable]:
    found = [SQL("{} >= {}").format(Identifier(row, "position"), query.bind(narrowed.first, "bigint"))]
    if narrowed.last is not None:
        found.append(SQL("{} <= {}").format(Identifier(row, "position"), query.bind(narrowed.last, "bigint")))
    if narrowed.streams is not None:
        streams = query.bind(list(narrowed.streams), "uuid[]")
        found.append(SQL("{} = ANY ({})").format(Identifier(row, "stream_id"), streams))
    return [*found, narrowed.condition(query, row)] if narrowed.condition else [*found]


def _picker(reader: Reader, narrowed: Narrowed) -> Callable[[Sequence[int]], set[int]]:
    def pick(positions: Sequence[int]) -> set[int]:
        query = reader.query()
        table, where = query.rows_of(_TRAIL, "e")
        where.append(SQL("e.position = ANY ({})").format(query.bind(list(positions), "bigint[]")))
        statement = SQL("SELECT e.position FROM {} WHERE {}").format(
            table, AND.join([*where, *_asked(query, "e", narrowed)])
        )
        return {row[0] for row in reader.rows(query, statement)}

    return pick


def _names(reader: Reader) -> dict[UUID, str | None]:
    """What members and API keys are called."""
    found: dict[UUID, str | None] = {}
    for table in (members.MEMBER, members.API_KEY):
        query = reader.query()
        statement = query.select(Source(members.NAME, table), "t", ("id", "name"), list)
        found |= dict(reader.rows(query, statement))
    return found
