"""Appends a second, variants in turn: a plain INSERT, the library's default `app.save`, ours of a known subject and of a new
contact; then the same with a 1 ms flush emulated, and 1,000 rows in one append.

    sh scripts/bench append [--writers 16] [--slice 0.5] [--workspaces 4]

Yardsticks run in threads, ours as coroutines of one event loop, as in the product; Python's switch interval is its own.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate as LibraryAggregate
from eventsourcing.domain import event

from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import ContactRegistered, Email, Item, LifecycleStage
from crm_es.database.migrate import migrate
from crm_es.database.server import EmbeddedServer
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.event import Actor, ActorKind, Command, Origin, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.interactions.interaction import INTERACTION, InteractionRecorded, InteractionType, Visibility
from crm_es.privacy.keystore import KeyStore

ROUNDS = 7
BODY = ("Customer called about invoice 4711; promised a call back on Thursday after checking with accounts. " * 3)[:200]
NOW = datetime.now(UTC)
PLAIN_TABLE = """
CREATE TABLE plain (
  originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text NOT NULL, state bytea NOT NULL,
  notification_id bigint GENERATED ALWAYS AS IDENTITY, workspace_id uuid, sequence bigint,
  recorded_at timestamptz DEFAULT clock_timestamp(), command_id uuid, PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX ON plain (notification_id);
"""
PLAIN_INSERT = """
INSERT INTO plain (originator_id, originator_version, topic, state, workspace_id, sequence, command_id)
VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING notification_id
"""


class LibraryContact(LibraryAggregate):
    @event("Registered")
    def __init__(self, name: str, email: str, actor: str, correlation_id: str) -> None:
        self.given = name, email, actor, correlation_id


def interaction(contact: uuid.UUID) -> InteractionRecorded:
    return InteractionRecorded(
        type=InteractionType.CALL, body=BODY, occurred_at=NOW, contact_ids=(contact,), visibility=Visibility.SHARED
    )


def registered(contact: uuid.UUID) -> ContactRegistered:
    return ContactRegistered(
        display_name="Ann Lee",
        emails=(Email(address=f"{contact}@example.org"),),
        email_items=(Item(number=1),),
        primary_email=Item(number=1),
        lifecycle_stage=LifecycleStage.LEAD,
    )


@dataclass
class Variant:
    name: str
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)


class Bench:
    def __init__(self, urls: DatabaseUrls, keys: KeyStore, options: argparse.Namespace) -> None:
        self.urls = urls
        self.keys = keys
        self.writers: int = options.writers
        self.slice: float = options.slice
        self.workspaces = [WorkspaceId(uuid.uuid4()) for _ in range(options.workspaces)]
        self.known = uuid.uuid4()

    def command(self, writer: int) -> Command:
        return Command(
            workspace=self.workspaces[writer % len(self.workspaces)],
            command_id=uuid.uuid4(),
            request_hash=os.urandom(32),
            actor=Actor(kind=ActorKind.MEMBER, id=self.known, auth="jwt", session="s"),
            correlation_id=uuid.uuid4(),
            origin=Origin(client="web", address="203.0.113.0/24"),
        )

    # -- yardsticks, in threads

    def in_threads(self, variant: Variant, operation: Callable[[int], Callable[[], object]]) -> None:
        ready = threading.Barrier(self.writers + 1)
        counts: list[int] = []
        deadline = [0.0]

        def work(writer: int) -> None:
            do, done = operation(writer), 0
            do()
            ready.wait()
            ready.wait()
            while (begun := time.perf_counter()) < deadline[0]:
                do()
                variant.latencies.append(time.perf_counter() - begun)
                done += 1
            counts.append(done)

        threads = [threading.Thread(target=work, args=(writer,)) for writer in range(self.writers)]
        for thread in threads:
            thread.start()
        ready.wait()
        begun = time.perf_counter()
        deadline[0] = begun + self.slice
        ready.wait()
        for thread in threads:
            thread.join()
        variant.rates.append(sum(counts) / (time.perf_counter() - begun))

    def plain(self, writer: int) -> Callable[[], object]:
        cursor = psycopg.connect(self.urls.owner, autocommit=True).cursor()
        state = os.urandom(1100)
        workspace = self.workspaces[writer % len(self.workspaces)]

        def insert() -> object:
            row = (uuid.uuid4(), 1, "interaction.recorded", state, workspace, 1, uuid.uuid4())
            return cursor.execute(PLAIN_INSERT, row, prepare=True).fetchone()

        return insert

    # -- ours, as coroutines

    async def in_loop(self, variant: Variant, operation: Callable[[int], Awaitable[object]]) -> None:
        deadline = 0.0
        done = 0

        async def work(writer: int) -> None:
            nonlocal done
            while (begun := time.perf_counter()) < deadline:
                await operation(writer)
                variant.latencies.append(time.perf_counter() - begun)
                done += 1

        await asyncio.gather(*(operation(writer) for writer in range(self.writers)))
        begun = time.perf_counter()
        deadline = begun + self.slice
        await asyncio.gather(*(work(writer) for writer in range(self.writers)))
        variant.rates.append(done / (time.perf_counter() - begun))

    async def run(self, title: str) -> None:
        library = library_application(self.urls.owner)
        store = await Store.open(self.urls.app, (CONTACT, INTERACTION), self.keys)
        plain, default, known, fresh = (
            Variant(name) for name in ("plain INSERT", "library app.save", "ours, known subject", "ours, new contact")
        )

        async def record(writer: int) -> object:
            return await store.create(self.command(writer), INTERACTION, uuid.uuid4(), [interaction(self.known)])

        async def register(writer: int) -> object:
            contact = uuid.uuid4()
            return await store.create(self.command(writer), CONTACT, contact, [registered(contact)])

        def save(_writer: int) -> Callable[[], object]:
            return lambda: library.save(LibraryContact("Ann", "a@example.org", "u", BODY))

        for _ in range(ROUNDS):
            await asyncio.to_thread(self.in_threads, plain, self.plain)
            await asyncio.to_thread(self.in_threads, default, save)
            await self.in_loop(known, record)
            await self.in_loop(fresh, register)
        commits = store.recorder.commits
        show(f"{title}; {commits.requests / commits.batches:.1f} requests an append", [plain, default, known, fresh])
        await store.close()
        library.close()

    async def batches(self) -> None:
        store = await Store.open(self.urls.app, (CONTACT, INTERACTION), self.keys)
        rates = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            rows = [(INTERACTION, uuid.uuid4(), [interaction(self.known)]) for _ in range(1000)]
            await store.create_many(self.command(0), rows)
            rates.append(1000 / (time.perf_counter() - begun))
        print(f"\n1,000 interactions in one append: {statistics.median(rates):,.0f} events/s (8,000 wanted)")
        await store.close()


def library_application(url: str) -> Application[uuid.UUID]:
    parts = urlsplit(url)
    return Application(
        {
            "PERSISTENCE_MODULE": "eventsourcing.postgres", "POSTGRES_DBNAME": parts.path[1:], "POSTGRES_PASSWORD": "-",
            "POSTGRES_HOST": parts.hostname or parse_qs(parts.query)["host"][0], "POSTGRES_PORT": str(parts.port or 5432),
            "POSTGRES_USER": parts.username or "postgres", "POSTGRES_POOL_SIZE": "20",
        }
    )  # fmt: skip


def show(title: str, variants: list[Variant]) -> None:
    plain, default = (statistics.median(variant.rates) for variant in variants[:2])
    print(f"\n{title}")
    print(f"{'':22}{'a second':>10}{'of INSERT':>11}{'of app.save':>13}{'p50 ms':>9}{'p99 ms':>9}")
    for variant in variants:
        rate, waits = statistics.median(variant.rates), sorted(variant.latencies)
        p50, p99 = (waits[len(waits) * part // 100] * 1000 for part in (50, 99))
        print(f"{variant.name:22}{rate:10,.0f}{rate / plain:11.2f}{rate / default:13.2f}{p50:9.2f}{p99:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--writers", type=int, default=16)
    parser.add_argument("--slice", type=float, default=0.5, help="seconds")
    parser.add_argument("--workspaces", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-es-bench-") as directory:
        Path(directory).chmod(0o755)
        with EmbeddedServer(Path(directory) / "data") as urls:
            measure(urls, KeyStore.open(Path(directory) / "keys.sqlite", secrets.token_bytes(32)), options)


def measure(urls: DatabaseUrls, keys: KeyStore, options: argparse.Namespace) -> None:
    migrate(urls.owner)
    bench = Bench(urls, keys, options)
    name = urlsplit(urls.owner).path[1:]
    with psycopg.connect(urls.owner, autocommit=True) as owner:
        owner.execute(PLAIN_TABLE)
        print(
            f"{options.writers} writers, {options.workspaces} workspaces; sealed, idempotent; new contact: key and email"
        )
        asyncio.run(bench.run("flush as it is"))
        asyncio.run(bench.batches())
        owner.execute(f"ALTER DATABASE {name} SET commit_delay = 1000")
        owner.execute(f"ALTER DATABASE {name} SET commit_siblings = 0")
        asyncio.run(bench.run("flush of 1 ms emulated"))
    keys.close()


if __name__ == "__main__":
    main()
