"""Whoever is cancelled while opening a connection, using it or closing it, wherever that is, leaves none open."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from crm_es.database.urls import DatabaseUrls
from crm_es.imports.runs import connected
from crm_es.projector.progress import Progress
from crm_es.reads.driver import ReadConnections
from crm_es.workspaces.key_uses import KeyUses
from tests.open_connections import none_left_open

pytestmark = pytest.mark.anyio


async def reading(url: str) -> None:
    connections = ReadConnections(url, size=1)
    try:
        await connections.give(await connections.take(), sound=True)
    finally:
        await connections.close()


async def following(url: str) -> None:
    async with Progress.following(url):
        await asyncio.sleep(60)


async def noting(url: str) -> None:
    uses = KeyUses(url)
    uses.note(uuid4(), uuid4())
    await uses.flush()


async def importing(url: str) -> None:
    async with connected(url, uuid4()):
        await asyncio.sleep(60)


@pytest.mark.parametrize("opening", [reading, following, noting, importing])
async def test_whenever_they_are_cancelled_they_leave_none_open(
    shared_database: DatabaseUrls, opening: Callable[[str], Awaitable[None]]
) -> None:
    with none_left_open():
        tasks = [asyncio.ensure_future(opening(shared_database.app)) for _ in range(30)]
        for task in tasks:
            await asyncio.sleep(0.001)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.clear()
        del task
