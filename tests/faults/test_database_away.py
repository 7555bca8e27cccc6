"""The database dies under requests and comes back: everybody is told to try again, nobody that something is broken."""

import asyncio
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect

from crm_es.app import serving
from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.database.migrate import migrate
from crm_es.database.server import EmbeddedServer
from crm_es.eventstore.codec import Codec
from crm_es.eventstore.event import WorkspaceId
from crm_es.privacy.keystore import KeyStore, root_key
from crm_es.projector.runner import Projector
from crm_es.workspaces import member, workspace
from crm_es.workspaces.identity import Identity
from projections import READ_MODELS
from tests.api.conftest import Api, Place, identity, running
from tests.api.served import served as ported
from tests.api.test_streams import PROTOCOL

pytestmark = pytest.mark.anyio

QUERIES = (
    "{ viewer { position workspace { name } } }",
    "{ contacts(first: 5) { nodes { displayName emails { address } } totalCount } }",
    '{ search(text: "ada") { nodes { id } } }',
    "{ events(first: 1) { nodes { position } } }",
    '{ changes(since: "0") { nodes { id } } }',
)
REGISTER = """mutation { registerContact(input: {displayName: "Ada"}) {
  contact { displayName } position projected userErrors { message } } }"""


class Dying(EmbeddedServer):
    """An embedded server that can be killed."""

    def kill(self) -> None:
        pid_file = next(self.data_dir.glob("postgres-*/postmaster.pid"))
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)


@asynccontextmanager
async def served(server: Dying) -> AsyncIterator[Api]:
    """The application in a workspace of its own on that server, followed by a projector."""
    urls, settings = server.start(), Settings(data_dir=server.data_dir)
    migrate(urls.owner)
    keys = KeyStore.open(settings.key_store_location, root_key(settings.root_key_file))
    workspace_id, known = WorkspaceId(uuid4()), dict[str, Identity]()
    known["admin"] = identity(workspace_id, "admin")
    place = Place(urls, settings, keys)
    app = serving(settings, lambda: running(place, known))
    projector = Projector(urls.projector, Codec(AGGREGATES, keys).decode_many, READ_MODELS, poll=0.05)
    with projector.running():
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://crm.test") as client:
                api = Api(app=app, http=client, engine=app.state.engine, known=known, workspace=workspace_id)
                await api.begin(workspace.WORKSPACE, workspace.create(name="Acme"), id=workspace_id)
                await api.begin(
                    member.MEMBER, member.register(name="Ada", roles=("admin",)), id=known["admin"].member_id
                )
                await api.projected()
                yield api
    keys.close()


@pytest.fixture
async def api(anyio_backend) -> AsyncIterator[Api]:  # noqa: ARG001
    directory = Path(tempfile.mkdtemp(prefix="crm-es-away-"))
    server = Dying(directory, durable=False)
    async with served(server) as api:
        api.server = server
        yield api
    server.stop()
    shutil.rmtree(directory)


def code(response: httpx.Response) -> str | None:
    """None when it was answered in full."""
    errors = response.json().get("errors")
    return errors and errors[0]["extensions"]["code"]


async def answered(api: Api, query: str, seconds: float = 30) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while True:
        response = await api.post(query)
        if code(response) is None or time.monotonic() > deadline:
            return response
        await asyncio.sleep(0.1)


async def test_whoever_asks_while_the_database_is_away_is_told_to_come_again(api, caplog):
    for query in QUERIES:
        assert code(await api.post(query)) is None
    api.server.kill()
    await asyncio.sleep(0.2)

    away = [await api.post(query, headers={"crm-min-position": "1"} if n else {}) for n in (0, 1) for query in QUERIES]
    lost = await api.post(REGISTER)

    async with ported(api.app) as address, connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as socket:
        token = api.token(api.known["admin"].member_id)
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        await socket.wait_closed()

    assert (socket.close_code, socket.close_reason) == (1013, "Try again later")
    for response in [*away, lost]:
        assert code(response) == "TIMEOUT", response.text
        assert response.json()["errors"][0]["extensions"]["retryAfter"] == 1
    assert not [record for record in caplog.records if record.name == "crm_es.api"]

    api.server.revive()
    for query in QUERIES:
        assert code(await answered(api, query)) is None
    payload = (await answered(api, REGISTER)).json()["data"]["registerContact"]
    assert payload["contact"] == {"displayName": "Ada"}
    assert payload["projected"]


async def test_requests_under_way_when_it_dies_are_told_the_same(api, caplog):
    codes: set[str | None] = set()
    stop = asyncio.Event()

    async def ask(query: str) -> None:
        while not stop.is_set():
            codes.add(code(await api.post(query)))

    async with asyncio.TaskGroup() as tasks:
        for query in (*QUERIES, REGISTER) * 3:
            tasks.create_task(ask(query))
        await asyncio.sleep(1)
        api.server.kill()
        await asyncio.sleep(1)
        await asyncio.to_thread(api.server.revive)
        await asyncio.sleep(2)
        stop.set()

    assert codes == {None, "TIMEOUT"}
    assert not [record for record in caplog.records if record.name == "crm_es.api"]
    assert (await answered(api, REGISTER)).json()["data"]["registerContact"]["projected"]
