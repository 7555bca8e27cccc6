"""Eighteen months of an invented company, day by day: who joins, who calls, who turns out to be known already.

Pure and deterministic: the same end gives the same story, ids included. What it becomes in the log is `seed.py`'s business.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Final
from uuid import NAMESPACE_URL, UUID, uuid5

from crm_es.demo.life import Told
from crm_es.demo.people import TEAMS, TONGUES, Tongue
from crm_es.eventstore.event import WorkspaceId

DEMO: Final = WorkspaceId(uuid5(NAMESPACE_URL, "crm-es:demo:2"))
SEED: Final = 20_260_101
DAYS: Final = 548
HOURS: Final = timedelta(hours=9)
"""How long a day's sitting is."""
MEMBERS: Final = 24
ROLES: Final = ("admin", "manager", "sales", "service", "marketing", "auditor")


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMember:
    id: UUID
    name: str
    email: str
    role: str
    team_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class NewCompany:
    id: UUID
    name: str
    domain: str
    industry: str
    revenue: int
    employees: int
    founded: int
    country: str
    owner_id: UUID
    parent_id: UUID | None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewContact:
    id: UUID
    given: str
    family: str
    display: str
    email: str
    phone: str
    city: str
    country: str
    job: str
    source: str
    stage: str
    tags: tuple[str, ...]
    company_id: UUID
    owner_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class NewInteraction:
    id: UUID
    type: str
    direction: str
    subject: str
    body: str | None
    seconds: int | None
    cents: int | None
    quantity: Decimal | None
    contact_id: UUID
    company_id: UUID
    member_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """One thing about a contact becomes another: `field` is owner, stage, job, tag or email."""

    id: UUID
    field: str
    value: str | UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    survivor_id: UUID
    absorbed_id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    id: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Restore:
    id: UUID


Deed = NewCompany | NewContact | NewInteraction | Edit | Merge | Archive | Restore | Told


@dataclass(frozen=True, kw_only=True, slots=True)
class Sitting:
    """What one member did in a day, or what came about by itself, recorded at its end. No record is touched twice in one."""

    at: datetime
    actor: UUID | None
    deeds: tuple[tuple[datetime, Deed], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """`founded` is before the first sitting: then there are the workspace, its teams and its members."""

    founded: datetime
    teams: tuple[tuple[UUID, str], ...]
    members: tuple[NewMember, ...]
    end: datetime


def begin(end: date) -> Story:
    """The frame of the story that ends with the day before `end`; `teller.py` tells it."""
    rng = Random(SEED)  # noqa: S311  # invented people need no secrets
    founded = datetime.combine(end - timedelta(days=DAYS + 1), time(8), UTC)
    teams = tuple((new_id(rng, founded), name) for name in TEAMS)
    members = tuple(_member(rng, n, founded, teams) for n in range(MEMBERS))
    return Story(founded=founded, teams=teams, members=members, end=datetime.combine(end, time(0), UTC))


def _member(rng: Random, number: int, at: datetime, teams: tuple[tuple[UUID, str], ...]) -> NewMember:
    speech = tongue(rng)
    which = rng.randrange(len(speech.given))
    return NewMember(
        id=new_id(rng, at),
        name=speech.full(speech.given[which], rng.choice(speech.family)),
        email=f"{speech.latin[which]}.{number}@crm.example",
        role=ROLES[number] if number < len(ROLES) else rng.choice(("sales", "sales", "service")),
        team_id=teams[number % len(teams)][0],
    )


def share(total: int, day: int) -> int:
    """A day's part of `total`, spread evenly without a remainder."""
    return total * (day + 1) // DAYS - total * day // DAYS


def tongue(rng: Random) -> Tongue:
    return rng.choices(TONGUES, [tongue.weight for tongue in TONGUES])[0]


def new_id(rng: Random, at: datetime) -> UUID:
    """A UUIDv7 of that moment, its random part from the story."""
    value = int(at.timestamp() * 1000) << 80 | rng.getrandbits(80)
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)
