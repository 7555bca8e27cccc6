"""Small aggregates of the event store's own: a person (own key), a visit (content key with holders), a firm (no key)."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, assert_never
from uuid import UUID, uuid4

from msgspec import UNSET, UnsetType

from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import Actor, ActorKind, Command, Erased, Origin, Reservation, changed_fields, pii
from crm_es.values import Money

Text = str | None | Erased | UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonAdded:
    TOPIC: ClassVar[str] = "person.added"
    name: Text = pii(default=UNSET)
    email: Text = pii(default=UNSET)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonChanged:
    TOPIC: ClassVar[str] = "person.changed"
    name: Text = pii(default=UNSET)
    email: Text = pii(default=UNSET)
    city: str | UnsetType | None = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonAbsorbed:
    TOPIC: ClassVar[str] = "person.absorbed"
    into: UUID


PersonEvent = PersonAdded | PersonChanged | PersonAbsorbed


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    name: Text = None
    email: Text = None
    city: str | None = None
    into: UUID | None = None


def evolve_person(state: Person | None, event: PersonEvent) -> Person:
    state = state or Person()
    match event:
        case PersonAdded(name=name, email=email):
            return replace(state, name=given(name, None), email=given(email, None))
        case PersonChanged(name=name, email=email, city=city):
            return replace(
                state, name=given(name, state.name), email=given(email, state.email), city=given(city, state.city)
            )
        case PersonAbsorbed(into=into):
            return replace(state, into=into)
        case never:
            assert_never(never)


def given(new, old):
    return old if new is UNSET else new


def person_reservations(stream: UUID, state: Person) -> frozenset[Reservation]:
    if not isinstance(state.email, str):
        return frozenset()
    return frozenset({Reservation(kind="email", value=state.email, holder=stream)})


PERSON = Aggregate(
    name="person",
    events=(PersonAdded, PersonChanged, PersonAbsorbed),
    evolve=evolve_person,
    reservations=person_reservations,
    fields=lambda state: {"name": state.name, "email": state.email, "city": state.city},
    touches=lambda event: [(name, None) for name in changed_fields(event)],
    merged_into=lambda state: state.into,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitRecorded:
    TOPIC: ClassVar[str] = "visit.recorded"
    person_ids: tuple[UUID, ...] = ()
    body: Text = pii(default=UNSET)
    at: datetime | UnsetType = UNSET
    seconds: int | UnsetType = UNSET
    amount: Money | UnsetType | None = UNSET
    quantity: Decimal | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitLinked:
    TOPIC: ClassVar[str] = "visit.linked"
    person_ids: tuple[UUID, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class VisitRedacted:
    TOPIC: ClassVar[str] = "visit.redacted"
    NEW_KEY: ClassVar[bool] = True
    body: Text = pii(default=UNSET)


VisitEvent = VisitRecorded | VisitLinked | VisitRedacted


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    person_ids: tuple[UUID, ...] = ()
    body: Text = None


def evolve_visit(state: Visit | None, event: VisitEvent) -> Visit:
    state = state or Visit()
    match event:
        case VisitRecorded(person_ids=ids, body=body):
            return Visit(person_ids=ids, body=given(body, None))
        case VisitLinked(person_ids=ids):
            return replace(state, person_ids=ids)
        case VisitRedacted(body=body):
            return replace(state, body=given(body, None))
        case never:
            assert_never(never)


VISIT = Aggregate(
    name="visit",
    events=(VisitRecorded, VisitLinked, VisitRedacted),
    evolve=evolve_visit,
    reservations=lambda _stream, _state: frozenset(),
    fields=lambda state: {"body": state.body, "persons": state.person_ids},
    touches=lambda event: [(name, None) for name in changed_fields(event)],
    subjects=lambda _stream, state: state.person_ids,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FirmFounded:
    TOPIC: ClassVar[str] = "firm.founded"
    name: str
    domain: str | None = None


FIRM = Aggregate(
    name="firm",
    events=(FirmFounded,),
    evolve=lambda _state, event: event,
    reservations=lambda stream, state: (
        frozenset({Reservation(kind="domain", value=state.domain, holder=stream)}) if state.domain else frozenset()
    ),
    fields=lambda state: {"name": state.name},
    touches=lambda event: [(name, None) for name in changed_fields(event)],
    subjects=no_subject,
)

AGGREGATES = (PERSON, VISIT, FIRM)


def command(workspace, **given):
    return Command(
        workspace=workspace,
        command_id=given.pop("command_id", None) or uuid4(),
        request_hash=given.pop("request_hash", b"asked"),
        actor=given.pop("actor", Actor(kind=ActorKind.MEMBER, id=UUID(int=7), auth="jwt")),
        correlation_id=given.pop("correlation_id", None) or uuid4(),
        origin=given.pop("origin", Origin(client="web", address="203.0.113.0/24")),
        **given,
    )
