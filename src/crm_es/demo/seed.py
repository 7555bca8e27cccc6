"""Seeds the demo workspace: the story, sitting by sitting, through the store, each recorded at its own time in the past.

A seeding that was cut short goes on where it was: every sitting is a command, and commands are done once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID, uuid5

from crm_es.demo import deeds
from crm_es.demo.story import DAYS, DEMO, NewMember, Sitting, Story, begin
from crm_es.demo.teller import Teller
from crm_es.eventstore.aggregate import Loaded
from crm_es.eventstore.event import Actor, ActorKind, Command, Origin, WorkspaceId
from crm_es.eventstore.store import Events, Outcome, Store
from crm_es.values import EmailAddress
from crm_es.workspaces import member, team, workspace
from crm_es.workspaces.member import MEMBER
from crm_es.workspaces.team import TEAM
from crm_es.workspaces.workspace import WORKSPACE

NAME: Final = "Demo"
HASH: Final = b"demo"


@dataclass(frozen=True, kw_only=True, slots=True)
class Seeded:
    """The demo as it stands. `admin` is the member the printed token is for; `log_id` of its last event, where that is new."""

    workspace: WorkspaceId
    admin: UUID
    story: Story
    log_id: int = 0


async def seed(store: Store, today: date, progress: Callable[[int, int], None]) -> Seeded:
    """The demo workspace, made or completed; `store` is the owner's. A workspace seeded earlier keeps its own time."""
    story = begin(await _end(store, today))
    await _found(store, story)
    log_id = 0
    for number, sitting in enumerate(Teller(story).tell(), 1):
        outcome = await _record(store, sitting, number)
        log_id = outcome.log_id or log_id
        progress((sitting.at - story.founded).days, DAYS)
    return Seeded(workspace=DEMO, admin=story.members[0].id, story=story, log_id=log_id)


async def seeded(store: Store) -> Seeded | None:
    """The demo workspace, if it is there and complete."""
    facts = await store.facts(DEMO, DEMO)
    if not facts:
        return None
    story = begin(_end_of(facts[0].recorded_at))
    *_, (number, last) = enumerate(Teller(story).tell(), 1)
    done = await store.seen(_command(f"sitting {number}", last.at, last.actor))
    return Seeded(workspace=DEMO, admin=story.members[0].id, story=story) if done else None


async def _end(store: Store, today: date) -> date:
    facts = await store.facts(DEMO, DEMO)
    return _end_of(facts[0].recorded_at) if facts else today


def _end_of(founded: datetime) -> date:
    return founded.date() + timedelta(days=DAYS + 1)


async def _found(store: Store, story: Story) -> None:
    """The workspace first, so that its first event says that it is a demo; then teams and members."""
    made = workspace.create(name=NAME, time_zone="Europe/Berlin", currency="EUR", demo=True)
    await store.create(_command("founded", story.founded), WORKSPACE, DEMO, made)
    teams = [(TEAM, id_, team.create(name)) for id_, name in story.teams]
    members = [(MEMBER, one.id, _member(one)) for one in story.members]
    await store.create_many(_command("staffed", story.founded + timedelta(minutes=5)), [*teams, *members])


def _member(one: NewMember) -> Events:
    return member.invite(name=one.name, email=EmailAddress.parse(one.email), roles=[one.role], team_id=one.team_id)


async def _record(store: Store, sitting: Sitting, number: int) -> Outcome:
    targets = [target for _, deed in sitting.deeds for target in deeds.targets(deed)]
    return await store.transact(
        _command(f"sitting {number}", sitting.at, sitting.actor), targets, partial(_decided, sitting)
    )


def _decided(sitting: Sitting, states: Mapping[UUID, Loaded[object] | None]) -> Mapping[UUID, Events]:
    decided: dict[UUID, Events] = {}
    for at, deed in sitting.deeds:
        decided |= deeds.events(deed, at, states)
    return decided


def _command(name: str, at: datetime, actor: UUID | None = None) -> Command:
    command_id = uuid5(DEMO, name)
    return Command(
        workspace=DEMO,
        command_id=command_id,
        request_hash=HASH,
        actor=Actor(kind=ActorKind.MEMBER, id=actor)
        if actor
        else Actor(kind=ActorKind.AUTOMATION if name.startswith("sitting") else ActorKind.SYSTEM),
        correlation_id=command_id,
        origin=Origin(client="crm-es demo"),
        recorded_at=at,
    )
