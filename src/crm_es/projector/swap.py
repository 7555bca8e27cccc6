"""Putting a rebuilt read model in the live one's place, between two pages, while people read.

Tables are not renamed (that would queue behind readers) but their schemas are. A snapshot taken before the rebuilt tables
had caught up would miss rows in them, so the swap waits for the transactions that were open then, though not for ever.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Self

import psycopg
from psycopg import Connection, Cursor
from psycopg.sql import SQL, Identifier

from crm_es.projector import bookmarks, tables
from crm_es.projector.bookmarks import NEXT
from crm_es.projector.target import Target

log = logging.getLogger(__name__)

GRACE: Final = 15.0  # seconds a swap waits for older transactions; more where queries may take longer
OLD: Final = "__old_"

_OPEN: Final = """
SELECT l.virtualtransaction
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.granted AND l.pid <> pg_backend_pid() AND a.datname = current_database()
"""
_LEFT_BEHIND: Final = "SELECT nspname FROM pg_namespace WHERE nspname LIKE %(pattern)s ORDER BY nspname"


@dataclass(frozen=True, slots=True)
class Watch:
    """The transactions open when the rebuilt read model stood where the live one does."""

    transactions: frozenset[str]
    deadline: float

    @classmethod
    def of(cls, connection: Connection[Any], query_seconds: float) -> Self:
        """`query_seconds`: how long requests may take."""
        return cls(_open_transactions(connection), time.monotonic() + max(GRACE, 1.5 * query_seconds))

    def over(self, connection: Connection[Any]) -> bool:
        return time.monotonic() > self.deadline or not self.transactions & _open_transactions(connection)


def _open_transactions(connection: Connection[Any]) -> frozenset[str]:
    return frozenset(name for (name,) in connection.execute(_OPEN))


def exists(cursor: Cursor[Any], schema: str) -> bool:
    return cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", (schema,)).fetchone() is not None


def swap(connection: Connection[Any], rebuilt: Target) -> None:
    """Make `<NAME>__next` the read model; the old one is left behind for `drop_left_behind`."""
    name = rebuilt.model.NAME
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '5s'")
        if exists(cursor, name):
            _rename(cursor, name, _left_behind(cursor, f"{name}{OLD}{rebuilt.log_id}"))
        _rename(cursor, name + NEXT, name)
        bookmarks.remove(cursor, name + NEXT)
        bookmarks.begin(cursor, name, rebuilt.model.VERSION)
        bookmarks.advance(cursor, [name], old=0, new=rebuilt.log_id)
        cursor.execute("NOTIFY crm_projected")
    log.info("read model %s was swapped at %s", name, rebuilt.log_id)


def _left_behind(cursor: Cursor[Any], name: str) -> str:
    """A name nobody has: what an earlier swap at this place left may still be read."""
    return next(free for number in count() if not exists(cursor, free := f"{name}_{number}"))


def _rename(cursor: Cursor[Any], old: str, new: str) -> None:
    cursor.execute(SQL("ALTER SCHEMA {} RENAME TO {}").format(Identifier(old), Identifier(new)))


def drop_left_behind(connection: Connection[Any], names: Iterable[str]) -> None:
    """Drop what swaps left, as far as nobody reads it any more; the rest waits for the next look."""
    for name in names:
        pattern = (name + OLD).replace("_", r"\_") + "%"
        for (schema,) in connection.execute(_LEFT_BEHIND, {"pattern": pattern}).fetchall():
            try:
                with connection.transaction(), connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = '100ms'")
                    tables.drop(cursor, schema)
            except psycopg.errors.LockNotAvailable:
                log.info("schema %s is still being read; it is dropped later", schema)
