"""Projecting: events a second catching up and rebuilding, every read model at once and each alone, with memory; then a page of
100 as of the past, on a history twin ten times the live table.

    sh scripts/bench project [--events 30000] [--rounds 7] [--rows 50000]

The log is real: sealed values, keys, every topic's codec. Projectors run in processes of their own, so memory is theirs alone.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import resource
import secrets
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from crm_es.catalog import AGGREGATES
from crm_es.contacts import contact_events as e
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.database.migrate import migrate
from crm_es.database.server import EmbeddedServer
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.codec import Codec
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.interactions.interaction import INTERACTION, InteractionRecorded, InteractionType, Visibility
from crm_es.privacy.keystore import KeyStore
from crm_es.projector import bookmarks, pages, tables
from crm_es.projector.garbage import rarely_collected
from crm_es.projector.leader import Leader
from crm_es.projector.rebuild import Rebuild
from crm_es.uuids import new_id
from crm_es.values import Money
from projections import READ_MODELS, contact_profiles

START = datetime(2025, 1, 1, tzinfo=UTC)
APPEND = 200
BODY = "Customer called about invoice 4711; promised a call back on Thursday after checking with accounts. " * 2


@dataclass(frozen=True)
class Place:
    urls: DatabaseUrls
    keys: str
    secret: bytes


@contextlib.contextmanager
def opened(place: Place) -> Iterator[KeyStore]:
    keys = KeyStore.open(place.keys, place.secret)
    try:
        yield keys
    finally:
        keys.close()


# The log: 15 % new contacts, 50 % interactions, 35 % edits, half of these on a few contacts


async def fill(place: Place, events: int) -> None:
    dice = random.Random(1)
    with opened(place) as keys:
        store = await Store.open(place.urls.app, AGGREGATES, keys)
        workspaces: list[tuple[WorkspaceId, list[uuid.UUID]]] = [(WorkspaceId(uuid.uuid4()), []) for _ in range(4)]
        written = 0
        while written < events:
            workspace, contacts = dice.choice(workspaces)
            if len(contacts) < APPEND or dice.random() < 0.65:
                await begin(store, workspace, contacts, dice)
            else:
                await edit(store, workspace, contacts, dice)
            written += APPEND
        await store.close()


def command(workspace: WorkspaceId) -> Command:
    return Command(
        workspace=workspace, command_id=uuid.uuid4(), request_hash=os.urandom(32), correlation_id=uuid.uuid4(),
        actor=Actor(kind=ActorKind.MEMBER, id=uuid.UUID(int=7)),
    )  # fmt: skip


async def begin(store: Store, workspace: WorkspaceId, contacts: list[uuid.UUID], dice: random.Random) -> None:
    rows: list[tuple[Any, uuid.UUID, Any]] = []
    fresh = APPEND if len(contacts) < APPEND else APPEND * 15 // 65
    for n in range(APPEND):
        if n < fresh:
            contacts.append(new_id())
            rows.append((CONTACT, contacts[-1], [registered(contacts[-1], dice)]))
        else:
            rows.append((INTERACTION, new_id(), [recorded(dice.choice(contacts[:-fresh]), dice)]))
    await store.create_many(command(workspace), rows)


def registered(contact: uuid.UUID, dice: random.Random) -> e.ContactRegistered:
    number = dice.randrange(10**6)
    return e.ContactRegistered(
        display_name=f"Ann Lee {number}", given_name="Ann", family_name=f"Lee {number}",
        emails=(e.Email(address=f"{contact}@example.org"),), email_items=(e.Item(number=1),), primary_email=e.Item(number=1),
        phones=(e.Phone(number=f"+4930{number}"),), phone_items=(e.Item(number=2),), primary_phone=e.Item(number=2),
        lifecycle_stage=e.LifecycleStage.LEAD,
    )  # fmt: skip


def recorded(contact: uuid.UUID, dice: random.Random) -> InteractionRecorded:
    return InteractionRecorded(
        type=InteractionType.PURCHASE, subject="4 CDs", body=BODY, visibility=Visibility.SHARED, contact_ids=(contact,),
        occurred_at=START + timedelta(minutes=dice.randrange(500_000)), amount=Money(dice.randrange(10**5), "USD"),
    )  # fmt: skip


async def edit(store: Store, workspace: WorkspaceId, contacts: list[uuid.UUID], dice: random.Random) -> None:
    few = contacts[-20:]
    chosen: dict[uuid.UUID, list[Any]] = {}
    for _ in range(APPEND):
        contact = dice.choice(few) if dice.random() < 0.5 else dice.choice(contacts)
        chosen.setdefault(contact, []).append(an_edit(dice))
    await store.transact(command(workspace), [(CONTACT, c) for c in chosen], lambda _states: chosen)


def an_edit(dice: random.Random) -> Any:
    match dice.randrange(3):
        case 0:
            return e.ContactLifecycleStageChanged(lifecycle_stage=dice.choice(list(e.LifecycleStage)))
        case 1:
            return e.ContactOwnerChanged(owner_id=uuid.UUID(int=dice.randrange(9)))
        case _:
            return e.ContactTagged(tags=(f"tag {dice.randrange(50)}",))


# In processes of their own: answer (events a second, peak memory in MB)


def catch_up(place: Place, names: tuple[str, ...], page: int) -> tuple[float, float]:
    models = [m for m in READ_MODELS if m.NAME in names]
    with (
        opened(place) as keys,
        rarely_collected(),
        Leader(place.urls.projector, Codec(AGGREGATES, keys).decode_each, models, page_size=page) as leader,
    ):
        leader.try_lead()
        started = time.perf_counter()
        leader.drain()
        return leader.applied / (time.perf_counter() - started), peak()


def rebuild(place: Place, names: tuple[str, ...], page: int) -> tuple[float, float]:
    with opened(place) as keys, rarely_collected():
        decode = Codec(AGGREGATES, keys).decode_each
        outcomes = [Rebuild(place.urls.projector, decode, READ_MODELS, page_size=page).run(name)[0] for name in names]
        return sum(o.events for o in outcomes) / sum(o.seconds for o in outcomes), peak()


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(work: Any, *arguments: Any) -> tuple[float, float]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: tuple[float, float] = pool.apply(work, arguments)
        return found


def forget(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        for model in READ_MODELS:
            tables.drop(cursor, model.NAME)
            bookmarks.remove(cursor, model.NAME)


def measure(place: Place, rounds: int, page: int) -> None:
    everything = tuple(m.NAME for m in READ_MODELS)
    kinds = {"catching up, all read models": (catch_up, everything)}
    kinds |= {f"catching up, {name} alone": (catch_up, (name,)) for name in everything}
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for title, (work, names) in kinds.items():
            forget(place.urls.projector)
            found.setdefault(title, []).append(apart(work, place, names, page))
        forget(place.urls.projector)
        apart(catch_up, place, everything, page)
        for name in everything:
            found.setdefault(f"rebuilding {name}", []).append(apart(rebuild, place, (name,), page))
    print(f"{'':42}{'events/s':>10}{'peak MB':>9}   medians of {rounds}")
    for title, results in found.items():
        rate, memory = (statistics.median(r[i] for r in results) for i in (0, 1))
        print(f"{title:42}{rate:10,.0f}{memory:9.0f}", flush=True)


# A page of the past

SHARES = (0.02, 0.1, 0.5, 0.9, 0.999)
FILL = """
INSERT INTO contact_profiles.{table} (
  workspace_id, id, version, record_status, display_name, display_name_folded, lifecycle_stage, created_at, updated_at,
  tags, addresses, position{more}
)
SELECT %(w)s, ('00000000-0000-0000-0000-' || lpad(to_hex(n), 12, '0'))::uuid, 1, 'ACTIVE', name, name,
       (ARRAY['LEAD', 'CUSTOMER', 'FORMER'])[1 + (n + v) %% 3], now(), now(), '{{}}', '[]', {position}{values}
