"""How subscriptions end: with the token, with the process; and what else a WebSocket is held to."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from crm_es.api.limits import BODY_BYTES
from crm_es.serving.web import config
from tests.api.conftest import Api, hurried, identity
from tests.api.served import served
from tests.sockets import following
from tests.waiting import APPENDING, PATIENCE_SECONDS, soon, wanted

pytestmark = pytest.mark.anyio

FOLLOW = "subscription { changes { id } }"
REGISTER = 'mutation { registerContact(input: {displayName: "Ada"}) { contact { displayName } projected } }'
FROM_THE_BEGINNING = 'subscription { changes(after: "0") { id } }'


@asynccontextmanager
async def socket(address: str, token: str) -> AsyncIterator[ClientConnection]:
    async with following(f"ws://{address}/graphql") as opened:
        await opened.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(await opened.recv()) == {"type": "connection_ack"}
        yield opened


async def subscribe(opened: ClientConnection, query: str) -> None:
    await opened.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))


async def closed(opened: ClientConnection) -> int | None:
    """The code it was closed with."""
    await asyncio.wait_for(opened.wait_closed(), PATIENCE_SECONDS)
    return opened.close_code


def brief(api: Api, seconds: float) -> str:
    api.known["brief"] = identity(api.workspace, "admin", lasts=timedelta(seconds=seconds))
    return "brief"


def over(api: Api) -> bool:
    """Whether the brief token has expired."""
    expires_at = api.known["brief"].expires_at
    assert expires_at is not None
    return datetime.now(UTC) >= expires_at


async def test_a_websocket_is_closed_when_its_token_ends(api):
    async with served(api.app) as address, socket(address, brief(api, 1)) as opened:
        with suppress(ConnectionClosed):  # where we were slower than the token
            await subscribe(opened, FOLLOW)

        assert await closed(opened) == 4403
        assert over(api)


@pytest.mark.parametrize(
    ("message", "code", "reason"),
    [
        ({"type": "connection_init", "payload": {"authorization": "Bearer stranger"}}, 4403, "Forbidden"),
        (
            {"type": "connection_init", "payload": {"authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA"}},
            4403,
            "Forbidden",
        ),
        ({"type": "connection_init", "payload": {"authorization": "Bearer crm_0_0"}}, 4403, "Forbidden"),
        ({"type": "connection_init"}, 4403, "Forbidden"),
        ({"type": "subscribe", "id": "1", "payload": {"query": FOLLOW}}, 4401, "Unauthorized"),
    ],
)
async def test_a_websocket_without_a_token_we_know_is_told_why_it_is_closed(api, message, code, reason):
    async with served(api.app) as address, following(f"ws://{address}/graphql") as opened:
        await opened.send(json.dumps(message))
        await closed(opened)

    assert (opened.close_code, opened.close_reason) == (code, reason)


async def test_an_event_stream_ends_with_its_token_and_says_why(api):
    headers = {"authorization": f"Bearer {brief(api, 1)}", "accept": "text/event-stream"}
    async with served(api.app) as address, httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        response = await client.post(f"http://{address}/graphql", json={"query": FOLLOW}, headers=headers)

    told, end = (event.partition("data:") for event in response.text.strip().split("\n\n")[-2:])
    assert json.loads(told[2])["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED", "rule": "token.expired"}
    assert end[0].startswith("event: complete")
    assert over(api)


async def test_websockets_are_closed_when_the_process_stops(api):
    async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as stack:
        async with served(api.app) as address:  # and would wait without end for what stays open
            opened = await stack.enter_async_context(socket(address, "admin"))
            await subscribe(opened, FROM_THE_BEGINNING)
            assert json.loads(await opened.recv())["type"] == "next"

        assert await closed(opened) == 1012


async def test_a_mutation_begun_over_a_websocket_is_answered_before_the_process_stops(api, place):
    with psycopg.connect(place.urls.owner) as appends:
        appends.execute("SELECT pg_advisory_xact_lock(%s)", [APPENDING])
        async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as stack:
            async with served(api.app) as address:
                opened = await stack.enter_async_context(socket(address, "admin"))
                await subscribe(opened, REGISTER)
                answer = asyncio.create_task(opened.recv())
                await soon(lambda: wanted(appends))
                asyncio.get_running_loop().call_later(0.5, appends.rollback)  # it is told to stop before

            told = json.loads(await answer)
            assert await closed(opened) == 1012

    assert told["type"] == "next"
    assert told["payload"]["data"]["registerContact"] == {"contact": {"displayName": "Ada"}, "projected": True}


async def test_event_streams_break_off_when_the_process_stops(api):
    headers = {"authorization": "Bearer admin", "accept": "text/event-stream"}
    asked = {"json": {"query": FROM_THE_BEGINNING}, "headers": headers}
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client,
        AsyncExitStack() as stack,
    ):
        async with served(api.app) as address:  # and would wait without end for what stays open
            stream = await stack.enter_async_context(client.stream("POST", f"http://{address}/graphql", **asked))
            told = stream.aiter_bytes()
            first = await anext(told)
        rest = b"".join([part async for part in told])

    assert stream.status_code == 200
    assert first.startswith(b"event: next")
    assert b"complete" not in first + rest  # so that clients come again


async def test_a_query_over_a_websocket_has_an_end_too(api):
    api.app.state.sockets.engine = hurried(api.engine)
    async with served(api.app) as address, socket(address, "admin") as opened, AsyncExitStack() as held:
        for _ in range(4):  # all the connections there are
            taken = await api.engine.connections.take()
            held.push_async_callback(api.engine.connections.give, taken, sound=True)

        await subscribe(opened, "{ teams { id } }")
        told = json.loads(await asyncio.wait_for(opened.recv(), PATIENCE_SECONDS))

    assert told["type"] == "error"
    assert told["payload"][0]["extensions"]["code"] == "TIMEOUT"


async def test_a_websocket_takes_what_http_takes_and_no_more(api):
    assert config(api.app, api.engine.settings).ws_max_size == BODY_BYTES
