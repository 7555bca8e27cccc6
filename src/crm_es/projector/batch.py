"""Where `apply` puts its rows: one page of one read model, on its way to PostgreSQL.

Inserts go first, 200 rows a statement, then updates of different rows together and of one row in order: every event's write
stays a write of its own, so the history twin keeps each version. Rows travel as binary arrays in a pipeline: the server's part
is no more than with binary COPY, which a pipeline does not take.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import Connection

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Sql, Table
from crm_es.projector.statements import (
    Rows,
    Shape,
    changes,
    in_schema,
    insert_statement,
    put_statement,
    update_statement,
    whole_rows,
)

AT_ONCE: Final = 200  # rows inserted by one statement
Key = tuple[int | str, ...]


@dataclass(slots=True)
class _Statement:
    sql: LiteralString
    params: dict[str, Any]


@dataclass(slots=True)
class _Writes:
    """Rows to set the same columns by the same expressions, each row once. Without a shape: rows to save whole."""

    table: Table
    shape: Shape | None
    rows: list[tuple[Fact, Mapping[str, Any]]]


class PageBatch:
    """`Batch` over one connection and schema. The caller owns the transaction, and the pipeline that lets statements go out
    while the next rows are made. `meanwhile` is called when the server has got something to do."""

    def __init__(
        self, connection: Connection[Any], schema: str, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        self._cursor = connection.cursor()
        self._schema = schema
        self._meanwhile = meanwhile
        self._inserts = defaultdict[Table, list[tuple[Fact, Mapping[str, Any]]]](list)
        self._puts = defaultdict[Table, dict[Key, tuple[Fact, dict[str, Any]]]](dict)
        self._rounds: list[dict[tuple[Table, Shape | None], _Writes]] = []
        self._turns = defaultdict[Table, dict[Key, int]](dict)
        self._queue: list[_Writes | _Statement] = []

    def insert(self, table: Table, fact: Fact, /, **values: Any) -> None:
        rows = self._inserts[table]
        rows.append((fact, values))
        if len(rows) == AT_ONCE:  # inserts go first anyway, and the server need not wait for the rest
            self._insert(table, rows)
            rows.clear()

    def put(self, table: Table, fact: Fact, /, **values: Any) -> None:
        rows, key = self._puts[table], _key(table, fact, values)
        before = rows.get(key)
        rows[key] = fact, before[1] | values if before else values

    def update(self, table: Table, fact: Fact, key: Mapping[str, Any], /, **values: Any) -> None:
        shape = tuple([(n, v.expression if type(v) is Sql else None) for n, v in values.items()])
        self._queue_row(table, shape, fact, {**key, **values})

    def save(self, table: Table, fact: Fact, /, **values: Any) -> None:
        self._queue_row(table, None, fact, values)

    def _queue_row(self, table: Table, shape: Shape | None, fact: Fact, values: Mapping[str, Any]) -> None:
        """Put a write of a row into the round behind the row's last one."""
        turns, key = self._turns[table], _key(table, fact, values)
        turns[key] = turn = turns.get(key, -1) + 1
        if turn == len(self._rounds):
            self._rounds.append({})
        writes = self._rounds[turn].get((table, shape))
        if writes is None:
            writes = self._rounds[turn][table, shape] = _Writes(table, shape, [])
        writes.rows.append((fact, values))

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
                self._insert(table, rows)
        for table, latest in self._puts.items():
            self._put(table, latest.values())
        for item in self._queue:
            if isinstance(item, _Statement):
                self._send(in_schema(item.sql, self._schema), item.params)
            elif item.shape is None:
                self._put_rows(item.table, tuple(c.name for c in item.table.columns), item.rows)
            else:
                statement = update_statement(self._schema, item.table, item.shape)
                self._send(statement, changes(item.table, item.shape, item.rows))
        self._inserts.clear()
        self._puts.clear()
        self._queue.clear()

    def _insert(self, table: Table, rows: Rows) -> None:
        filled, cells = whole_rows(table, rows)
        self._send(insert_statement(self._schema, table, filled), cells)

    def _put(self, table: Table, latest: Iterable[tuple[Fact, dict[str, Any]]]) -> None:
        named = defaultdict[tuple[str, ...], list[tuple[Fact, Mapping[str, Any]]]](list)
        for fact, values in latest:
            named[tuple(values)].append((fact, values))
        for names, rows in named.items():
            self._put_rows(table, names, rows)

    def _put_rows(self, table: Table, names: tuple[str, ...], rows: Rows) -> None:
        filled, cells = whole_rows(table, rows)
        self._send(put_statement(self._schema, table, filled, names), cells)

    def _send(self, statement: bytes, params: Sequence[Any] | Mapping[str, Any]) -> None:
        self._cursor.execute(statement, params, prepare=True)
        self._meanwhile()

    def _end_rounds(self) -> None:
        for round_ in self._rounds:
            self._queue.extend(round_.values())
        self._rounds.clear()
        self._turns.clear()


def _key(table: Table, fact: Fact, values: Mapping[str, Any]) -> Key:
    """A row's key to look it up by; a UUID is slow to hash."""
    return (fact.workspace.int, *[v.int if type(v := values[name]) is UUID else v for name in table.key])
