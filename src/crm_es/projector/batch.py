"""Where `apply` puts its rows: one page of one read model, on its way to PostgreSQL.

Inserts go by COPY (or in one statement when they are few), then updates of different rows together and of one row in
order: every event's write stays a write of its own, so the history twin keeps each version.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, LiteralString

import msgspec
from psycopg import Connection
from psycopg.sql import SQL, Composable, Composed, Identifier, Literal
from psycopg.types.json import Jsonb

from crm_es.eventstore.event import ERASED, Fact
from crm_es.eventstore.packing import pack
from crm_es.projector.contract import Sql, Table
from crm_es.projector.tables import POSITION, WORKSPACE

Row = tuple[Any, ...]
COPY_FROM: Final = 20  # rows; below, one more round trip costs more than COPY saves


@dataclass(frozen=True, slots=True)
class Layout:
    """What the batch must know of a table, worked out once."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    defaults: tuple[object, ...]
    known: frozenset[str]
    wraps: tuple[tuple[int, Callable[[Any], object]], ...]
    key: tuple[str, ...]

    def row(self, fact: Fact, values: Mapping[str, Any]) -> Row:
        self.refuse_unknown(values)
        middle = map(values.get, self.names[1:-1], self.defaults)
        return (fact.workspace, *[None if v is ERASED else v for v in middle], fact.position)

    def refuse_unknown(self, values: Mapping[str, Any]) -> None:
        if not values.keys() <= self.known:
            raise TypeError(f"no such columns: {sorted(values.keys() - self.known)}")


@cache
def layout(table: Table) -> Layout:
    columns = (WORKSPACE, *table.columns, POSITION)
    return Layout(
        names=tuple(c.name for c in columns),
        types=tuple(c.type for c in columns),
        defaults=tuple(c.default for c in table.columns),
        known=frozenset(c.name for c in table.columns),
        wraps=tuple((i, w) for i, c in enumerate(columns) if (w := _wrap(c.type))),
        key=("workspace_id", *table.key),
    )


Shape = tuple[tuple[str, str | None], ...]
"""The columns an update sets, each with its expression or None."""


@dataclass(slots=True)
class _Update:
    """Rows to set the same columns by the same expressions, each row once. Without a shape: rows to save whole."""

    table: Table
    shape: Shape | None
    rows: list[Row]


@dataclass(slots=True)
class _Statement:
    sql: LiteralString
    params: dict[str, Any]


