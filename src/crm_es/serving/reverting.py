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
# No request works as long as this: whoever promised has died, or came to nothing.
_PROMISED: Final = """
SELECT workspace_id, command_id, target
FROM es.revert_to_note
WHERE promised_at < clock_timestamp() - make_interval(secs => %s)
LIMIT 100
"""
DEAD_SECONDS: Final = 300.0


class Reverter:
    """Looks for runs, carries them on; keeps what a process that died had promised to note."""

    def __init__(
        self, urls: DatabaseUrls, keys: KeyStore, *, poll: float = POLL_SECONDS, dead: float = DEAD_SECONDS
    ) -> None:
        self._urls = urls
        self._keys = keys
        self._poll = poll
        self._dead = dead

    def running(self) -> AbstractContextManager[None]:
        return rounds("reverter", self._round, self._urls, self._poll)

    async def _round(self, connection: psycopg.Connection[Any], stop: threading.Event) -> bool:
        for promised in connection.execute(_PROMISED, [self._dead]).fetchall():
            await runs.keep_promise(self._urls.app, *promised)
        waiting = connection.execute(_WAITING).fetchall()
        if not waiting:
            return False
        busy = False
        async with opened_store(self._urls, self._keys) as store:
            for workspace, id_ in waiting:
                busy |= await runs.carry_on(store, self._urls.app, workspace, id_, stop.is_set)
        return busy
