"""The compiled path answers what the generic executor answers, or leaves it to it."""

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest
import strawberry
from graphql import parse
from strawberry.schema.config import StrawberryConfig

from crm_es.api.scalars import SCALARS
from crm_es.reads.environment import Environment
from crm_es.reads.errors import NotCompilableError, NotReadError, ReadTimeoutError
from crm_es.reads.execute import CompiledReads
from crm_es.reads.extension import CompiledQueries
from crm_es.reads.levels import AnyLevel, RecordLevel
from crm_es.reads.model import ReadType
from tests.reads import small
from tests.reads.world import World, gid
from tests.waiting import soon

pytestmark = pytest.mark.anyio

compiled = CompiledReads(small.schema._schema)


async def both(world: World, query: str, variables: dict[str, Any] | None = None, **options: Any) -> Any:
    """The compiled answer, once it is known to equal the generic one."""
    generic = await world.ask(query, variables, **options)
    async with world.operation(**options) as reads:
        answer = await compiled.answer(query, reads, variables)
    assert answer is not None, compiled.outcomes
    assert msgspec.json.decode(answer) == generic
    return generic


CARD = """fragment Card on Contact { __typename id liveId streamId version asOf label createdAt displayName
  shouted(times: 2) recordStatus stage tags lastAt note phones { number __typename } viewerCan maskedFields
  company { id name revenue { amount currency } } owner { id name } }"""


async def test_a_record(world: World) -> None:
    acme = world.insert(small.COMPANY, name="Acme", revenue_minor=125000, revenue_currency="EUR")
    max_ = world.insert(small.MEMBER, name="Max")
    anna = world.insert(
        small.CONTACT, display_name='Änna "A"', company_id=acme, owner_id=max_, tags=["vip"], phones=[{"number": "+49"}],
        note="long", last_at=world.time(3).replace(microsecond=120),
    )  # fmt: skip
    bare = world.insert(small.CONTACT)
    world.update(small.CONTACT, {"id": anna}, display_name="Anna B.")
    query = "query ($i: ID!, $a: AsOf) { a: contact(id: $i, asOf: $a) { ...Card } __typename }" + CARD

    for id_ in (anna, bare, acme):
        await both(world, query, {"i": gid("Contact", id_)})
    await both(world, query, {"i": gid("Contact", anna), "a": {"position": "4"}})
    await both(world, query, {"i": gid("Contact", anna, 3), "a": {"time": world.time(3).isoformat()}})


async def test_a_page_with_its_companies(world: World) -> None:
    for number in range(7):
        acme = world.insert(small.COMPANY, name=f"Acme {number % 3}")
        world.insert(small.CONTACT, display_name=f"Anna {number % 2}", company_id=acme if number % 4 else None)
    query = (
        """query ($f: Int, $a: String, $l: Int, $b: String, $o: [ContactOrder!], $filter: ContactFilter, $asOf: AsOf) {
      contacts(first: $f, after: $a, last: $l, before: $b, orderBy: $o, filter: $filter, asOf: $asOf) {
        totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        edges { cursor node { ...Card } } nodes { displayName } } }"""
        + CARD
    )
    asked = [
        {},
        {"f": 3},
        {"l": 2},
        {"f": 2, "o": [{"field": "DISPLAY_NAME", "direction": "DESC"}, {"field": "CREATED_AT"}]},
        {"f": 2, "filter": {"displayName": {"startsWith": "ANNA 1"}, "not": {"companyId": {"isNull": True}}}},
        {"f": 2, "filter": {"company": {"name": {"in": ["Acme 1", "Acme 2"]}}}, "asOf": {"position": "9"}},
        {"f": 2, "filter": {"or": [{"stage": {"eq": "LEAD"}}, {"lastAt": {"past": "P1D"}}]}},
        {"f": 0},
    ]

    for variables in asked:
        data = await both(world, query, variables)
        info = data["contacts"]["pageInfo"]
        if "f" in variables and info["endCursor"]:
            await both(world, query, {**variables, "a": info["endCursor"]})


async def test_everything_below(world: World) -> None:
    for number in range(6):
        acme = world.insert(small.COMPANY, name=f"Acme {number % 3}")
        anna = world.insert(small.CONTACT, display_name=f"Anna {number}", company_id=acme if number % 2 else None)
        world.insert(small.EMAIL, contact_id=anna, address="b@example.com")
        world.insert(small.EMAIL, contact_id=anna, address="a@example.com", is_primary=bool(number % 2))
        for _ in range(number % 3):
            world.insert(small.GUEST, contact_id=anna, meeting_id=world.insert(small.MEETING))
    query = """query ($f: Int) { contacts(first: $f) { nodes { displayName emails { address primary }
        company { name contacts(first: 1, orderBy: [{field: DISPLAY_NAME}]) {
          totalCount nodes { displayName emails { address } } pageInfo { hasNextPage endCursor } } }
        met: meetings(first: 1) { edges { cursor node { subject contacts { displayName } } } }
        meetings { totalCount } } }
      meetings(filter: {private: false}) { nodes { id contacts { id } } } }"""

    counts = []
    for first in (2, 4, 6):
        await both(world, query, {"f": first})
        async with world.operation() as reads:
            await compiled.answer(query, reads, {"f": first})
            counts.append(world.statements)
    assert counts[0] == counts[1] == counts[2] == 10


