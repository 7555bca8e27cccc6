"""Threads that go on beside another: told to stop when a block ends, tried again after what fails."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from crm_es.errors import UnavailableError

log = logging.getLogger(__name__)

PASSING: Final = (psycopg.OperationalError, psycopg.InterfaceError, UnavailableError)
BACK_OFF: Final = 2.0


@contextmanager
def beside(run: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """`run` in a thread, for as long as the block lasts: it is told to stop by what it is given, and waited for."""
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,), name=name)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def persist(
    attempt: Callable[[], None], stop: threading.Event, *, name: str, back_off: float = BACK_OFF,
    passing: tuple[type[Exception], ...] = PASSING,
) -> None:  # fmt: skip
    """Until `stop` is set. What fails may pass: it is tried again, and only what is not `passing` is logged in full."""
    while not stop.is_set():
        try:
            attempt()
        except passing as error:
            log.warning("%s stopped, again in %s s: %s: %s", name, back_off, type(error).__name__, error)
            stop.wait(back_off)
        except Exception:
            log.exception("%s stopped, again in %s s", name, back_off)
            stop.wait(back_off)
