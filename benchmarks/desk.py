"""How long the pages of a service desk take, generic executor and compiled plans in turn: a queue with 2,000 waiting tickets.

    sh scripts/bench desk [--waiting 2000] [--done 6000] [--asks 60]

Whole requests in this process: parsing, permissions, snapshot, reads, the answer as bytes; no network. One asks at a time.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import psycopg

from crm_es.api import ids
from crm_es.app import make
from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, register
from crm_es.database.doors import current
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.occasions import Occasion, dated
from crm_es.projector.runner import Projector
from crm_es.service import queue, sla_policy, ticket, ticket_editing
from crm_es.service.calendar import Calendar, OpeningHours
from crm_es.service.enums import Priority, SlaKind
from crm_es.service.sla import SlaTarget
from crm_es.service.ticket_aggregate import TICKET
from crm_es.serving.projecting import decoding, opened_keys
from crm_es.values import ExternalId, Tag
from crm_es.workspaces import member
from projections import READ_MODELS

APPEND = 500
WARM = 5
NOW = datetime.now(UTC).replace(microsecond=0)
ROW = "id version number title status priority assignee { id name } requester { id displayName } slaDueAt"
WAITING = f"waiting(first: $first) {{ edges {{ cursor node {{ {ROW} }} }} pageInfo {{ endCursor hasNextPage }} }}"
COUNTS = 'counts(dueWithin: "PT2H") { open unassigned inProgress onHold breached dueSoon }'
PAGES = {
    "queue, page one of 50": f"query($id: ID!, $first: Int = 50) {{ queue(id: $id) {{ id name {WAITING} }} }}",
    "the same with its counts": f"query($id: ID!, $first: Int = 50) {{ queue(id: $id) {{ id name {COUNTS} {WAITING} }} }}",
    "tickets with their clocks": f"""query($id: ID!) {{ tickets(first: 50, filter: {{queueId: {{eq: $id}}}}) {{ nodes {{ {ROW}
      sla {{ kind state dueAt remainingSeconds policy {{ name }} }} }} }} }}""",
    "trend of 30 days": """query($id: ID!, $from: DateTime!, $to: DateTime!) { queue(id: $id) {
      trend(from: $from, to: $to, interval: DAY) { at arrived resolved open breached } } }""",
    "workload": "query($id: ID!) { workload(queueIds: [$id]) { member { name } open onHold resolved medianHandleSeconds } }",
    "SLA report of 30 days": """query($day: Date!, $today: Date!) {
      slaReport(from: $day, to: $today, by: MEMBER) { key kind met breached medianSeconds } }""",
}


class Desk:
    """Writes the events of a workspace's service desk."""

    def __init__(self, store: Store, workspace: WorkspaceId) -> None:
        self.store = store
        self.workspace = workspace
        self.dice = Random(1)  # the same desk every time
        self.promised: dict[str, Any] = {}
        self.members: list[uuid.UUID] = []
        self.contacts: list[uuid.UUID] = []

    async def begin(self, *streams: tuple[Any, uuid.UUID, list[Any]]) -> None:
        for start in range(0, len(streams), APPEND):
            command = Command(
                workspace=self.workspace, command_id=uuid.uuid4(), request_hash=bytes(32),
                actor=Actor(kind=ActorKind.SYSTEM), correlation_id=uuid.uuid4(),
            )  # fmt: skip
            await self.store.create_many(command, streams[start : start + APPEND])

    async def found(self) -> uuid.UUID:
        """The queue, its policy, 20 members and 500 people who ask for help."""
        queue_id, policy = uuid.uuid4(), sla_policy.stream_of(self.workspace, "Gold")
        self.members, self.contacts = ([uuid.uuid4() for _ in range(count)] for count in (20, 500))
        always = Calendar(
            time_zone="UTC", hours=tuple(OpeningHours(weekday=day, opens=0, closes=1440) for day in range(1, 8))
        )
        targets = [SlaTarget(kind=kind, priority=each, seconds=86_400) for kind in SlaKind for each in Priority]
        published = sla_policy.publish(None, name="Gold", queue_ids=[queue_id], targets=targets, calendar=always)
        await self.begin(
            (queue.QUEUE, queue_id, queue.create(queue.QueueEdit(name="Help"))),
            (sla_policy.SLA_POLICY, policy, published),
            *((member.MEMBER, id_, member.register(name=f"Agent {n}")) for n, id_ in enumerate(self.members)),
            *((CONTACT, id_, register(ContactEdit(display_name=f"Person {n}"))) for n, id_ in enumerate(self.contacts)),
        )
        self.promised = {"queue_id": queue_id, "sla_policy_id": policy, "sla_policy_version": 1}
        return queue_id

    def asked(self, number: int, *, done: bool) -> tuple[Any, uuid.UUID, list[Any]]:
        """A ticket of the last 30 days: answered, handed over and solved, or still waiting."""
        opened = NOW - timedelta(minutes=self.dice.randrange(60 * 24 * 28) + 60 * 24)
        on = lambda hours: Occasion(opened + timedelta(hours=hours))  # noqa: E731
        events: list[Any] = list(
            ticket_editing.open_ticket(
                title=f"Ticket {number}: it does not work any more", priority=self.dice.choice(list(Priority)),
                requester_id=self.dice.choice(self.contacts), tags=[Tag("printer")], on=on(0),
                external_ids=[ExternalId(system="desk", value=str(number))], **self.promised,
            )
        )  # fmt: skip
        for hours, decide in self.steps(done=done):
            state = None
            for event in events:
                state = ticket.evolve(state, event)
            assert state is not None
            events += decide(state, on(hours))
        return TICKET, uuid.uuid4(), dated(events)

    def steps(self, *, done: bool) -> list[tuple[int, Callable[[ticket.Ticket, Occasion], list[Any]]]]:
        one, other = (self.dice.choice(self.members) for _ in range(2))
        taken = [(1, lambda was, on: ticket.assign(was, one, on=on))] if done or self.dice.random() < 0.5 else []
        if not done:
            return taken
        return [
            *taken,
            (2, lambda was, on: ticket.reply(was, uuid.uuid4(), internal=False, on=on)),
            (3, lambda was, on: ticket.assign(was, other, on=on)),
            (4 + self.dice.randrange(19), lambda was, on: ticket.resolve(was, on=on)),
        ]


