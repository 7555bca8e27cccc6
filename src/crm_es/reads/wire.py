"""One round trip: several statements prepared and run in libpq's pipeline mode, rows loaded from the binary format.

Parameters travel as text, since each statement states their types; the server parses them once, whatever Python class they
had. A psycopg cursor would cost more than a one-row query does.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import AsyncConnection, Error, OperationalError
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

PREPARED = 500
PREPARED_BYTES = 1_000_000
"""Of their text; a connection's process in the server keeps some 65 bytes for each."""
_TWIN = b'_history"'
# A history twin is planned for its position anew, as one plan for all moments reads ten times as much; but it is parsed once.
_ANEW = b"SET LOCAL plan_cache_mode = force_custom_plan"
_AS_EVER = b"SET LOCAL plan_cache_mode = auto"
CANCEL_SECONDS = 5.0


class Wire:
    """A connection as we drive it. After an error it is of no further use: close the connection."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self._names: dict[bytes, bytes] = {}
        self._bytes = 0
        self._made = 0
        self._transformer = Transformer(connection)
        self.found: list[list[tuple[Any, ...]]] = []
        """The rows of each statement that was answered, in order, though one after it failed."""
        self._answers: list[PGresult] = []
        self._left = 0
        self._passed_over = 0
        self._awaited: asyncio.Future[None] | None = None
        self._lost: Error | None = None
        self._watched: tuple[asyncio.AbstractEventLoop, int] | None = None
        connection.pgconn.enter_pipeline_mode()

    async def close(self) -> None:
        """The server is spared what it still works at: nobody wants the answer."""
        self._ignore()
        try:
            if self.connection.pgconn.transaction_status == TransactionStatus.ACTIVE and not self._left:
                with contextlib.suppress(Error):
                    await self.connection.cancel_safe(timeout=CANCEL_SECONDS)
        finally:
            await self.connection.close()

    async def run(self, statements: Sequence[tuple[bytes, Sequence[object]]]) -> list[list[tuple[Any, ...]]]:
        """Run them in order; the rows of those that answer rows. Raises: psycopg.Error.

        Who is cancelled leaves an answer on the wire: `rest` takes it off, before anything else is run.
        """
        with self._heeding():
            self._put(statements)
        return await self.rest()

    @property
    def idle(self) -> bool:
        """Whether it may be given to the next: no transaction is open, or the end of it is under way."""
        status = self.connection.info.transaction_status
        return status == TransactionStatus.IDLE or (status == TransactionStatus.ACTIVE and self._left > 0)

    async def leave(self, statement: bytes) -> None:
        """Send what nobody waits for: its answer is passed over when the next is read. Raises: psycopg.Error."""
        with self._heeding():
            self._put([(statement, ())])
            await self._flush(self.connection.pgconn)
        self._left += 1

    @contextlib.contextmanager
    def _heeding(self) -> Iterator[None]:
        """What is lost is watched no longer: libpq closed the socket, and its number is the next one's."""
        try:
            yield
        except Error:
            self._ignore()
            raise

    async def _flush(self, pgconn: PGconn) -> None:
        while pgconn.flush():
            await self._room(pgconn.socket)

    def _put(self, statements: Sequence[tuple[bytes, Sequence[object]]]) -> None:
        pgconn = self.connection.pgconn
        self._answers, self.found = [], []
        for text, parameters in statements:
            if _TWIN in text:
                self._send(pgconn, _ANEW, ())
                self._send(pgconn, text, parameters)
                self._send(pgconn, _AS_EVER, ())
            else:
                self._send(pgconn, text, parameters)
        self._give_up_the_least_used(pgconn)
        pgconn.pipeline_sync()
        self._passed_over, self._left = self._passed_over + self._left, 0

    async def rest(self) -> list[list[tuple[Any, ...]]]:
        """What the statements sent last answer. Raises: psycopg.Error."""
        with self._heeding():
            return await self._rest(self.connection.pgconn)

    async def _rest(self, pgconn: PGconn) -> list[list[tuple[Any, ...]]]:
        self._watch(pgconn.socket)
        await self._flush(pgconn)
        while True:
            while pgconn.is_busy():
                await self._change()
            answer = pgconn.get_result()
            if answer is None:
                continue  # the end of one command
            if answer.status != ExecStatus.PIPELINE_SYNC:
                self._answers.append(answer)
            elif self._passed_over:
                self._pass_over()
            else:
                return self._rows(self._answers)

    def _pass_over(self) -> None:
        """Raises: OperationalError where what nobody waited for failed: nothing behind it was begun."""
        self._passed_over -= 1
        answers, self._answers = self._answers, []
        if any(answer.status == ExecStatus.FATAL_ERROR for answer in answers):
            raise OperationalError("the transaction before did not end")

    async def _room(self, socket: int) -> None:
        """Wait until more can be sent; what comes meanwhile is read."""
        loop = asyncio.get_running_loop()
        loop.add_writer(socket, self._wake)
        try:
            await self._change()
        finally:
            loop.remove_writer(socket)

    async def _change(self) -> None:
        """Wait for what may let us go on. Raises: psycopg.Error where the server hung up."""
        if self._lost is not None:
            raise self._lost
        self._awaited = asyncio.get_running_loop().create_future()
        await self._awaited

    def _wake(self, error: Error | None = None) -> None:
        if self._awaited is None or self._awaited.done():  # nobody waits, or not any more
            return
        if error is None:
            self._awaited.set_result(None)
        else:
            self._awaited.set_exception(error)

    def _watch(self, socket: int) -> None:
        """The socket stays watched: watching it anew for every operation costs as much as sending it."""
        if self._watched is None:
            loop = asyncio.get_running_loop()
            loop.add_reader(socket, self._arrive)
            self._watched = loop, socket

    def _arrive(self) -> None:
        """Read what came, whoever waits: what is left unread would be said again in every turn of the loop."""
        pgconn = self.connection.pgconn
        try:
            pgconn.consume_input()
        except Error as exc:
            self._lost = exc
            self._ignore()
            self._wake(exc)
        else:
            if not pgconn.is_busy():
                self._wake()

    def _ignore(self) -> None:
        if self._watched is not None:
            loop, socket = self._watched
            self._watched = None
            if not loop.is_closed():
                with contextlib.suppress(OSError):  # closed, while it is watched for room as well
                    loop.remove_reader(socket)

    def _send(self, pgconn: PGconn, text: bytes, parameters: Sequence[object]) -> None:
        self._prepare(pgconn, text)
        pgconn.send_query_prepared(self._names[text], self._dumped(parameters), result_format=1)

    def _prepare(self, pgconn: PGconn, text: bytes) -> None:
        """Prepare a statement new to the connection."""
        if text in self._names:
            self._names[text] = self._names.pop(text)
            return
        self._made += 1
        self._bytes += len(text)
        name = self._names[text] = b"r%d" % self._made
        pgconn.send_prepare(name, text)

    def _give_up_the_least_used(self, pgconn: PGconn) -> None:
        """Last in the pipeline: before a BEGIN it would open a transaction of its own."""
        while len(self._names) > PREPARED or self._bytes > PREPARED_BYTES:
            old = next(iter(self._names))
            self._bytes -= len(old)
            pgconn.send_query_params(b"DEALLOCATE " + self._names.pop(old), None)

    def _dumped(self, parameters: Sequence[object]) -> Sequence[Any] | None:
        if not parameters:
            return None
        return self._transformer.dump_sequence(parameters, [PyFormat.TEXT] * len(parameters))

    def _rows(self, results: Sequence[PGresult]) -> list[list[tuple[Any, ...]]]:
        self.found = found = list[list[tuple[Any, ...]]]()
        for result in results:
            if result.status == ExecStatus.TUPLES_OK:
                self._transformer.set_pgresult(result)
                found.append(self._transformer.load_rows(0, result.ntuples, tuple))
            elif result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result)
        return found