async def test_skipped_and_included_parts(world: World) -> None:
    world.insert(small.CONTACT, display_name="Anna")
    query = """query ($yes: Boolean!) { contacts { nodes { displayName @skip(if: $yes) stage @include(if: $yes)
      ... on Thing { label } ... @include(if: false) { id } version @skip(if: false) } } }"""

    assert await both(world, query, {"yes": True}) != await both(world, query, {"yes": False})


async def test_behind_a_switch_in_the_place_of_execution(world: World) -> None:
    world.insert(small.CONTACT, display_name="Anna")
    switch = [False]
    schema = strawberry.Schema(
        small.Query,
        config=StrawberryConfig(scalar_map=SCALARS),
        extensions=[lambda: CompiledQueries(compiled, lambda _context: switch[0])],
    )
    found = []
    for switch[0] in (False, True):
        async with world.operation() as reads:
            result = await schema.execute(
                "query ($n: Int) { contacts(first: $n) { nodes { displayName } } }",
                variable_values={"n": 1},
                context_value=SimpleNamespace(reads=reads),
            )
            assert await reads.position() == world.position
            found.append((isinstance(result.data, msgspec.Struct), msgspec.json.encode(result.data)))

    expected = b'{"contacts":{"nodes":[{"displayName":"Anna"}]}}'
    assert found == [(False, expected), (True, expected)]
    assert world.statements == 1


async def test_what_it_leaves_to_the_generic_executor(world: World) -> None:
    left = {
        "{ __schema { queryType { name } } }": None,
        '{ contact(id: "x") { id } }': None,
        "{ contacts(first: 1001) { totalCount } }": None,
        '{ contacts(after: "x") { nodes { id } } }': None,
        "{ contacts { nope } }": None,
        "{ contacts(filter: {displayName: null}) { totalCount } }": None,
        "query ($a: String!) { contacts(filter: {displayName: {in: [$a]}}) { totalCount } }": {"a": "Anna"},
    }  # fmt: skip
    async with world.operation() as reads:
        for query, variables in left.items():
            assert await compiled.answer(query, reads, variables) is None, query


async def test_what_has_no_plan_for_a_type_is_found_out_once(world: World) -> None:
    asked = []

    def refuse(read: ReadType, *, past: bool) -> RecordLevel:
        asked.append((read.name, past))
        raise NotCompilableError("no plan")

    level = AnyLevel(1, gid("Contact", uuid4()), {"Contact": small.Contact}, refuse)
    async with world.operation() as reads:
        for _ in range(2):
            with pytest.raises(NotCompilableError, match="no plan"):
                await level.run(Environment({}, reads.present), None)

    assert asked == [("Contact", False)]


async def test_the_inputs_of_a_mutation_are_not_looked_at(world: World) -> None:
    reading = CompiledReads(small.schema._schema)
    mutation = parse("mutation ($names: [String!]!) { __typename }")

    async with world.operation() as reads:
        answer = await reading.result("…", reads, {"names": 5}, document=mutation)

    assert answer is None
    assert reading.outcomes == {"not a query": 1}


async def test_plans_are_kept_by_what_they_make(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crm_es.reads.execute.PLANNED", 1_000)
    reading = CompiledReads(small.schema._schema)
    documents = [f"{{ contacts {{ {' '.join(f'a{n}_{i}: totalCount' for i in range(20))} }} }}" for n in range(100)]

    async with world.operation() as reads:
        kept = [reading.plan(document, reads, {})[0] for document in documents]

        assert reading.plan(documents[-1], reads, {})[0] is kept[-1]
        assert reading.plan(documents[0], reads, {})[0] is not kept[0]


SLOW = """query ($i: ID!) {
  fine: contact(id: $i) { displayName } slow: contact(id: $i) { company { name } } late: contact(id: $i) { id } }"""
REQUIRED = (
    "query ($i: ID!) { fine: contact(id: $i) { displayName } companies { totalCount } late: contact(id: $i) { id } }"
)


@pytest.mark.parametrize(
    ("query", "data", "errors"),
    [
        (SLOW, {"fine": {"displayName": "Anna"}, "slow": None, "late": None}, {"slow": "TIMEOUT", "late": "NOT_READ"}),
        (REQUIRED, None, {"companies": "TIMEOUT", "late": "NOT_READ"}),
    ],
)
async def test_a_root_that_takes_too_long_is_named_and_takes_no_answer_from_those_before(
    world: World, query: str, data: Any, errors: dict[str, str]
) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    async with world.operation() as reads:
        with psycopg.connect(world.urls.owner) as owner:
            owner.execute("LOCK TABLE small.company IN ACCESS EXCLUSIVE MODE")
            asked = asyncio.create_task(compiled.result(query, reads, {"i": gid("Contact", anna)}))
            await soon(lambda: cancelled(owner))
            found = await asked

    assert found is not None, compiled.outcomes
    assert msgspec.to_builtins(found.data) == data
    told = {ReadTimeoutError: "TIMEOUT", NotReadError: "NOT_READ"}
    assert {each.path[0]: told[type(each.original_error)] for each in found.errors} == errors


def cancelled(owner: psycopg.Connection) -> bool:
    """Whether somebody waited for the companies, and does no more: as at its time limit."""
    return owner.execute(
        "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE relation = 'small.company'::regclass AND NOT granted"
    ).fetchall() == [(True,)]
