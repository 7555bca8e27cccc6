"""Reads a second, the generic executor and the compiled plans in turn: one contact by id, a page of contacts with their company.

    sh scripts/bench read [--slice 1.0] [--page 50] [--clients 8] [--contacts 20000]

Both run in this process without HTTP, on the product's tables, one snapshot an operation. Answers are compared first, and
statements counted over page sizes.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import strawberry
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from crm_es.api import ids
from crm_es.api.nodes import Entity, Money
from crm_es.api.scalars import SCALARS
from crm_es.database.migrate import migrate
from crm_es.database.server import EmbeddedServer
from crm_es.database.urls import DatabaseUrls
from crm_es.projector import tables
from crm_es.reads import declare, filters
from crm_es.reads.declare import Orders, Source, column, connection, lookup, money, one
from crm_es.reads.driver import ReadConnections, Snapshot
from crm_es.reads.execute import CompiledReads
from crm_es.reads.session import Reads
from crm_es.workspaces.permissions import Permissions
from projections import contact_profiles
from projections.contact_profiles import tables as t

ROUNDS = 7
WORKSPACE = uuid.UUID(int=1)


@declare.read_type(Source(contact_profiles.NAME, t.COMPANY), entity="COMPANY", label="name")
class Company(Entity):
    """An organisation."""

    name: str = column("name", "Its name.")
    industry: str | None = column("industry", "What it does.")
    annual_revenue: Money | None = money("revenue_minor", "revenue_currency", "A year.")


@declare.read_type(
    Source(contact_profiles.NAME, t.CONTACT),
    entity="CONTACT",
    label="display_name",
    orders=Orders(columns={"DISPLAY_NAME": "display_name_folded"}, default=(("DISPLAY_NAME", "ASC"),)),
    filter=lambda: ContactFilter,
    listed=("record_status", "ACTIVE"),
)
class Contact(Entity):
    """A person."""

    record_status: str = column("record_status", "In use or not.")
    display_name: str | None = column("display_name", "As called.")
    given_name: str | None = column("given_name", "First.")
    family_name: str | None = column("family_name", "Last.")
    primary_email: str | None = column("primary_email", "Where to write.")
    job_title: str | None = column("job_title", "What they do.")
    lifecycle_stage: str = column("lifecycle_stage", "How far.")
    source: str | None = column("source", "Where from.")
    tags: list[str] | None = column("tags", "Words.")
    company = one("company_id", lambda: Company, "Where they work.")


ContactFilter = filters.filter_type("ContactFilter", lambda: Contact, source=filters.text("source"))


@strawberry.type(description="Where reading starts.")
class Query:
    contact = lookup(lambda: Contact, "By id.")
    contacts = connection(lambda: Contact, description="All.")


schema = strawberry.Schema(
    Query, config=StrawberryConfig(scalar_map=SCALARS), extensions=[ParserCache, ValidationCache]
)
CARD = """fragment Card on Contact { id liveId version recordStatus displayName givenName familyName primaryEmail jobTitle
  lifecycleStage source tags createdAt updatedAt maskedFields company { id name industry annualRevenue { amount currency } } }"""
ONE = "query One($id: ID!) { contact(id: $id) { ...Card } }" + CARD
PAGE = (
    "query Page($first: Int, $after: String) { contacts(first: $first, after: $after)"
    " { edges { cursor node { ...Card } } pageInfo { endCursor hasNextPage } } }" + CARD
)


def fill(urls: DatabaseUrls, contacts: int) -> list[uuid.UUID]:
    with psycopg.connect(urls.projector) as connection, connection.cursor() as cursor:
        tables.create(cursor, contact_profiles, contact_profiles.NAME)
    with psycopg.connect(urls.owner, autocommit=True) as connection:
        connection.execute("SET search_path = contact_profiles")
        connection.execute(
            "INSERT INTO company (workspace_id, id, version, record_status, name, name_folded, industry, revenue_minor,"
            " revenue_currency, addresses, domains, tags, created_at, updated_at, position)"
            " SELECT %s, gen_random_uuid(), 1, 'ACTIVE', 'Company ' || n, 'company ' || n, 'software', n * 1000, 'EUR', '[]',"
            " '{}', '{}', now(), now(), n FROM generate_series(1, 500) n",
            [WORKSPACE],
        )
        connection.execute(
            "INSERT INTO contact (workspace_id, id, version, record_status, display_name, display_name_folded, given_name,"
            " family_name, job_title, addresses, primary_email, company_id, lifecycle_stage, source, tags, created_at,"
            " updated_at, position)"
            " SELECT %s, gen_random_uuid(), 1, 'ACTIVE', 'Person ' || n, md5(n::text), 'Person', n::text, 'Buyer', '[]',"
            " 'person' || n || '@example.com', c.id, 'CUSTOMER', 'web', '{vip,berlin}', now(), now(), 500 + n"
            " FROM generate_series(1, %s::int) n JOIN company c ON c.position = 1 + n %% 500",
            [WORKSPACE, contacts],
        )
        connection.execute(
            "INSERT INTO es.bookmark (read_model, version, log_id) SELECT m, 1, 0 FROM unnest(%s::text[]) m",
            [["contact_profiles", "interactions", "members", "audit_trail", "changes", "search"]],
        )
        connection.execute("VACUUM ANALYZE contact")
        connection.execute("VACUUM ANALYZE company")
        return [row[0] for row in connection.execute("SELECT id FROM contact ORDER BY id LIMIT 1000")]


class Operations:
    """Whole operations: snapshot, reads, answer as bytes."""

    def __init__(self, connections: ReadConnections) -> None:
        self._connections = connections
        self._permissions = Permissions.of(["manager"])
        self.compiled = CompiledReads(schema._schema)  # noqa: SLF001  # Strawberry has no public name for it
        self.statements = 0

    async def run(self, answer: Callable[[Reads], Awaitable[bytes]]) -> bytes:
        async with Snapshot(self._connections, WORKSPACE) as snapshot:

            async def opened() -> Snapshot:
                return snapshot

            now, permissions = datetime.now(UTC), self._permissions
            reads = Reads(snapshot=opened, workspace=WORKSPACE, now=now, permissions=permissions, cursor_key=bytes(32))
            found = await answer(reads)
            assert await reads.position() == 0
            self.statements = len(snapshot.statements)
            return found

    async def generic(self, query: str, variables: dict[str, Any]) -> bytes:
        async def answer(reads: Reads) -> bytes:
            result = await schema.execute(query, variable_values=variables, context_value=SimpleNamespace(reads=reads))
            assert not result.errors, result.errors
            return msgspec.json.encode(result.data)

        return await self.run(answer)

    async def plan(self, query: str, variables: dict[str, Any]) -> bytes:
        async def answer(reads: Reads) -> bytes:
            found = await self.compiled.answer(query, reads, variables)
            assert found is not None, self.compiled.outcomes
            return found

        return await self.run(answer)


async def ask(run: Any, query: str, variables: Callable[[int], dict[str, Any]], number: int) -> object:
    return await run(query, variables(number))


async def rate(once: Callable[[int], Awaitable[object]], clients: int, seconds: float) -> tuple[float, float]:
    """Operations a second of so many clients that ask again as soon as they are answered; and a second of this process's CPU."""
    until, done = time.perf_counter() + seconds, 0

    async def client(number: int) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await once(done * clients + number)
            done += 1

    started, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*map(client, range(clients)))
    return done / (time.perf_counter() - started), done / (time.process_time() - used)


