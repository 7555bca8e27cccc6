"""Where `apply` puts its rows: one page of one read model, on its way to PostgreSQL.

Inserts go by COPY (or in one statement when they are few), then updates of different rows together and of one row in
order: every event's write stays a write of its own, so the history twin keeps each version.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

import msgspec
from psycopg import Connection

from crm_es.eventstore.event import ERASED, Fact
from crm_es.projector.contract import Sql, Table
from crm_es.projector.statements import (
    Layout,
    Row,
    Shape,
    copy_statement,
    in_schema,
    insert_statement,
    layout,
    put_statement,
    update_statement,
)

COPY_FROM: Final = 20  # rows; below, one more round trip costs more than COPY saves


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
        self._turn: dict[Row, int] = {}
        self._queue: list[_Update | _Statement] = []

    def insert(self, table: Table, fact: Fact, /, **values: Any) -> None:
        self._inserts.setdefault(table, []).append(layout(table).row(fact, values))

    def put(self, table: Table, fact: Fact, /, **values: Any) -> None:
        rows = self._puts.setdefault(table, {})
        named = (fact.workspace.int, *(v.int if type(v := values[k]) is UUID else v for k in table.key))
        before = rows.get(named)
        rows[named] = fact, before[1] | values if before else values

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
        named = (table.name, *(v.int if type(v) is UUID else v for v in identity))  # a UUID hashes slowly
        turn = self._turn.get(named, 0)
        self._turn[named] = turn + 1
        if turn == len(self._rounds):
            self._rounds.append({})
        self._rounds[turn].setdefault((table.name, shape), _Update(table, shape, [])).rows.append(row)

    def execute(self, fact: Fact, sql: LiteralString, /, **params: Any) -> None:
        self._end_rounds()
        params |= {"workspace_id": fact.workspace, "position": fact.position}
        self._queue.append(_Statement(sql, params))

    def select(self, sql: LiteralString, /, **params: Any) -> list[tuple[Any, ...]]:
        self.flush()
        return self._cursor.execute(in_schema(sql, self._schema), params, prepare=True).fetchall()

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
                    self._cursor.execute(in_schema(sql, self._schema), params, prepare=True)

    def _put(self, table: Table, latest: Iterable[tuple[Fact, dict[str, Any]]]) -> None:
        shape = layout(table)
        named: dict[tuple[str, ...], list[Row]] = {}
        for fact, values in latest:
            named.setdefault(tuple(n for n in shape.names if n in values), []).append(shape.row(fact, values))
        for names, rows in named.items():
            self._send(put_statement(self._schema, table, names), rows)

    def _send(self, statement: bytes, rows: Sequence[Row]) -> None:
        self._cursor.execute(statement, (_json(rows),), prepare=True)

    def _copy(self, table: Table, rows: Sequence[Row]) -> None:
        shape = layout(table)
        with self._cursor.copy(copy_statement(self._schema, table)) as copy:
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


def _ready(row: Row, shape: Layout) -> list[Any]:
    cells = list(row)
    for i, wrap in shape.wraps:
        if cells[i] is not None:
            cells[i] = wrap(cells[i])
    return cells
