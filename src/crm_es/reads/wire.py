"""One round trip: several statements prepared and run in libpq's pipeline mode, rows loaded from the binary format.

Parameters travel as text, since each statement states their types; the server parses them once, whatever Python class they
had. A psycopg cursor would cost more than a one-row query does.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.generators import fetch_many
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

PREPARED = 500


class Wire:
    """A connection as we drive it. After an error it is of no further use: close the connection."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self._names: dict[bytes, bytes] = {}
        self._made = 0
        self._transformer = Transformer(connection)
        connection.pgconn.enter_pipeline_mode()

    async def run(self, statements: Sequence[tuple[bytes, Sequence[object]]]) -> list[list[tuple[Any, ...]]]:
        """Run them in order; the rows of those that answer rows. Raises: psycopg.Error."""
        pgconn, sent = self.connection.pgconn, 0
        for text, parameters in statements:
            sent += self._prepare(pgconn, text)
            pgconn.send_query_prepared(self._names[text], self._dumped(parameters), result_format=1)
            sent += 1
        pgconn.pipeline_sync()
        results = await self.connection.wait(_results(pgconn, sent + 1))
        return self._rows(results)

    def _prepare(self, pgconn: PGconn, text: bytes) -> int:
        """Prepare a statement new to the connection; the oldest goes when there are too many."""
        if text in self._names:
            return 0
        commands = 1
        if len(self._names) >= PREPARED:
            old = next(iter(self._names))
            pgconn.send_query_params(b"DEALLOCATE " + self._names.pop(old), None)
            commands = 2
        self._made += 1
        name = self._names[text] = b"r%d" % self._made
        pgconn.send_prepare(name, text)
        return commands

    def _dumped(self, parameters: Sequence[object]) -> Sequence[Any] | None:
        if not parameters:
            return None
        return self._transformer.dump_sequence(parameters, [PyFormat.TEXT] * len(parameters))

    def _rows(self, results: Sequence[PGresult]) -> list[list[tuple[Any, ...]]]:
        found = []
        for result in results:
            if result.status == ExecStatus.TUPLES_OK:
                self._transformer.set_pgresult(result)
                found.append(self._transformer.load_rows(0, result.ntuples, tuple))
            elif result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        return found


def _results(pgconn: PGconn, count: int) -> PQGen[list[PGresult]]:
    """Send what is buffered, read while sending; then a result for each command and one for the sync."""
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()
    results: list[PGresult] = []
    while len(results) < count:
        results += yield from fetch_many(pgconn)
    return results
