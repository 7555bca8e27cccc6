"""One round trip: several statements prepared and run in libpq's pipeline mode, rows loaded from the binary format.

Parameters travel as text, since each statement states their types; the server parses them once, whatever Python class they
had. A psycopg cursor would cost more than a one-row query does.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, Error
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

PREPARED = 500
_TWIN = (
    b'_history"'  # a history twin is planned for its position anew: one plan for all moments reads ten times as much
)
CANCEL_SECONDS = 5.0


class Wire:
    """A connection as we drive it. After an error it is of no further use: close the connection."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self._names: dict[bytes, bytes] = {}
        self._made = 0
        self._transformer = Transformer(connection)
        self._arrived: asyncio.Future[None] | None = None
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None
        connection.pgconn.enter_pipeline_mode()

    async def close(self) -> None:
        self._ignore()
        await self.connection.close()

    async def run(self, statements: Sequence[tuple[bytes, Sequence[object]]]) -> list[list[tuple[Any, ...]]]:
        """Run them in order; the rows of those that answer rows. Raises: psycopg.Error."""
        pgconn = self.connection.pgconn
        for text, parameters in statements:
            if _TWIN in text:
                pgconn.send_query_params(text, self._dumped(parameters), result_format=1)
            else:
                self._prepare(pgconn, text)
                pgconn.send_query_prepared(self._names[text], self._dumped(parameters), result_format=1)
        pgconn.pipeline_sync()
        try:
            await self.connection.wait(_flushed(pgconn))
            return self._rows(await self._answers(pgconn))
        except asyncio.CancelledError:
            if pgconn.transaction_status == TransactionStatus.ACTIVE:  # nobody wants the answer: spare the server
                with contextlib.suppress(Error):
                    await self.connection.cancel_safe(timeout=CANCEL_SECONDS)
            raise

    async def _answers(self, pgconn: PGconn) -> list[PGresult]:
        """What has come for each command, up to the sync that ends them."""
        answers: list[PGresult] = []
        while True:
            while pgconn.is_busy():
                await self._arrival(pgconn.socket)
                pgconn.consume_input()
            answer = pgconn.get_result()
            if answer is None:
                continue  # the end of one command
            if answer.status == ExecStatus.PIPELINE_SYNC:
                return answers
            answers.append(answer)

    async def _arrival(self, socket: int) -> None:
        """Wait until there is something to read. The socket stays watched: watching it anew for every operation costs as much
        as sending it."""
        loop = asyncio.get_running_loop()
        if self._watched is None:
            loop.add_reader(socket, self._arrive)
            self._watched = loop, socket
        self._arrived = loop.create_future()
        await self._arrived

    def _arrive(self) -> None:
        if self._arrived is None:
            self._ignore()  # the server hung up, or says what nobody asked: it would be said again for ever
        elif not self._arrived.done():
            self._arrived.set_result(None)
            self._arrived = None

    def _ignore(self) -> None:
        if self._watched is not None:
            loop, socket = self._watched
            self._watched = None
            if not loop.is_closed():
                loop.remove_reader(socket)

    def _prepare(self, pgconn: PGconn, text: bytes) -> None:
        """Prepare a statement new to the connection; the least used goes when there are too many.

        So BEGIN never goes: what precedes it in the pipeline would open a transaction of its own.
        """
        if text in self._names:
            self._names[text] = self._names.pop(text)
            return
        if len(self._names) >= PREPARED:
            old = next(iter(self._names))
            pgconn.send_query_params(b"DEALLOCATE " + self._names.pop(old), None)
        self._made += 1
        name = self._names[text] = b"r%d" % self._made
        pgconn.send_prepare(name, text)

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


def _flushed(pgconn: PGconn) -> PQGen[None]:
    """Send what is buffered, reading while sending."""
    while pgconn.flush():
        ready = yield Wait.RW
        if ready & Ready.R:
            pgconn.consume_input()
