"""How subscriptions end: with the token, with the process; and what else a WebSocket is held to."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from crm_es.api.limits import BODY_BYTES
from crm_es.api.sockets import GraphQLOverWebSocket
from crm_es.schema import schema
from crm_es.serving.web import config
from tests.api.conftest import Api, identity
from tests.api.served import served

pytestmark = pytest.mark.anyio

PROTOCOL = "graphql-transport-ws"
FOLLOW = "subscription { changes { id } }"


@asynccontextmanager
async def socket(address: str, token: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as opened:
        await opened.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(await opened.recv()) == {"type": "connection_ack"}
        yield opened


async def subscribe(opened: ClientConnection, query: str) -> None:
    await opened.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))


async def closed(opened: ClientConnection) -> tuple[int | None, float]:
    """The code it was closed with, and after how long."""
    began = time.monotonic()
    await asyncio.wait_for(opened.wait_closed(), 10)
    return opened.close_code, time.monotonic() - began


def brief(api: Api, seconds: float) -> str:
    api.known["brief"] = identity(api.workspace, "admin", lasts=timedelta(seconds=seconds))
    return "brief"


async def test_a_websocket_is_closed_when_its_token_ends(api):
    async with served(api.app) as address, socket(address, brief(api, 1)) as opened:
        await subscribe(opened, FOLLOW)

        code, after = await closed(opened)

    assert code == 4403
    assert 0.5 < after < 3


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
    async with served(api.app) as address, connect(f"ws://{address}/graphql", subprotocols=[PROTOCOL]) as opened:
        await opened.send(json.dumps(message))
        await closed(opened)

    assert (opened.close_code, opened.close_reason) == (code, reason)


async def test_an_event_stream_ends_with_its_token_and_says_why(api):
    headers = {"authorization": f"Bearer {brief(api, 1)}", "accept": "text/event-stream"}
    async with served(api.app) as address, httpx.AsyncClient() as client:
        response = await client.post(f"http://{address}/graphql", json={"query": FOLLOW}, headers=headers, timeout=10)

    told, end = (event.partition("data:") for event in response.text.strip().split("\n\n")[-2:])
    assert json.loads(told[2])["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED", "rule": "token.expired"}
    assert end[0].startswith("event: complete")


async def test_websockets_are_closed_promptly_when_the_process_stops(api):
    async with AsyncExitStack() as stack:
        async with served(api.app) as address:
            opened = await stack.enter_async_context(socket(address, "admin"))
            await subscribe(opened, FOLLOW)
            await asyncio.sleep(0.1)
            began = time.monotonic()
        code, _ = await closed(opened)

    assert code == 1012
    assert time.monotonic() - began < 3


async def test_event_streams_break_off_promptly_when_the_process_stops(api):
    headers = {"authorization": "Bearer admin", "accept": "text/event-stream"}
    async with httpx.AsyncClient() as client, AsyncExitStack() as stack:
        async with served(api.app) as address:
            asked = client.stream("POST", f"http://{address}/graphql", json={"query": FOLLOW}, headers=headers)
            stream = await stack.enter_async_context(asked)
            await asyncio.sleep(0.1)
            began = time.monotonic()
        told = await stream.aread()

    assert stream.status_code == 200
    assert b"complete" not in told  # so that clients come again
    assert time.monotonic() - began < 3


async def test_a_query_over_a_websocket_has_an_end_too(api):
    api.app.state.sockets = GraphQLOverWebSocket(schema, api.engine, query_seconds=0.1)
    async with served(api.app) as address, socket(address, "admin") as opened, AsyncExitStack() as held:
        for _ in range(4):  # all the connections there are
            taken = await api.engine.connections.take()
            held.push_async_callback(api.engine.connections.give, taken, sound=True)

        await subscribe(opened, "{ teams { id } }")
        told = json.loads(await asyncio.wait_for(opened.recv(), 5))

    assert told["type"] == "error"
    assert told["payload"][0]["extensions"]["code"] == "TIMEOUT"


async def test_a_websocket_takes_what_http_takes_and_no_more(api):
    assert config(api.app, api.engine.settings).ws_max_size == BODY_BYTES
