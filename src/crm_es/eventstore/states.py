"""Folded streams, kept for a while, and which streams there are.

A kept state may be old: it saves reading old events, newer ones are read from the log. What is decided on one without reading
is appended at its version, which the log refuses if it is old.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import NO_KEYS, Fact

CACHE_SIZE = 20_000
STREAMS = 50_000
LONG = 200  # streams on the way of which states are kept
CACHE_SECONDS = 60.0  # states hold plaintext: an erased person must leave memory as fast as the keys do


def fold(aggregate: Aggregate[Any, Any], loaded: Loaded[Any] | None, facts: Iterable[Fact]) -> Loaded[Any] | None:
    """The state after these facts; None for a stream of nothing, or of another aggregate."""
    for fact in facts:
        if type(fact.event) not in aggregate.events:
            return None
        loaded = Loaded(
            id=fact.stream,
            version=fact.version,
            state=aggregate.evolve(loaded.state if loaded else None, fact.event),
            key_id=fact.key_id or (loaded.key_id if loaded else None),
            other_keys=_with(loaded.other_keys if loaded else NO_KEYS, fact.other_keys),
        )
    return loaded


def _with(keys: Mapping[UUID, UUID], more: Mapping[UUID, UUID]) -> Mapping[UUID, UUID]:
    return {**keys, **more} if more else keys


class States:
    """Safe for threads; bounded in entries and time."""

    def __init__(self, *, size: int = CACHE_SIZE, seconds: float = CACHE_SECONDS) -> None:
        self._size = size
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: dict[tuple[UUID, UUID, str], tuple[float, Loaded[Any]]] = {}
        self._seen: dict[tuple[UUID, UUID, str], float] = {}
        self._passed: dict[tuple[UUID, UUID], tuple[float, dict[int, Any]]] = {}

    def get(self, workspace: UUID, aggregate: Aggregate[Any, Any], stream: UUID) -> Loaded[Any] | None:
        entry = self._kept.get((workspace, stream, aggregate.name))
        return entry[1] if entry and entry[0] > time.monotonic() else None

    def put(self, workspace: UUID, aggregate: Aggregate[Any, Any], loaded: Loaded[Any]) -> None:
        key = (workspace, loaded.id, aggregate.name)
        with self._lock:
            present = self._kept.pop(key, None)
            if present is not None and present[1].version > loaded.version:
                loaded = present[1]
            self._kept[key] = (time.monotonic() + self._seconds, loaded)
            _trim(self._kept, self._size)

    def drop(self, workspace: UUID, aggregate: Aggregate[Any, Any], stream: UUID) -> None:
        """The log says that this state is not the newest. It may even be ahead, of a log that lost its end."""
        with self._lock:
            self._kept.pop((workspace, stream, aggregate.name), None)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()
            self._passed.clear()

    # -- on the way of long streams, for who asks what was

    def passed(self, workspace: UUID, stream: UUID, version: int) -> tuple[int, Any] | None:
        """What was noted last at that version or before it, with the version."""
        until, noted = self._passed.get((workspace, stream), (0.0, {}))
        if until <= time.monotonic():
            return None
        with self._lock:
            nearest = max((each for each in noted if each <= version), default=None)
        return None if nearest is None else (nearest, noted[nearest])

    def note_passed(self, workspace: UUID, stream: UUID, version: int, value: Any) -> None:
        """For as long as since the first that was noted of the stream."""
        now, key = time.monotonic(), (workspace, stream)
        with self._lock:
            known = self._passed.get(key)
            if known is None or known[0] <= now:
                known = self._passed[key] = (now + self._seconds, {})
            known[1][version] = value
            _trim(self._passed, LONG)

    # -- which streams there are: none ever goes

    def known(self, workspace: UUID, aggregate: Aggregate[Any, Any], streams: Iterable[UUID]) -> set[UUID]:
        """Those that are there for certain."""
        now, name = time.monotonic(), aggregate.name
        return {
            one
            for one in streams
            if self._seen.get((workspace, one, name), 0.0) > now or (workspace, one, name) in self._kept
        }

    def note(self, workspace: UUID, aggregate: Aggregate[Any, Any], streams: Iterable[UUID]) -> None:
        until = time.monotonic() + self._seconds
        with self._lock:
            self._seen |= {(workspace, one, aggregate.name): until for one in streams}
            _trim(self._seen, STREAMS)


def _trim(kept: dict[Any, Any], size: int) -> None:
    if len(kept) > size:
        for oldest in list(islice(kept, len(kept) - size + size // 10)):
            del kept[oldest]
