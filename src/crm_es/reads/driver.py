"""Connections for reading, and the snapshot one operation reads: REPEATABLE READ READ ONLY, fenced to one workspace.

A free-list of our own: a pool's bookkeeping costs more than a one-row query. A connection whose request was cancelled,
failed or timed out is closed, never given to the next.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, AsyncRawCursor, errors
from psycopg.pq import TransactionStatus
from psycopg.sql import SQL, Composable, Literal
from psycopg.types.json import set_json_loads

from crm_es.database.urls import with_options
from crm_es.reads.errors import ReadTimeoutError

STATEMENT_TIMEOUT_MS = 5000
PREPARED = 500
_BEGIN = SQL("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT set_config('app.workspace', {}, true)")


class ReadConnections:
    """At most `size` connections as crm_app, opened when first needed."""

    def __init__(self, url: str, *, size: int = 8, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> None:
        self._url = url
        self._timeout = statement_timeout_ms
        self._room = asyncio.Semaphore(size)
        self._free: list[AsyncConnection[Any]] = []
        self._closed = False

    async def close(self) -> None:
        """Close the idle ones; those in use are closed as they come back."""
        self._closed = True
        while self._free:
            await self._free.pop().close()

    async def take(self) -> AsyncConnection[Any]:
        await self._room.acquire()
        try:
            while self._free:
                connection = self._free.pop()
                if not connection.closed:
                    return connection
            return await self._connect()
        except BaseException:
            self._room.release()
            raise

    async def give(self, connection: AsyncConnection[Any], *, sound: bool) -> None:
        """Take a connection back; an unsound one is closed."""
        try:
            if sound and not self._closed and connection.info.transaction_status == TransactionStatus.IDLE:
                self._free.append(connection)
            else:
                await connection.close()
        finally:
            self._room.release()

    async def _connect(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(
            with_options(self._url, f"-c statement_timeout={self._timeout} -c TimeZone=UTC -c jit=off"),
            autocommit=True,
            cursor_factory=AsyncRawCursor,
        )
        connection.prepare_threshold = 0
        connection.prepared_max = PREPARED
        set_json_loads(msgspec.json.decode, connection)
        return connection

    @asynccontextmanager
    async def snapshot(self, workspace: UUID) -> AsyncIterator["Snapshot"]:
        async with Snapshot(self, workspace) as opened:
            yield opened


class Snapshot:
    """One moment of the database, as one workspace sees it. Statements of concurrent resolvers queue on its one connection."""

    def __init__(self, connections: ReadConnections, workspace: UUID) -> None:
        self.workspace = workspace
        self.statements: list[bytes] = []
        self._connections = connections
        self._connection: AsyncConnection[Any] | None = None
        self._sound = True
        self._closed = False
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close(sound=kind is None)

    async def rows(self, statement: Composable, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement. Raises: ReadTimeoutError."""
        return await self.fetch(statement.as_bytes(None), parameters)

    async def fetch(self, statement: bytes, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement, already text. Raises: ReadTimeoutError."""
        async with self._turn:
            connection = await self._opened()
            self._sound = False
            try:
                cursor = connection.cursor(binary=True)
                await cursor.execute(statement, parameters, prepare=True)
                found = await cursor.fetchall()
            except errors.QueryCanceled as exc:
                raise ReadTimeoutError from exc
            self._sound = True
        self.statements.append(statement)
        return found

    async def close(self, *, sound: bool = True) -> None:
        """End the transaction and hand the connection back. Whoever still wants rows is cancelled. Safe to call twice."""
        self._closed = True
        async with self._turn:
            connection, self._connection = self._connection, None
        if connection is not None:
            await asyncio.shield(self._finish(connection, sound=sound and self._sound))

    async def _finish(self, connection: AsyncConnection[Any], *, sound: bool) -> None:
        try:
            if sound:
                await connection.execute("COMMIT")
        finally:
            await self._connections.give(connection, sound=sound)

    async def _opened(self) -> AsyncConnection[Any]:
        if self._closed:  # resolvers of an operation that failed elsewhere
            raise asyncio.CancelledError
        if self._connection is None:
            self._connection = await self._connections.take()
            self._sound = False
            await self._connection.execute(_BEGIN.format(Literal(str(self.workspace))), prepare=False)
            self._sound = True
        return self._connection
