"""A team: a named group of members, for scopes and lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, assert_never, get_args
from uuid import UUID

from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import Reservation


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamCreated:
    TOPIC: ClassVar[str] = "team.created"
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamUpdated:
    TOPIC: ClassVar[str] = "team.updated"
    name: str


TeamEvent = TeamCreated | TeamUpdated


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    name: str


def evolve(team: Team | None, event: TeamEvent) -> Team:  # noqa: ARG001  # a team is its name
    match event:
        case TeamCreated(name=name) | TeamUpdated(name=name):
            return Team(name=name)
        case _:
            assert_never(event)


def create(name: str) -> list[TeamEvent]:
    return [TeamCreated(name=name)]


def update(team: Team, name: str) -> list[TeamEvent]:
    return [] if name == team.name else [TeamUpdated(name=name)]


def _reservations(stream: UUID, team: Team) -> frozenset[Reservation]:
    return frozenset({Reservation(kind="team", value=team.name.casefold(), holder=stream)})


def _fields(team: Team) -> Mapping[str, object]:
    return {"name": team.name}


TEAM: Aggregate[Team, TeamEvent] = Aggregate(
    name="team",
    events=get_args(TeamEvent),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    subjects=no_subject,
)
