"""A subscriber over graphql-transport-ws in Python, for machines without Node."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection

from tests.sockets import following


@asynccontextmanager
async def subscribed(url: str, token: str, query: str) -> AsyncIterator[ClientConnection]:
    """`url` is the HTTP address."""
    async with following(url.replace("http", "ws", 1)) as socket:
        await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}}))
        assert json.loads(await socket.recv())["type"] == "connection_ack"
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"query": query}}))
        yield socket


async def results(socket: ClientConnection) -> AsyncIterator[dict[str, Any]]:
    """Until the server ends the subscription. Anything but a result is a failure."""
    async for text in socket:
        message = json.loads(text)
        if message["type"] == "complete":
            return
        assert message["type"] == "next", message
        yield message["payload"]
