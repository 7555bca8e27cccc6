"""The timer beside the projector: has the breach of every SLA clock recorded that ran out, and resolved tickets closed after
their queue's days. Any number may run; each is done once, since its command has an id of its own.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from crm_es.catalog import AGGREGATES
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import UnavailableError
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from crm_es.service import breaching, closing
from crm_es.service.breaching import Due, Known
from crm_es.service.closing import Resolved
from crm_es.service.enums import SlaKind

log = logging.getLogger(__name__)

PASSING: Final = (psycopg.OperationalError, psycopg.InterfaceError, UnavailableError)
POLL_SECONDS: Final = 1.0
BACK_OFF: Final = 2.0
AGAIN_SECONDS: Final = 30.0  # until then what was dealt with is left alone: its row is to follow
AT_ONCE: Final = 16
READERS: Final = 2
MOST_KNOWN: Final = 10_000
# Of each workspace the clocks that ran out first, by the index that begins with the workspace.
_DUE: Final = """
SELECT h.workspace_id, c.ticket_id, c.kind, c.cycle
FROM es.head h
CROSS JOIN LATERAL (
  SELECT t.ticket_id, t.kind, t.cycle
  FROM service_queues.ticket_clock t
  WHERE t.workspace_id = h.workspace_id AND t.to_record_at < %s
  ORDER BY t.to_record_at
  LIMIT 200
) c
"""
# By the index of those that wait for it, queue by queue.
_RESOLVED: Final = """
SELECT h.workspace_id, c.id
FROM es.head h
CROSS JOIN LATERAL (
  SELECT t.id
  FROM service_queues.queue q
  JOIN service_queues.ticket t ON t.workspace_id = q.workspace_id AND t.queue_id = q.id
  WHERE q.workspace_id = h.workspace_id AND q.auto_close_days IS NOT NULL AND t.status = 'RESOLVED'
    AND t.to_close_from <= %s - make_interval(days => q.auto_close_days)
  LIMIT 200
) c
"""


class Timer:
    """Reads what is due as the projector's role, records it as the application's."""

    def __init__(self, urls: DatabaseUrls, keys: KeyStore, *, poll: float = POLL_SECONDS) -> None:
        self._urls = urls
        self._keys = keys
        self._poll = poll
        self._known: Known = {}
        self._dealt_with: dict[Due | Resolved, float] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """`run` in a thread, for as long as the block lasts."""
        stop = threading.Event()
        thread = threading.Thread(target=self.run, args=(stop,), name="crm-timer")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. What fails may pass: it is tried again."""
        while not stop.is_set():
            try:
                asyncio.run(self._keep_time(stop))
            except PASSING as error:
                log.warning("the timer stopped, again in %s s: %s: %s", BACK_OFF, type(error).__name__, error)
                stop.wait(BACK_OFF)
            except Exception:
                log.exception("the timer stopped, again in %s s", BACK_OFF)
                stop.wait(BACK_OFF)

    async def _keep_time(self, stop: threading.Event) -> None:
        store = await Store.open(self._urls.app, AGGREGATES, self._keys, readers=READERS)
        try:
            with psycopg.connect(self._urls.projector, autocommit=True) as connection:
                while not stop.is_set():
                    if not await self._record(store, self._due(connection)):
                        await asyncio.to_thread(stop.wait, self._poll)
        finally:
            await store.close()

    def _due(self, connection: psycopg.Connection[Any]) -> list[Due | Resolved]:
        """What ran out, or is over, and was not dealt with just now."""
        now = datetime.now(UTC)
        try:
            rows = connection.execute(_DUE, [now.replace(microsecond=0)]).fetchall()
            resolved = connection.execute(_RESOLVED, [now]).fetchall()
        except psycopg.errors.UndefinedTable:  # a new database, or a read model is being swapped
            return []
        present = time.monotonic()
        self._dealt_with = {due: until for due, until in self._dealt_with.items() if until > present}
        found: list[Due | Resolved] = [Resolved(*row) for row in resolved]
        found += [Due(workspace, ticket, SlaKind(kind), cycle) for workspace, ticket, kind, cycle in rows]
        return [due for due in found if due not in self._dealt_with]

    async def _record(self, store: Store, found: Sequence[Due | Resolved]) -> int:
        """Answers how many there were."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        for start in range(0, len(found), AT_ONCE):
            await asyncio.gather(*(self._one(store, due) for due in found[start : start + AT_ONCE]))
        return len(found)

    async def _one(self, store: Store, due: Due | Resolved) -> None:
        """One that fails holds up no other."""
        self._dealt_with[due] = time.monotonic() + AGAIN_SECONDS
        try:
            await self._deal_with(store, due, datetime.now(UTC))
        except PASSING:
            raise
        except Exception:
            log.exception("%s of ticket %s waits", type(due).__name__, due.ticket)

    async def _deal_with(self, store: Store, due: Due | Resolved, now: datetime) -> None:
        match due:
            case Due():
                await breaching.record(store, self._known, due, now=now)
            case Resolved():
                await closing.close(store, due, now=now)
