"""The views of a bundle: `views/*.csv`, `views/*.parquet` and `schema/*.json`, each row read once, a page in memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Composable, Identifier

from crm_es.exports import trail
from crm_es.exports.files import pretty, put
from crm_es.exports.records import VIEWS, Reader, Records
from crm_es.exports.view import Pages, PagesFrom, Value, View, schema_of
from crm_es.exports.view_files import ViewFiles
from crm_es.reads.sql import AND, Condition, Query, Source
from projections import audit_trail, members

_TRAIL: Final = Source(audit_trail.NAME, audit_trail.EVENT)
Told = Callable[[int, str], None]
"""Hears that so many rows more of a view are done."""


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
    told: Told, narrowed: Narrowed = EVERYTHING,
) -> None:  # fmt: skip
    """Into `folder`, a bundle in the making, from where an earlier run was.

    `connection` is the application's, fenced to the workspace; the read models have reached `position`.
    """
    reader = Reader(connection, workspace, position)
    only = None if narrowed.everything else _about(narrowed)

    def records(of: Records, since: Value) -> Pages:
        return reader.pages(of, only, since=None if since is None else UUID(str(since)))

    for each in VIEWS:
        _view(folder, each.view, partial(records, each), told)
    rows = trail.Trail(connection, decode, workspace, position, _names(reader))
    picked = None if narrowed.streams is None and narrowed.condition is None else _picker(reader, narrowed)

    def changes(since: Value) -> Pages:
        return rows.pages(narrowed.first if since is None else int(str(since)), narrowed.last, picked, narrowed.streams)

    _view(folder, trail.VIEW, changes, told, of=position)


def _view(folder: Path, view: View, pages: PagesFrom, told: Told, *, of: int | None = None) -> None:
    """`of`: where the first column ends, if it is a position."""
    files, schema = ViewFiles(folder, view), pretty(schema_of(view))
    put(folder / "schema" / f"{view.name}.json", schema)
    told(files.rows, view.name)
    if not files.whole:
        for rows, last in files.write(pages):
            told(rows, view.name if of is None else f"{view.name} to position {last:,} of {of:,}")


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
