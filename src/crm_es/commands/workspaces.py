"""`workspace create`, `workspace list` and `token`: founding a workspace and getting into it, for whoever has the machine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar
from uuid import UUID

import click
import psycopg

from crm_es.catalog import AGGREGATES
from crm_es.commands.groups import FullSentences
from crm_es.config import Settings
from crm_es.database.doors import current, owner_url
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import InvalidInputError, NotFoundError
from crm_es.eventstore.event import Actor, ActorKind, Command, Origin, WorkspaceId
from crm_es.eventstore.store import Outcome, Store
from crm_es.serving.projecting import opened_keys, settle
from crm_es.uuids import new_id
from crm_es.values import ExternalId, joint_key
from crm_es.workspaces import member as members
from crm_es.workspaces import workspace as workspaces
from crm_es.workspaces.member import MEMBER
from crm_es.workspaces.permissions import ROLES
from crm_es.workspaces.tokens import DevelopmentIssuer
from crm_es.workspaces.workspace import WORKSPACE, Workspace

SYSTEM: Final = "crm-es token"
T = TypeVar("T")


@click.group(cls=FullSentences)
def workspace() -> None:
    """Workspaces: one tenant each."""


@workspace.command()
@click.argument("name")
@click.option(
    "--time-zone", default="UTC", show_default=True, help="IANA name; days and dates without time are read in it."
)
@click.option("--currency", default="USD", show_default=True, help="ISO 4217 code; amounts without one are in it.")
def create(name: str, time_zone: str, currency: str) -> None:
    """Found the workspace NAME. Prints its id on the last line."""
    if not name.strip():
        raise InvalidInputError("A workspace needs a name.", rule="workspace.no_name", field=("name",))

    async def found(desk: Desk) -> UUID:
        if await desk.named(name):
            raise InvalidInputError(f"There is a workspace {name} already.", rule="workspace.exists", field=("name",))
        fresh = WorkspaceId(new_id())
        events = workspaces.create(name=name, time_zone=time_zone, currency=currency)
        outcome = await desk.store.create(command(fresh), WORKSPACE, fresh, events)
        await desk.shown(outcome)
        return fresh

    click.echo(at_desk(found))


@workspace.command("list")
def list_() -> None:
    """List all workspaces, the oldest first: id, time zone, currency, name."""

    async def read(desk: Desk) -> Mapping[UUID, Workspace]:
        return await desk.all()

    for id_, each in at_desk(read).items():
        click.echo(f"{id_}  {each.time_zone}  {each.currency}  {each.name}")


@click.command()
@click.option("--workspace", "name", required=True, help="Its name or id.")
@click.option("--role", required=True, help=f"{', '.join(ROLES)}, or one the workspace defined.")
def token(name: str, role: str) -> None:
    """Print a token for development, alone on the last line: of a member who has ROLE, made if missing. Lasts 12 hours."""
    issuer = DevelopmentIssuer(Settings.from_environment())

    async def issue(desk: Desk) -> str:
        chosen = await desk.the(name)
        return issuer.issue(workspace=chosen, member=await desk.member_with(chosen, role), now=datetime.now(UTC))

    click.echo(at_desk(issue))


def at_desk(work: "Callable[[Desk], Awaitable[T]]") -> T:
    settings = Settings.from_environment()

    async def run(urls: DatabaseUrls) -> T:
        async with desk_at(settings, urls) as desk:
            return await work(desk)

    with current(settings) as urls:
        return asyncio.run(run(urls))


def command(workspace: WorkspaceId) -> Command:
    """A deed of whoever sits at the machine."""
    deed = new_id()
    return Command(
        workspace=workspace,
        command_id=deed,
        request_hash=deed.bytes,  # nobody can send it again
        actor=Actor(kind=ActorKind.SYSTEM, auth="machine"),
        correlation_id=deed,
        origin=Origin(client="crm-es"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """The store, and a look across workspaces that only the owner has."""

    settings: Settings
    urls: DatabaseUrls
    store: Store

    async def the(self, name: str) -> WorkspaceId:
        """The workspace of that name or id. Raises: NotFoundError."""
        given = _as_id(name)
        ids = [given] if given else await self.named(name)
        for found in map(WorkspaceId, ids):
            if await self.store.exists(found, WORKSPACE, [found]):
                return found
        raise NotFoundError(
            f"There is no workspace {name}. Make it with `crm-es workspace create`.", rule="workspace.unknown"
        )

    async def named(self, name: str) -> list[UUID]:
        """Workspaces of that name, the oldest first."""
        return [id_ for id_, each in (await self.all()).items() if each.name == name]

    async def all(self) -> Mapping[UUID, Workspace]:
        """Every workspace, the oldest first."""
        with psycopg.connect(owner_url(self.urls)) as connection:
            rows = connection.execute("SELECT workspace_id FROM es.head ORDER BY workspace_id").fetchall()
        loaded = {each: await self.store.load(WORKSPACE, WorkspaceId(each), each) for (each,) in rows}
        return {each: found.state for each, found in loaded.items() if found}

    async def member_with(self, workspace: WorkspaceId, role: str) -> UUID:
        """The member kept for tokens of that role. Raises: InvalidInputError for a role there is not."""
        if role not in ROLES and await self.store.holder(workspace, "role", role) is None:
            raise InvalidInputError(
                f"There is no role {role}. There are: {', '.join(ROLES)}.", rule="role.unknown", field=("role",)
            )
        number = 1
        while True:
            known = ExternalId(system=SYSTEM, value=role if number == 1 else f"{role} {number}")
            holder = await self.store.holder(workspace, "external_id", joint_key("member", known.system, known.value))
            if holder is None:
                return await self._register(workspace, role, known)
            loaded = await self.store.load(MEMBER, workspace, holder)
            if loaded and loaded.state.roles == (role,) and not loaded.state.deactivated:
                return holder
            number += 1  # somebody gave that one other roles, or deactivated it: leave it as it is

    async def shown(self, outcome: Outcome) -> None:
        """Wait until the read models have it; feed them ourselves if nobody does."""
        if outcome.log_id is not None:
            await asyncio.to_thread(settle, self.settings, self.urls.projector, outcome.log_id)

    async def _register(self, workspace: WorkspaceId, role: str, known: ExternalId) -> UUID:
        fresh = new_id()
        name = f"{ROLES[role].name if role in ROLES else role} ({known.value}, {SYSTEM})"
        events = members.register(name=name, external_ids=[known], roles=[role])
        await self.shown(await self.store.create(command(workspace), MEMBER, fresh, events))
        return fresh


@asynccontextmanager
async def desk_at(settings: Settings, urls: DatabaseUrls) -> AsyncIterator[Desk]:
    with opened_keys(settings) as keys:
        store = await Store.open(urls.app, AGGREGATES, keys)
        try:
            yield Desk(settings=settings, urls=urls, store=store)
        finally:
            await store.close()


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
