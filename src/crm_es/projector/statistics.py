"""What the planner knows of read models' tables, renewed as soon as they grew much: autovacuum may come minutes later, and
until then a table that was just filled passes for an empty one, and is joined row by row.
"""

from collections.abc import Iterable
from typing import Any, Final

from psycopg import Connection
from psycopg.sql import SQL, Identifier

MUCH: Final = 1000  # facts: fewer change no plan that matters
Table = tuple[str, str]
"""Its schema and its name."""

_CHANGED: Final = """
SELECT s.schemaname, s.relname
FROM pg_stat_user_tables s
JOIN pg_class c ON c.oid = s.relid
WHERE s.schemaname = ANY (%s::text[]) AND s.n_mod_since_analyze > 500 + 0.2 * greatest(c.reltuples, 0)
ORDER BY s.schemaname, s.relname
"""


def renew(connection: Connection[Any], schemas: Iterable[str]) -> None:
    """Of all tables in these schemas that changed much."""
    for table in changed(connection, schemas):
        analyze(connection, table)


def changed(connection: Connection[Any], schemas: Iterable[str]) -> list[Table]:
    """By more than a fifth; what this connection itself wrote is counted to the end."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    return connection.execute(_CHANGED, [list(schemas)]).fetchall()


def analyze(connection: Connection[Any], table: Table) -> None:
    """One that somebody else is at is left to them."""
    connection.execute(SQL("ANALYZE (SKIP_LOCKED) {}").format(Identifier(*table)))


class Statistics:
    """Those of the tables that a leader fills: it looks when it has nothing else to do, and takes one table at a time."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._changed: list[Table] = []
        self._looked = 0

    def renew(self, applied: int, schemas: Iterable[str]) -> bool:
        """False when there was nothing to do. `applied`: how many facts the leader has applied."""
        if not self._changed and applied - self._looked >= MUCH:
            self._looked = applied
            self._changed = changed(self._connection, schemas)
        if not self._changed:
            return False
        analyze(self._connection, self._changed.pop())
        return True
