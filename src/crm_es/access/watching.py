"""Counts the different contacts that each reader was answered within the hour, and tells when they are too many.

Each process counts for itself; one that has answered its share of the limit asks the access log, where all processes write, how
many there were together.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, Protocol, Self
from uuid import UUID

import psycopg
from psycopg.sql import SQL

from crm_es.access.noticing import ACCESS, Reader
from crm_es.access.trail import CONTACT
from crm_es.errors import CrmError
from crm_es.eventstore.event import Actor
from crm_es.eventstore.store import Store

log = logging.getLogger(__name__)

TOGETHER: Final = SQL("""
SELECT count(DISTINCT seen.id)
FROM access.entry e CROSS JOIN LATERAL unnest(e.node_ids[1:e.node_counts[1]]) AS seen (id)
WHERE e.workspace_id = $1::uuid AND e.actor_id = $2::uuid AND e.at >= $3::timestamptz AND e.at < $4::timestamptz
  AND e.node_types[1] = $5::text
""")
Count = Callable[[Reader], Awaitable[int]]
Tell = Callable[[Reader, int], Awaitable[None]]


class MassReads:
    """`saw` costs a few dictionary look-ups; counting together and telling is a task's business."""

    def __init__(self, limit: int, count: Count, tell: Tell, *, processes: int = 1) -> None:
        """`limit`: so many different contacts an hour are too many; 0: nobody is watched."""
        self._limit = limit
        self._share = max(1, limit // processes)
        self._count = count
        self._tell = tell
        self._since = datetime.min.replace(tzinfo=UTC)
        self._seen: dict[tuple[UUID, UUID], set[UUID]] = {}
        self._asked_at: dict[tuple[UUID, UUID], int] = {}
        self._suspects: asyncio.Queue[tuple[Reader, int]] = asyncio.Queue()

    @classmethod
    @asynccontextmanager
    async def running(cls, limit: int, count: Count, tell: Tell, *, processes: int = 1) -> AsyncIterator[Self]:
        made = cls(limit, count, tell, processes=processes)
        task = asyncio.create_task(made.look())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def saw(self, workspace: UUID, actor: Actor, contacts: Iterable[UUID], now: float | None = None) -> None:
        if not self._limit or actor.id is None:
            return
        since = _hour(time.time() if now is None else now)
        if since != self._since:
            self._since = since
            self._seen.clear()
            self._asked_at.clear()
        key = workspace, actor.id
        ask_at = self._asked_at.get(key, self._share)
        if ask_at < 0:  # told already
            return
        seen = self._seen.setdefault(key, set())
        seen.update(contacts)
        if len(seen) >= ask_at:
            self._asked_at[key] = len(seen) + max(1, self._share // 4)
            self._suspects.put_nowait((Reader(workspace, actor.kind, actor.id, since), len(seen)))

    async def look(self) -> None:
        """Run until cancelled."""
        while True:
            reader, here = await self._suspects.get()
            try:
                nodes = here if here >= self._limit else await self._count(reader)
                if nodes >= self._limit:
                    await self._tell(reader, nodes)
                    log.warning("%s read %d contacts within the hour from %s", reader.id, nodes, reader.since)
                    self._done(reader)
            except (CrmError, psycopg.Error) as error:
                log.warning("a mass read was not told yet: %s", error)

    def _done(self, reader: Reader) -> None:
        if reader.since == self._since:
            key = reader.workspace, reader.id
            self._asked_at[key] = -1
            self._seen.pop(key, None)


class Snapshots(Protocol):
    """What is asked of `reads/driver.py`."""

    def snapshot(self, workspace: UUID, /) -> AbstractAsyncContextManager[Any]: ...


@asynccontextmanager
async def watching(store: Store, connections: Snapshots, limit: int, *, processes: int = 1) -> AsyncIterator[MassReads]:
    """A process's watch: the log counts, the store tells."""

    async def count(reader: Reader) -> int:
        async with connections.snapshot(reader.workspace) as rows:
            found = await rows.rows(TOGETHER, [reader.workspace, reader.id, reader.since, reader.until, CONTACT])
        return int(found[0][0])

    async def tell(reader: Reader, nodes: int) -> None:
        command, stream, event = reader.noticed(nodes)
        await store.create(command, ACCESS, stream, [event])

    async with MassReads.running(limit, count, tell, processes=processes) as made:
        yield made


def _hour(now: float) -> datetime:
    return datetime.fromtimestamp(now // 3600 * 3600, UTC)
