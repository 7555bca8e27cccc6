"""Beside the projector: makes the exports that were asked for, and deletes those whose time is over."""

import threading
import time
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg

from crm_es.config import Settings
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from crm_es.serving.rounds import POLL_SECONDS, opened_store, rounds
from crm_es.threads import BACK_OFF

if TYPE_CHECKING:  # with it comes the whole schema, a second of every start: it is loaded by the first export
    from crm_es.exports.making import Maker

REACHED_SECONDS: Final = 0.1
# Whoever asked at the machine makes his own.
_QUEUED: Final = """
SELECT workspace_id, id
FROM exports.export
WHERE status = 'QUEUED' AND actor_kind <> 'SYSTEM'
ORDER BY requested_at
LIMIT 100
"""
_OVER: Final = """
SELECT workspace_id, id
FROM exports.export
WHERE status = 'DONE' AND expires_at <= clock_timestamp()
LIMIT 100
"""
_BEHIND: Final = "SELECT EXISTS (SELECT FROM es.bookmark WHERE read_model NOT LIKE '%%\\_\\_next' AND log_id < %s)"


class Exporter:
    """Looks for work, does it."""

    def __init__(self, settings: Settings, urls: DatabaseUrls, keys: KeyStore, *, poll: float = POLL_SECONDS) -> None:
        self._settings = settings
        self._urls = urls
        self._keys = keys
        self._poll = poll

    def running(self) -> AbstractContextManager[None]:
        return rounds("exporter", self._round, self._urls, self._poll)

    async def _round(self, connection: psycopg.Connection[Any], stop: threading.Event) -> bool:
        queued, over = self._found(connection, _QUEUED), self._found(connection, _OVER)
        if not (queued or over or self._begun()):
            return False
        from crm_es.exports.work import Work  # noqa: PLC0415

        busy = False
        async with opened_store(self._urls, self._keys) as store:
            work = Work(settings=self._settings, maker=self._maker(store, stop), stopped=stop.is_set)
            for each in dict.fromkeys([*work.unfinished(), *queued]):
                busy |= not stop.is_set() and await work.make(*each)
            for each in over:
                busy |= not stop.is_set() and await work.expire(*each)
            self._settled(connection, stop)
        return busy

    def _begun(self) -> bool:
        return any(self._settings.exports_folder.glob("*/*.plan"))

    @staticmethod
    def _found(connection: psycopg.Connection[Any], statement: Any) -> list[tuple[UUID, UUID]]:
        try:
            return connection.execute(statement).fetchall()
        except psycopg.errors.UndefinedTable:  # a new database, or the read model is being swapped
            return []

    def _maker(self, store: Store, stop: threading.Event) -> "Maker":
        from crm_es.exports.making import Maker  # noqa: PLC0415

        return Maker(
            url=self._urls.app, store=store, decode=store.codec.decode_each,
            keep=timedelta(days=self._settings.export_days),
            reached=lambda log_id: self._reach(log_id, stop),
        )  # fmt: skip

    def _reach(self, log_id: int, stop: threading.Event) -> None:
        """The projector is this process or another; it comes there."""
        from crm_es.exports.making import StoppedError  # noqa: PLC0415

        with psycopg.connect(self._urls.projector, autocommit=True) as connection:
            while connection.execute(_BEHIND, [log_id]).fetchone() != (False,):
                if stop.wait(REACHED_SECONDS):
                    raise StoppedError

    def _settled(self, connection: psycopg.Connection[Any], stop: threading.Event) -> None:
        """What was just recorded is in the read model: it is not looked at again."""
        row = connection.execute("SELECT max(notification_id) FROM es.events").fetchone()
        until = time.monotonic() + BACK_OFF
        statement = "SELECT log_id >= %s FROM es.bookmark WHERE read_model = 'exports'"
        while time.monotonic() < until and connection.execute(statement, [row and row[0]]).fetchone() != (True,):
            if stop.wait(REACHED_SECONDS):
                return
