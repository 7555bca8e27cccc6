"""The timer beside the projector: has the breach of every SLA clock recorded that ran out. Any number may run; each breach is
recorded once, since its command has an id of its own.
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
from crm_es.service import breaching
from crm_es.service.breaching import Due, Known
from crm_es.service.enums import SlaKind

log = logging.getLogger(__name__)

PASSING: Final = (psycopg.OperationalError, psycopg.InterfaceError, UnavailableError)
POLL_SECONDS: Final = 1.0
BACK_OFF: Final = 2.0
AGAIN_SECONDS: Final = 30.0  # until then a clock that was dealt with is left alone: its row is to follow
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


class Timer:
    """Reads what is due as the projector's role, records it as the application's."""

    def __init__(self, urls: DatabaseUrls, keys: KeyStore, *, poll: float = POLL_SECONDS) -> None:
        self._urls = urls
        self._keys = keys
        self._poll = poll
        self._known: Known = {}
        self._dealt_with: dict[Due, float] = {}

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
                log.warning("the SLA timer stopped, again in %s s: %s: %s", BACK_OFF, type(error).__name__, error)
                stop.wait(BACK_OFF)
            except Exception:
                log.exception("the SLA timer stopped, again in %s s", BACK_OFF)
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

    def _due(self, connection: psycopg.Connection[Any]) -> list[Due]:
        """What ran out and was not dealt with just now."""
        try:
            rows = connection.execute(_DUE, [datetime.now(UTC).replace(microsecond=0)]).fetchall()
        except psycopg.errors.UndefinedTable:  # a new database, or a read model is being swapped
            return []
        present = time.monotonic()
        self._dealt_with = {due: until for due, until in self._dealt_with.items() if until > present}
        found = [Due(workspace, ticket, SlaKind(kind), cycle) for workspace, ticket, kind, cycle in rows]
        return [due for due in found if due not in self._dealt_with]

    async def _record(self, store: Store, found: Sequence[Due]) -> int:
        """Answers how many there were."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        for start in range(0, len(found), AT_ONCE):
            await asyncio.gather(*(self._one(store, due) for due in found[start : start + AT_ONCE]))
        return len(found)

    async def _one(self, store: Store, due: Due) -> None:
        """One that fails holds up no other."""
        self._dealt_with[due] = time.monotonic() + AGAIN_SECONDS
        try:
            await breaching.record(store, self._known, due, now=datetime.now(UTC))
        except PASSING:
            raise
        except Exception:
            log.exception("the breach of %s %s of ticket %s waits", due.kind, due.cycle, due.ticket)
