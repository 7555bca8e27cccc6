"""What the store must know of an aggregate: how it folds, what it reserves, whose data it holds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from crm_es.eventstore.event import NO_KEYS, Event, Reservation, changed_fields

S = TypeVar("S")
E = TypeVar("E", bound=Event)


def _own_key(stream: UUID, state: Any) -> tuple[UUID, ...]:  # noqa: ARG001  # states have no common type
    return (stream,)


def no_subject(stream: UUID, state: Any) -> tuple[UUID, ...]:  # noqa: ARG001
    """For streams that hold nothing personal (companies, workspaces, teams)."""
    return ()


def no_reservations(stream: UUID, state: Any) -> frozenset[Reservation]:  # noqa: ARG001
    """For states that hold no unique value."""
    return frozenset()


def whole_fields(event: Event) -> Iterable[tuple[str, str | None]]:
    """For events that set fields as wholes: two of them meet where they set the same."""
    return [(name, None) for name in changed_fields(event)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate(Generic[S, E]):
    """One consistency boundary. All functions are pure.

    - `name`: first part of its topics and GraphQL type in lower case (`contact`).
    - `events`: every event class its streams may hold.
    - `evolve(state | None, event) -> state`: never raises on stored history.
    - `reservations(stream, state)`: the unique values the state holds; the store takes and frees the difference.
    - `subjects(stream, state)`: whose keys open the personal fields of its events; () = nothing personal.
    - `merged_into(state)`: the survivor's stream, for one that was absorbed; the store follows it and notes `via`.
    - `addressed(state, events, via)`: the events decided for an absorbed id, with whose they are noted in them.
    - `fields(state)`: the state by API field name, each value as the API would answer it but ids as `Ref`; conflicts and
      history compare these.
    - `moments`: the API fields that hold when something came to be so, each with whether it is: the state has no times, so
      history takes them from the fact that names the field.
    - `elsewhere`: API fields that events change and the state does not hold (a conversation): history finds the events by
      them and tells no values.
    - `derived`: API fields that follow from others, which: an event that names one of these may change it without naming it.
    - `within`: names in `fields` that the API has only as a part of another field, which: they are masked with it.
    - `touches(event)`: what the event changes, as (API field, item or None); two edits conflict where these meet.
    """

    name: str
    events: tuple[type[E], ...]
    evolve: Callable[[S | None, E], S]
    fields: Callable[[S], Mapping[str, object]]
    reservations: Callable[[UUID, S], frozenset[Reservation]] = field(default=no_reservations)
    moments: Mapping[str, Callable[[S], bool]] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()
    derived: Mapping[str, frozenset[str]] = field(default_factory=dict)
    within: Mapping[str, str] = field(default_factory=dict)
    touches: Callable[[E], Iterable[tuple[str, str | None]]] = field(default=whole_fields)
    subjects: Callable[[UUID, S], tuple[UUID, ...]] = field(default=_own_key)
    merged_into: Callable[[S], UUID | None] = field(default=lambda _state: None)
    addressed: Callable[[S, Sequence[E], UUID], Sequence[E]] = field(default=lambda _state, events, _via: events)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ref:
    """An id inside `fields`: the API answers it as a global id of `type` (`Contact`, `Company`, `Member`)."""

    type: str
    id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded(Generic[S]):
    """A folded stream. `id` is where it really stands: the survivor's when `via` (the absorbed id asked for) is set.

    `key_id` is the stream's own key; `other_keys` those of the persons whose values came to it, by their streams.
    """

    id: UUID
    version: int
    state: S
    via: UUID | None = None
    key_id: UUID | None = None
    other_keys: Mapping[UUID, UUID] = field(default_factory=lambda: NO_KEYS)

    @property
    def keys(self) -> dict[UUID, UUID]:
        """All of them, by stream."""
        return {**self.other_keys} if self.key_id is None else {**self.other_keys, self.id: self.key_id}
