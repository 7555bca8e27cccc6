"""The sealer's loop: stands by until it may lead, seals within a second of growth, comes back after errors that may pass."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection

from crm_es.errors import ConfigurationError, ConflictError, UnavailableError
from crm_es.ledger.book import connect
from crm_es.ledger.epochs import reopen
from crm_es.ledger.heads_sealing import INTERVAL, HeadsSealer
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.memory import Memory
from crm_es.ledger.sealer import Sealer
from crm_es.threads import beside, persist

log = logging.getLogger(__name__)

LOCK: Final = 4711010  # session advisory lock; es.append_events takes 4711001, the projector 4711002
PASSING: Final = (psycopg.OperationalError, psycopg.InterfaceError, ConflictError)
BACK_OFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds; the last one repeats
ROUND_SECONDS: Final = 0.75  # from one look at all logs to the next; what grew in between is signed within a second
THIN_SECONDS: Final = 3600.0


def first_start(keys: KeyFile, memory_file: Path, connection: Connection[Any]) -> None:
    """Make the first key where nothing was ever signed. Raises: ConfigurationError."""
    if keys.exists():
        return
    row = connection.execute("SELECT EXISTS (SELECT FROM ledger.key)").fetchone()
    if memory_file.exists() or (row and row[0]):
        raise ConfigurationError(
            f"CRM_SEALER_KEY: there is no {keys.path}, and logs were signed before. Restore the file. If the key is lost for "
            "ever, only new epochs can be signed: `crm-es ledger new-key` says what that means."
        )
    keys.make()
    log.info("made the first key, %s", keys.path)


class Sealing:
    """The sealer of a database. One of all those running leads; all share the key file and the memory."""

    def __init__(
        self, url: str, *, keys: KeyFile, memory_file: Path, origin: str, poll: float = ROUND_SECONDS,
        heads_interval: float = INTERVAL,
    ) -> None:  # fmt: skip
        self._url = url
        self._keys = keys
        self._memory_file = memory_file
        self._origin = origin
        self._poll = poll
        self._heads_interval = heads_interval
        self._thinned = 0.0
        self._at_once = threading.Event()  # somebody waits for a seal: no pause before the next look

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Raises: ConfigurationError."""
        failures = 0
        while not stop.is_set():
            try:
                with closing(connect(self._url)) as connection:
                    if self._stand_by(connection, stop):
                        failures = 0
                        self._lead(connection, stop)
            except PASSING as error:
                pause = BACK_OFF[min(failures, len(BACK_OFF) - 1)]
                failures += 1
                log.warning("sealing stopped, again in %s s: %s: %s", pause, type(error).__name__, error)
                stop.wait(pause)

    def drain(self) -> None:
        """Lead until all is sealed, then step back."""
        with closing(connect(self._url)) as connection:
            self._stand_by(connection, threading.Event())
            with self._leading(connection) as sealer:
                while sealer.step():
                    pass

    def running(self) -> AbstractContextManager[None]:
        """`run` in a thread, for as long as the block lasts."""
        return beside(self.run, "crm-sealer")

    def _stand_by(self, connection: Connection[Any], stop: threading.Event) -> bool:
        """Until it may lead; False: told to stop."""
        while not stop.is_set():
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
            if row and row[0]:
                return True
            stop.wait(self._poll)
        return False

    def _lead(self, connection: Connection[Any], stop: threading.Event) -> None:
        with self._leading(connection) as sealer:
            log.info("leads the sealing")
            with beside(self._keep_sealing_heads, "crm-heads"):
                while not stop.is_set():
                    began = time.monotonic()
                    self._at_once.clear()
                    more = sealer.step()
                    self._thin(sealer)
                    if not more:
                        self._at_once.wait(max(0.0, began + self._poll - time.monotonic()))
            sealer.step()  # what was recorded just before the end

    def _seal_heads(self, stop: threading.Event) -> None:
        with closing(connect(self._url)) as connection:
            connection.execute("LISTEN ledger_requests")
            heads = HeadsSealer(connection, interval=self._heads_interval, appended=self._at_once.set)
            while not stop.is_set():
                heads.step(stop)
                for _ in connection.notifies(timeout=self._poll, stop_after=1):
                    pass

    def _keep_sealing_heads(self, stop: threading.Event) -> None:
        passing = (*PASSING, UnavailableError)
        persist(lambda: self._seal_heads(stop), stop, name="sealing of heads", back_off=BACK_OFF[-1], passing=passing)

    @contextmanager
    def _leading(self, connection: Connection[Any]) -> Iterator[Sealer]:
        first_start(self._keys, self._memory_file, connection)
        with closing(Memory(self._memory_file)) as memory:
            sealer = Sealer(connection, memory, self._keys, self._origin, reopen)
            sealer.begin()
            yield sealer

    def _thin(self, sealer: Sealer) -> None:
        if time.monotonic() - self._thinned > THIN_SECONDS or not self._thinned:
            since = datetime.now(UTC) - timedelta(days=32) if self._thinned else datetime.min.replace(tzinfo=UTC)
            sealer.book.thin(since)
            self._thinned = time.monotonic()
