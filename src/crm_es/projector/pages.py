"""Reading the log page by page, never cutting an append in two; the next page is read and decoded while this one is applied.

A thread reads it. It is decoded piece by piece by whoever applies, in the pauses that the server needs anyway: two threads
that both want the interpreter kept the server waiting.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice, takewhile
from typing import Final, NamedTuple, Self
from uuid import UUID

import psycopg

from crm_es.eventstore.codec import Stored
from crm_es.eventstore.event import Fact


class _Row(NamedTuple):
    log_id: int
    position: int
    state: bytes
    append: bytes


Decode = Callable[[Sequence[Stored]], Iterable[Fact]]
"""Facts may be decoded as they are asked for."""

_PAGE: Final = """
SELECT notification_id, sequence, state, uuid_send(workspace_id) || uuid_send(command_id)
FROM es.events
WHERE notification_id > %(after)s AND notification_id <= %(upto)s
ORDER BY notification_id
LIMIT %(limit)s
"""
_PAGE_OF_ONE: Final = """
SELECT notification_id, sequence, state, uuid_send(workspace_id) || uuid_send(command_id)
FROM es.events
WHERE notification_id > %(after)s AND notification_id <= %(upto)s AND workspace_id = %(workspace)s
ORDER BY notification_id
LIMIT %(limit)s
"""
END: Final = 2**63 - 1
PAGE: Final = (
    1000  # events when catching up: smaller ones cost more statements, larger ones hold up who waits for one event
)
PIECE: Final = 25  # facts decoded between two statements


@dataclass(frozen=True, slots=True)
class Page:
    """Facts of whole appends, in log order; `after` is the bookmark before it, `last` the one behind it."""

    after: int
    last: int
    facts: Sequence[Fact]
    full: bool

    def appends(self) -> list["Page"]:
        """The same, one page for each append."""
        pages, after = [], self.after
        for _, group in groupby(self.facts, key=lambda f: (f.workspace, f.command_id)):
            facts = list(group)
            pages.append(Page(after, facts[-1].log_id, facts, full=False))
            after = facts[-1].log_id
        return pages


class _Opening:
    """A page in the making: its facts are decoded some at a time."""

    def __init__(self, after: int, last: int, facts: Iterable[Fact], *, full: bool) -> None:
        self._after = after
        self._last = last
        self._full = full
        self._rest = iter(facts)
        self._facts: list[Fact] = []
        self._error: Exception | None = None

    def some(self, at_most: int | None = PIECE) -> None:
        try:
            self._facts.extend(islice(self._rest, at_most))
        except Exception as error:  # noqa: BLE001  # told to whoever wants the page
            self._error = error

    def is_sound(self) -> bool:
        """Decodes the rest."""
        self.some(None)
        return self._error is None

    def page(self) -> Page:
        """Raises: what decoding raised."""
        if not self.is_sound() and self._error is not None:
            raise self._error
        return Page(self._after, self._last, self._facts, self._full)


def join(pages: Sequence[Page]) -> Page:
    """Consecutive pages as one."""
    return Page(pages[0].after, pages[-1].last, [f for p in pages for f in p.facts], full=False)


class PageReader:
    """One connection of its own. While a full page is being applied the one behind it is read, and decoded by `work`."""

    def __init__(self, url: str, decode: Decode, *, size: int = PAGE, workspace: UUID | None = None) -> None:
        """`workspace`: of this one alone."""
        self._connection = psycopg.connect(url, autocommit=True)
        self._decode = decode
        self._workspace = workspace
        self._size = size
        self._ahead: tuple[int, int, Future[_Opening]] | None = None
        self._thread = ThreadPoolExecutor(1, "crm-projector-read")
        self._listening = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)
        self._connection.close()

    def read(self, after: int, upto: int = END) -> Page:
        """The page behind `after`, perhaps empty, never beyond `upto`."""
        page = self._awaited(after, upto).page()
        if page.full:
            self._ahead = page.last, upto, self._thread.submit(self._read, page.last, upto)
        return page

    def read_on(self, after: int, upto: int = END, *, seconds: float) -> Iterator[Page]:
        """The page behind `after`, and those behind it while they are full, for so long. Only the first may raise: a page that
        cannot be read is left to who asks for it next."""
        until = time.monotonic() + seconds
        page = self.read(after, upto)
        while page.facts:
            yield page
            if not page.full or time.monotonic() >= until or not self._is_read(page.last, upto):
                return
            page = self.read(page.last, upto)

    def work(self) -> None:
        """Decode a piece of the next page, if it is read."""
        if self._ahead and self._ahead[2].done() and self._ahead[2].exception() is None:
            self._ahead[2].result().some()

    def listen(self) -> None:
        """Be woken by appends. Whoever does not read must not: unread notices pile up until the server takes no more."""
        self._connection.execute("LISTEN crm_events")
        self._listening = True

    def wait(self, seconds: float) -> None:
        """Until something is appended, or the time is over."""
        self._forget()
        for _ in self._connection.notifies(timeout=seconds, stop_after=1):
            pass

    def newest(self) -> int:
        """The log's last id, 0 when empty."""
        self._forget()
        row = self._connection.execute("SELECT max(notification_id) FROM es.events").fetchone()
        return (row and row[0]) or 0

    def _awaited(self, after: int, upto: int) -> _Opening:
        if self._ahead and self._ahead[:2] == (after, upto):
            future, self._ahead = self._ahead[2], None
            return future.result()
        self._forget()
        return self._read(after, upto)

    def _is_read(self, after: int, upto: int) -> bool:
        """Waits for it."""
        if self._ahead is None or self._ahead[:2] != (after, upto):
            return False
        return self._ahead[2].exception() is None and self._ahead[2].result().is_sound()

    def _forget(self) -> None:
        """Wait for a page nobody wants any more, so that the connection is free."""
        if self._ahead:
            future, self._ahead = self._ahead[2], None
            future.exception()

    def _read(self, after: int, upto: int) -> _Opening:
        if (
            self._listening
        ):  # what was told before is read now; kept, it would grow for as long as there is always a next page
            deque(self._connection.notifies(timeout=0), maxlen=0)
        rows = self._rows(after, upto, self._size)
        full = len(rows) == self._size
        if full:
            rows = self._whole_appends(rows, upto)
        last = rows[-1].log_id if rows else after
        return _Opening(after, last, self._decode([Stored(*row[:3]) for row in rows]), full=full)

    def _whole_appends(self, rows: list[_Row], upto: int) -> list[_Row]:
        append = rows[-1].append
        whole = len(rows) - sum(1 for _ in takewhile(lambda row: row.append == append, reversed(rows)))
        if whole:
            return rows[:whole]
        while more := self._rows(rows[-1].log_id, upto, self._size):
            same = [row for row in more if row.append == append]
            rows += same
            if len(same) < len(more):
                break
        return rows

    def _rows(self, after: int, upto: int, limit: int) -> list[_Row]:
        with self._connection.cursor(binary=True) as cursor:
            named = {"after": after, "upto": upto, "limit": limit, "workspace": self._workspace}
            cursor.execute(_PAGE if self._workspace is None else _PAGE_OF_ONE, named, prepare=True)
            return list(map(_Row._make, cursor.fetchall()))
