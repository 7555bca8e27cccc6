"""Being told to stop, from outside."""

import os
import signal
import threading
from contextlib import suppress
from typing import Final

TOLD: Final = (signal.SIGTERM, signal.SIGINT)


def told_to_stop() -> threading.Event:
    """What SIGTERM or SIGINT set, from now on. To be called in the main thread.

    Not by the handler: it runs in the main thread between any two steps, so also while that holds the event's own lock to
    wait for it, and would wait for that lock for ever. It writes to a pipe; another thread reads that, and sets.
    """
    stop = threading.Event()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def tell(*_: object) -> None:
        with suppress(BlockingIOError):  # full: it was told often enough
            os.write(writing, b".")

    def heed() -> None:
        os.read(reading, 1)
        stop.set()

    threading.Thread(target=heed, name="crm-told-to-stop", daemon=True).start()
    for number in TOLD:
        signal.signal(number, tell)
    return stop
