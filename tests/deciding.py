"""Given events, when a decision is taken, then these events follow or this refusal does. No database, no clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from crm_es.errors import CrmError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Actor, ActorKind, Fact, Origin, StreamId, WorkspaceId

WORKSPACE = WorkspaceId(UUID(int=1))
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Given:
    """A state made of events; `when` takes a decision on it."""

    aggregate: Aggregate[Any, Any]
    state: Any

    def when(self, decision: Callable[..., Sequence[Any]], *arguments: Any, **named: Any) -> "When":
        return When(given=self, decide=lambda: list(decision(self.state, *arguments, **named)))


@dataclass(frozen=True, kw_only=True)
class When:
    given: Given
    decide: Callable[[], list[Any]]

    def then(self, *events: Any) -> Any:
        """Exactly these events; answers the state after them."""
        decided = self.decide()
        assert decided == list(events)
        return fold(self.given.aggregate, self.given.state, decided)

    def then_refused(self, kind: type[CrmError], rule: str, field: tuple[str, ...] | None = None) -> None:
        with pytest.raises(kind) as refusal:
            self.decide()
        assert refusal.value.rule == rule
        assert field is None or refusal.value.field == field
        assert refusal.value.message


def given(aggregate: Aggregate[Any, Any], *events: Any) -> Given:
    return Given(aggregate=aggregate, state=fold(aggregate, None, events))


def fold(aggregate: Aggregate[Any, Any], state: Any, events: Sequence[Any]) -> Any:
    for event in events:
        state = aggregate.evolve(state, event)
    return state


class Log:
    """Streams in memory, as the store would keep them: for decisions that need more than one state."""

    def __init__(self, aggregate: Aggregate[Any, Any]) -> None:
        self.aggregate = aggregate
        self.streams: dict[UUID, list[Fact]] = {}
        self.commands = 0

    def append(self, changes: dict[UUID, Sequence[Any]], via: UUID | None = None) -> None:
        """All of one command."""
        self.commands += 1
        for stream, events in changes.items():
            for event in events:
                self._write(stream, event, via)

    def load(self, stream: UUID, *, follow: bool = False) -> Loaded[Any]:
        facts = self.streams[stream]
        state = fold(self.aggregate, None, [fact.event for fact in facts])
        survivor = self.aggregate.merged_into(state)
        if follow and survivor:
            loaded = self.load(survivor, follow=True)
            return Loaded(id=loaded.id, version=loaded.version, state=loaded.state, via=stream)
        return Loaded(id=stream, version=len(facts), state=state)

    def edit(self, stream: UUID, decision: Callable[[Any], Sequence[Any]]) -> None:
        """As `Store.decide`: an absorbed id is decided on its survivor, and noted."""
        loaded = self.load(stream, follow=True)
        events = decision(loaded.state)
        if loaded.via is not None:
            events = self.aggregate.addressed(loaded.state, events, loaded.via)
        self.append({loaded.id: events}, via=loaded.via)

    def _write(self, stream: UUID, event: Any, via: UUID | None) -> None:
        facts = self.streams.setdefault(stream, [])
        position = 1 + sum(map(len, self.streams.values()))
        moment = NOON + timedelta(seconds=position)
        facts.append(
            Fact(
                workspace=WORKSPACE,
                stream=StreamId(stream),
                version=len(facts) + 1,
                position=position,
                log_id=position,
                topic=event.TOPIC,
                event=event,
                recorded_at=moment,
                occurred_at=moment,
                actor=Actor(kind=ActorKind.SYSTEM),
                origin=Origin(),
                via=via,
                command_id=UUID(int=self.commands),
                correlation_id=UUID(int=self.commands),
                causation_id=None,
                reason=None,
            )
        )
