"""Streams folded on reading: each record as it was after each of its events, and what an event changed of it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from crm_es.catalog import AGGREGATES
from crm_es.context import Context
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import Event, Fact, WorkspaceId, changeable_fields, changed_fields
from crm_es.eventstore.store import Store

_AGGREGATES: Final[Mapping[str, Aggregate[Any, Any]]] = {each.name: each for each in AGGREGATES}


STRIDE: Final = 500
"""Events between two states of a long stream that are kept for a while, and so many are read at once of one."""
_MOMENTS: Final[Mapping[type[Event], frozenset[str]]] = {
    event: frozenset(each.moments.keys() & set(changeable_fields(event)))
    for each in AGGREGATES
    for event in each.events
}


@dataclass(frozen=True, slots=True)
class Told:
    """A stream as folded from the version `base` on: `states[n]` is what n events after it make, `moments[n]` since when."""

    facts: Sequence[Fact]
    states: Sequence[Any]
    moments: Sequence[Mapping[str, object]]
    base: int

    @property
    def entity_type(self) -> str:
        return self.facts[0].topic.partition(".")[0]

    def fact(self, version: int) -> Fact:
        return self.facts[version - 1 - self.base]

    def between(self, since: int, until: int) -> Sequence[Fact]:
        """Those that lead from one version to the other; none where that is the earlier one."""
        return self.facts[since - self.base : max(since, until) - self.base]

    def state(self, version: int) -> Any:
        return self.states[version - self.base]

    def shown(self, version: int) -> Mapping[str, object]:
        """The record at that version, by API field; nothing before the first."""
        if not version:
            return {}
        fields = _aggregate(self.facts[0]).fields
        return {**fields(self.state(version)), **self.moments[version - self.base]}


async def told(context: Context, stream: UUID, since: int, until: int) -> Told:
    """The stream with its states from one version to another; what is asked for together is read together, each stream once."""

    async def load(asked: list[tuple[UUID, int, int]]) -> list[Told]:
        ends: dict[UUID, tuple[int, int]] = {}
        for each, first, last in asked:
            low, high = ends.get(each, (first, last))
            ends[each] = min(low, first), max(high, last)
        known = await _stretches(context.engine.store, context.workspace, ends)
        return [known[each] for each, _, _ in asked]

    known: Told = await context.reads.loader("told", load).load((stream, max(0, min(since, until - 1)), until))
    return known


async def _stretches(store: Store, workspace: WorkspaceId, ends: Mapping[UUID, tuple[int, int]]) -> Mapping[UUID, Told]:
    """Each from the state kept nearest before. A long one is read piece by piece, and others get their turn in between."""
    folds = {stream: _Fold(store.passed(workspace, stream, low), low) for stream, (low, _) in ends.items()}
    short = {stream: fold.version for stream, fold in folds.items() if ends[stream][1] - fold.version <= STRIDE}
    if short:
        found = await store.histories(workspace, short, upto=max(ends[stream][1] for stream in short))
        for stream, facts in found.items():
            folds[stream].add(facts)
    for stream in folds.keys() - short.keys():
        await _fold_long(store, workspace, stream, folds[stream], ends[stream][1])
    return {stream: fold.told for stream, fold in folds.items()}


async def _fold_long(store: Store, workspace: WorkspaceId, stream: UUID, fold: "_Fold", until: int) -> None:
    while fold.version < until:
        facts = await store.facts(workspace, stream, after=fold.version, upto=min(until, fold.version + STRIDE))
        if not facts:
            return
        fold.add(facts)
        store.note_passed(workspace, stream, fold.version, (fold.state, fold.moments))


class _Fold:
    """Keeps the states from the version `low` on."""

    def __init__(self, begun: tuple[int, Any] | None, low: int) -> None:
        self.version, known = begun or (0, (None, {}))
        self.state: Any = known[0]
        self.moments: Mapping[str, object] = known[1]
        self._low = low
        self._facts: list[Fact] = []
        self._kept: list[tuple[Any, Mapping[str, object]]] = [(self.state, self.moments)] if self.version == low else []

    def add(self, facts: Iterable[Fact]) -> None:
        for fact in facts:
            self.state = _aggregate(fact).evolve(self.state, fact.event)
            new = moments_of(fact, self.state)
            self.moments = {**self.moments, **new} if new else self.moments
            self.version = fact.version
            if self.version >= self._low:
                self._kept.append((self.state, self.moments))
            if self.version > self._low:
                self._facts.append(fact)

    @property
    def told(self) -> Told:
        return Told(self._facts, [state for state, _ in self._kept], [since for _, since in self._kept], self._low)


def moments_of(fact: Fact, state: Any) -> dict[str, object]:
    """Those that the fact sets or ends."""
    mine = _MOMENTS[type(fact.event)]
    if not mine:
        return {}
    known, named = _aggregate(fact).moments, mine.intersection(changed_fields(fact.event))
    return {name: fact.recorded_at if known[name](state) else None for name in named}


def _aggregate(fact: Fact) -> Aggregate[Any, Any]:
    return aggregate_of(fact.topic.partition(".")[0])


def aggregate_of(entity_type: str) -> Aggregate[Any, Any]:
    """By the first part of its topics, as `saved_view`."""
    return _AGGREGATES[entity_type]


def changed(
    fact: Fact, before: Mapping[str, object], after: Mapping[str, object], *, hidden: Collection[str] = ()
) -> Sequence[str]:
    """The fields that the event names, and those that moved with them; not those that it left without a value.

    Of a `hidden` field that much is not told.
    """
    named, aggregate = changed_fields(fact.event), _aggregate(fact)
    told = {name for name in named if aggregate.within.get(name, name) in hidden} | aggregate.elsewhere
    said = [
        name
        for name in named
        if fact.erased or name in told or before.get(name) is not None or after.get(name) is not None
    ]
    moved = [
        name
        for name, sources in aggregate.derived.items()
        if name not in named and not sources.isdisjoint(named) and before.get(name) != after.get(name)
    ]
    return (*said, *moved)
