"""A record of the story whose past is made by the decisions of its own room, before any of it is recorded."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import Dated, Event
from crm_es.occasions import dated


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What happened to one record: its next events, each with its time."""

    aggregate: Aggregate[Any, Any] = field(compare=False)
    id: UUID
    events: tuple[Dated, ...]


@dataclass(kw_only=True, slots=True)
class Life:
    """`state` is after all that happened; `told` is what happened since it was last asked."""

    aggregate: Aggregate[Any, Any]
    id: UUID
    state: Any = None
    _fresh: list[Dated] = field(default_factory=list)

    def happen(self, events: Iterable[Event | Dated], at: datetime) -> None:
        for one in dated(events):
            event = one if isinstance(one, Dated) else Dated(one, at)
            self.state = self.aggregate.evolve(self.state, event.event)
            self._fresh.append(event)

    def told(self) -> Told:
        told = Told(aggregate=self.aggregate, id=self.id, events=tuple(self._fresh))
        self._fresh.clear()
        return told
