"""One leadership: the connection that holds the lock writes every read model, page by page, until it ends.

All targets at one bookmark go in one transaction. A data or program error parks the read model that has it, whole, at the
append before; errors that may pass (connection, deadlock, disk, keys) go up: the caller rolls back, waits, comes again.
"""

import logging
import time
import traceback
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from typing import Any, Final, Self

import psycopg
from psycopg import Connection

from crm_es.database.urls import with_options
from crm_es.errors import UnavailableError
from crm_es.projector import bookmarks, statistics, swap, tables, writing
from crm_es.projector.bookmarks import NEXT, AbdicatedError
from crm_es.projector.contract import ReadModel
from crm_es.projector.pages import END, PAGE, Decode, Page, PageReader, join
from crm_es.projector.statistics import Statistics
from crm_es.projector.target import Target

log = logging.getLogger(__name__)

LOCK: Final = 4711002  # session advisory lock; es.append_events takes 4711001
PASSING: Final = (psycopg.OperationalError, psycopg.InterfaceError, UnavailableError, AbdicatedError)
_OFF: Final = ("synchronous_commit", "enable_hashjoin", "enable_mergejoin", "enable_seqscan")
AT_A_STRETCH: Final = 0.5  # seconds of pages sent before what they came to is looked at
LOOK_EVERY: Final = 1.0  # seconds between looks at what rebuilds hand over and leave behind


