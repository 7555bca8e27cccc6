"""Mutations a second over HTTP, projection included: 16 clients, one web process and the projector, payload read back; then
interactions a second by `recordInteractions` of 1,000, by one client and by three.

    sh scripts/bench mutate [--clients 16] [--slice 1.0] [--rounds 5]

The yardstick, in turn with them, appends the same interactions from this process straight to the store.
"""

import argparse
import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.database.doors import current
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.interactions.interaction import INTERACTION, InteractionRecorded, InteractionType, Visibility
from crm_es.serving.projecting import opened_keys

ADDRESS = re.compile(rb"http://\S+/graphql")
BODY = ("Customer called about invoice 4711; promised a call back on Thursday after checking with accounts. " * 3)[:200]
PAYLOAD = "position projected userErrors { message }"
REGISTER = (
    "mutation Register($input: RegisterContactInput!) { registerContact(input: $input)"
    f" {{ contact {{ id version displayName }} {PAYLOAD} }} }}"
)
UPDATE = (
    "mutation Update($input: UpdateContactInput!) { updateContact(input: $input)"
    f" {{ contact {{ id version jobTitle }} {PAYLOAD} }} }}"
)
RECORD = (
    "mutation Record($input: RecordInteractionInput!) { recordInteraction(input: $input)"
    f" {{ interaction {{ id version body occurredAt }} {PAYLOAD} }} }}"
)
RECORD_MANY = (
    "mutation RecordMany($input: RecordInteractionsInput!) { recordInteractions(input: $input)"
    f" {{ rows {{ index created userErrors {{ message }} }} {PAYLOAD} }} }}"
)
ROWS = 1_000
CONTACTS = 50  # that the rows are about
BULK_CLIENTS = (1, 3)


