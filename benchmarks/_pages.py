"""For benches of pages: a workspace to write events into, and how long its pages take, generic and compiled in turn.

Whole requests in this process: parsing, permissions, snapshot, reads, the answer as bytes; no network. One asks at a time.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psycopg

from crm_es.app import make
from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.database.doors import current
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.projector.runner import Projector
from crm_es.serving.projecting import decoding, opened_keys
from projections import READ_MODELS

APPEND = 500
WARM = 8  # asks that are not counted; PostgreSQL settles on a plan after five
Stream = tuple[Any, uuid.UUID, Sequence[Any]]


def crm(*argv: str) -> str:
    command = [sys.executable, "-m", "crm_es", *argv]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]  # noqa: S603


@dataclass(frozen=True)
class Bench:
    """An installation of its own with one empty workspace, and its administrator's token."""

    urls: DatabaseUrls
    settings: Settings
    workspace: WorkspaceId
    token: str

    async def write(self, tell: Callable[[Callable[..., Awaitable[int]]], Awaitable[None]]) -> None:
        """`tell` is given what records streams, in appends of 500, and answers the last position; then all is projected."""
        with opened_keys(self.settings) as keys:
            store = await Store.open(self.urls.app, AGGREGATES, keys)

            async def begin(*streams: Stream) -> int:
                position = 0
                for start in range(0, len(streams), APPEND):
                    command = Command(
                        workspace=self.workspace, command_id=uuid.uuid4(), request_hash=bytes(32),
                        actor=Actor(kind=ActorKind.SYSTEM), correlation_id=uuid.uuid4(),
                    )  # fmt: skip
                    position = (await store.create_many(command, streams[start : start + APPEND])).position or position
                return position

            await tell(begin)
            await store.close()
        with decoding(self.settings) as decode:
            await asyncio.to_thread(Projector(self.urls.projector, decode, READ_MODELS).drain)
        with psycopg.connect(self.urls.owner, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    async def measure(self, pages: Mapping[str, str], variables: Mapping[str, Any], asks: int) -> None:
        apps = {
            way: make(replace(self.settings, compiled_reads=way == "compiled"), self.urls)
            for way in ("generic", "compiled")
        }
        generic, compiled = apps.values()
        async with generic.router.lifespan_context(generic), compiled.router.lifespan_context(compiled):
            print(f"{'p50 and p95 in ms':34}{'generic':>17}{'compiled':>17}   load {os.getloadavg()[0]:.1f}")
            for name, query in pages.items():
                used = {key: value for key, value in variables.items() if f"${key}:" in query}
                await self._page(apps, name, {"query": query, "variables": used}, asks)

    async def _page(self, apps: Mapping[str, Any], name: str, request: Mapping[str, Any], asks: int) -> None:
        waits: dict[str, list[float]] = {way: [] for way in apps}
        for number in range(asks + WARM):
            for way, found in waits.items():
                began = time.perf_counter()
                await self._ask(apps[way], request)
                if number >= WARM:
                    found.append((time.perf_counter() - began) * 1000)
        told = (f"{statistics.median(each):10.1f}{sorted(each)[len(each) * 95 // 100]:7.1f}" for each in waits.values())
        print(f"{name:34}{''.join(told)}")

    async def _ask(self, app: Any, request: Mapping[str, Any]) -> None:
        headers = {"authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://crm.test") as client:
            answer = await client.post("/graphql", json=request, headers=headers)
        assert b'"errors"' not in answer.content, answer.text


@contextmanager
def bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="crm-es-bench-") as directory:
        Path(directory).chmod(0o711)
        os.environ |= {"CRM_DATA_DIR": str(Path(directory) / "data"), "CRM_ENV": "development"}  # noqa: TID251
        settings = Settings.from_environment()
        with current(settings) as urls:
            workspace = WorkspaceId(uuid.UUID(crm("workspace", "create", "Bench")))
            yield Bench(urls, settings, workspace, crm("token", "--workspace", "Bench", "--role", "admin"))
