"""How far projecting has come, as seen by the processes that serve requests: read your writes, readiness, metrics."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import psycopg
from prometheus_client import Gauge
from psycopg import AsyncConnection

from crm_es.database.sessions import session
from crm_es.projector.bookmarks import NEXT
from crm_es.projector.contract import ReadModel

log = logging.getLogger(__name__)

LAG: Final = Gauge("crm_read_model_lag_events", "Events appended but not yet in the read model", ["read_model"])
PARKED: Final = Gauge("crm_read_model_parked", "1 when an event the read model cannot apply stopped it", ["read_model"])

_READ: Final = """
SELECT b.read_model, b.log_id, b.parked IS NOT NULL, (SELECT es.newest_log_id()),
       CASE WHEN b.read_model = %(watched)s THEN es.newest_of_topics(%(topics)s, %(after)s, b.log_id) END
FROM es.bookmark b
"""


class Progress:
    """Follows the bookmarks on one connection: woken by NOTIFY, and by the clock in case a notice was lost."""

    def __init__(self, url: str, *, poll: float = 1.0, watched: ReadModel | None = None) -> None:
        self._url = url
        self._poll = poll
        self._watched = watched.NAME if watched else ""
        self._topics = sorted(watched.TOPICS or ()) if watched else []
        self._touched = 0
        self._bookmarks: dict[str, int] = {}
        self._parked: frozenset[str] = frozenset()
        self._newest = 0
        self._seen = 0.0
        self._moved = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def following(cls, url: str, *, poll: float = 1.0, watched: ReadModel | None = None) -> AsyncIterator[Self]:
        """A Progress that follows for as long as the block lasts. `watched` is what `touched` tells of."""
        progress = cls(url, poll=poll, watched=watched)
        async with asyncio.TaskGroup() as tasks:
            following = tasks.create_task(progress.follow())
            try:
                yield progress
            finally:
                following.cancel()

    @property
    def bookmarks(self) -> Mapping[str, int]:
        """The log id each live read model has applied."""
        return self._bookmarks

    @property
    def touched(self) -> int:
        """Rises whenever the watched read model has applied an event of its own topics: until then its rows stand.

        A crash can take rows back that were committed without waiting for the disk: then it rises too.
        """
        return self._touched

    @property
    def parked(self) -> frozenset[str]:
        """Read models that stand still until they are mended."""
        return self._parked

    @property
    def current(self) -> bool:
        """Whether we hear from the database; when not, the figures are old."""
        return time.monotonic() - self._seen < 5 * self._poll

    def lag(self) -> dict[str, int]:
        """Events appended but not applied, at most; log ids may have holes."""
        return {name: max(0, self._newest - at) for name, at in self._bookmarks.items()}

    def reached(self, log_id: int, read_models: Iterable[str]) -> bool:
        return all(self._bookmarks.get(name, -1) >= log_id for name in read_models)

    async def wait(self, log_id: int, read_models: Iterable[str], timeout: float) -> bool:  # noqa: ASYNC109  # not ours to cancel
        """Until these read models have applied `log_id`; False when one is parked before it or the time is over."""
        names = tuple(read_models)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout), self._moved:
                await self._moved.wait_for(lambda: self.reached(log_id, names) or self._never(log_id, names))
        return self.reached(log_id, names)

    def _never(self, log_id: int, names: Iterable[str]) -> bool:
        return any(n in self._parked and self._bookmarks.get(n, -1) < log_id for n in names)

    async def follow(self) -> None:
        """Run until cancelled; connects again when the connection is lost."""
        while True:
            try:
                async with session(self._url) as connection:
                    await connection.execute("LISTEN crm_projected")
                    await self._listen(connection)
            except psycopg.OperationalError as error:
                log.warning("cannot follow the projector, trying again: %s", error)
                await asyncio.sleep(self._poll)

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        while True:
            await self._refresh(connection)
            async for _ in connection.notifies(timeout=self._poll, stop_after=1):
                pass

    async def _refresh(self, connection: AsyncConnection[Any]) -> None:
        after = self._bookmarks.get(self._watched)
        asked = {"watched": self._watched, "topics": self._topics, "after": after}
        rows = await (await connection.execute(_READ, asked, prepare=True)).fetchall()
        live = [row for row in rows if not row[0].endswith(NEXT)]
        self._bookmarks = {name: log_id for name, log_id, *_ in live}
        self._parked = frozenset(name for name, _, parked, *_ in live if parked)
        self._newest = max((newest or 0 for *_, newest, _ in live), default=0)
        gone_back = after is None or self._bookmarks.get(self._watched, 0) < after
        self._touched += gone_back or any(touched for *_, touched in live)
        self._seen = time.monotonic()
        self._measure()
        async with self._moved:
            self._moved.notify_all()

    def _measure(self) -> None:
        for name, behind in self.lag().items():
            LAG.labels(name).set(behind)
            PARKED.labels(name).set(name in self._parked)
