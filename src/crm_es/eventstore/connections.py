"""The store's own connections to the log: a bounded free list, and what a lost one looks like."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from crm_es.database.urls import with_options
from crm_es.errors import UnavailableError

Connection = psycopg.Connection[dict[str, Any]]
LOST = (psycopg.OperationalError, psycopg.InterfaceError)
STATEMENT_TIMEOUT_MS = 30_000
_SETTINGS = {
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "enable_seqscan": "off",
    "cpu_index_tuple_cost": 1,
}
"""Plans are kept, and made while a table is small or nothing is known of it. By these they go by an index, and of two by the one
that reads fewer entries, though the other stands a level lower today."""
_TRANSIENT = ("40", "53", "55", "57014", "58")  # rolled back by the server; the same statement may succeed


def connect(url: str, name: str) -> Connection:
    return psycopg.connect(
        with_options(url, " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())),
        autocommit=True,
        row_factory=dict_row,
        application_name=name,
    )


def outcome_known(error: psycopg.Error) -> bool:
    """Whether the server itself answered that the statement failed; otherwise it may have committed."""
    return error.sqlstate is not None and not error.sqlstate.startswith(("08", "57P"))


def transient(error: psycopg.Error) -> bool:
    return not outcome_known(error) or str(error.sqlstate).startswith(_TRANSIENT)


class Connections:
    """Safe for threads; at most `size` are open, the last used is taken first."""

    def __init__(self, url: str, *, size: int, name: str) -> None:
        self._url = url
        self._name = name
        self._places = threading.BoundedSemaphore(size)
        self._free: list[Connection] = []
        self._closed = False

    @contextmanager
    def take(self) -> Iterator[Connection]:
        """Raises: UnavailableError when no connection can be made; lost ones are thrown away."""
        with self._places:
            connection = self._idle() or self._open()
            try:
                yield connection
            except LOST:
                if connection.broken:  # so are the idle ones: the server went away
                    self._close_idle()
                connection.close()
                raise
            finally:
                self._give(connection)

    def _give(self, connection: Connection) -> None:
        if not connection.closed:
            self._free.append(connection)
        if self._closed:  # asked after it was given back, so that one of the two sees the other
            self._close_idle()

    def _idle(self) -> Connection | None:
        try:
            return self._free.pop()
        except IndexError:  # another thread may take the last one at any moment
            return None

    def _open(self) -> Connection:
        try:
            return connect(self._url, self._name)
        except LOST as exc:
            raise UnavailableError(f"The log's database does not answer: {exc}") from exc

    def close(self) -> None:
        """Close the idle ones; those in use are closed as they come back."""
        self._closed = True
        self._close_idle()

    def _close_idle(self) -> None:
        while (connection := self._idle()) is not None:
            connection.close()
