"""A list of several types is read by one statement, and answers what the generic executor answers."""

from typing import Any

import msgspec
import pytest

from crm_es.reads.driver import ReadConnections
from crm_es.reads.execute import CompiledReads
from crm_es.workspaces.actions import EntityType, Scope
from tests.reads import small
from tests.reads.world import Granted, World, gid
from tests.waiting import PATIENCE_MS

pytestmark = pytest.mark.anyio

compiled = CompiledReads(small.schema._schema)
QUERY = """query ($id: ID!, $asOf: AsOf, $f: Int, $a: String, $l: Int, $b: String, $private: Boolean, $subjects: [String!],
    $letters: Boolean! = true) { contact(id: $id, asOf: $asOf) {
  timeline(first: $f, after: $a, last: $l, before: $b, private: $private, subjects: $subjects, letters: $letters) {
    totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { ...Row } } nodes { id } } } }
  fragment Row on Happening { __typename id occurredAt ... on Letter { said: subject sender { id name } }
    ... on Meeting { version subject contacts { id displayName } meetings: history(first: 1) { nodes { type } } } }"""


async def both(world: World, variables: dict[str, Any], query: str = QUERY, **options: Any) -> Any:
    """The compiled answer, once it is known to equal the generic one."""
    generic = await world.ask(query, variables, **options)
    async with world.operation(**options) as reads:
        answer = await compiled.answer(query, reads, variables)
    assert answer is not None, compiled.outcomes
    assert msgspec.json.decode(answer) == generic
    return generic


