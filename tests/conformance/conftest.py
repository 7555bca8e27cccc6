from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from crm_es.app import make
from crm_es.projector.runner import Projector
from crm_es.serving.projecting import decoding
from crm_es.serving.sealing import sealing
from crm_es.workspaces.tokens import DevelopmentIssuer
from projections import READ_MODELS
from tests.demo.conftest import demo, seeded_demo  # noqa: F401  # a demo of these tests' own, since they change it


@dataclass
class Demo:
    """The demo served, seen by its admin."""

    app: Starlette
    http: httpx.AsyncClient
    token: str

    async def ask(self, document: str, **variables: Any) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.token}"}
        answer = await self.http.post("/graphql", json={"query": document, "variables": variables}, headers=headers)
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]


@pytest.fixture
async def demonstrated(demo, anyio_backend):  # noqa: ARG001, F811
    settings, urls, seeded = demo
    token = DevelopmentIssuer(settings).issue(workspace=seeded.workspace, member=seeded.admin, now=datetime.now(UTC))
    sealing(settings, urls.sealer).drain()
    app = make(settings, urls)
    with decoding(settings) as decode, Projector(urls.projector, decode, READ_MODELS, poll=0.05).running():
        transport = httpx.ASGITransport(app)
        lifespan, client = (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://crm.test"),
        )
        async with lifespan, client:
            yield Demo(app, client, token)