class Client:
    """One kept-alive connection, and the contacts it works with; the last of them, where one will do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = (
            f"POST /graphql HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: "
        )
        self.contacts: list[str] = []

    @classmethod
    async def connect(cls, url: str, token: str) -> Self:
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port), parts.netloc, token)

    async def ask(self, query: str, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """The payload of a mutation that was done and is shown."""
        body = msgspec.json.encode({"query": query, "variables": {"input": values}})
        self._writer.write(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        assert length, head
        answer = msgspec.json.decode(await self._reader.readexactly(int(length[1])))
        assert "errors" not in answer, answer
        payload: dict[str, Any] = answer["data"][name]
        assert payload["projected"], payload
        assert not payload["userErrors"], payload
        return payload

    async def register(self) -> None:
        address = f"{uuid.uuid4().hex}@example.org"
        values = {"givenName": "Ann", "familyName": "Lee", "emails": [{"address": address}]}
        payload = await self.ask(REGISTER, "registerContact", values)
        self.contacts.append(payload["contact"]["id"])

    async def update(self) -> None:
        title = f"Buyer {uuid.uuid4().hex}"
        payload = await self.ask(UPDATE, "updateContact", {"id": self.contacts[-1], "jobTitle": title})
        assert payload["contact"]["jobTitle"] == title

    async def record(self) -> None:
        payload = await self.ask(RECORD, "recordInteraction", self._call(self.contacts[-1]))
        assert payload["interaction"]["body"] == BODY

    async def record_many(self) -> None:
        rows = [self._call(contact) for contact in islice(cycle(self.contacts), ROWS)]
        payload = await self.ask(RECORD_MANY, "recordInteractions", {"interactions": rows})
        assert [row["created"] for row in payload["rows"]] == [True] * ROWS

    def _call(self, contact: str) -> dict[str, Any]:
        return {"type": "CALL", "body": BODY, "contactIds": [contact], "occurredAt": datetime.now(UTC).isoformat()}


@dataclass
class Variant:
    name: str
    once: Callable[[Client], Awaitable[object]]
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    async def run(self, clients: list[Client], seconds: float) -> None:
        done, begun = 0, time.perf_counter()
        until = begun + seconds

        async def work(client: Client) -> None:
            nonlocal done
            while (start := time.perf_counter()) < until:
                await self.once(client)
                self.latencies.append(time.perf_counter() - start)
                done += 1

        await asyncio.gather(*map(work, clients))
        self.rates.append(done / (time.perf_counter() - begun))


async def measure(url: str, token: str, store: Store, workspace: WorkspaceId, options: argparse.Namespace) -> None:
    clients = [await Client.connect(url, token) for _ in range(options.clients)]

    async def append(_client: Client) -> None:
        actor = Actor(kind=ActorKind.SYSTEM)
        command = Command(
            workspace=workspace, command_id=uuid.uuid4(), request_hash=os.urandom(32), actor=actor,
            correlation_id=uuid.uuid4(),
        )  # fmt: skip
        event = InteractionRecorded(
            type=InteractionType.CALL,
            body=BODY,
            occurred_at=datetime.now(UTC),
            contact_ids=(),
            visibility=Visibility.SHARED,
        )
        await store.create(command, INTERACTION, uuid.uuid4(), [event])

    variants = [
        Variant("append alone", append),
        Variant("registerContact", Client.register),
        Variant("updateContact", Client.update),
        Variant("recordInteraction", Client.record),
    ]
    for client in clients:
        await client.register()
    for _ in range(options.rounds):
        for variant in variants:
            await variant.run(clients, options.slice)
            await clients[0].register()  # returns once all before it is projected
    show(variants, options.clients)
    for client in clients[: max(BULK_CLIENTS)]:
        for _ in range(CONTACTS):
            await client.register()
    many = {count: Variant("recordInteractions", Client.record_many) for count in BULK_CLIENTS}
    for _ in range(options.rounds):
        for count, variant in many.items():
            await variant.run(clients[:count], options.slice)
    show_many(many)


def show(variants: list[Variant], clients: int) -> None:
    alone = statistics.median(variants[0].rates)
    load = os.getloadavg()[0]
    print(f"\n{clients} clients, one web process and the projector; load {load:.1f}")
    print(f"{'':20}{'a second':>10}{'of append':>11}{'p50 ms':>9}{'p99 ms':>9}")
    for variant in variants:
        rate, waits = statistics.median(variant.rates), sorted(variant.latencies)
        p50, p99 = (waits[len(waits) * part // 100] * 1000 for part in (50, 99))
        print(f"{variant.name:20}{rate:10,.0f}{rate / alone:11.2f}{p50:9.1f}{p99:9.1f}")


def show_many(many: dict[int, Variant]) -> None:
    print(f"\nrecordInteractions of {ROWS:,}; load {os.getloadavg()[0]:.1f}")
    print(f"{'':20}{'rows a second':>15}{'p50 ms':>9}")
    for count, variant in many.items():
        title = "one client" if count == 1 else f"{count} clients"
        rate, middle = statistics.median(variant.rates) * ROWS, statistics.median(variant.latencies) * 1000
        print(f"{title:20}{rate:15,.0f}{middle:9.1f}")


def crm(*argv: str) -> str:
    command = [sys.executable, "-m", "crm_es", *argv]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]  # noqa: S603


def serve() -> "tuple[subprocess.Popen[bytes], str]":
    command = [sys.executable, "-m", "crm_es", "serve", "--port", "0", "--workers", "1"]
    with tempfile.TemporaryFile() as said:
        serving = subprocess.Popen(command, stderr=said)  # noqa: S603
        while serving.poll() is None:
            if found := ADDRESS.search(os.pread(said.fileno(), 10_000, 0)):
                return serving, found[0].decode()
            time.sleep(0.1)
    raise SystemExit("serve did not listen")


def run(urls: DatabaseUrls, settings: Settings, options: argparse.Namespace) -> None:
    workspace = crm("workspace", "create", "Bench")
    token = crm("token", "--workspace", "Bench", "--role", "admin")
    serving, url = serve()

    async def main() -> None:
        with opened_keys(settings) as keys:
            store = await Store.open(urls.app, AGGREGATES, keys)
            await measure(url, token, store, WorkspaceId(uuid.UUID(workspace)), options)
            await store.close()

    try:
        asyncio.run(main())
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--slice", type=float, default=1.0, help="seconds")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-es-bench-") as directory:
        Path(directory).chmod(0o711)
        os.environ |= {"CRM_DATA_DIR": str(Path(directory) / "data"), "CRM_ENV": "development"}  # noqa: TID251
        settings = Settings.from_environment()
        with current(settings) as urls:
            run(urls, settings, options)


if __name__ == "__main__":
    main()
