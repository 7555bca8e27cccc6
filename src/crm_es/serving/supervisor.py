"""Keeps processes running: starts them, starts them again when they die, and stops them all when told to."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from crm_es.errors import UnavailableError
from crm_es.serving.lifeline import CANNOT_START

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2
STEADY_SECONDS: Final = 30.0  # who lived that long may be started again at once
BACK_OFF: Final = (0.0, 0.5, 1.0, 2.0, 5.0)
KILL_AFTER_SECONDS: Final = 5.0


@dataclass(slots=True)
class Child:
    """One process to keep alive. `module` is run with `python -m`; `last`: the others still need it while they stop.

    `secrets` are settings for it alone.
    """

    name: str
    module: Sequence[str]
    descriptors: tuple[int, ...] = ()
    last: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    failures: int = 0
    due: float = field(default=0.0)

    def start(self, environment: Mapping[str, str]) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *self.module],
            stdin=subprocess.PIPE,
            pass_fds=self.descriptors,
            env={**environment, **self.secrets},
            start_new_session=True,  # Ctrl-C is for the parent, who stops everybody in order
        )

    def died(self) -> int | None:
        """Its exit code, if it is gone since we looked last."""
        code = self.process.poll() if self.process else None
        if code is not None:
            self._let_go()
        return code

    def postpone(self) -> float:
        """When to start again: at once, and later and later for one that keeps dying."""
        steady = time.monotonic() - self.started_at > STEADY_SECONDS
        self.failures = 0 if steady else self.failures + 1
        pause = BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
        self.due = time.monotonic() + pause
        return pause

    def ask_to_stop(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float) -> None:
        if not self.process:
            return
        try:
            self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop in time and is killed", self.name)
            self.process.kill()
            self.process.wait()
        self._let_go()

    def _let_go(self) -> None:
        if self.process and self.process.stdin:
            self.process.stdin.close()
        self.process = None


class Supervisor:
    """`tend` is called every few seconds; `grace` is how long children may take to finish what they have begun."""

    def __init__(
        self,
        children: Sequence[Child],
        environment: Mapping[str, str],
        *,
        grace: float,
        tend: Callable[[], None] = lambda: None,
        tend_seconds: float = 5.0,
    ) -> None:
        self._children = children
        self._environment = environment
        self._grace = grace
        self._tend = tend
        self._tend_seconds = tend_seconds

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. Raises: UnavailableError when a child says that it can never start."""
        with self._stopping():
            tended = time.monotonic()
            while not stop.wait(POLL_SECONDS):
                for child in self._children:
                    self._keep(child)
                if time.monotonic() - tended > self._tend_seconds:
                    self._tend()
                    tended = time.monotonic()

    def _keep(self, child: Child) -> None:
        if child.process is None:
            if time.monotonic() >= child.due:
                child.start(self._environment)
            return
        code = child.died()
        if code is None:
            return
        if code == CANNOT_START:
            raise UnavailableError(
                f"{child.name} cannot start; it said why above. Everything was stopped, nothing was lost."
            )
        log.warning("%s ended with code %s; it is started again in %s s", child.name, code, child.postpone())

    @contextmanager
    def _stopping(self) -> Iterator[None]:
        try:
            yield
        finally:
            for last in (False, True):
                self._stop([child for child in self._children if child.last is last])

    def _stop(self, children: Sequence[Child]) -> None:
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + self._grace + KILL_AFTER_SECONDS
        for child in children:
            child.wait(deadline)
