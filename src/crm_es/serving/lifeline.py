"""A child process of `serve` lives no longer than its parent: its standard input ends when the parent does, however it ends."""

import os
import signal
import sys
import threading
from typing import Final

CANNOT_START: Final = 3
"""The exit code of a child that says it never can, however often it is started."""


def hold_on_to_parent() -> None:
    """From now on the end of standard input is taken for a polite request to stop."""
    threading.Thread(target=_wait, name="crm-lifeline", daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
