"""The API over ASGI on a real database that a projector follows, in a workspace of its own with members of several roles."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette

from crm_es.access.watching import watching
from crm_es.access.writer import AccessLog
from crm_es.api import ids
from crm_es.app import serving
from crm_es.catalog import AGGREGATES
from crm_es.config import AccessMode, Settings
from crm_es.context import MODELS, Engine
from crm_es.database.place import EMBEDDED_VERSION
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.codec import Codec
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId
from crm_es.eventstore.store import Outcome, Store
from crm_es.privacy.keystore import KeyStore, root_key
from crm_es.projector.progress import Progress
from crm_es.projector.runner import Projector
from crm_es.reads.driver import ReadConnections
from crm_es.values import EmailAddress
from crm_es.workspaces import member, workspace
from crm_es.workspaces.identity import Authenticator, Identity
from crm_es.workspaces.key_uses import KeyUses
from crm_es.workspaces.permissions import Permissions
from crm_es.workspaces.tokens import DevelopmentIssuer, Verifier
from projections import READ_MODELS, members
from tests.conftest import Servers, _clone
from tests.patience import patient
from tests.waiting import PATIENCE_SECONDS, soon

OFTEN, SELDOM = 0.05, 1.0
"""Seconds after which whoever waits to be notified looks all the same: often, to end soon; seldom, where it lasts."""
ROLES = {"admin": ("admin",), "auditor": ("auditor",), "sales": ("sales",), "nobody": ()}


@dataclass(frozen=True)
class Place:
    """What all API tests of a worker share, an engine among it: opening one for each took longer than most of them."""

    urls: DatabaseUrls
    settings: Settings
    keys: KeyStore
    poll: float = OFTEN
    engine: Engine | None = None


@pytest.fixture(scope="session")
async def place(
    servers: Servers,
    ready: str,
    tmp_path_factory: pytest.TempPathFactory,
    anyio_backend: str,  # noqa: ARG001
) -> AsyncIterator[Place]:
    urls = _clone(servers.urls(EMBEDDED_VERSION), ready)
    with a_place(urls, tmp_path_factory.mktemp("api"), poll=SELDOM) as made:
        async with running(made, {}) as engine:
            yield replace(made, engine=engine)


def hurried(engine: Engine) -> Engine:
    """One whose queries take too long."""
    return replace(engine, settings=replace(engine.settings, query_timeout_ms=100))


@contextmanager
def a_place(urls: DatabaseUrls, folder: Path, *, poll: float = OFTEN) -> Iterator[Place]:
    """A database with a projector behind it."""
    settings = patient(folder)
    seconds = settings.query_seconds
    keys = KeyStore.open(settings.key_store_location, root_key(settings.root_key_file))
    projector = Projector(
        urls.projector, Codec(AGGREGATES, keys).decode_each, READ_MODELS, poll=poll, query_seconds=seconds
    )
    with projector.running():
        yield Place(urls, settings, keys, poll)
    keys.close()


permissions = cache(Permissions.of)


def identity(
    workspace_id: UUID, *roles: str, id: UUID | None = None, lasts: timedelta = timedelta(hours=1)
) -> Identity:
    member_id = id or uuid4()
    return Identity(
        workspace=WorkspaceId(workspace_id),
        actor=Actor(kind=ActorKind.MEMBER, id=member_id, auth="test"),
        member_id=member_id,
        api_key_id=None,
        role_keys=roles,
        permissions=permissions(roles),
        expires_at=datetime.now(UTC) + lasts,
    )


@dataclass
class Api:
    """A running application. `known` maps tokens to identities; add to it. `newest` is the last log id written."""

    app: Starlette
    http: httpx.AsyncClient
    engine: Engine
    known: dict[str, Identity]
    workspace: WorkspaceId
    newest: int = 0

    def id(self, type_: str, uuid: UUID | None, at: int | None = None) -> str:
        assert uuid is not None
        return ids.encode(type_, uuid, at)

    async def begin(
        self, aggregate: Aggregate[Any, Any], events: Sequence[Any], id: UUID | None = None, **more: Any
    ) -> UUID:
        """A new record, written by the admin."""
        stream = id or uuid4()
        self._wrote(await self.engine.store.create(self.command(**more), aggregate, stream, events))
        return stream

    async def change(
        self, aggregate: Aggregate[Any, Any], id: UUID, decision: Callable[[Any], Sequence[Any]], **more: Any
    ) -> int:
        outcome = await self.engine.store.decide(self.command(**more), aggregate, id, decision)
        self._wrote(outcome)
        return outcome.position or 0

    def command(self, **more: Any) -> Command:
        given = {
            "command_id": uuid4(),
            "request_hash": bytes(32),
            "actor": self.known["admin"].actor,
            "correlation_id": uuid4(),
        }
        return Command(workspace=self.workspace, **(given | more))

    def _wrote(self, outcome: Outcome) -> None:
        self.newest = outcome.log_id or self.newest

    def token(self, member_id: UUID) -> str:
        """A real one, for who must be looked up as they stand."""
        issuer = DevelopmentIssuer(self.engine.settings)
        return issuer.issue(workspace=self.workspace, member=member_id, now=datetime.now(UTC))

    async def refused(self, query: str, *, who: str | None = "admin", **variables: Any) -> list[tuple[Any, ...]]:
        """(code, rule, field) of each reason why the operation's one mutation was refused."""
        (payload,) = (await self.ask(query, who=who, **variables)).values()
        return [(each["code"], each["rule"], each["field"]) for each in payload["userErrors"]]

    async def projected(self) -> None:
        """Until everything written is shown."""
        progress = self.engine.progress
        assert await progress.wait(self.newest, MODELS, PATIENCE_SECONDS)

    async def post(self, query: str, *, who: str | None = "admin", **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {who}"} if who else {}
        headers |= more.pop("headers", {})
        return await self.http.post("/graphql", json={"query": query, **more}, headers=headers)

    async def ask(self, query: str, *, who: str | None = "admin", **variables: Any) -> dict[str, Any]:
        response = await self.post(query, who=who, variables=variables)
        body: dict[str, Any] = response.json()
        assert "errors" not in body, body
        return body["data"]


@asynccontextmanager
async def running(place: Place, known: dict[str, Identity]) -> AsyncIterator[Engine]:
    """An engine of one's own."""

    async def authenticate(token: str) -> Identity:
        return known[token] if token in known else await authenticator.authenticate(token)

    store = await Store.open(place.urls.app, AGGREGATES, place.keys)
    timeout = place.settings.statement_timeout_ms
    connections = ReadConnections(place.urls.app, size=4, statement_timeout_ms=timeout)
    following, recording = (
        Progress.following(place.urls.app, poll=place.poll, watched=members),
        KeyUses.recording(place.urls.app, gather=0),
    )
    try:
        async with (
            following as progress, recording as uses, AccessLog.running(place.urls.app, patience=timeout / 1_000) as access,
            watching(store, connections, place.settings.mass_read) as mass_reads,
        ):  # fmt: skip
            authenticator = Authenticator(
                connections=connections, verifier=Verifier.of(place.settings), pepper=place.keys.pepper(),
                bookmark=lambda: progress.touched, read_model=members.NAME, topics=members.TOPICS or (), used=uses.note,
            )  # fmt: skip
            yield Engine(
                settings=place.settings, store=store, keys=place.keys, connections=connections, progress=progress,
                authenticate=authenticate, access=access, mass_reads=mass_reads,
            )  # fmt: skip
    finally:
        await connections.close()
        await store.close()


@pytest.fixture
async def api(place: Place, anyio_backend) -> AsyncIterator[Api]:  # noqa: ARG001
    async with opened(place) as api:
        yield api


@pytest.fixture(scope="session")
async def shared_api(place: Place, anyio_backend) -> AsyncIterator[Api]:  # noqa: ARG001
    """For tests that record nothing, who read it neither."""
    async with opened(replace(place, engine=None)) as api:
        api.engine.access.mode = AccessMode.OFF
        yield api


@asynccontextmanager
async def lodging(engine: Engine, known: dict[str, Identity]) -> AsyncIterator[Engine]:
    """The engine that is there, which takes these tokens too."""

    async def authenticate(token: str) -> Identity:
        return known[token] if token in known else await engine.authenticate(token)

    yield replace(engine, authenticate=authenticate)
    access = engine.access  # amid a COPY while no loop runs, between two tests, it holds up every DROP DATABASE
    await soon(lambda: not access._line and not access._writing)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Api]:
    workspace_id, known = WorkspaceId(uuid4()), dict[str, Identity]()
    known |= {name: identity(workspace_id, *roles) for name, roles in ROLES.items()}
    engine = place.engine
    app = serving(place.settings, lambda: running(place, known) if engine is None else lodging(engine, known))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
            api = Api(app=app, http=client, engine=app.state.engine, known=known, workspace=workspace_id)
            await api.begin(
                workspace.WORKSPACE, workspace.create(name="Acme", time_zone="Europe/Berlin"), id=workspace_id
            )
            for name in ROLES:
                invited = member.invite(name=name.title(), email=EmailAddress.parse(f"{name}@acme.test"), roles=(name,))
                await api.begin(member.MEMBER, invited, id=known[name].member_id)
            await api.projected()
            yield api
