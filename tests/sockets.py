"""A client's WebSocket that no busy machine ends: it opens however long that takes, and asks nobody whether he still lives."""

from typing import Any

from websockets.asyncio.client import connect

from tests.waiting import PATIENCE_SECONDS

PROTOCOL = "graphql-transport-ws"


def websocket(url: str, **options: Any) -> connect:
    return connect(url, open_timeout=PATIENCE_SECONDS, ping_interval=None, **options)


def following(url: str) -> connect:
    """One that speaks GraphQL's protocol."""
    return websocket(url, subprotocols=[PROTOCOL])
