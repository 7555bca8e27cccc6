"""What writing down who read what costs: the same compiled reads with the log off, written behind the answer, and before it.

    sh scripts/bench access [--asks 400] [--contacts 2000] [--clients 32]

Whole requests in this process, no network; the three ways in turn. Then many clients at once that read sensitive fields, so that
they share commits.
"""

import argparse
import asyncio
import os
import statistics
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from _pages import Bench, Stream, bench

from crm_es.api import ids
from crm_es.app import make
from crm_es.config import AccessMode
from crm_es.contacts import editing
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, EmailEntry
from crm_es.values import EmailAddress

ROUNDS = 7
WAYS = (AccessMode.OFF, AccessMode.ASYNC, AccessMode.SENSITIVE)
PLAIN = "id liveId version displayName givenName familyName jobTitle lifecycleStage source tags createdAt updatedAt"
PAGES = {
    "one contact": f"query($id: ID!) {{ contact(id: $id) {{ {PLAIN} }} }}",
    "50 contacts": f"query {{ contacts(first: 50) {{ edges {{ cursor node {{ {PLAIN} }} }} pageInfo {{ hasNextPage }} }} }}",
    "one contact with emails": f"query($id: ID!) {{ contact(id: $id) {{ {PLAIN} emails {{ address }} }} }}",
    "50 contacts with emails": f"query {{ contacts(first: 50) {{ nodes {{ {PLAIN} emails {{ address }} }} }} }}",
}


def person(number: int) -> Stream:
    email = EmailAddress.parse(f"person{number}@example.com")
    edit = ContactEdit(given_name="Person", family_name=f"Number {number}", add_emails=[EmailEntry(address=email)])
    return CONTACT, uuid.uuid4(), editing.register(edit)


async def clients(
    place: Bench, apps: Mapping[AccessMode, Any], request: Mapping[str, Any], count: int, seconds: float
) -> None:
    rates: dict[AccessMode, list[float]] = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way, found in rates.items():
            until, done = time.perf_counter() + seconds, 0

            async def one(app: Any, until: float = until) -> int:
                asked = 0
                while time.perf_counter() < until:
                    await place._ask(app, request)  # noqa: SLF001  # the harness's own
                    asked += 1
                return asked

            done = sum(await asyncio.gather(*(one(apps[way]) for _ in range(count))))
            found.append(done / seconds)
    told = "".join(f"{statistics.median(found):17.0f}" for found in rates.values())
    print(f"{f'with emails, {count} clients, a second':34}{told}")


async def run(place: Bench, options: argparse.Namespace) -> None:
    people = [person(n) for n in range(options.contacts)]

    async def tell(begin: Callable[..., Awaitable[int]]) -> None:
        await begin(*people)

    await place.write(tell)
    apps = {way: make(replace(place.settings, access_log=way), place.urls) for way in WAYS}
    async with AsyncExitStack() as opened:
        for app in apps.values():
            await opened.enter_async_context(app.router.lifespan_context(app))
        print(f"{'p50 and p95 in ms':34}{'off':>17}{'async':>17}{'sensitive':>17}   load {os.getloadavg()[0]:.1f}")
        variables = {"id": ids.encode("Contact", people[0][1])}
        for name, query in PAGES.items():
            used = variables if "$id" in query else {}
            await place._page(apps, name, {"query": query, "variables": used}, options.asks)  # noqa: SLF001
        request = {"query": PAGES["one contact with emails"], "variables": variables}
        await clients(place, apps, request, options.clients, options.seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--asks", type=int, default=400)
    parser.add_argument("--contacts", type=int, default=2_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with bench() as place:
        asyncio.run(run(place, options))


if __name__ == "__main__":
    main()
