"""The projector: stands by until it may lead, leads, comes back after errors that may pass, stops cleanly."""

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final

from crm_es.projector.bookmarks import AbdicatedError
from crm_es.projector.contract import ReadModel
from crm_es.projector.leader import PASSING, Leader
from crm_es.projector.pages import PAGE, Decode
from crm_es.threads import beside

log = logging.getLogger(__name__)

BACK_OFF: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds; the last one repeats


class Projector:
    """Feeds `models` from the log at `url` (the projector's role). One of all those running leads."""

    def __init__(
        self,
        url: str,
        decode: Decode,
        models: Sequence[ReadModel],
        *,
        page_size: int = PAGE,
        poll: float = 1.0,
        query_seconds: float = 0.0,
    ) -> None:
        self._url = url
        self._decode = decode
        self._models = models
        self._page_size = page_size
        self._poll = poll
        self._query_seconds = query_seconds
        self._leading = threading.Event()
        self._given_up: set[str] = set()

    @property
    def leading(self) -> bool:
        return self._leading.is_set()

    def run(self, stop: threading.Event) -> None:
        """Project, or stand by, until `stop` is set."""
        failures = 0
        while not stop.is_set():
            try:
                with self._leader() as leader:
                    failures = 0
                    self._stand_by_and_lead(leader, stop)
            except AbdicatedError as error:
                log.warning("leads no more: %s", error)
                stop.wait(self._poll)
            except PASSING as error:
                pause = BACK_OFF[min(failures, len(BACK_OFF) - 1)]
                failures += 1
                log.warning("projecting stopped, again in %s s: %s: %s", pause, type(error).__name__, error)
                stop.wait(pause)
            except Exception:
                # Facts that do not open (of a newer program, say) are no read model's fault; another process may read them.
                log.exception("projecting stopped, again in %s s", BACK_OFF[-1])
                stop.wait(BACK_OFF[-1])
            finally:
                self._leading.clear()

    def drain(self, upto: int | None = None) -> int:
        """Lead until all stands at the log's end (or `upto`), then step back. Answers how many facts that took."""
        with self._leader() as leader:
            while not leader.try_lead():
                threading.Event().wait(0.05)
            leader.drain(upto)
            return leader.applied

    def running(self) -> AbstractContextManager[None]:
        """`run` in a thread, for as long as the block lasts."""
        return beside(self.run, "crm-projector")

    def _leader(self) -> Leader:
        return Leader(
            self._url, self._decode, self._models, page_size=self._page_size, given_up=self._given_up,
            query_seconds=self._query_seconds,
        )  # fmt: skip

    def _stand_by_and_lead(self, leader: Leader, stop: threading.Event) -> None:
        while not stop.is_set():
            if leader.try_lead():
                self._leading.set()
                log.info("leads the projection")
                return leader.lead(stop.is_set, poll=self._poll)
            stop.wait(self._poll)
        return None