def told(world: World, anna: Any) -> None:
    """Nine meetings and letters in turn; some at one moment."""
    max_ = world.insert(small.MEMBER, name="Max")
    for number in range(9):
        at = world.time(100 + number // 2)
        if number % 2:
            sender = max_ if number % 4 == 1 else None
            world.insert(small.LETTER, contact_id=anna, occurred_at=at, subject=f"Letter {number}", sender_id=sender)
        else:
            meeting = world.insert(small.MEETING, private=number == 4, occurred_at=at)
            world.insert(small.GUEST, contact_id=anna, meeting_id=meeting, occurred_at=at)


async def test_it_is_paged_in_one_order_both_ways(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    told(world, anna)
    everything = (await both(world, {"id": gid("Contact", anna)}))["contact"]["timeline"]

    for ways in (("f", "a", "endCursor", 1), ("l", "b", "startCursor", -1)):
        size, cursor, end, step = ways
        seen: list[Any] = []
        given: dict[str, Any] = {"id": gid("Contact", anna), size: 2}
        while True:
            page = (await both(world, given))["contact"]["timeline"]
            seen = seen + page["edges"] if step == 1 else page["edges"] + seen
            if not page["pageInfo"]["hasNextPage" if step == 1 else "hasPreviousPage"]:
                break
            given[cursor] = page["pageInfo"][end]
        assert seen == everything["edges"]
    assert [row["node"]["__typename"] for row in everything["edges"]].count("Letter") == 4
    assert everything["totalCount"] == 8  # one meeting is private


async def test_its_arguments_narrow_each_part(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    told(world, anna)
    narrowed = [{"subjects": ["Letter 1"]}, {"private": False}, {"private": True}, {"letters": False}, {"f": 0}]

    counts = [
        (await both(world, {"id": gid("Contact", anna), **each}))["contact"]["timeline"]["totalCount"]
        for each in narrowed
    ]

    assert counts == [5, 8, 4, 4, 8]


async def test_it_is_shown_as_of_a_moment(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    told(world, anna)
    then = world.position
    letter = world.insert(small.LETTER, contact_id=anna, subject="Late")
    world.update(small.LETTER, {"id": letter}, subject="Later", occurred_at=world.time(1))
    meeting = world.insert(small.MEETING)
    world.insert(small.GUEST, contact_id=anna, meeting_id=meeting, occurred_at=world.time(3))
    world.update(small.GUEST, {"meeting_id": meeting}, removed=True)

    counts = [
        (await both(world, {"id": gid("Contact", anna), "asOf": {"position": str(at)}, "f": 3}))["contact"]["timeline"][
            "totalCount"
        ]
        for at in (then, then + 1, then + 2, world.position - 1, world.position)
    ]

    assert counts == [8, 9, 9, 10, 9]


async def test_it_takes_as_many_statements_for_ten_contacts_as_for_one(world: World) -> None:
    for number in range(4):
        told(world, world.insert(small.CONTACT, display_name=f"Anna {number}"))
    query = """query ($n: Int) { contacts(first: $n) { nodes { timeline(first: 3) { totalCount
      nodes { occurredAt ... on Letter { sender { name } } ... on Meeting { subject } } } } } }"""

    counts = []
    for size in (1, 4):
        await both(world, {"n": size}, query)
        async with world.operation() as reads:
            await compiled.answer(query, reads, {"n": size})
            counts.append(world.statements)

    assert counts == [3, 3]  # contacts, their pages, their counts


async def test_each_part_keeps_to_what_the_viewer_may_see(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    told(world, anna)
    id_ = gid("Contact", anna)
    nothing = Granted(scopes={EntityType.TICKET: None})
    own = Granted(scopes={EntityType.TICKET: Scope.OWN})
    masked = Granted(
        hidden={EntityType.TICKET: frozenset({"subject", "sender"}), EntityType.MEMBER: frozenset({"name"})}
    )

    shown = [(await both(world, {"id": id_}, permissions=each))["contact"]["timeline"] for each in (nothing, own)]
    hidden = (await both(world, {"id": id_}, permissions=masked))["contact"]["timeline"]

    assert [found["totalCount"] for found in shown] == [4, 4]
    letters = [row["node"] for row in hidden["edges"] if row["node"]["__typename"] == "Letter"]
    assert {letter["said"] for letter in letters} == {None}


async def test_the_access_log_is_told_the_same(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    told(world, anna)
    query = """query ($id: ID!, $subjects: [String!]) { contact(id: $id) { timeline(subjects: $subjects) { nodes {
      ... on Letter { said: subject sender { name } } ... on Meeting { subject } } } } }"""

    for subjects in (None, ["Letter 1"], []):
        variables = {"id": gid("Contact", anna), "subjects": subjects}
        await world.ask(query, variables)
        generic = {type_: {*ids} for type_, ids in world.trail.nodes.items()}, world.trail.fields
        async with world.operation() as reads:
            await compiled.answer(query, reads, variables)
        assert ({type_: {*ids} for type_, ids in world.trail.nodes.items() if ids}, world.trail.fields) == generic
        assert ("subject" in world.trail.fields) is (subjects != [])  # said of letters that are there


async def test_a_sensitive_field_of_a_record_that_no_row_leads_to_is_not_told(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    firm = world.insert(small.COMPANY, name="Acme")
    query = """query ($id: ID!) { contact(id: $id) { timeline { nodes { ... on Letter {
      about { label ... on Contact { emails { address } } } } } } } }"""
    told_of = []
    for kind, id_ in (("FIRM", firm), ("PERSON", anna)):
        world.insert(small.LETTER, contact_id=anna, about_kind=kind, about_id=id_)
        await both(world, {"id": gid("Contact", anna)}, query)
        told_of.append(world.trail.fields)

    assert told_of == [set(), {"emails"}]


async def test_it_holds_nothing_of_another_workspace(world: World) -> None:
    """Read as the owner, whom row-level security does not fence: the statement's own fence stands alone."""
    anna = world.insert(small.CONTACT, display_name="Anna")
    told(world, anna)
    unfenced = ReadConnections(world.urls.owner, statement_timeout_ms=PATIENCE_MS)
    other, reader = World(world.urls, world.reading), World(world.urls, unfenced)
    told(other, anna)
    reader.workspace, reader.position = world.workspace, world.position

    for as_of in (None, {"position": str(world.position)}):
        page = (await both(reader, {"id": gid("Contact", anna), "asOf": as_of}))["contact"]["timeline"]
        assert page["totalCount"] == len(page["edges"]) == 8

    other.close()
    reader.close()
    await unfenced.close()
