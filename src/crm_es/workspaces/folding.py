"""Streams folded on reading: each record as it was after each of its events, and what an event changed of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from crm_es.catalog import AGGREGATES
from crm_es.context import Context
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import Fact, changed_fields

_AGGREGATES: Final[Mapping[str, Aggregate[Any, Any]]] = {each.name: each for each in AGGREGATES}


@dataclass(frozen=True, slots=True)
class Told:
    """A stream as folded: `states[n]` is what its first n events make, `moments[n]` since when."""

    facts: Sequence[Fact]
    states: Sequence[Any]
    moments: Sequence[Mapping[str, object]]

    @property
    def entity_type(self) -> str:
        return self.facts[0].topic.partition(".")[0]

    def shown(self, version: int) -> Mapping[str, object]:
        """The record at that version, by API field; nothing before the first."""
        if not version:
            return {}
        fields = _aggregate(self.facts[0]).fields
        return {**fields(self.states[version]), **self.moments[version]}


async def told(context: Context, stream: UUID) -> Told:
    """The stream with all its states; streams asked for together are read together."""

    async def load(streams: list[UUID]) -> list[Told]:
        found = await context.engine.store.histories(context.workspace, streams)
        return [_folded(found.get(each, ())) for each in streams]

    known: Told = await context.reads.loader("told", load).load(stream)
    return known


def _folded(facts: Sequence[Fact]) -> Told:
    states: list[Any] = [None]
    moments: list[Mapping[str, object]] = [{}]
    for fact in facts:
        states.append(_aggregate(fact).evolve(states[-1], fact.event))
        moments.append({**moments[-1], **moments_of(fact, states[-1])})
    return Told(facts, states, moments)


def moments_of(fact: Fact, state: Any) -> dict[str, object]:
    """Those that the fact sets or ends."""
    known = _aggregate(fact).moments
    named = known.keys() & changed_fields(fact.event) if known else ()
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
