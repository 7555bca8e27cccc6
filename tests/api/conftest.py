"""The API over ASGI on a real database, with two members whose tokens are their names."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.applications import Starlette

from crm_es.app import serving
from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.context import Engine
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import UnauthenticatedError
from crm_es.eventstore.event import Actor, ActorKind, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore, root_key
from crm_es.projector.progress import Progress
from crm_es.reads.driver import ReadConnections
from crm_es.workspaces.identity import Identity
from crm_es.workspaces.permissions import Permissions

ROLES = {"admin": ("admin",), "auditor": ("auditor",), "sales": ("sales",), "nobody": ()}


def identity(workspace: UUID, *roles: str, lasts: timedelta = timedelta(hours=1)) -> Identity:
    member = uuid4()
    return Identity(
        workspace=WorkspaceId(workspace),
        actor=Actor(kind=ActorKind.MEMBER, id=member, auth="test"),
        member_id=member,
        api_key_id=None,
        role_keys=roles,
        permissions=Permissions.of(roles),
        expires_at=datetime.now(UTC) + lasts,
    )


@dataclass
class Api:
    """A running application. `known` maps tokens to identities; add to it."""

    app: Starlette
    http: httpx.AsyncClient
    engine: Engine
    known: dict[str, Identity]
    workspace: UUID

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
async def running(urls: DatabaseUrls, settings: Settings, known: dict[str, Identity]) -> AsyncIterator[Engine]:
    async def authenticate(token: str) -> Identity:
        if token not in known:
            raise UnauthenticatedError("Nobody we know.")
        return known[token]

    keys = KeyStore.open(settings.key_store_location, root_key(settings.root_key_file))
    store = await Store.open(urls.app, AGGREGATES, keys)
    connections = ReadConnections(urls.app, size=4)
    async with Progress.following(urls.app, poll=0.05) as progress:
        yield Engine(
            settings=settings,
            store=store,
            keys=keys,
            connections=connections,
            progress=progress,
            authenticate=authenticate,
        )
    await connections.close()
    await store.close()
    keys.close()


@pytest.fixture
async def api(shared_database: DatabaseUrls, tmp_path, anyio_backend) -> AsyncIterator[Api]:  # noqa: ARG001
    settings, workspace = Settings(data_dir=tmp_path), uuid4()
    known = {name: identity(workspace, *roles) for name, roles in ROLES.items()}
    opened: Callable[[], Any] = lambda: running(shared_database, settings, known)  # noqa: E731
    app = serving(settings, opened)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
            yield Api(app=app, http=client, engine=app.state.engine, known=known, workspace=workspace)
