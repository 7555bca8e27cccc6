"""Which events of a stream can be taken back, by which events, and what stands in the way of the others. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import Event, Fact
from crm_es.reverting.inverses import ENDS, Around, CannotError, inverse


class Why(StrEnum):
    """Why an event stays as it is."""

    CHANGED = "revert.changed_since"
    ENDLESS = "revert.endless"
    CANNOT = "revert.cannot"
    TAKEN = "revert.taken"
    UNMERGED = "revert.not_merged"


WORDS: Final = {
    Why.CHANGED: "It was changed since.",
    Why.ENDLESS: "A record of this kind has no end that could be put to it.",
    Why.CANNOT: "What was before cannot be said again.",
    Why.TAKEN: "Another record has one of its unique values by now.",
    Why.UNMERGED: "This merge does not stand by itself any more.",
}
ENDLESS: Final = {
    "ticket": "A ticket that is known elsewhere by an external id, or is closed or merged, stays: close it or merge it.",
    "member": "A member whom files know by an external id stays, and so does an administrator: deactivate the member.",
    "team": "Nothing ends a team: rename it, or give its members another.",
}


def words(why: Why, aggregate: str) -> str:
    """Why an event of such a record stays, and what somebody may do instead."""
    return ENDLESS.get(aggregate, WORDS[why]) if why is Why.ENDLESS else WORDS[why]


@dataclass(frozen=True, slots=True)
class Skip:
    """An event that stays, and the later one that is in the way."""

    fact: Fact
    why: Why
    by: Fact | None = None


@dataclass(slots=True)
class Undoing:
    """What to append to a stream, what that takes back, and what it leaves."""

    events: list[Event] = field(default_factory=list)
    undone: list[Fact] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)


def undo(aggregate: Aggregate[Any, Any], facts: Sequence[Fact], wanted: Collection[int], *, at: datetime) -> Undoing:
    """`facts` is the whole stream, `wanted` the versions to take back.

    A record that began with one of these ends as a whole, or stays as a whole: what others added to it would hang in the air.
    """
    states: list[Any] = [None]
    for fact in facts:
        states.append(aggregate.evolve(states[-1], fact.event))
    if 1 in wanted:
        return _ended(aggregate, facts, wanted, states[-1], at)
    found, now = Undoing(), states[-1]
    for fact in reversed([one for one in facts if one.version in wanted]):
        in_the_way = [one for one in facts[fact.version :] if one not in found.undone]
        later = next((one for one in in_the_way if meet(aggregate, fact.event, one.event)), None)
        if later is not None:
            found.skipped.append(Skip(fact, Why.CHANGED, later))
            continue
        try:
            events = inverse(fact.event, Around(before=states[fact.version - 1], now=now, at=at))
        except CannotError:
            found.skipped.append(Skip(fact, Why.CANNOT))
            continue
        for event in events:
            now = aggregate.evolve(now, event)
        found.events += events
        found.undone.append(fact)
    return found


def _ended(
    aggregate: Aggregate[Any, Any], facts: Sequence[Fact], wanted: Collection[int], now: Any, at: datetime
) -> Undoing:
    ours = [one for one in facts if one.version in wanted]
    others = next((one for one in facts if one.version not in wanted), None)
    make = ENDS.get(type(facts[0].event))
    if others is not None:
        return Undoing(skipped=[Skip(one, Why.CHANGED, others) for one in ours])
    try:
        end = make(now, at) if make else None
    except CannotError:
        end = None
    if end is None:
        return Undoing(skipped=[Skip(one, Why.ENDLESS) for one in ours])
    return Undoing(events=[] if aggregate.evolve(now, end) == now else [end], undone=ours)


def meet(aggregate: Aggregate[Any, Any], one: Event, other: Event) -> bool:
    """Whether they change the same."""
    touched = list(aggregate.touches(one))
    return any(
        name == field and (item is None or theirs is None or item == theirs)
        for name, theirs in aggregate.touches(other)
        for field, item in touched
    )
