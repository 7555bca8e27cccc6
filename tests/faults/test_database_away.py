"""The database dies under requests and comes back: everybody is told to try again, nobody that something is broken."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest

from crm_es.app import serving
from crm_es.catalog import AGGREGATES
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
from tests.patience import patient
from tests.sockets import following
from tests.waiting import ended, eventually, soon

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

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
        """Dead when this returns, with everybody it had started."""
        pid_file = next(self.data_dir.glob("postgres-*/postmaster.pid"))
        postmaster = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        family = [postmaster, *postmaster.children()]
        postmaster.kill()
        eventually(lambda: all(map(ended, family)))


@asynccontextmanager
async def served(server: Dying) -> AsyncIterator[Api]:
    """The application in a workspace of its own on that server, followed by a projector."""
    urls, settings = server.start(), patient(server.data_dir)
    migrate(urls.owner)
    keys = KeyStore.open(settings.key_store_location, root_key(settings.root_key_file))
    workspace_id, known = WorkspaceId(uuid4()), dict[str, Identity]()
    known["admin"] = identity(workspace_id, "admin")
    place = Place(urls, settings, keys)
    app = serving(settings, lambda: running(place, known))
    projector = Projector(urls.projector, Codec(AGGREGATES, keys).decode_each, READ_MODELS, poll=0.05)
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
                with psycopg.connect(urls.owner, autocommit=True) as owner:
                    owner.execute("CHECKPOINT")  # read models may lose their last moment in a crash
                yield api
    keys.close()


@pytest.fixture
async def api(anyio_backend, new_folder) -> AsyncIterator[Api]:  # noqa: ARG001
    directory = new_folder()
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


async def answered(api: Api, query: str) -> dict[str, Any]:
    """Its data, once the database is back."""

    async def told() -> dict[str, Any] | None:
        response = await api.post(query)
        assert code(response) in {None, "TIMEOUT"}, response.text
        return None if code(response) else response.json()["data"]

    data: dict[str, Any] = await soon(told)
    return data


async def shown(api: Api) -> dict[str, Any]:
    """The payload of a contact registered once the projector is back too."""

    async def told() -> dict[str, Any] | None:
        payload = (await answered(api, REGISTER))["registerContact"]
        return payload if payload["projected"] else None

    payload: dict[str, Any] = await soon(told)
    return payload


async def test_whoever_asks_while_the_database_is_away_is_told_to_come_again(api, caplog):
    for query in QUERIES:
        assert code(await api.post(query)) is None
    api.server.kill()

    away = [await api.post(query, headers={"crm-min-position": "1"} if n else {}) for n in (0, 1) for query in QUERIES]
    lost = await api.post(REGISTER)

    async with ported(api.app) as address, following(f"ws://{address}/graphql") as socket:
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
        await answered(api, query)
    assert (await shown(api))["contact"] == {"displayName": "Ada"}


async def test_requests_under_way_when_it_dies_are_told_the_same(api, caplog):
    documents, stop = (*QUERIES, REGISTER), asyncio.Event()
    answers: list[tuple[str, str | None]] = []

    async def ask(query: str) -> None:
        while not stop.is_set():
            answers.append((query, code(await api.post(query))))

    async def all_are(wanted: str | None) -> None:
        """From now on, each document at least once."""
        answers.clear()
        await soon(lambda: {query for query, found in answers if found == wanted} == set(documents))

    async with asyncio.TaskGroup() as tasks:
        for query in documents * 3:
            tasks.create_task(ask(query))
        await all_are(None)
        await asyncio.to_thread(api.server.kill)
        await all_are("TIMEOUT")
        codes = {found for _, found in answers}
        await asyncio.to_thread(api.server.revive)
        await all_are(None)
        codes |= {found for _, found in answers}
        stop.set()

    assert codes == {None, "TIMEOUT"}
    assert not [record for record in caplog.records if record.name == "crm_es.api"]
    assert await shown(api)