FROM generate_series(1, %(rows)s) AS n, generate_series({versions}) AS v, LATERAL (SELECT md5(n::text || v::text) AS name) AS m
"""
COLUMNS = "id, display_name, primary_email, lifecycle_stage, tags, version"
BRANCH = (
    "(SELECT display_name_folded, {c} FROM contact_profiles.contact{t} WHERE workspace_id = %(w)s AND lifecycle_stage = 'LEAD'"
    " AND position <= %(p)s{v} ORDER BY display_name_folded, id LIMIT 100)"
)
PAST = " UNION ALL ".join(
    [BRANCH.format(c=COLUMNS, t="", v=""), BRANCH.format(c=COLUMNS, t="_history", v=" AND valid_to_position > %(p)s")]
)
PAGE = f"SELECT {COLUMNS} FROM ({PAST}) AS r ORDER BY display_name_folded, id LIMIT 100"
LIVE = (
    f"SELECT {COLUMNS} FROM contact_profiles.contact WHERE workspace_id = %(w)s AND lifecycle_stage = 'LEAD'"
    " ORDER BY display_name_folded, id LIMIT 100"
)


def page_of_the_past(urls: DatabaseUrls, rows: int, rounds: int) -> None:
    forget(urls.projector)
    w = uuid.uuid4()
    with psycopg.connect(urls.projector, autocommit=True) as connection, connection.cursor() as cursor:
        tables.create(cursor, contact_profiles, "contact_profiles")
        params = {"w": w, "rows": rows}
        cursor.execute(
            FILL.format(table="contact", more="", values="", versions="10, 10", position="10 * %(rows)s + n"), params
        )
        history = {"more": ", valid_to_position", "values": ", (v + 1) * %(rows)s + n", "position": "v * %(rows)s + n"}
        cursor.execute(FILL.format(table="contact_history", versions="0, 9", **history), params)
        cursor.execute("VACUUM ANALYZE contact_profiles.contact, contact_profiles.contact_history")
    print(f"\na page of 100 of {rows:,} rows with {10 * rows:,} in the twin, ms (median, then slowest of {rounds * 5})")
    with psycopg.connect(urls.app, autocommit=True) as app:
        app.execute("SELECT set_config('app.workspace', %s, false)", [str(w)])
        print(f"{'live':>8}{timed(app, LIVE, {'w': w}, rounds)}")
        for share in SHARES:
            params = {"w": w, "p": int(11 * rows * share)}
            print(f"{share:8.1%}{timed(app, PAGE, params, rounds)}", flush=True)


def timed(app: psycopg.Connection[Any], query: str, params: dict[str, Any], rounds: int) -> str:
    taken = []
    for _ in range(rounds * 5):
        started = time.perf_counter()
        app.execute(query, params, prepare="p" not in params).fetchall()  # a position must be planned for
        taken.append(1000 * (time.perf_counter() - started))
    return f"{statistics.median(taken):9.2f}{max(taken):9.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--page", type=int, default=pages.PAGE)
    parser.add_argument("--rows", type=int, default=50_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedServer(Path(folder) / "server")
        urls = server.start()
        try:
            migrate(urls.owner)
            place = Place(urls, f"{folder}/keys.sqlite", secrets.token_bytes(32))
            started = time.perf_counter()
            asyncio.run(fill(place, options.events))
            print(
                f"a log of {options.events:,} events, written at {options.events / (time.perf_counter() - started):,.0f}/s"
            )
            if options.rounds:
                measure(place, options.rounds, options.page)
            if options.rows:
                page_of_the_past(urls, options.rows, max(1, options.rounds))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
