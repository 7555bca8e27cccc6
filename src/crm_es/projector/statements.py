"""The statements a batch sends, as bytes and made once, and how rows become their parameters: a binary array a column."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType
from typing import Any, Final, LiteralString, NamedTuple

import msgspec
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

from crm_es.eventstore.event import Erased, Fact
from crm_es.eventstore.packing import Packed, pack
from crm_es.projector.contract import Column, Table
from crm_es.projector.tables import POSITION, WORKSPACE

Rows = Sequence[tuple[Fact, Mapping[str, Any]]]
"""The fact that writes a row, and the row's columns by name."""
Shape = tuple[tuple[str, str | None], ...]
"""The columns an update sets, each with its expression or None."""


class Filled(NamedTuple):
    """The columns of new rows that hold anything: those `sent`, and those whose default the statement says. All others are
    NULL: cells that are neither packed, sent nor read."""

    sent: tuple[str, ...]
    defaults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What the batch must know of a table, worked out once."""

    types: Mapping[str, str]
    key: tuple[str, ...]

    def refuse_unknown(self, names: set[str]) -> None:
        if not self.types.keys() >= names:
            raise TypeError(f"no such columns: {sorted(names - self.types.keys())}")


@cache
def layout(table: Table) -> Layout:
    columns = (WORKSPACE, *table.columns, POSITION)
    return Layout(
        types={c.name: c.type for c in columns},
        key=("workspace_id", *table.key),
    )


@cache
def in_schema(sql: LiteralString, schema: str) -> bytes:
    return SQL(sql).format(schema=Identifier(schema)).as_bytes()


@cache
def insert_statement(schema: str, table: Table, filled: Filled) -> bytes:
    return _insert(schema, table, filled).as_bytes()


def _insert(schema: str, table: Table, filled: Filled) -> Composed:
    types = layout(table).types
    sent = ("workspace_id", *filled.sent, "position")
    return SQL("INSERT INTO {}.{} ({}) SELECT {}").format(
        Identifier(schema),
        Identifier(table.name),
        _list((*sent, *filled.defaults)),
        SQL(", ").join([*(_unnested(types[n]) for n in sent), *map(_default, _chosen(table, filled.defaults))]),
    )


@cache
def put_statement(schema: str, table: Table, filled: Filled, names: tuple[str, ...]) -> bytes:
    """Insert rows; where one stands already, set these columns of it."""
    shape = layout(table)
    changed = [n for n in (*names, "position") if n not in shape.key]
    statement = SQL("{} ON CONFLICT ({}) DO UPDATE SET {}").format(
        _insert(schema, table, filled),
        _list(shape.key),
        SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(n)) for n in changed),
    )
    return statement.as_bytes()


@cache
def update_statement(schema: str, table: Table, values: Shape) -> bytes:
    """`UPDATE .. FROM` the rows sent; their cells are the key, the values, the position."""
    shape = layout(table)
    names = (*shape.key, *(name for name, _ in values), "position")
    shape.refuse_unknown(set(names))
    cells = [Identifier(f"c{i}") for i in range(len(names))]  # not the columns' names, which expressions use
    sets = zip((*values, ("position", None)), cells[len(shape.key) :], strict=True)
    statement = SQL("UPDATE {}.{} t SET {} FROM (SELECT {}) r WHERE {}").format(
        Identifier(schema),
        Identifier(table.name),
        SQL(", ").join(SQL("{} = {}").format(Identifier(name), _value(e, cell)) for (name, e), cell in sets),
        SQL(", ").join(SQL("{} AS {}").format(_unnested(shape.types[n]), c) for n, c in zip(names, cells, strict=True)),
        SQL(" AND ").join(SQL("t.{} = {}").format(Identifier(n), c) for n, c in zip(shape.key, cells, strict=False)),
    )
    return statement.as_bytes()


def _value(expression: str | None, cell: Composable) -> Composable:
    return cell if expression is None else SQL("({})").format(SQL(expression).format(value=cell))


def _list(names: Iterable[str]) -> Composed:
    return SQL(", ").join(Identifier(n) for n in names)


# Cells

_BINARY: Final = {t: t for t in ("uuid", "text", "bool", "timestamptz")} | {"integer": "int4", "bigint": "int8"}
"""What travels in binary; all other types as text."""
_NOTHING: Final = frozenset({NoneType, Erased})


def _unnested(kind: str) -> Composed:
    """A column's cells one by one. Several in one list advance together."""
    cells = SQL("unnest(%s::{}[])").format(SQL(_BINARY.get(kind, "text")))
    return cells if kind in _BINARY else SQL("{}::{}").format(cells, SQL(kind))


def whole_rows(table: Table, rows: Rows) -> tuple[Filled, list[Packed]]:
    """What an insert fills, and its parameters; columns that a row does not name have their default."""
    own = [values for _, values in rows]
    named = set[str]().union(*own)
    layout(table).refuse_unknown(named)
    columns = {c.name: c for c in table.columns if c.name in named}
    cells = {name: cells for name, c in columns.items() if not _NOTHING.issuperset(map(type, cells := _cells(c, own)))}
    filled = Filled(tuple(cells), _defaults(table, frozenset(named)))
    return filled, _between_ends(rows, [_packed(columns[name].type, column) for name, column in cells.items()])


def _cells(column: Column, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    name, default = column.name, column.default  # looked up once: there are eighty cells an event
    return [values.get(name, default) for values in rows]


@cache
def _defaults(table: Table, named: frozenset[str]) -> tuple[str, ...]:
    return tuple(c.name for c in table.columns if c.name not in named and c.default is not None)


def _chosen(table: Table, names: Iterable[str]) -> list[Column]:
    return [c for c in table.columns if c.name in names]


def _default(column: Column) -> Composed:
    return SQL("{}::{}").format(Literal(_spelling(column.type)(column.default)), SQL(column.type))


def changes(table: Table, shape: Shape, rows: Rows) -> list[Packed]:
    """The parameters of an update."""
    own, types = [values for _, values in rows], layout(table).types
    keys = [_packed(types[n], [values[n] for values in own]) for n in table.key]
    return _between_ends(rows, [*keys, *(_packed(types[n], _plain(n, e, own)) for n, e in shape)])


def _plain(name: str, expression: str | None, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [values[name] if expression is None else values[name].value for values in rows]


def _between_ends(rows: Rows, cells: Iterable[Packed]) -> list[Packed]:
    return [pack("uuid", [f.workspace for f, _ in rows]), *cells, pack("int8", [f.position for f, _ in rows])]


def _packed(kind: str, cells: Sequence[Any]) -> Packed:
    binary = _BINARY.get(kind)
    return pack("text", list(map(_spelling(kind), cells))) if binary is None else pack(binary, cells)


@cache
def _spelling(kind: str) -> Callable[[Any], Any]:
    """How a value of the type travels, if not as it is."""
    if kind in _BINARY:
        return lambda value: value
    spell = _json if kind == "jsonb" else _array if kind.endswith("[]") else str
    return lambda value: None if value is None or type(value) is Erased else spell(value)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _array(values: Collection[object]) -> str:
    """As PostgreSQL writes arrays."""
    text = '","'.join(map(str, values))
    if "\\" in text or text.count('"') != 2 * (len(values) - 1):  # what must be escaped
        text = '","'.join([str(value).replace("\\", "\\\\").replace('"', '\\"') for value in values])
    return f'{{"{text}"}}' if values else "{}"
