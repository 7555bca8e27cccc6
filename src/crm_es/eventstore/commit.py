"""Group commit: concurrent appends of one process share a statement, a transaction and a flush.

One thread writes; whoever appends leaves a request and is told its verdict. However a batch ends, everybody in it is told.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from crm_es.errors import OutcomeUnknownError, UnavailableError
from crm_es.eventstore.event import Command

MAX_REQUESTS = 128
MAX_EVENTS = 2000
MAX_BYTES = 4 * 1024 * 1024  # everybody waits while a batch is written
PATIENCE = 0.5  # of the time the last batch took
MOST_PATIENCE = 0.003  # seconds
MOST_GATHERING = 0.05  # seconds that a batch waits for those who said that more will come


class Taken(NamedTuple):
    kind: str
    key: bytes
    holder: UUID


class Freed(NamedTuple):
    """`key` None: all of this kind that the stream holds (after erasure its values cannot be hashed)."""

    kind: str
    key: bytes | None
    holder: UUID


class Holder(NamedTuple):
    """Whether erasing `subject` destroys `key`; `held` False takes the row away."""

    subject: UUID
    key: UUID
    stream: UUID
    held: bool


class Doomed(NamedTuple):
    key: UUID
    stream: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """What one command does to the log, ready to be written."""

    command: Command
    events: Sequence[StoredEvent] = ()
    ids: Sequence[UUID] = ()
    taken: Sequence[Taken] = ()
    freed: Sequence[Freed] = ()
    holders: Sequence[Holder] = ()
    doomed: Sequence[Doomed] = ()
    refusals: str | None = None


class Verdict(NamedTuple):
    """The append function's answer to one request."""

    status: Literal["OK", "REPLAYED", "REUSED", "CONFLICT", "FOREIGN", "TAKEN"]
    first_position: int | None = None
    last_position: int | None = None
    last_log_id: int | None = None
    holder: UUID | None = None
    kind: str | None = None
    key: bytes | None = None
    ids: tuple[UUID, ...] = ()
    refusals: str | None = None


Answer = Verdict | Exception

queued: ContextVar[Callable[[], object] | None] = ContextVar("queued", default=None)
"""Called when an append of this coroutine stands in the queue: what is appended after that comes after it."""


@dataclass(slots=True, eq=False)
class Request:
    """An append in the queue. `wake` is called once, by the writing thread, when `answer` is there."""

    append: Append
    loop: asyncio.AbstractEventLoop | None
    wake: Callable[[], object]
    answer: Answer | None = None
    touches: frozenset[object] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        command = self.append.command
        workspace = command.workspace
        self.touches = frozenset(
            [(workspace, command.command_id)]
            + [event.originator_id for event in self.append.events]
            + [(workspace, kind, key) for kind, key, _ in self.append.taken]
            + [(workspace, kind, key) for kind, key, _ in self.append.freed]
        )
        self.size = sum(len(event.state) for event in self.append.events)


class Committer:
    """The queue and the thread behind it; it starts with the first append and ends with `close`."""

    def __init__(self, write: Callable[[Sequence[Append]], Iterable[Answer]]) -> None:
        self._write = write
        self._queue: list[Request] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._expected = 1  # so many requests the writing thread is woken for
        self._patience = 0.0
        self._gathering = 0
        self.batches = 0
        self.requests = 0

    @property
    def waiting(self) -> int:
        """How many appends are queued behind the one being written."""
        return len(self._queue)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Many appends are about to come, one by one: none is written until a batch of them is full, or the block is left."""
        with self._changed:
            self._gathering += 1
        try:
            yield
        finally:
            with self._changed:
                self._gathering -= 1
                self._changed.notify()

    def append_and_wait(self, append: Append) -> Verdict:
        """For threads. Raises what the writing raised."""
        done = threading.Lock()
        done.acquire()
        request = Request(append, None, done.release)
        self._submit(request)
        done.acquire()
        return _verdict(request)

    async def append(self, append: Append) -> Verdict:
        """For coroutines. A cancelled one does not take its append back: it may stand."""
        loop = asyncio.get_running_loop()
        told: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not told.done():
                told.set_result(None)

        request = Request(append, loop, tell)
        self._submit(request)
        if (tell_queued := queued.get()) is not None:
            tell_queued()
        await told
        return _verdict(request)

    def close(self) -> None:
        """Write what is queued, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _submit(self, request: Request) -> None:
        with self._changed:
            if self._closing:
                raise UnavailableError("The store is closing; nothing was recorded.")
            self._queue.append(request)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="crm-append", daemon=True)
                self._thread.start()
            waiting = len(self._queue)
            if waiting in (1, MAX_REQUESTS) if self._gathering else waiting >= self._expected:
                self._changed.notify()

    def _run(self) -> None:
        while batch := self._next():
            self.batches += 1
            self.requests += len(batch)
            begun = time.monotonic()
            try:
                self._settle(batch, self._write([request.append for request in batch]))
            except BaseException as exc:  # noqa: BLE001  # whatever it was, nobody may wait for ever
                self._settle(batch, [exc if isinstance(exc, Exception) else _interrupted(exc)] * len(batch))
            self._patience = min(MOST_PATIENCE, PATIENCE * (time.monotonic() - begun))

    def _next(self) -> list[Request]:
        """Those at the head of the queue that may share a batch, in order; none when closing.

        Two requests that share a stream, a command or a reservation never do: each must see what the other left.
        """
        with self._changed:
            self._gather()
            batch: list[Request] = []
            rest: list[Request] = []
            touched: set[object] = set()
            events = size = 0
            for request in self._queue:
                events += len(request.append.events)
                size += request.size
                full = batch and (len(batch) == MAX_REQUESTS or events > MAX_EVENTS or size > MAX_BYTES)
                (rest if full or not touched.isdisjoint(request.touches) else batch).append(request)
                touched |= request.touches
            self._queue = rest
            self._expected = len(batch) + len(rest)
            return batch

    def _gather(self) -> None:
        """Wait for a request; and, for a part of what a batch takes, for as many as there were last time.

        Who was just answered will often ask again at once. Without this, writers fall into two halves that take turns, and every
        flush carries half of them.
        """
        if self._expected > 1 and not self._closing:
            self._changed.wait_for(lambda: self._closing or len(self._queue) >= self._expected, self._patience)
        self._expected = 1
        self._changed.wait_for(lambda: self._closing or self._queue)
        self._changed.wait_for(self._gathered, MOST_GATHERING)

    def _gathered(self) -> bool:
        return self._closing or not self._gathering or len(self._queue) >= MAX_REQUESTS

    def _settle(self, batch: Sequence[Request], answers: Iterable[Answer]) -> None:
        for request, answer in zip(batch, answers, strict=True):
            request.answer = answer
        for loop in {request.loop for request in batch}:
            told = [request.wake for request in batch if request.loop is loop]
            if loop is None:
                _tell(told)
                continue
            with contextlib.suppress(RuntimeError):  # the loop was closed while its appends were written
                loop.call_soon_threadsafe(_tell, told)


def _tell(wakes: Iterable[Callable[[], object]]) -> None:
    for wake in wakes:
        wake()


def _verdict(request: Request) -> Verdict:
    match request.answer:
        case Exception() as error:
            raise error
        case None:
            raise OutcomeUnknownError("The append was interrupted; it may stand.")
        case verdict:
            return verdict


def _interrupted(error: BaseException) -> OutcomeUnknownError:
    return OutcomeUnknownError(f"The append was interrupted ({type(error).__name__}); it may stand.")