async def measure(urls: DatabaseUrls, contacts: list[uuid.UUID], options: argparse.Namespace) -> None:
    connections = ReadConnections(urls.app, size=options.clients)
    operations = Operations(connections)
    wanted = [ids.encode("Contact", contact) for contact in contacts]
    questions: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
        "one contact by id": (ONE, lambda n: {"id": wanted[n % len(wanted)]}),
        f"{options.page} contacts with company": (PAGE, lambda _n: {"first": options.page}),
    }
    print(f"{'':46}{'generic':>9}{'compiled':>10}{'ratio':>8}   (medians of {ROUNDS}, {options.clients} clients)")
    for name, (query, variables) in questions.items():
        assert await operations.generic(query, variables(0)) == await operations.plan(query, variables(0)), name
        rates: dict[str, list[tuple[float, float]]] = {"generic": [], "plan": []}
        for _ in range(ROUNDS):
            for way, found in rates.items():
                once = partial(ask, getattr(operations, way), query, variables)
                found.append(await rate(once, options.clients, options.slice))
        for title, place in (("a second", 0), ("a second of CPU", 1)):
            generic, plan = (statistics.median(each[place] for each in found) for found in rates.values())
            print(f"{name:30}{title:16}{generic:9.0f}{plan:10.0f}{plan / generic:8.1f}")
    print("\nstatements by page size".ljust(29) + "".join(f"{size:>8}" for size in (1, 10, 100, 1000)))
    for way in ("generic", "plan"):
        counts = []
        for size in (1, 10, 100, 1000):
            await getattr(operations, way)(PAGE, {"first": size})
            counts.append(operations.statements)
        print(f"{way:28}" + "".join(f"{count:>8}" for count in counts))
    await connections.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slice", type=float, default=1.0, help="seconds each way runs in its turn")
    parser.add_argument("--page", type=int, default=50)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--contacts", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-es-bench-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedServer(Path(directory) / "data") as urls:
            migrate(urls.owner)
            contacts = fill(urls, options.contacts)
            asyncio.run(measure(urls, contacts, options))


if __name__ == "__main__":
    main()
