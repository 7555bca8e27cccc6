"""Beside the projector: carries on the reverts that are jobs. Any number may; one run is carried on by one of them."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from crm_es.catalog import AGGREGATES
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import UnavailableError
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from crm_es.reverting import runs

log = logging.getLogger(__name__)

PASSING: Final = (psycopg.OperationalError, psycopg.InterfaceError, UnavailableError)
POLL_SECONDS: Final = 1.0
BACK_OFF: Final = 2.0
READERS: Final = 2
_WAITING: Final = """
SELECT workspace_id, id
FROM es.revert_run
WHERE status IN ('QUEUED', 'RUNNING')
ORDER BY requested_at
LIMIT 100
"""


class Reverter:
    """Looks for runs as the projector's role, carries them on as the application's."""

    def __init__(self, urls: DatabaseUrls, keys: KeyStore, *, poll: float = POLL_SECONDS) -> None:
        self._urls = urls
        self._keys = keys
        self._poll = poll

    @contextmanager
    def running(self) -> Iterator[None]:
        """`run` in a thread, for as long as the block lasts."""
        stop = threading.Event()
        thread = threading.Thread(target=self.run, args=(stop,), name="crm-reverter")
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
                asyncio.run(self._work(stop))
            except PASSING as error:
                log.warning("reverts stopped, again in %s s: %s: %s", BACK_OFF, type(error).__name__, error)
                stop.wait(BACK_OFF)
            except Exception:
                log.exception("reverts stopped, again in %s s", BACK_OFF)
                stop.wait(BACK_OFF)

    async def _work(self, stop: threading.Event) -> None:
        """The store is opened for as long as there is work: mostly there is none."""
        with psycopg.connect(self._urls.projector, autocommit=True) as connection:
            while not stop.is_set():
                waiting = connection.execute(_WAITING).fetchall()
                if not waiting or not await self._carry_on(waiting, stop):
                    await asyncio.to_thread(stop.wait, self._poll)

    async def _carry_on(self, waiting: list[tuple[object, ...]], stop: threading.Event) -> bool:
        store = await Store.open(self._urls.app, AGGREGATES, self._keys, readers=READERS)
        try:
            busy = False
            for workspace, id_ in waiting:
                busy |= await runs.carry_on(store, self._urls.app, workspace, id_, stop.is_set)  # type: ignore[arg-type]
            return busy
        finally:
            await store.close()