class Leader:
    """Use as a context manager; `try_lead` says whether the lock was free.

    `given_up` are the read models that this process parked, in whichever leadership: its program will not do better.
    """

    def __init__(
        self, url: str, decode: Decode, models: Sequence[ReadModel], *, page_size: int = PAGE,
        given_up: set[str] | None = None, query_seconds: float = 0.0,
    ) -> None:  # fmt: skip
        self._url = url
        self._given_up = set() if given_up is None else given_up
        self._query_seconds = query_seconds
        self._models = {m.NAME: m for m in models}
        self._targets: dict[str, Target] = {}
        self._swaps: dict[str, swap.Watch] = {}
        self._looked = 0.0
        with ExitStack() as opened:
            self._connection = opened.enter_context(closing(connect(url)))
            self._reader = opened.enter_context(PageReader(url, decode, size=page_size))
            self._opened = opened.pop_all()
        self._statistics = Statistics(self._connection)
        self.applied = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def try_lead(self) -> bool:
        row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if not (row and row[0]):
            return False
        self._reader.listen()
        self._prepare()
        return True

    def lead(self, stopped: Callable[[], bool], *, poll: float) -> None:
        """Project until told to stop. Raises: AbdicatedError, or what may pass."""
        while not stopped():
            if not self.step():
                self._reader.wait(poll)

    def drain(self, upto: int | None = None) -> None:
        """Project until every read model that is not parked stands at the log's end, or at `upto` if that comes first."""
        end = self._reader.newest()
        end = end if upto is None else min(end, upto)
        while any(t.log_id < end for t in self._targets.values()):
            self.step()
        while self._statistics.renew(self.applied, self._targets):
            pass

    def step(self) -> bool:
        """Apply a page to the foremost read models and one to the last, or some to all where all stand at one place; False
        when there was nothing to do."""
        self._look_around()
        places = sorted({t.log_id for t in self._targets.values()})
        if not places:
            return False
        if len(places) == 1:
            done = self._pages(places[0], END, seconds=AT_A_STRETCH)
        else:
            done = self._pages(places[-1], END)
            done = self._pages(places[0], places[1]) or done
        return self._swap_ready() or done or self._statistics.renew(self.applied, self._targets)

    # What there is to project

    def _prepare(self) -> None:
        """Make missing read models; try again those that another process parked: the program may have been mended."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            present = bookmarks.read(cursor)
            for name, model in self._models.items():
                if name not in present or not swap.exists(cursor, name):
                    tables.drop(cursor, name)
                    tables.create(cursor, model, name)
                    bookmarks.begin(cursor, name, model.VERSION)
            bookmarks.unpark(cursor, [n for n in present if n in self._models and n not in self._given_up])
        self._look_around(at_once=True)

    def _look_around(self, *, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self._looked < LOOK_EVERY:
            return
        self._looked = time.monotonic()
        with self._connection.cursor() as cursor:
            present = bookmarks.read(cursor)
            swap.drop_left_behind(self._connection, self._models)
        inorder = [n for m in self._models for n in (m, m + NEXT) if n in present]
        self._targets = {n: t for n in inorder if (t := self._target(present[n]))}
        self._swaps = {name: w for name, w in self._swaps.items() if name in self._targets}

    def _target(self, bookmark: bookmarks.Bookmark) -> Target | None:
        name = bookmark.read_model.removesuffix(NEXT)
        model = self._models.get(name)
        if model is None or bookmark.parked is not None:
            return None
        if bookmark.version != model.VERSION:
            log.warning("read model %s has version %s, not %s: rebuild it", name, bookmark.version, model.VERSION)
            return None
        if bookmark.read_model != name and not bookmark.ready:
            return None
        return Target(model, bookmark.read_model, bookmark.log_id)

    # Pages

    def _pages(self, after: int, upto: int, *, seconds: float = 0.0) -> bool:
        group = [t for t in self._targets.values() if t.log_id == after]
        pages = self._reader.read_on(after, upto, seconds=seconds)
        first = next(pages, None)
        if first is None:
            return False
        sent = {after: 0}
        try:
            self._send(group, chain([first], pages), sent)
        except PASSING:
            raise
        except Exception:
            self._stand(group, self._reached(group, sent), sent)
            log.exception("page after %s failed; applying it to each read model apart", group[0].log_id)
            self._page_apart(group, upto)
        else:
            self._stand(group, max(sent), sent)
        return True

    def _send(self, group: Sequence[Target], pages: Iterable[Page], sent: dict[int, int]) -> None:
        with writing.in_a_row(self._connection):
            for page in pages:
                writing.send(self._connection, group, page, self._reader.work, tell=True)
                sent[page.last] = len(page.facts)

    def _reached(self, group: Sequence[Target], sent: Container[int]) -> int:
        """How far they came. Raises: AbdicatedError where that is none of ours."""
        with self._connection.cursor() as cursor:
            present = bookmarks.read(cursor)
        reached = {present[t.schema].log_id for t in group if t.schema in present}
        if len(reached) != 1 or not all(place in sent for place in reached):
            raise AbdicatedError(f"bookmarks of {[t.schema for t in group]} stand at {sorted(reached)}")
        return reached.pop()

    def _stand(self, group: Iterable[Target], at: int, sent: Mapping[int, int]) -> None:
        for target in group:
            target.log_id = at
        self.applied += sum(facts for last, facts in sent.items() if last <= at)

    def _page_apart(self, group: Sequence[Target], upto: int) -> None:
        page = self._reader.read(group[0].log_id, upto)
        if page.facts:
            self._apply_apart(group, page)
            self.applied += len(page.facts)

    def _apply(self, group: Sequence[Target], page: Page) -> None:
        """A page by itself, to all of them in one transaction; its statements wait for one answer together."""
        with self._connection.transaction(), self._connection.pipeline():
            for target in group:
                target.apply(self._connection, page.facts)
            with self._connection.cursor() as cursor:
                cursor.execute("NOTIFY crm_projected")
                bookmarks.advance(cursor, [t.schema for t in group], old=page.after, new=page.last)
        for target in group:
            target.log_id = page.last

    def _apply_apart(self, group: Sequence[Target], page: Page) -> None:
        failed = []
        with self._connection.transaction():
            for target in group:
                try:
                    with self._connection.transaction():  # a savepoint
                        self._apply([target], page)
                except PASSING:
                    raise
                except Exception as raised:  # noqa: BLE001  # whatever a read model's program raises
                    failed.append((target, raised))
        for target, error in failed:
            self._narrow(target, page, error)

    def _narrow(self, target: Target, page: Page, error: Exception) -> None:
        """Halve the page until one append is left that fails alone; park the read model before it."""
        rest = page.appends()
        while True:
            half = rest[: max(1, len(rest) // 2)]
            try:
                self._apply([target], join(half))
            except PASSING:
                raise
            except Exception as again:  # noqa: BLE001  # as above
                error = again
                if len(half) == 1:
                    return self._park(target, half[0], error)
                rest = half
            else:
                rest = rest[len(half) :]
                if not rest:
                    return None

    def _park(self, target: Target, append: Page, error: Exception) -> None:
        letter = dead_letter(append, error)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            bookmarks.park(cursor, target.schema, old=target.log_id, letter=letter)
            cursor.execute("NOTIFY crm_projected")
        self._given_up.add(target.schema)
        del self._targets[target.schema]
        log.error("read model %s is parked before %s: %s", target.schema, letter["log_id"], letter, exc_info=error)

    # Swaps

    def _swap_ready(self) -> bool:
        for name, target in list(self._targets.items()):
            live = self._targets.get(name.removesuffix(NEXT))
            if not name.endswith(NEXT):
                continue
            if live is not None and live.log_id != target.log_id:
                self._swaps.pop(name, None)
                continue
            watch = self._swaps.setdefault(name, swap.Watch.of(self._connection, self._query_seconds))
            if watch.over(self._connection):
                statistics.renew(self._connection, [name])
                swap.swap(self._connection, target)
                self._look_around(at_once=True)
                return True
        return False

    @property
    def swapping(self) -> bool:
        """Whether a rebuilt read model waits for its swap."""
        return any(name.endswith(NEXT) for name in self._targets)


def connect(url: str) -> Connection[Any]:
    """A connection for writing read models; keeps the plans of all their statements.

    Commits need not wait for the disk: rows and bookmark are lost together in a crash, and projected again. Kept plans look
    rows up by index: those made while a table is small would else read all of it on every page, however large it grows.
    """
    off = " ".join(f"-c {name}=off" for name in _OFF)
    connection = psycopg.connect(with_options(url, off), autocommit=True)
    connection.prepared_max = 2000
    return connection


def dead_letter(append: Page, error: Exception) -> dict[str, Any]:
    """Where it stopped and in which line of the program; no message, since messages quote values."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "log_id": append.facts[0].log_id,
        "workspace": str(append.facts[0].workspace),
        "position": append.facts[0].position,
        "topics": sorted({f.topic for f in append.facts}),
        "error": type(error).__name__,
        "at": [f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}" for f in frames[-3:]],
    }
