"""Records: an instance of the read type that carries its row and the moment it is shown at; found by id, many at once."""

from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, LiteralString
from uuid import UUID

from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.reads import operands
from crm_es.reads.model import ReadType, companion, read_of
from crm_es.reads.session import Moment, Reads
from crm_es.reads.sql import AND, FALSE, Condition, Query, Source, Text, Viewer, named, selected

ROW: LiteralString = "t"


def made(read: ReadType, row: Sequence[Any] | Mapping[int, Any], moment: Moment) -> Any:
    """The record of a row laid out as `read.columns` (longer ones keep their tail)."""
    record = object.__new__(read.cls)
    record.__dict__.update(_row=row, _moment=moment)
    return record


def raw(record: Any, column: str) -> Any:
    """A column of a record's row, for the few fields written by hand."""
    return record._row[read_of(type(record)).index[column]]  # noqa: SLF001  # we put it there


def moment_of(record: Any) -> Moment:
    found: Moment = record._moment  # noqa: SLF001
    return found


def answered(record: Any) -> None:
    """Note in the operation's trail that a record goes out; an event goes as the record it is about."""
    read, trail = read_of(type(record)), moment_of(record).reads.trail
    trail.rows += 1
    if read.about is not None:
        trail.saw(*about(raw(record, column) for column in read.about))
    elif read.node:
        trail.saw(read.name, (record._row[0],))  # noqa: SLF001


def about(columns: Iterable[Any]) -> tuple[str, tuple[UUID]]:
    """(aggregate, id) → the type's name and the id."""
    aggregate, id_ = columns
    return aggregate.title().replace("_", ""), (id_,)


def visible(read: ReadType, viewer: Viewer) -> tuple[Condition, ...]:
    """Which rows of the type the viewer may see. Row-level security is the second fence, not this one's excuse."""
    found: list[Condition] = []
    if read.entity is not None:
        scope = viewer.scope(read.entity)
        if scope is None:
            return (lambda _query, _alias: FALSE,)
        if scope != "WORKSPACE":
            found.append(_owned(read, scope))
    if read.hidden is not None:
        found.append(read.hidden)
    return tuple(found)


def _owned(read: ReadType, scope: str) -> Condition:
    owned = read.owned
    if owned is None:
        return lambda _query, _alias: FALSE

    def mine(query: Query, alias: LiteralString) -> Composable:
        column = named(alias, owned.column)
        own = SQL("{} = {}").format(column, query.bind(query.viewer.member_id, "uuid"))
        if scope == "OWN":
            return own
        members = read_of(owned.member())
        return SQL("({} OR {})").format(own, operands.in_team(query, column, members, my_team(query, members)))

    return mine


def my_team(query: Query, members: ReadType) -> Composable:
    alias = query.alias()
    me = query.bind(query.viewer.member_id, "uuid")
    team = query.select(
        members.source, alias, [members.team or "id"], lambda: [SQL("{} = {}").format(named(alias, "id"), me)]
    )
    return SQL("({})").format(team)


def equal(column: str, value: str) -> Condition:
    return lambda query, alias: SQL("{} = {}").format(named(alias, column), query.bind(value, "text"))


def by_ids(query: Query, read: ReadType, ids: Sequence[object], columns: Sequence[str]) -> Composed:
    """The rows with these ids that the viewer may see, as (columns…) named c0, c1 and so on."""
    return by_id(query, read, ids[0], columns) if len(ids) == 1 else by_any(query, read, ids, columns)


def by_any(query: Query, read: ReadType, ids: object, columns: Sequence[str]) -> Composed:
    return _found(query, read, SQL("= ANY ({})").format(query.bind(ids, read.key_type + "[]")), columns)


def by_id(query: Query, read: ReadType, id_: object, columns: Sequence[str]) -> Composed:
    """The same of one. PostgreSQL keeps its plan, where it makes a new one for every ANY: that takes longer than the row."""
    return _found(query, read, SQL("= {}").format(query.bind(id_, read.key_type)), columns)


