"""Connections for reading, and the snapshot one operation reads: REPEATABLE READ READ ONLY, fenced to one workspace.

A free-list of our own: a pool's bookkeeping costs more than a one-row query. A connection whose request was cancelled,
failed or timed out is closed, never given to the next.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, errors
from psycopg.sql import Composable
from psycopg.types.json import set_json_loads

from crm_es.database.urls import with_options
from crm_es.errors import UnavailableError
from crm_es.reads.errors import NotReadError, ReadTimeoutError
from crm_es.reads.places import BOOKMARKS
from crm_es.reads.wire import Wire

log = logging.getLogger(__name__)

STATEMENT_TIMEOUT_MS = 5000
AWAY = "The database does not answer now. Send the request again."
_BEGIN = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_FENCE = b"SELECT set_config('app.workspace', $1, true)"
_COMMIT = b"COMMIT"
_BOOKMARKS = BOOKMARKS.as_bytes(None)
_BEGINNING = 2
"""So many answers come before the first statement's."""
TURNS = 4
"""Of the event loop, until those who were told to ask have asked: a loader takes three."""


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a read model had come when the snapshot began: a place in the house's log, and the workspace's position."""

    log_id: int
    position: int


class ReadConnections:
    """At most `size` connections as crm_app, opened when first needed."""

    def __init__(self, url: str, *, size: int = 8, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._room = asyncio.Semaphore(size)
        self._free: list[Wire] = []
        self._beside: ReadConnections | None = None
        self._closed = False

    async def close(self) -> None:
        """Close the idle ones; those in use are closed as they come back."""
        self._closed = True
        if self._beside is not None:
            await self._beside.close()
        while self._free:
            await self._free.pop().close()

    async def take(self) -> Wire:
        await self._room.acquire()
        try:
            while self._free:
                wire = self._free.pop()
                if not wire.connection.closed:
                    return wire
                await wire.close()
            return await self._connect()
        except BaseException:
            self._room.release()
            raise

    async def give(self, wire: Wire, *, sound: bool) -> None:
        """Take a connection back; an unsound one is closed."""
        try:
            if sound and not self._closed and wire.idle:
                self._free.append(wire)
            else:
                if wire.connection.broken:  # so are the idle ones: the server went away
                    while self._free:
                        await self._free.pop().close()
                await wire.close()
        finally:
            self._room.release()

    async def _connect(self) -> Wire:
        options = f"-c statement_timeout={self._timeout} -c TimeZone=UTC -c jit=off"
        try:
            connection = await AsyncConnection.connect(with_options(self._url, options), autocommit=True)
        except errors.OperationalError as exc:
            raise UnavailableError(AWAY) from exc
        try:
            set_json_loads(msgspec.json.decode, connection)
            return Wire(connection)
        except BaseException:
            await connection.close()
            raise

    @asynccontextmanager
    async def snapshot(self, workspace: UUID) -> AsyncIterator["Snapshot"]:
        async with Snapshot(self, workspace) as opened:
            yield opened

    @property
    def beside(self) -> "ReadConnections":
        """One for short looks by those who hold a connection already: for a second of the same they could wait for ever."""
        if self._beside is None:
            self._beside = ReadConnections(self._url, size=1, statement_timeout_ms=self._timeout)
            self._beside._closed = self._closed  # noqa: SLF001  # one of ourselves
        return self._beside


@dataclass(eq=False, slots=True)
class _Asked:
    """A statement, until it is answered."""

    statement: bytes
    parameters: Sequence[object]
    last: bool
    rows: list[tuple[Any, ...]] | None = None
    error: Exception | None = None


class Snapshot:
    """One moment of the database, as one workspace sees it. Its one connection takes statements a round trip at a time: all that
    were asked for while the one before was under way.

    It begins with its first statement, in the same round trip. What a cancelled resolver asked is answered before the next
    statement is sent, or given up when the snapshot is closed.
    """

    def __init__(self, connections: ReadConnections, workspace: UUID) -> None:
        self.workspace = workspace
        self.statements: list[bytes] = []
        self.trips = 0
        self.bookmarks: dict[str, Bookmark] | None = None
        self.sealed: int | None = None
        """The newest signed checkpoint's size when it began."""
        self._connections = connections
        self._wire: Wire | None = None
        self._began = False
        self._beginning = False
        self._asked: list[_Asked] = []
        self._sent: list[_Asked] = []
        self._expected = 0
        self._asking = 0
        """So many have the turn, wait for it or are about to go on."""
        self._failure: Exception | None = None
        self._closed = False
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(sound=kind is None)

    def newest(self) -> AbstractAsyncContextManager["Snapshot"]:
        """Another of the same workspace, of this very moment, for a short look."""
        return self._connections.beside.snapshot(self.workspace)

    async def rows(self, statement: Composable, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement. Raises: ReadTimeoutError."""
        return await self.fetch(statement.as_bytes(None), parameters)

    def expect(self, number: int) -> None:
        """So many are about to ask, and may share a round trip; one of those expected before may be so many itself."""
        self._expected += number - (self._expected > 0)

    async def fetch(
        self, statement: bytes, parameters: Sequence[object] = (), *, last: bool = False
    ) -> list[tuple[Any, ...]]:
        """Run one statement, already text; with the `last` one the transaction ends.

        Raises: ReadTimeoutError (NotReadError after another's), UnavailableError.
        """
        asked = _Asked(statement, parameters, last)
        self._asked.append(asked)
        self._asking += 1
        try:
            async with self._turn:
                while asked.rows is None and asked.error is None:
                    await self._go_on()
        finally:
            self._asking -= 1
            if asked in self._asked:
                self._asked.remove(asked)
        if asked.rows is None:
            assert asked.error is not None  # noqa: S101  # one of the two ends the loop
            raise asked.error
        return asked.rows

    async def _go_on(self) -> None:
        """A round trip; or the end of one, when its resolver was cancelled: the snapshot is still everybody's."""
        if self._closed:  # resolvers of an operation that failed elsewhere
            raise asyncio.CancelledError
        if self._failure is not None:  # a transaction that failed answers nothing more
            raise self._failure
        self._wire = wire = self._wire or await self._connections.take()
        if self._sent:
            await self._read(wire, wire.rest())
        else:
            await self._company()
            self._sent, self._asked = self._asked, []
            await self._read(wire, wire.run(self._batch(self._sent)))

    async def _company(self) -> None:
        """Let those come who are expected. Whoever does not ask at once is not waited for."""
        for _ in range(TURNS):
            if len(self._asked) >= self._expected:
                break
            await asyncio.sleep(0)
        self._expected = 0

    def _batch(self, sent: Sequence[_Asked]) -> list[tuple[bytes, Sequence[object]]]:
        batch = [(asked.statement, asked.parameters) for asked in sent]
        self._beginning = not self._began
        if self._beginning:
            fence = (str(self.workspace),)
            batch = [(_BEGIN, ()), (_FENCE, fence), (_BOOKMARKS, fence), *batch]
        last = len(sent) == 1 and sent[0].last
        self._began = not last
        return [*batch, (_COMMIT, ())] if last else batch

    async def _read(self, wire: Wire, answer: Awaitable[object]) -> None:
        """Settle what was sent: what was answered before one failed is answered."""
        failure: Exception | None = None
        try:
            await answer
        except errors.QueryCanceled as exc:
            failure, self._failure = _caused(ReadTimeoutError(), exc), NotReadError()
        except errors.OperationalError as exc:
            failure = self._failure = _caused(UnavailableError(AWAY), exc)
        except Exception as exc:  # noqa: BLE001  # whatever it is belongs to those who asked
            failure = self._failure = exc
        self._settle(wire.found, failure)

    def _settle(self, found: Sequence[list[tuple[Any, ...]]], failure: Exception | None) -> None:
        sent, self._sent = self._sent, []
        self.trips += 1
        if self._beginning and len(found) > 1:
            self.bookmarks = {model: Bookmark(log_id, position) for model, log_id, position, _ in found[1]}
            self.sealed = next((sealed for *_, sealed in found[1]), None)
        answered = found[_BEGINNING:] if self._beginning else found
        if failure is None and len(answered) < len(sent):  # nobody knows whose they are
            answered, failure = [], errors.ProgrammingError("a statement answered no rows")
            self._failure = failure
        for asked, rows in zip(sent, answered, strict=False):
            asked.rows = rows
            self.statements.append(asked.statement)
        for asked in sent[len(answered) :]:
            asked.error, failure = failure, self._failure

    async def close(self, *, sound: bool = True) -> None:
        """End the transaction and hand the connection back. Whoever still wants rows is cancelled. Safe to call twice."""
        self._closed = True
        if self._asking:  # a resolver's statement is under way: whoever closes may be cancelled while it is
            await asyncio.shield(self._end(sound=sound))
        else:
            await self._end(sound=sound)

    async def _end(self, *, sound: bool) -> None:
        async with self._turn:
            wire, self._wire = self._wire, None
        if wire is None:
            return
        sound = sound and not self._sent and self._failure is None
        if sound and not self._began:  # ended with its last statement: nothing to wait for
            await self._connections.give(wire, sound=True)
        else:
            await asyncio.shield(self._finish(wire, sound=sound))

    async def _finish(self, wire: Wire, *, sound: bool) -> None:
        finished = False
        try:
            if sound and self._began:
                await wire.leave(_COMMIT)
            finished = sound
        except errors.OperationalError:
            log.info("a connection was lost after its last row was read")  # nothing to commit: what was read stands
        finally:
            await self._connections.give(wire, sound=finished)


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error
