"""The timer beside the projector: has the breach of every SLA clock recorded that ran out, and resolved tickets closed after
their queue's days. Any number may run; each is done once, since its command has an id of its own.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from crm_es.service import breaching, closing
from crm_es.service.breaching import Due, Known
from crm_es.service.closing import Resolved
from crm_es.service.enums import SlaKind
from crm_es.serving.rounds import POLL_SECONDS, opened_store, rounds
from crm_es.threads import PASSING

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 30.0  # until then what was dealt with is left alone: its row is to follow
AT_ONCE: Final = 16
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
    """Reads what is due, records it."""

    def __init__(self, urls: DatabaseUrls, keys: KeyStore, *, poll: float = POLL_SECONDS) -> None:
        self._urls = urls
        self._keys = keys
        self._poll = poll
        self._known: Known = {}
        self._dealt_with: dict[Due | Resolved, float] = {}

    def running(self) -> AbstractContextManager[None]:
        return rounds("timer", self._round, self._urls, self._poll)

    async def _round(self, connection: psycopg.Connection[Any], _: threading.Event) -> bool:
        found = self._due(connection)
        if not found:
            return False
        async with opened_store(self._urls, self._keys) as store:
            await self._record(store, found)
        return True

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

    async def _record(self, store: Store, found: Sequence[Due | Resolved]) -> None:
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        for start in range(0, len(found), AT_ONCE):
            await asyncio.gather(*(self._one(store, due) for due in found[start : start + AT_ONCE]))

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