def _found(query: Query, read: ReadType, comparison: Composable, columns: Sequence[str]) -> Composed:
    parts = []
    for twin in query.branches(read.source):
        table, where = query.rows_of(read.source, ROW, twin=twin)
        where.append(SQL("{} {}").format(named(ROW, read.key or "id"), comparison))
        where += [condition(query, ROW) for condition in visible(read, query.viewer)]
        chosen = shown(query, read, ROW, columns, numbers(len(columns)))
        parts.append(SQL("SELECT {} FROM {} WHERE {}").format(chosen, table, AND.join(where)))
    return SQL(" UNION ALL ").join(parts)


@cache
def numbers(count: int) -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(count))


def shown(query: Query, read: ReadType, alias: str, columns: Sequence[str], called: Sequence[str]) -> Text:
    """The columns under other names, NULL in the place of those the viewer may not see."""
    masked = read.masked(query.viewer.masked(read.entity))
    nulls = [read.source.type_of(name) if name in masked else "" for name in columns] if masked else ()
    return selected(alias, tuple(columns), tuple(called), tuple(nulls))


def joined(query: Query, read: ReadType, alias: str, columns: Sequence[str], on: Composable) -> Composable:
    """The record whose id is `on`, as a lateral item that the planner pulls up; no row where the viewer may not see it."""
    parts = []
    for twin in query.branches(read.source):
        inner = query.alias()
        table, where = query.rows_of(read.source, inner, twin=twin)
        where.append(SQL("{} = {}").format(named(inner, read.key or "id"), on))
        where += [condition(query, inner) for condition in visible(read, query.viewer)]
        chosen = shown(query, read, inner, columns, columns)
        parts.append(SQL("SELECT {} FROM {} WHERE {}").format(chosen, table, AND.join(where)))
    return SQL("LATERAL ({}) AS {}").format(SQL(" UNION ALL ").join(parts), Identifier(alias))


def load(moment: Moment, read: ReadType, id_: UUID) -> Awaitable[Any | None]:
    """The record, or None where there is none the viewer may see; asked for together, loaded together."""

    async def all_of(ids: list[UUID]) -> list[Any | None]:
        query = moment.query()
        rows = await moment.rows(query, by_ids(query, read, ids, read.columns))
        found = {row[0]: made(read, row, moment) for row in rows}
        return [found.get(id_) for id_ in ids]

    return moment.reads.loader(("record", read.name, moment), all_of).load(id_)


async def find(reads: Reads, type_: type[Any], id_: UUID, at: int | None = None) -> Any | None:
    """For what is not a declared field (payloads, `node`, `entity`): a record of a read type, now or at a past id's position.

    None where there is none the viewer may see. Raises: AsOfOutOfRangeError, NotYetProjectedError.
    """
    return await load(await reads.moment_at(at), read_of(type_), id_)


async def load_columns(record: Any, columns: tuple[str, ...], beside: Source | None) -> Sequence[Any]:
    """Columns outside a record's row, in one statement for all records that ask; nulls where there is no row."""
    moment = moment_of(record)
    read = read_of(type(record)) if beside is None else companion(beside)

    async def all_of(ids: list[UUID]) -> list[Sequence[Any]]:
        query = moment.query()
        rows = await moment.rows(query, by_ids(query, read, ids, [read.key or "id", *columns]))
        found = {row[0]: row[1:] for row in rows}
        return [found.get(id_, [None] * len(columns)) for id_ in ids]

    return await moment.reads.loader(("columns", read.name, columns, moment), all_of).load(record._row[0])  # type: ignore[no-any-return]  # noqa: SLF001


def grouped(rows: list[tuple[Any, ...]], parents: Sequence[object] | None) -> Iterator[list[tuple[Any, ...]]]:
    """Rows behind their parent's number (from 1), as one list a parent; without parents, one list."""
    if parents is None:
        yield rows
        return
    lists: list[list[tuple[Any, ...]]] = [[] for _ in parents]
    for row in rows:
        lists[row[0] - 1].append(row[1:])
    yield from lists
