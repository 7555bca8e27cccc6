"""Beside the projector: carries on the reverts that are jobs. Any number may; one run is carried on by one of them."""

import threading
from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg

from crm_es.database.urls import DatabaseUrls
from crm_es.privacy.keystore import KeyStore
from crm_es.reverting import runs
from crm_es.serving.rounds import POLL_SECONDS, opened_store, rounds

_WAITING: Final = """
SELECT workspace_id, id
FROM es.revert_run
WHERE status IN ('QUEUED', 'RUNNING')
ORDER BY requested_at
LIMIT 100
"""


class Reverter:
    """Looks for runs, carries them on."""

    def __init__(self, urls: DatabaseUrls, keys: KeyStore, *, poll: float = POLL_SECONDS) -> None:
        self._urls = urls
        self._keys = keys
        self._poll = poll

    def running(self) -> AbstractContextManager[None]:
        return rounds("reverter", self._round, self._urls, self._poll)

    async def _round(self, connection: psycopg.Connection[Any], stop: threading.Event) -> bool:
        waiting = connection.execute(_WAITING).fetchall()
        if not waiting:
            return False
        busy = False
        async with opened_store(self._urls, self._keys) as store:
            for workspace, id_ in waiting:
                busy |= await runs.carry_on(store, self._urls.app, workspace, id_, stop.is_set)
        return busy
