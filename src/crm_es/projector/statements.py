"""The statements a batch sends, as bytes and made once, and how rows become their parameters: a binary array a column."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, LiteralString

import msgspec
from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.eventstore.event import Erased, Fact
from crm_es.eventstore.packing import Packed, pack, repeat
from crm_es.projector.contract import Column, Table
from crm_es.projector.tables import POSITION, WORKSPACE

Rows = Sequence[tuple[Fact, Mapping[str, Any]]]
"""The fact that writes a row, and the row's columns by name."""
Shape = tuple[tuple[str, str | None], ...]
"""The columns an update sets, each with its expression or None."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the batch must know of a table, worked out once."""

    names: tuple[str, ...]
    types: Mapping[str, str]
    key: tuple[str, ...]

    def refuse_unknown(self, names: set[str]) -> None:
        if not self.types.keys() >= names:
            raise TypeError(f"no such columns: {sorted(names - self.types.keys())}")


@cache
def layout(table: Table) -> Layout:
    columns = (WORKSPACE, *table.columns, POSITION)
    return Layout(
        names=tuple(c.name for c in columns),
        types={c.name: c.type for c in columns},
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
    return SQL("INSERT INTO {}.{} ({}) SELECT {}").format(
        Identifier(schema),
        Identifier(table.name),
        _list(shape.names),
        SQL(", ").join(map(_unnested, shape.types.values())),
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


def _unnested(kind: str) -> Composed:
    """A column's cells one by one. Several in one list advance together."""
    cells = SQL("unnest(%s::{}[])").format(SQL(_BINARY.get(kind, "text")))
    return cells if kind in _BINARY else SQL("{}::{}").format(cells, SQL(kind))


def whole_rows(table: Table, rows: Rows) -> list[Packed]:
    """The parameters of an insert; columns that a row does not name have their default."""
    own = [values for _, values in rows]
    named = set[str]().union(*own)
    layout(table).refuse_unknown(named)
    cells = [_column(c, own) if c.name in named else _default(c, len(own)) for c in table.columns]
    return _between_ends(rows, cells)


def _column(column: Column, rows: Sequence[Mapping[str, Any]]) -> Packed:
    name, default = column.name, column.default  # looked up once: there are eighty cells an event
    return _packed(column.type, [values.get(name, default) for values in rows])


def changes(table: Table, shape: Shape, rows: Rows) -> list[Packed]:
    """The parameters of an update."""
    own, types = [values for _, values in rows], layout(table).types
    keys = [_packed(types[n], [values[n] for values in own]) for n in table.key]
    return _between_ends(rows, [*keys, *(_packed(types[n], _plain(n, e, own)) for n, e in shape)])


def _plain(name: str, expression: str | None, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [values[name] if expression is None else values[name].value for values in rows]


def _between_ends(rows: Rows, cells: Iterable[Packed]) -> list[Packed]:
    return [pack("uuid", [f.workspace for f, _ in rows]), *cells, pack("int8", [f.position for f, _ in rows])]


def _default(column: Column, times: int) -> Packed:
    return repeat(_BINARY.get(column.type, "text"), _spelling(column.type)(column.default), times)


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
