"""The one task of a process that writes the access log: rows gathered for a moment, then one binary COPY and one commit.

`record` returns at once, or when its row is durable: rows of sensitive reads never wait for others longer than a commit
that is under way, so many of them share the next one. What happens when PostgreSQL is away is said in docs/access-log.md.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from prometheus_client import Counter as Metric
from prometheus_client import Gauge, Histogram
from psycopg import AsyncConnection
from psycopg.sql import SQL, Identifier

from crm_es.access.entry import ALWAYS_DURABLE, COLUMNS, COPY_HEAD, COPY_TAIL, Entry, Kind, gap, packed
from crm_es.config import AccessMode
from crm_es.database.urls import with_options
from crm_es.errors import UnavailableError

log = logging.getLogger(__name__)

GATHER_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 5.0
AGAIN_SECONDS: Final = 0.5
PREPARE_SECONDS: Final = 3_600.0
WAITING: Final = 20_000
AT_ONCE: Final = 2_000
AWAY: Final = "Reading this is written down first, and that is not possible now. Send the request again."

_COPY: Final = SQL("COPY access.{} ({}) FROM STDIN (FORMAT binary)")
_NAMES: Final = SQL(", ").join(map(Identifier, COLUMNS))
_PREPARE: Final = "SELECT access.prepare()"
_MONTH: Final = "SELECT name, extract(epoch FROM until)::float8 FROM access.month()"
_WRITTEN: Final = "SELECT access.written(%s::uuid[], %s::uuid[])"

_ROWS: Final = Metric("crm_access_rows", "Rows of the access log written, by how the answer waited", ["mode"])
_LOST: Final = Metric("crm_access_lost", "Rows of the access log that were given up; each gap is a row itself")
_REFUSED: Final = Metric("crm_access_refused", "Answers withheld because their row could not be written")
_FAILURES: Final = Metric("crm_access_write_failures", "Attempts to write the access log that failed")
_SECONDS: Final = Histogram("crm_access_write_seconds", "Time to write one batch of rows")
_LINE: Final = Gauge("crm_access_waiting", "Rows of the access log not written yet")


class Item:
    """A row on its way, and who waits for it."""

    __slots__ = ("done", "row")

    def __init__(self, row: Entry, done: asyncio.Future[None] | None) -> None:
        self.row = row
        self.done = done


class AccessLog:
    """`record` for every operation; `running` writes for as long as its block lasts, and what is left at its end."""

    def __init__(
        self, url: str, *, mode: AccessMode = AccessMode.SENSITIVE, gather: float = GATHER_SECONDS, room: int = WAITING,
        patience: float = PATIENCE_SECONDS,
    ) -> None:  # fmt: skip
        self.mode = mode
        self._url = with_options(url, f"-c statement_timeout={round(patience * 1_000)} -c synchronous_commit=on")
        self._gather = gather
        self._room = room
        self._patience = patience
        self._line: deque[Item] = deque()
        self._lost: Counter[UUID] = Counter()
        self._some = asyncio.Event()
        self._urgent = asyncio.Event()
        self._closing = False
        self._writing = 0
        self._connection: AsyncConnection[Any] | None = None
        self._month: tuple[str, float] | None = None
        self._prepared = -PREPARE_SECONDS
        self._doubt = False

    @classmethod
    @asynccontextmanager
    async def running(cls, url: str, **options: Any) -> AsyncIterator[Self]:
        made = cls(url, **options)
        writing = asyncio.create_task(made.write())
        try:
            yield made
        finally:
            await made.close(writing)

    async def record(self, row: Entry) -> None:
        """Take a row. Where its answer must wait, this returns when it is durable. Raises: UnavailableError, unanswered."""
        if self.waits(row):
            await self._durable(row)
        else:
            self.note(row)

    def note(self, row: Entry) -> None:
        """Take a row nobody waits for. Where there is no room left it is lost, and counted."""
        if self.mode is AccessMode.OFF:
            return
        if self._full:
            self._lose(row)
        else:
            self._put(Item(row, None))

    def waits(self, row: Entry) -> bool:
        """Whether the answer may only leave once the row is durable."""
        if self.mode is AccessMode.SENSITIVE:
            return bool(row.fields) or row.kind in ALWAYS_DURABLE
        return self.mode is AccessMode.ALL

    async def _durable(self, row: Entry) -> None:
        if self._full:
            _REFUSED.inc()
            raise UnavailableError(AWAY)
        item = Item(row, asyncio.get_running_loop().create_future())
        self._put(item)
        self._urgent.set()
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(item.done)  # type: ignore[arg-type]  # made above
        except asyncio.CancelledError:
            _withheld(item)
            raise
        except (psycopg.Error, OSError) as exc:  # a time-out is an OSError
            raise _withheld(item) from exc

    @property
    def _full(self) -> bool:
        return len(self._line) + self._writing >= self._room

    def _put(self, item: Item) -> None:
        self._line.append(item)
        self._some.set()

    def _lose(self, row: Entry) -> None:
        _LOST.inc()
        if not self._lost:
            log.error("rows of the access log are lost; the next that can be written says how many")
        self._lost[row.workspace_id] += row.rows if row.kind is Kind.GAP else 1

    # The task

    async def write(self) -> None:
        """Run until cancelled, or closed and done."""
        while not (self._closing and not self._line and not self._lost):
            await self._some.wait()
            await self._gathered()
            batch = self._batch()
            if not batch:
                self._some.clear()
                continue
            try:
                with _SECONDS.time():
                    await self._written(batch)
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._failed(batch, error)
            else:
                _settle(batch, None)
                _ROWS.labels("durable").inc(sum(item.done is not None for item in batch))
                _ROWS.labels("buffered").inc(sum(item.done is None for item in batch))
            self._writing = 0
            if not (self._line or self._lost or self._closing):
                self._some.clear()

    async def _gathered(self) -> None:
        """A moment for others to join, unless an answer waits."""
        if not self._closing:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._gather):
                    await self._urgent.wait()
        self._urgent.clear()

    def _batch(self) -> list[Item]:
        if self._lost:
            for workspace, lost in self._lost.items():
                self._line.append(Item(gap(workspace, lost), None))
            self._lost.clear()
        batch = [self._line.popleft() for _ in range(min(AT_ONCE, len(self._line)))]
        if any(item.done is not None for item in self._line):
            self._urgent.set()
        self._writing = len(batch)
        _LINE.set(len(self._line) + len(batch))
        return batch

    async def _written(self, batch: Sequence[Item]) -> None:
        async with asyncio.timeout(self._patience):
            connection = await self._connected()
            rows = [item.row for item in batch]
            if self._doubt:  # an attempt broke off: it may have been committed
                there = await _there(connection, rows)
                rows = [row for row in rows if row.id not in there]
                self._doubt = False
            try:
                await self._copy(connection, rows)
            except psycopg.errors.CheckViolation:  # the month ended between asking and writing
                self._month = None
                await self._copy(connection, rows)

    async def _copy(self, connection: AsyncConnection[Any], rows: Sequence[Entry]) -> None:
        if not rows:
            return
        data = COPY_HEAD + b"".join(map(packed, rows)) + COPY_TAIL
        statement = _COPY.format(Identifier(await self._target(connection)), _NAMES)
        async with connection.cursor() as cursor, cursor.copy(statement) as copy:
            await copy.write(data)

    async def _target(self, connection: AsyncConnection[Any]) -> str:
        """The table of the month; the next ones are made long before their time."""
        now = time.monotonic()
        if now - self._prepared >= PREPARE_SECONDS:
            self._prepared = now
            try:
                await connection.execute(_PREPARE)
            except psycopg.errors.Error as error:
                if connection.closed:
                    raise
                log.warning("the coming months of the access log could not be made yet: %s", error)
        if self._month is None or time.time() >= self._month[1]:
            cursor = await connection.execute(_MONTH)
            self._month = await cursor.fetchone()
            assert self._month is not None  # noqa: S101  # it answers one row
        return self._month[0]

    async def _connected(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._month = None
            self._connection = await AsyncConnection.connect(self._url, autocommit=True)
        return self._connection

    async def _failed(self, batch: list[Item], error: Exception) -> None:
        """Nothing of it is lost: who waits is refused, the rest waits for the next attempt."""
        _FAILURES.inc()
        if isinstance(error, psycopg.DataError | psycopg.IntegrityError):
            await self._one_by_one(batch)
            return
        log.warning("the access log could not be written, %d rows wait: %s", len(batch) + len(self._line), error)
        await self._disconnect()
        self._doubt = True
        _settle(batch, error)
        self._line.extendleft(reversed(batch))
        self._some.set()
        await asyncio.sleep(AGAIN_SECONDS / 10 if self._closing else AGAIN_SECONDS)

    async def _one_by_one(self, batch: list[Item]) -> None:
        """The database refuses a row: the others go on without it."""
        for item in batch:
            try:
                await self._written([item])
            except (psycopg.DataError, psycopg.IntegrityError) as error:
                log.exception("a row of the access log is refused by the database")
                self._lose(item.row)
                _settle([item], error)
            except (psycopg.Error, OSError, TimeoutError) as error:
                await self._failed([item], error)
            else:
                _settle([item], None)

    async def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await self._connection.close()
        self._connection = None

    async def close(self, writing: asyncio.Task[None]) -> None:
        """Write what waits, within the patience of one answer."""
        self._closing = True
        self._some.set()
        self._urgent.set()
        await asyncio.wait({writing}, timeout=self._patience)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await self._disconnect()
        if self._line:
            _LOST.inc(len(self._line))
            log.error("%d rows of the access log are lost: the database is away and the process ends", len(self._line))


def _withheld(item: Item) -> UnavailableError:
    """The row stays, and says that nothing was answered unless it is written already."""
    _REFUSED.inc()
    item.row.allowed, item.row.code = False, "TIMEOUT"
    return UnavailableError(AWAY)


def _settle(batch: Sequence[Item], error: Exception | None) -> None:
    for item in batch:
        done, item.done = item.done, None
        if done is None or done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
            done.exception()  # whoever waited may have gone


async def _there(connection: AsyncConnection[Any], rows: Sequence[Entry]) -> set[UUID]:
    cursor = await connection.execute(_WRITTEN, ([row.workspace_id for row in rows], [row.id for row in rows]))
    return {id_ for (id_,) in await cursor.fetchall()}
