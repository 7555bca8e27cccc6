"""A projector beside a command that records much, so that read models grow while it goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crm_es.config import environment_of_children
from crm_es.database.urls import DatabaseUrls
from crm_es.serving.supervisor import KILL_AFTER_SECONDS, Child


@contextmanager
def projector_at_hand(urls: DatabaseUrls) -> Iterator[Callable[[], None]]:
    """What starts it, once, when it is called. Where another leads it stands by; it ends with the block."""
    child = Child("the projector", ["crm_es.serving.projecting"])

    def start() -> None:
        if child.process is None:
            child.start(environment_of_children(urls))

    try:
        yield start
    finally:
        child.ask_to_stop()
        child.wait(time.monotonic() + KILL_AFTER_SECONDS)
