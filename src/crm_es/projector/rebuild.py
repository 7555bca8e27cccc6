"""Rebuilding read models beside the live ones, from position 0, while people read and the projector projects.

The rebuilt tables grow in schema `<NAME>__next`, with a bookmark of that name, so a killed rebuild goes on where it was.
When it has caught up it is handed to the leader for the swap; where no leader lives, the rebuild leads for that long.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import Connection, IsolationLevel

from crm_es.errors import ConfigurationError
from crm_es.projector import bookmarks, statistics, swap, tables, writing
from crm_es.projector.bookmarks import NEXT
from crm_es.projector.contract import ReadModel
from crm_es.projector.digest import Digest, digests
from crm_es.projector.leader import AT_A_STRETCH, Leader, connect
from crm_es.projector.pages import END, PAGE, Decode, PageReader
from crm_es.projector.target import Target

log = logging.getLogger(__name__)

NEAR: Final = 2000  # events; from here on the leader catches up itself
Report = Callable[[str, int, int], None]
"""(read model, log id reached, newest log id), after every page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a rebuild did. `differing` names tables whose live and rebuilt digests are not equal (only with `check`)."""

    read_model: str
    events: int
    seconds: float
    digests: dict[str, tuple[Digest, Digest]]

    @property
    def differing(self) -> tuple[str, ...]:
        return tuple(name for name, (live, rebuilt) in self.digests.items() if live != rebuilt)


def _silent(_name: str, _reached: int, _newest: int) -> None:
    pass


class Rebuild:
    """Rebuilds `models` one after the other."""

    def __init__(
        self,
        url: str,
        decode: Decode,
        models: Sequence[ReadModel],
        *,
        page_size: int = PAGE,
        query_seconds: float = 0.0,
    ) -> None:
        self._url = url
        self._query_seconds = query_seconds
        self._decode = decode
        self._models = models
        self._page_size = page_size

    def run(self, name: str | None = None, *, check: bool = False, report: Report = _silent) -> list[Outcome]:
        """Rebuild one or all, and swap them in; with `check` only compare digests and drop what was built."""
        return [self._one(model, check=check, report=report) for model in self._chosen(name)]

    def _chosen(self, name: str | None) -> Iterable[ReadModel]:
        chosen = [m for m in self._models if name in (None, m.NAME)]
        if not chosen:
            known = ", ".join(sorted(m.NAME for m in self._models))
            raise ConfigurationError(f"There is no read model {name}. There are: {known}.")
        return chosen

    def _one(self, model: ReadModel, *, check: bool, report: Report) -> Outcome:
        started = time.monotonic()
        with connect(self._url) as connection, self._reader() as reader:
            filling = _Filling(connection, reader, report, _begin(connection, model))
            found = self._compare(filling) if check else {}
            if check:
                _discard(connection, model)
            else:
                filling.run(near=NEAR)
                statistics.renew(connection, [filling.target.schema])
                with connection.cursor() as cursor:
                    bookmarks.make_ready(cursor, filling.target.schema)
        if not check:
            self._wait_for_swap(model)
        return Outcome(read_model=model.NAME, events=filling.events, seconds=time.monotonic() - started, digests=found)

    def _reader(self) -> PageReader:
        return PageReader(self._url, self._decode, size=self._page_size)

    def _compare(self, filling: "_Filling") -> dict[str, tuple[Digest, Digest]]:
        """Fill up to exactly where a snapshot sees the live one, then compare with that snapshot."""
        model = filling.target.model
        filling.run(near=NEAR)
        with psycopg.connect(self._url) as snapshot, psycopg.connect(self._url) as now:
            snapshot.isolation_level = IsolationLevel.REPEATABLE_READ
            snapshot.read_only = True
            with snapshot.cursor() as cursor, now.cursor() as rebuilt:
                live = bookmarks.read(cursor).get(model.NAME)
                if live is None:
                    raise ConfigurationError(
                        f"Read model {model.NAME} does not exist yet: there is nothing to compare."
                    )
                if filling.target.log_id > live.log_id:
                    filling.start_again()
                filling.run(upto=live.log_id)
                ours, theirs = digests(cursor, model, model.NAME), digests(rebuilt, model, filling.target.schema)
        return {name: (ours[name], theirs[name]) for name in ours}

    def _wait_for_swap(self, model: ReadModel) -> None:
        """Until the leader has swapped; lead for that long if nobody does. Raises: ConfigurationError."""
        with connect(self._url) as connection, connection.cursor() as cursor:
            while (rebuilt := bookmarks.read(cursor).get(model.NAME + NEXT)) is not None:
                if rebuilt.parked is not None:
                    raise ConfigurationError(
                        f"The rebuilt {model.NAME} cannot apply an event; the live one was left as it was: {rebuilt.parked}"
                    )
                with Leader(
                    self._url, self._decode, [model], page_size=self._page_size, query_seconds=self._query_seconds
                ) as leader:
                    if leader.try_lead():
                        leader.lead(lambda: not leader.swapping, poll=0.1)
                time.sleep(0.1)


@dataclass(slots=True)
class _Filling:
    """A rebuilt read model being filled; one transaction a page, so that a kill costs a page."""

    connection: Connection[Any]
    reader: PageReader
    report: Report
    target: Target
    events: int = 0

    def run(self, *, upto: int = END, near: int = 0) -> None:
        """Fill up to `upto`, or until the log's end is near."""
        newest = min(upto, self.reader.newest())
        while self.target.log_id < newest - near:
            reached = self.target.log_id
            with writing.in_a_row(self.connection):
                for page in self.reader.read_on(reached, upto, seconds=AT_A_STRETCH):
                    writing.send(self.connection, [self.target], page, self.reader.work, tell=False)
                    reached = page.last
                    self.events += len(page.facts)
                    self.report(self.target.model.NAME, page.last, newest)
                    if reached >= newest - near:
                        break
            if reached == self.target.log_id:
                return
            self.target.log_id = reached
            if self.target.log_id >= newest - near:
                newest = min(upto, self.reader.newest())

    def start_again(self) -> None:
        self.target = _fresh(self.connection, self.target.model)


def _begin(connection: Connection[Any], model: ReadModel) -> Target:
    """Go on with what a killed rebuild of this very definition left, or begin."""
    schema = model.NAME + NEXT
    with connection.cursor() as cursor:
        left = bookmarks.read(cursor).get(schema)
        if left and not left.ready and _defined_alike(cursor, model, schema):
            log.info("going on with the rebuild of %s from %s", model.NAME, left.log_id)
            return Target(model, schema, left.log_id)
    return _fresh(connection, model)


def _defined_alike(cursor: psycopg.Cursor[Any], model: ReadModel, schema: str) -> bool:
    return swap.exists(cursor, schema) and tables.made_as(cursor, schema) == tables.fingerprint(cursor, model)


def _fresh(connection: Connection[Any], model: ReadModel) -> Target:
    schema = model.NAME + NEXT
    with connection.transaction(), connection.cursor() as cursor:
        tables.drop(cursor, schema)
        tables.create(cursor, model, schema)
        bookmarks.begin(cursor, schema, model.VERSION)
    return Target(model, schema, 0)


def _discard(connection: Connection[Any], model: ReadModel) -> None:
    schema = model.NAME + NEXT
    with connection.transaction(), connection.cursor() as cursor:
        bookmarks.remove(cursor, schema)
        tables.drop(cursor, schema)
