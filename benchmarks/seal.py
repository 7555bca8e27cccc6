"""Sealing: what the sealer keeps up with, what a proof costs, and what writers feel of it.

    sh scripts/bench seal [--events 1000000] [--rounds 7] [--writers 16] [--slice 5]

A log of 1,100-byte events is sealed from nothing; inclusion proofs of random events of it are read as the API reads them; its
heads map is sealed. Then events are appended by turns with a sealer running and without one.
"""

import argparse
import asyncio
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from crm_es.config import Settings, environment_of_children, environment_of_sealer
from crm_es.database.migrate import migrate
from crm_es.database.server import EmbeddedServer
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.interactions.interaction import INTERACTION, InteractionRecorded, InteractionType, Visibility
from crm_es.ledger.book import connect
from crm_es.ledger.heads_sealing import HeadsSealer
from crm_es.privacy.keystore import KeyStore
from crm_es.reads import ledger
from crm_es.reads.driver import ReadConnections
from crm_es.serving.sealing import sealing

PROOFS = 500
BODY = "Customer called about an invoice; promised a call back on Thursday. " * 3
FILL = """
INSERT INTO es.events (originator_id, originator_version, topic, state, workspace_id, sequence, recorded_at, command_id)
SELECT gen_random_uuid(), 1, 'interaction.recorded',
       convert_to('{"data":{"contact_ids":["' || gen_random_uuid() || '"],"body":"' || repeat(md5(n::text), 30) || '"}}', 'UTF8'),
       %(workspace)s::uuid, n, now(), %(workspace)s::uuid
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""


def fill(urls: DatabaseUrls, workspace: uuid.UUID, events: int) -> None:
    """Straight into the table: appending is measured elsewhere."""
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # nobody looks at the bytes
        for first in range(1, events + 1, 50_000):
            last = min(events, first + 49_999)
            connection.execute(FILL, {"workspace": workspace, "first": first, "last": last})
        connection.execute("INSERT INTO es.head VALUES (%s, %s, now())", [workspace, events])
        connection.execute("VACUUM ANALYZE es.events")


def backlog(settings: Settings, urls: DatabaseUrls, events: int) -> None:
    begun, cpu = time.perf_counter(), time.process_time()
    sealing(settings, urls.sealer).drain()
    took, spent = time.perf_counter() - begun, time.process_time() - cpu
    print(
        f"sealed {events:,} events in {took:.1f} s: {events / took:,.0f} events/s (10,000 wanted); {spent:.1f} s of own CPU"
    )


async def proofs(urls: DatabaseUrls, workspace: uuid.UUID, events: int) -> None:
    connections, took = ReadConnections(urls.app, size=1), []
    for _ in range(PROOFS):
        begun = time.perf_counter()
        async with connections.snapshot(workspace) as snapshot:
            assert await ledger.included(snapshot, workspace, random.randint(1, events), None)
        took.append(1000 * (time.perf_counter() - begun))
    await connections.close()
    took.sort()
    print(
        f"inclusion proof of one of {events:,}: median {statistics.median(took):.2f} ms, p99 {took[-PROOFS // 100]:.2f} ms, "
        f"worst {took[-1]:.2f} ms (20 wanted)"
    )


def heads(urls: DatabaseUrls, workspace: uuid.UUID, events: int) -> None:
    with connect(urls.sealer) as connection:
        begun = time.perf_counter()
        HeadsSealer(connection).seal(workspace)
        print(f"heads map of {events:,} streams, from nothing: {time.perf_counter() - begun:.1f} s")


# -- what writers feel


class Writing:
    def __init__(self, store: Store, writers: int, seconds: float) -> None:
        self.store = store
        self.writers = writers
        self.seconds = seconds
        self.workspaces = [WorkspaceId(uuid.uuid4()) for _ in range(4)]
        self.known = uuid.uuid4()

    def _append(self, writer: int) -> Awaitable[object]:
        command = Command(
            workspace=self.workspaces[writer % 4], command_id=uuid.uuid4(), request_hash=os.urandom(32),
            actor=Actor(kind=ActorKind.MEMBER, id=self.known), correlation_id=uuid.uuid4(), fresh=True,
        )  # fmt: skip
        event = InteractionRecorded(
            type=InteractionType.CALL, body=BODY, occurred_at=datetime.now(UTC), contact_ids=(self.known,),
            visibility=Visibility.SHARED,
        )  # fmt: skip
        return self.store.create(command, INTERACTION, uuid.uuid4(), [event])

    async def round(self) -> tuple[float, float]:
        """Appends a second, and their p99 in milliseconds."""
        took: list[float] = []
        deadline = time.perf_counter() + self.seconds

        async def work(writer: int) -> None:
            while (begun := time.perf_counter()) < deadline:
                await self._append(writer)
                took.append(1000 * (time.perf_counter() - begun))

        await asyncio.gather(*(work(writer) for writer in range(self.writers)))
        took.sort()
        return len(took) / self.seconds, took[int(len(took) * 0.99)]


async def felt(settings: Settings, urls: DatabaseUrls, keys: KeyStore, options: argparse.Namespace) -> None:
    store = await Store.open(urls.app, (INTERACTION,), keys)
    writing = Writing(store, options.writers, options.slice)
    await writing.round()
    rounds: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for number in range(2 * options.rounds):
        on = bool(number % 2)
        process = start(settings, urls) if on else None
        rounds[on].append(await writing.round())
        if process:
            process.terminate()
            process.wait()
    await store.close()
    for on, measured in rounds.items():
        rates, p99s = [rate for rate, _ in measured], sorted(p99 for _, p99 in measured)
        print(
            f"sealer {'on ' if on else 'off'}: median {statistics.median(rates):,.0f} appends/s, "
            f"p99 median {statistics.median(p99s):.1f} ms, from {p99s[0]:.1f} to {p99s[-1]:.1f}"
        )


def start(settings: Settings, urls: DatabaseUrls) -> "subprocess.Popen[bytes]":
    """A sealer of its own process, caught up with what was appended without it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crm_es.serving.sealing"],
        stdin=subprocess.PIPE,
        env={**environment_of_children(urls), **environment_of_sealer(settings, urls)},
    )
    caught_up(urls, lambda unsealed: unsealed == 0)
    return process


def caught_up(urls: DatabaseUrls, enough: Callable[[int], bool]) -> None:
    with psycopg.connect(urls.app, autocommit=True) as connection:
        while not enough(connection.execute("SELECT unsealed FROM ledger.lag()").fetchall()[0][0]):
            time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--slice", type=float, default=5.0, help="seconds of each turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-es-bench-") as folder, EmbeddedServer(Path(folder) / "data") as urls:
        Path(folder).chmod(0o755)
        migrate(urls.owner)
        settings, workspace = Settings(data_dir=Path(folder)), uuid.uuid4()
        if options.events:
            fill(urls, workspace, options.events)
            backlog(settings, urls, options.events)
            asyncio.run(proofs(urls, workspace, options.events))
            heads(urls, workspace, options.events)
        if options.rounds:
            keys = KeyStore.open(Path(folder) / "keys.sqlite", secrets.token_bytes(32))
            asyncio.run(felt(settings, urls, keys, options))
            keys.close()


if __name__ == "__main__":
    main()
