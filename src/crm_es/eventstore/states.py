"""Folded streams, kept for a while. An entry only saves reading old events: newer ones are always read from the log."""

import threading
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import NO_KEYS, Fact

CACHE_SIZE = 5_000
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

    def get(self, workspace: UUID, aggregate: Aggregate[Any, Any], stream: UUID) -> Loaded[Any] | None:
        entry = self._kept.get((workspace, stream, aggregate.name))
        return entry[1] if entry and entry[0] > time.monotonic() else None

    def put(self, workspace: UUID, aggregate: Aggregate[Any, Any], loaded: Loaded[Any]) -> None:
        key = (workspace, loaded.id, aggregate.name)
        with self._lock:
            present = self._kept.pop(key, None)
            if present is not None and present[1].version > loaded.version:
                loaded = present[1]
            elif len(self._kept) >= self._size:
                for oldest in list(islice(self._kept, max(1, self._size // 10))):
                    del self._kept[oldest]
            self._kept[key] = (time.monotonic() + self._seconds, loaded)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()
