"""The statements a batch sends, as bytes and made once, and how rows become their parameters: a binary array a column."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, LiteralString

import msgspec
from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.eventstore.event import Erased, Fact
from crm_es.eventstore.packing import Packed, pack
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
    return SQL("INSERT INTO {}.{} ({}) SELECT {}").format(
        Identifier(schema),
        Identifier(table.name),
        _list(shape.names),
        SQL(", ").join(map(_unnested, shape.types)),
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
    cells = [SQL("r.{}").format(Identifier(f"c{i}")) for i in range(len(shape.key) + len(values) + 1)]
    behind = cells[len(shape.key) :]
    sets = [
        SQL("{} = {}").format(Identifier(name), _value(expression, cell))
        for (name, expression), cell in zip((*values, ("position", None)), behind, strict=True)
    ]
    statement = SQL("UPDATE {}.{} t SET {} FROM (SELECT {}) r WHERE {}").format(
        Identifier(schema),
        Identifier(table.name),
        SQL(", ").join(sets),
        SQL(", ").join(
            SQL("{} AS {}").format(_unnested(t), Identifier(f"c{i}")) for i, t in enumerate(update_types(table, values))
        ),
        SQL(" AND ").join(
            SQL("t.{} = {}").format(Identifier(n), cell) for n, cell in zip(shape.key, cells, strict=False)
        ),
    )
    return statement.as_bytes()


@cache
def update_types(table: Table, values: Shape) -> tuple[str, ...]:
    """Of the cells of a row to update."""
    shape = layout(table)
    kind = dict(zip(shape.names, shape.types, strict=True))
    return (*(kind[n] for n in shape.key), *(kind[n] for n, _ in values), "bigint")


def _value(expression: str | None, cell: Composable) -> Composable:
    return cell if expression is None else SQL("({})").format(SQL(expression).format(value=cell))


_BINARY: Final = {t: t for t in ("uuid", "text", "bool", "timestamptz")} | {"integer": "int4", "bigint": "int8"}
"""What travels in binary; all other types as text."""


def _unnested(kind: str) -> Composed:
    """A column's cells one by one. Several in one list advance together."""
    cells = SQL("unnest(%s::{}[])").format(SQL(_BINARY.get(kind, "text")))
    return cells if kind in _BINARY else SQL("{}::{}").format(cells, SQL(kind))


def columns(types: Iterable[str], rows: Sequence[Row]) -> list[Packed]:
    """The rows as parameters."""
    return [_column(kind, cells) for kind, cells in zip(types, zip(*rows, strict=True), strict=True)]


def _column(kind: str, cells: Sequence[Any]) -> Packed:
    binary = _BINARY.get(kind)
    if binary is not None:
        return pack(binary, cells)
    spell = _json if kind == "jsonb" else _array if kind.endswith("[]") else str
    return pack("text", [None if cell is None or type(cell) is Erased else spell(cell) for cell in cells])


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _array(values: Iterable[object]) -> str:
    """As PostgreSQL writes arrays."""
    quoted = ",".join(f'"{text}"' for text in map(_escaped, values))
    return f"{{{quoted}}}"


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"')


def _list(names: Iterable[str]) -> Composed:
    return SQL(", ").join(Identifier(n) for n in names)