async def measure(apps: dict[str, Any], token: str, variables: dict[str, Any], asks: int) -> None:
    headers = {"authorization": f"Bearer {token}"}
    clients = {
        way: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://crm.test")
        for way, app in apps.items()
    }

    async def answer(way: str, query: str) -> bytes:
        used = {name: value for name, value in variables.items() if f"${name}:" in query}
        found = await clients[way].post("/graphql", json={"query": query, "variables": used}, headers=headers)
        assert b'"errors"' not in found.content, found.text
        return found.content

    waits: dict[tuple[str, str], list[tuple[float, float]]] = {(page, way): [] for page in PAGES for way in apps}
    for number in range(asks + WARM):
        for (page, way), found in waits.items():
            began, used = time.perf_counter(), time.process_time()
            await answer(way, PAGES[page])
            if number >= WARM:
                found.append(((time.perf_counter() - began) * 1000, (time.process_time() - used) * 1000))
    print(
        f"{'ms, load ' + format(os.getloadavg()[0], '.1f'):30}" + "".join(f"{way:>9} p50    p95    CPU" for way in apps)
    )
    for page in PAGES:
        print(f"{page:30}" + "".join(told(waits[page, way]) for way in apps))


def told(waits: list[tuple[float, float]]) -> str:
    """The median and the 95th percentile of what one waited for, and the median of this process's part in it."""
    waited = sorted(each for each, _ in waits)
    cpu = statistics.median(each for _, each in waits)
    return f"{statistics.median(waited):13.1f}{waited[len(waited) * 95 // 100]:7.1f}{cpu:7.1f}"


def crm(*argv: str) -> str:
    command = [sys.executable, "-m", "crm_es", *argv]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]  # noqa: S603


async def run(urls: DatabaseUrls, settings: Settings, options: argparse.Namespace) -> None:
    workspace = WorkspaceId(uuid.UUID(crm("workspace", "create", "Bench")))
    token = crm("token", "--workspace", "Bench", "--role", "admin")
    with opened_keys(settings) as keys:
        store = await Store.open(urls.app, AGGREGATES, keys)
        desk = Desk(store, workspace)
        queue_id = await desk.found()
        await desk.begin(*(desk.asked(n, done=n >= options.waiting) for n in range(options.waiting + options.done)))
        await store.close()
    with decoding(settings) as decode:
        await asyncio.to_thread(Projector(urls.projector, decode, READ_MODELS).drain)
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute(
            "VACUUM ANALYZE service_queues.ticket, service_queues.ticket_interval, service_queues.ticket_clock"
        )
    begins = NOW - timedelta(days=30)
    variables = {
        "id": ids.encode("Queue", queue_id), "from": begins.isoformat(), "to": NOW.isoformat(),
        "day": f"{begins:%Y-%m-%d}", "today": f"{NOW:%Y-%m-%d}",
    }  # fmt: skip
    apps = {way: make(replace(settings, compiled_reads=way == "compiled"), urls) for way in ("generic", "compiled")}
    generic, compiled = apps.values()
    async with generic.router.lifespan_context(generic), compiled.router.lifespan_context(compiled):
        await measure(apps, token, variables, options.asks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--waiting", type=int, default=2_000, help="tickets")
    parser.add_argument("--done", type=int, default=6_000, help="tickets that were resolved")
    parser.add_argument("--asks", type=int, default=60, help="of each page, each way")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-es-bench-") as directory:
        Path(directory).chmod(0o711)
        os.environ |= {"CRM_DATA_DIR": str(Path(directory) / "data"), "CRM_ENV": "development"}  # noqa: TID251
        settings = Settings.from_environment()
        with current(settings) as urls:
            asyncio.run(run(urls, settings, options))


if __name__ == "__main__":
    main()
