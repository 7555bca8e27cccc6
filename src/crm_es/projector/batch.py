"""Where `apply` puts its rows: one page of one read model, on its way to PostgreSQL.

Inserts go first, 200 rows a statement, then updates of different rows together and of one row in order: every event's write
stays a write of its own, so the history twin keeps each version. Rows travel as binary arrays in a pipeline: the server's part
is no more than with binary COPY, which a pipeline does not take.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import Connection

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Sql, Table
from crm_es.projector.statements import (
    Row,
    Shape,
    columns,
    in_schema,
    insert_statement,
    layout,
    put_statement,
    update_statement,
    update_types,
)

AT_ONCE: Final = 200  # rows inserted by one statement


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
    """`Batch` over one connection and schema. The caller owns the transaction, and the pipeline that lets statements go out
    while the next rows are made."""

    def __init__(self, connection: Connection[Any], schema: str) -> None:
        self._cursor = connection.cursor()
        self._schema = schema
        self._inserts: dict[Table, list[Row]] = {}
        self._puts: dict[Table, dict[Row, tuple[Fact, dict[str, Any]]]] = {}
        self._rounds: list[dict[tuple[Table, Shape | None], _Update]] = []
        self._turns: dict[Table, dict[Row, int]] = {}
        self._queue: list[_Update | _Statement] = []

    def insert(self, table: Table, fact: Fact, /, **values: Any) -> None:
        rows = self._inserts.setdefault(table, [])
        rows.append(layout(table).row(fact, values))
        if len(rows) == AT_ONCE:  # inserts go first anyway, and the server need not wait for the rest
            self._send(insert_statement(self._schema, table), layout(table).types, rows)
            rows.clear()

    def put(self, table: Table, fact: Fact, /, **values: Any) -> None:
        rows = self._puts.setdefault(table, {})
        named = _quick(fact.workspace, [values[k] for k in table.key])
        before = rows.get(named)
        rows[named] = fact, before[1] | values if before else values

    def update(self, table: Table, fact: Fact, key: Mapping[str, Any], /, **values: Any) -> None:
        layout(table).refuse_unknown(values)
        named = [key[k] for k in table.key]
        shape = tuple([(n, v.expression if type(v) is Sql else None) for n, v in values.items()])
        plain = [v.value if type(v) is Sql else v for v in values.values()]
        row = (fact.workspace, *named, *plain, fact.position)
        self._queue_row(table, _quick(fact.workspace, named), shape, row)

    def save(self, table: Table, fact: Fact, /, **values: Any) -> None:
        named = [values[k] for k in table.key]
        self._queue_row(table, _quick(fact.workspace, named), None, layout(table).row(fact, values))

    def _queue_row(self, table: Table, named: Row, shape: Shape | None, row: Row) -> None:
        """Put a write of a row into the round behind the row's last one."""
        turns = self._turns.setdefault(table, {})
        turn = turns.get(named, 0)
        turns[named] = turn + 1
        if turn == len(self._rounds):
            self._rounds.append({})
        updates = self._rounds[turn]
        update = updates.get((table, shape))
        if update is None:
            update = updates[table, shape] = _Update(table, shape, [])
        update.rows.append(row)

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
        for table, rows in self._inserts.items():
            if rows:
                self._send(insert_statement(self._schema, table), layout(table).types, rows)
        for table, latest in self._puts.items():
            self._put(table, latest.values())
        for item in self._queue:
            match item:
                case _Update(table, None, rows):
                    whole = layout(table)
                    self._send(put_statement(self._schema, table, whole.names[1:-1]), whole.types, rows)
                case _Update(table, shape, rows):
                    self._send(update_statement(self._schema, table, shape), update_types(table, shape), rows)
                case _Statement(sql, params):
                    self._cursor.execute(in_schema(sql, self._schema), params, prepare=True)
        self._inserts, self._puts, self._queue = {}, {}, []

    def _put(self, table: Table, latest: Iterable[tuple[Fact, dict[str, Any]]]) -> None:
        shape = layout(table)
        named: dict[tuple[str, ...], list[Row]] = {}
        for fact, values in latest:
            named.setdefault(tuple(values), []).append(shape.row(fact, values))
        for names, rows in named.items():
            self._send(put_statement(self._schema, table, names), shape.types, rows)

    def _send(self, statement: bytes, types: Sequence[str], rows: Sequence[Row]) -> None:
        self._cursor.execute(statement, columns(types, rows), prepare=True)

    def _end_rounds(self) -> None:
        for round_ in self._rounds:
            self._queue.extend(round_.values())
        self._rounds, self._turns = [], {}


def _quick(workspace: UUID, key: Sequence[Any]) -> Row:
    """A row's key to look it up by; a UUID is slow to hash."""
    return (workspace.int, *[v.int if type(v) is UUID else v for v in key])