class PageBatch:
    """`Batch` over one connection and schema. The caller owns the transaction.

    `pipelined` says that the caller holds a pipeline open (small pages): then nothing waits for an answer, and no COPY.
    """

    def __init__(self, connection: Connection[Any], schema: str, *, pipelined: bool = False) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._schema = schema
        self._pipelined = pipelined
        self._inserts: dict[Table, list[Row]] = {}
        self._puts: dict[Table, dict[Row, tuple[Fact, dict[str, Any]]]] = {}
        self._rounds: list[dict[tuple[str, Shape | None], _Update]] = []
        self._turn: dict[tuple[str, Row], int] = {}
        self._queue: list[_Update | _Statement] = []

    def insert(self, table: Table, fact: Fact, /, **values: Any) -> None:
        self._inserts.setdefault(table, []).append(layout(table).row(fact, values))

    def put(self, table: Table, fact: Fact, /, **values: Any) -> None:
        rows = self._puts.setdefault(table, {})
        identity = (fact.workspace, *(values[k] for k in table.key))
        before = rows.get(identity)
        rows[identity] = fact, before[1] | values if before else values

    def update(self, table: Table, fact: Fact, key: Mapping[str, Any], /, **values: Any) -> None:
        layout(table).refuse_unknown(values)
        identity = (fact.workspace, *(key[k] for k in table.key))
        shape = tuple((n, v.expression if isinstance(v, Sql) else None) for n, v in values.items())
        plain = [v.value if isinstance(v, Sql) else None if v is ERASED else v for v in values.values()]
        self._queue_row(table, identity, shape, (*identity, *plain, fact.position))

    def save(self, table: Table, fact: Fact, /, **values: Any) -> None:
        identity = (fact.workspace, *(values[k] for k in table.key))
        self._queue_row(table, identity, None, layout(table).row(fact, values))

    def _queue_row(self, table: Table, identity: Row, shape: Shape | None, row: Row) -> None:
        """Put a write of a row into the round behind the row's last one."""
        turn = self._turn.get((table.name, identity), 0)
        self._turn[table.name, identity] = turn + 1
        if turn == len(self._rounds):
            self._rounds.append({})
        self._rounds[turn].setdefault((table.name, shape), _Update(table, shape, [])).rows.append(row)

    def execute(self, fact: Fact, sql: LiteralString, /, **params: Any) -> None:
        self._end_rounds()
        params |= {"workspace_id": fact.workspace, "position": fact.position}
        self._queue.append(_Statement(sql, params))

    def select(self, sql: LiteralString, /, **params: Any) -> list[tuple[Any, ...]]:
        self.flush()
        return self._cursor.execute(_in_schema(sql, self._schema), params, prepare=True).fetchall()

    def flush(self) -> None:
        """Write what is queued: inserts, then puts, then updates in order."""
        self._end_rounds()
        few = {t: rows for t, rows in self._inserts.items() if self._pipelined or len(rows) < COPY_FROM}
        for table, rows in self._inserts.items():
            if table not in few:
                self._copy(table, rows)
        if few or self._puts or self._queue:
            with self._pipeline():
                self._write(few)
        self._inserts, self._puts, self._queue = {}, {}, []

    def _pipeline(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._pipelined else self._connection.pipeline()

    def _write(self, few: Mapping[Table, Sequence[Row]]) -> None:
        for table, rows in few.items():
            self._send(insert_statement(self._schema, table), rows)
        for table, latest in self._puts.items():
            self._put(table, latest.values())
        for item in self._queue:
            match item:
                case _Update(table, None, rows):
                    self._send(put_statement(self._schema, table, layout(table).names[1:-1]), rows)
                case _Update(table, shape, rows):
                    self._send(update_statement(self._schema, table, shape), rows)
                case _Statement(sql, params):
                    self._cursor.execute(_in_schema(sql, self._schema), params, prepare=True)

    def _put(self, table: Table, latest: Iterable[tuple[Fact, dict[str, Any]]]) -> None:
        shape = layout(table)
        named: dict[tuple[str, ...], list[Row]] = {}
        for fact, values in latest:
            named.setdefault(tuple(n for n in shape.names if n in values), []).append(shape.row(fact, values))
        for names, rows in named.items():
            self._send(put_statement(self._schema, table, names), rows)

    def _send(self, statement: Composed, rows: Sequence[Row]) -> None:
        self._cursor.execute(statement, (_json(rows),), prepare=True)

    def _copy(self, table: Table, rows: Sequence[Row]) -> None:
        shape = layout(table)
        statement = SQL("COPY {}.{} ({}) FROM STDIN (FORMAT BINARY)").format(
            Identifier(self._schema), Identifier(table.name), SQL(", ").join(map(Identifier, shape.names))
        )
        with self._cursor.copy(statement) as copy:
            copy.set_types(shape.types)
            for row in rows:
                copy.write_row(_ready(row, shape) if shape.wraps else row)

    def _end_rounds(self) -> None:
        for round_ in self._rounds:
            self._queue.extend(round_.values())
        self._rounds, self._turn = [], {}


def _json(rows: Sequence[Row]) -> str:
    """Rows as JSON arrays; names would be most of the bytes."""
    return msgspec.json.encode(rows).decode()


def _wrap(kind: str) -> Callable[[Any], object] | None:
    """What makes a value of this type ready for a binary COPY, where psycopg alone would be slow or wrong."""
    if kind == "jsonb":
        return partial(Jsonb, dumps=msgspec.json.encode)
    return partial(pack, kind.removesuffix("[]")) if kind.endswith("[]") else None


def _ready(row: Row, shape: Layout) -> list[Any]:
    cells = list(row)
    for i, wrap in shape.wraps:
        if cells[i] is not None:
            cells[i] = wrap(cells[i])
    return cells


@cache
def _in_schema(sql: LiteralString, schema: str) -> Composed:
    return SQL(sql).format(schema=Identifier(schema))


@cache
def insert_statement(schema: str, table: Table) -> Composed:
    shape = layout(table)
    return SQL("INSERT INTO {}.{} ({}) SELECT {} FROM {}").format(
        Identifier(schema),
        Identifier(table.name),
        _list(shape.names),
        SQL(", ").join(_cell(i, t) for i, t in enumerate(shape.types)),
        _ROWS,
    )


@cache
def put_statement(schema: str, table: Table, names: tuple[str, ...]) -> Composed:
    """Insert rows; where one stands already, set these columns of it."""
    shape = layout(table)
    changed = [n for n in (*names, "position") if n not in shape.key]
    return SQL("{} ON CONFLICT ({}) DO UPDATE SET {}").format(
        insert_statement(schema, table),
        _list(shape.key),
        SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(n)) for n in changed),
    )


@cache
def update_statement(schema: str, table: Table, values: Shape) -> Composed:
    """`UPDATE .. FROM` the rows sent; their cells are the key, the values, the position."""
    shape = layout(table)
    kind = dict(zip(shape.names, shape.types, strict=True))
    first = len(shape.key)
    sets = [
        SQL("{} = {}").format(Identifier(name), _value(expression, _cell(first + i, kind[name])))
        for i, (name, expression) in enumerate(values)
    ]
    return SQL("UPDATE {}.{} t SET {} FROM {} WHERE {}").format(
        Identifier(schema),
        Identifier(table.name),
        SQL(", ").join([*sets, SQL("position = {}").format(_cell(first + len(values), "bigint"))]),
        _ROWS,
        SQL(" AND ").join(SQL("t.{} = {}").format(Identifier(n), _cell(i, kind[n])) for i, n in enumerate(shape.key)),
    )


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
