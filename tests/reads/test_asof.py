"""Reading the past: which moment, which ids, and that everything below the root follows."""

import asyncio
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.sql import SQL

from crm_es.reads import asof
from crm_es.reads.errors import AsOfOutOfRangeError, NotYetProjectedError
from tests.reads import small
from tests.reads.test_compiled import both
from tests.reads.world import World, gid
from tests.waiting import soon

pytestmark = pytest.mark.anyio
RECORD = """
INSERT INTO es.events (
  originator_id, originator_version, topic, state, workspace_id, sequence, recorded_at, command_id
)
SELECT gen_random_uuid(), 1, 'x.y', '', %s, 2, clock_timestamp(), gen_random_uuid()
"""
WAITS_FOR_US = """
SELECT 1
FROM pg_locks
WHERE locktype = 'advisory' AND objid = 4711001 AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def test_the_past_answers_as_it_was_with_ids_of_its_own(world: World) -> None:
    acme = world.insert(small.COMPANY, name="Acme")
    anna = world.insert(small.CONTACT, display_name="Anna", company_id=acme)
    world.insert(small.EMAIL, contact_id=anna, address="anna@old.example")
    then = world.position
    world.update(small.COMPANY, {"id": acme}, name="Acme Ltd")
    world.update(small.CONTACT, {"id": anna}, display_name="Anna B.", company_id=None, version=2)
    world.update(small.EMAIL, {"contact_id": anna, "address": "anna@old.example"}, removed=True)

    data = await world.ask(
        """query ($id: ID!, $then: Position!) {
          now: contact(id: $id) { ...Card }
          past: contact(id: $id, asOf: {position: $then}) { ...Card }
          list: contacts(asOf: {position: $then}, filter: {company: {name: {eq: "Acme"}}}) { totalCount nodes { ...Card } } }
        fragment Card on Contact { id liveId asOf version displayName company { id name } emails { address } }""",
        {"id": gid("Contact", anna), "then": str(then)},
    )

    past = {
        "id": gid("Contact", anna, then),
        "liveId": gid("Contact", anna),
        "asOf": str(then),
        "version": 1,
        "displayName": "Anna",
        "company": {"id": gid("Company", acme, then), "name": "Acme"},
        "emails": [{"address": "anna@old.example"}],
    }
    assert data["past"] == past
    assert data["list"] == {"totalCount": 1, "nodes": [past]}
    assert data["now"] == {
        "id": gid("Contact", anna),
        "liveId": gid("Contact", anna),
        "asOf": None,
        "version": 2,
        "displayName": "Anna B.",
        "company": None,
        "emails": [],
    }


async def test_a_past_id_means_the_record(world: World) -> None:
    acme = world.insert(small.COMPANY, name="Acme")
    anna = world.insert(small.CONTACT, display_name="Anna", company_id=acme)

    data = await world.ask(
        "query ($c: ID!, $f: ID!) { contact(id: $c) { asOf displayName }"
        " contacts(filter: {companyId: {eq: $f}}) { totalCount } }",
        {"c": gid("Contact", anna, 2), "f": gid("Company", acme, 1)},
    )

    assert data == {"contact": {"asOf": None, "displayName": "Anna"}, "contacts": {"totalCount": 1}}


async def test_a_moment_within_an_append_is_the_end_of_the_one_before(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    world.append(3)
    ask = "query ($i: ID!, $a: AsOf) { contact(id: $i, asOf: $a) { asOf } }"

    async def at(**as_of: str) -> object:
        data = await world.ask(ask, {"i": gid("Contact", anna), "a": as_of})
        return data["contact"] and data["contact"]["asOf"]

    assert [await at(position=str(n)) for n in (0, 1, 2, 3, 4)] == [None, "1", "1", "1", "4"]
    assert await at(time=world.time(1).isoformat()) == "1"
    assert await at(time=(world.time(4) - timedelta(microseconds=1)).isoformat()) == "1"
    assert await at(time=world.time(4).isoformat()) == "4"
    assert await at(time=(world.time(1) - timedelta(microseconds=1)).isoformat()) is None


async def test_the_future_is_refused(world: World) -> None:
    world.insert(small.CONTACT)

    for as_of in ({"position": "2"}, {"time": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}):
        with pytest.raises(AsOfOutOfRangeError):
            await world.ask("query ($a: AsOf) { contacts(asOf: $a) { nodes { id } } }", {"a": as_of})


async def test_a_moment_the_read_model_has_not_reached_is_refused(world: World) -> None:
    world.insert(small.CONTACT)
    world.append(projected=False)

    with pytest.raises(NotYetProjectedError) as refused:
        await world.ask('{ contacts(asOf: {position: "2"}) { nodes { id } } }')
    assert (refused.value.wanted, refused.value.reached) == (2, 1)
    assert await world.ask('{ contacts(asOf: {position: "1"}) { totalCount } }') == {"contacts": {"totalCount": 1}}


async def test_what_is_being_recorded_belongs_to_a_moment_as_much_as_what_was(world: World) -> None:
    world.insert(small.CONTACT, display_name="Anna")
    ask = "query ($a: AsOf) { contacts(asOf: $a) { nodes { asOf } } }"
    with psycopg.connect(world.urls.owner) as appending:
        appending.execute("SELECT pg_advisory_xact_lock(4711001)")
        appending.execute("SET LOCAL session_replication_role = replica")  # nobody looks at the bytes
        appending.execute(RECORD, [world.workspace])
        moment = datetime.now(UTC)

        asked = asyncio.create_task(world.ask(ask, {"a": {"time": moment.isoformat()}}))
        await soon(lambda: appending.execute(WAITS_FOR_US).fetchone() is not None or asked.done())

    with pytest.raises(NotYetProjectedError):
        await asked
    world.project()
    assert await world.ask(ask, {"a": {"time": moment.isoformat()}}) == {"contacts": {"nodes": [{"asOf": "2"}]}}


async def test_two_times_at_one_position_have_a_now_of_their_own(world: World) -> None:
    world.insert(small.CONTACT, last_at=world.time(-24))
    ask = 'query ($a: AsOf, $b: AsOf) { a: contacts(asOf: $a, filter: {lastAt: {past: "P2D"}}) { totalCount }'
    ask += ' b: contacts(asOf: $b, filter: {lastAt: {past: "P2D"}}) { totalCount } }'

    times = {name: {"time": world.time(hours).isoformat()} for name, hours in (("a", 2), ("b", 200))}
    assert await both(world, ask, times) == {"a": {"totalCount": 1}, "b": {"totalCount": 0}}


async def test_position_zero_is_empty(world: World) -> None:
    world.insert(small.CONTACT)

    assert await world.ask('{ contacts(asOf: {position: "0"}) { totalCount nodes { id } } }') == {
        "contacts": {"totalCount": 0, "nodes": []}
    }


async def test_now_is_then_in_the_past(world: World) -> None:
    world.insert(small.CONTACT, last_at=world.time(-24))

    asked = 'contacts(asOf: {position: "1"}, filter: {lastAt: {past: "P2D"}}) { totalCount }'
    assert await world.ask(f"{{ {asked} }}") == {"contacts": {"totalCount": 1}}
    assert await world.ask('{ contacts(filter: {lastAt: {past: "P2D"}}) { totalCount } }') == {
        "contacts": {"totalCount": 0}
    }


async def test_a_position_is_found_by_index_however_long_the_log_is(world: World) -> None:
    world.append(300)

    with psycopg.connect(world.urls.app, autocommit=True) as app:
        app.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan")
        app.execute("SELECT set_config('app.workspace', %s, false)", [str(world.workspace)])
        app.execute(SQL("PREPARE position (uuid, bigint) AS ") + asof.BY_POSITION)
        plan = app.execute(f"EXPLAIN EXECUTE position ('{world.workspace}', 7)").fetchall()

    found_by = [line for (line,) in plan if "Index Cond" in line]
    assert len(found_by) == 2
    assert all("sequence = " in line for line in found_by), plan
