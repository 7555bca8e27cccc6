"""The statements a batch sends, as bytes and made once; rows travel as one JSON array."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, LiteralString

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Table
from crm_es.projector.tables import POSITION, WORKSPACE

Row = tuple[Any, ...]
Shape = tuple[tuple[str, str | None], ...]
"""The columns an update sets, each with its expression or None."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the batch must know of a table, worked out once."""

    names: tuple[str, ...]
    own: tuple[str, ...]
    types: tuple[str, ...]
    defaults: tuple[object, ...]
    known: frozenset[str]
    key: tuple[str, ...]

    def row(self, fact: Fact, values: Mapping[str, Any]) -> Row:
        self.refuse_unknown(values)
        return (fact.workspace, *map(values.get, self.own, self.defaults), fact.position)

    def refuse_unknown(self, values: Mapping[str, Any]) -> None:
        if not self.known.issuperset(values):
            raise TypeError(f"no such columns: {sorted(values.keys() - self.known)}")


@cache
def layout(table: Table) -> Layout:
    columns = (WORKSPACE, *table.columns, POSITION)
    return Layout(
        names=tuple(c.name for c in columns),
        own=tuple(c.name for c in table.columns),
        types=tuple(c.type for c in columns),
        defaults=tuple(c.default for c in table.columns),
        known=frozenset(c.name for c in table.columns),
        key=("workspace_id", *table.key),
    )


@cache
def in_schema(sql: LiteralString, schema: str) -> bytes:
    return SQL(sql).format(schema=Identifier(schema)).as_bytes()


@cache
def insert_statement(schema: str, table: Table) -> bytes:
    return _insert(schema, table).as_bytes()


def _insert(schema: str, table: Table) -> Composed:
    shape = layout(table)
    return SQL("INSERT INTO {}.{} ({}) SELECT {} FROM {}").format(
        Identifier(schema),
        Identifier(table.name),
        _list(shape.names),
        SQL(", ").join(_cell(i, t) for i, t in enumerate(shape.types)),
        _ROWS,
    )


@cache
def put_statement(schema: str, table: Table, names: tuple[str, ...]) -> bytes:
    """Insert rows; where one stands already, set these columns of it."""
    shape = layout(table)
    changed = [n for n in (*names, "position") if n not in shape.key]
    statement = SQL("{} ON CONFLICT ({}) DO UPDATE SET {}").format(
        _insert(schema, table),
        _list(shape.key),
        SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(n)) for n in changed),
    )
    return statement.as_bytes()


@cache
def update_statement(schema: str, table: Table, values: Shape) -> bytes:
    """`UPDATE .. FROM` the rows sent; their cells are the key, the values, the position."""
    shape = layout(table)
    kind = dict(zip(shape.names, shape.types, strict=True))
    first = len(shape.key)
    sets = [
        SQL("{} = {}").format(Identifier(name), _value(expression, _cell(first + i, kind[name])))
        for i, (name, expression) in enumerate(values)
    ]
    statement = SQL("UPDATE {}.{} t SET {} FROM {} WHERE {}").format(
        Identifier(schema),
        Identifier(table.name),
        SQL(", ").join([*sets, SQL("position = {}").format(_cell(first + len(values), "bigint"))]),
        _ROWS,
        SQL(" AND ").join(SQL("t.{} = {}").format(Identifier(n), _cell(i, kind[n])) for i, n in enumerate(shape.key)),
    )
    return statement.as_bytes()


_ROWS: Final = SQL("jsonb_array_elements(%s::jsonb) AS r (c)")


def _value(expression: str | None, cell: Composable) -> Composable:
    return cell if expression is None else SQL("({})").format(SQL(expression).format(value=cell))


def _cell(index: int, kind: str) -> Composable:
    """The row's cell, as its column's type. JSON arrays are not PostgreSQL's, so arrays are spelled out."""
    if kind == "jsonb":
        return SQL("nullif(r.c -> {}, 'null'::jsonb)").format(Literal(index))
    if kind.endswith("[]"):
        return SQL(
            "CASE jsonb_typeof(r.c -> {0}) WHEN 'array'"
            " THEN ARRAY(SELECT jsonb_array_elements_text(r.c -> {0}))::{1} END"
        ).format(Literal(index), SQL(kind))
    return SQL("(r.c ->> {})::{}").format(Literal(index), SQL(kind))


def _list(names: Iterable[str]) -> Composed:
    return SQL(", ").join(Identifier(n) for n in names)
