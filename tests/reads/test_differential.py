"""Compiled == generic, over random selections, arguments and moments; and the plan cache keeps shapes apart."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_es.access.trail import Trail
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import CrmError
from crm_es.reads.driver import ReadConnections
from crm_es.reads.execute import CompiledReads
from crm_es.workspaces.actions import EntityType, Scope
from tests.reads import small
from tests.reads.world import Granted, World, build, gid
from tests.waiting import PATIENCE_MS

compiled = CompiledReads(small.schema._schema)
LEAVES = {
    "Contact": "id liveId version asOf label createdAt displayName recordStatus stage tags lastAt note shouted __typename "
    "phones{number} meetingCount lastMet maskedFields viewerCan emails{address,primary} "
    "mails(primary:true){address}",
    "Company": "id name recordStatus label updatedAt revenue{amount,currency}",
    "Meeting": "id subject occurredAt asOf",
    "Member": "id name",
    "Letter": "id occurredAt written:subject neighbours spoken:neighbours(word:$word) post{stamped,name,by{id,name}} "
    "post{by{label}} about{id,label} about{__typename,...on,Contact{stage,emails{address}},...on,Company{revenue{amount}}}",
}
BELOW = {
    "Contact": {"company": "Company", "owner": "Member", "meetings": "[Meeting]", "timeline": "[Happening]"},
    "Company": {"contacts": "[Contact]"},
    "Meeting": {"contacts": "Contact"},
    "Member": {},
    "Letter": {"sender": "Member"},
}
ORDERS = {
    "Contact": ["DISPLAY_NAME", "CREATED_AT", "LAST_AT", "STAGE", "LAST_MET_AT"],
    "Company": ["NAME", "CREATED_AT"],
    "Meeting": ["OCCURRED_AT"],
}
FILTERS = {
    "Contact": [
        '{displayName: {startsWith: "a"}}', "{not: {companyId: {isNull: true}}}", "{stage: {in: [LEAD, CUSTOMER]}}",
        '{company: {name: {contains: "CM"}}}', "{or: [{lastAt: {isNull: true}}, {ownerId: {isMe: true}}]}",
        '{email: {contains: "x"}}', "{recordStatus: {eq: ARCHIVED}}", '{tag: {eq: "vip"}}', "{stage: $stage}",
        "{displayName: {in: $names}}", "$filter", "{meetings: {some: {private: false}, none: {contactId: {isNull: true}}}}",
    ],
    "Company": [
        '{name: {eq: "Acme"}}', '{contacts: {none: {displayName: {startsWith: "a"}}}}', '{revenue: {currency: "EUR", gt: "1"}}',
    ],
    "Meeting": ["{private: false}", '{occurredAt: {gt: "2026-01-01T03:00:00Z"}}'],
}  # fmt: skip
KEYWORDS = {"Letter": "def"}
MERGED = {"Happening": ["private: false", "letters: $no", "subjects: $names", "subjects: []"]}
ROLES = (
    Granted(),
    Granted(scopes={EntityType.TICKET: None, EntityType.MEMBER: Scope.OWN}),
    Granted(scopes={EntityType.TICKET: Scope.OWN, EntityType.CONTACT: Scope.TEAM}),
    Granted(scopes={EntityType.INTERACTION: None}, hidden={EntityType.TICKET: frozenset({"subject", "sender"})}),
    Granted(hidden={EntityType.CONTACT: frozenset({"phones", "company"}), EntityType.COMPANY: frozenset({"revenue"})}),
)


@st.composite
def selection(draw: st.DrawFn, type_: str, depth: int) -> str:
    leaves = draw(st.lists(st.sampled_from(LEAVES[type_].split()), min_size=1, max_size=5))
    parts = [
        f"{name}: {leaf}" if ":" not in leaf and draw(st.integers(0, 4)) == 0 else leaf
        for leaf in leaves
        for name in (KEYWORDS.get(type_, "class"),)
    ]
    if depth and BELOW[type_]:
        for name in draw(st.lists(st.sampled_from(sorted(BELOW[type_])), max_size=2, unique=True)):
            target = BELOW[type_][name]
            alias = draw(st.sampled_from(["", f"my{name}: "]))
            if target.startswith("["):
                parts.append(alias + draw(listed(name, target.strip("[]"), depth - 1)))
            else:
                parts.append(f"{alias}{name} {draw(selection(target, depth - 1))}")
    merged = list(dict.fromkeys(part for part in parts if not part.startswith(("class: ", "def: ")))) + parts[:0]
    renamed = next((part for part in parts if part.startswith(("class: ", "def: "))), None)
    body = " ".join(merged + ([renamed] if renamed else []))
    skipped = "" if type_ == "Letter" else "version @skip(if: $no)"
    return f"{{ {body} }}" if draw(st.booleans()) else f"{{ ... on {type_} {{ {body} }} {skipped} }}"


@st.composite
def happening(draw: st.DrawFn, depth: int) -> str:
    """Of several types: fields of the interface, and fragments on some of its types."""
    parts = draw(st.lists(st.sampled_from(["id", "occurredAt", "__typename"]), min_size=1, unique=True))
    parts += [
        f"... on {type_} {draw(selection(type_, depth))}"
        for type_ in draw(st.lists(st.sampled_from(["Meeting", "Letter"]), unique=True))
    ]
    return f"{{ {' '.join(parts)} }}"


@st.composite
def listed(draw: st.DrawFn, name: str, type_: str, depth: int, more: str = "") -> str:
    given_ = [draw(st.sampled_from(["first: 2", "last: 2", "first: $n", ""]))]
    if type_ in MERGED:
        given_ += draw(st.lists(st.sampled_from(MERGED[type_]), max_size=2, unique_by=lambda one: one.split(":")[0]))
    if type_ in ORDERS and draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(ORDERS[type_]), max_size=2, unique=True))
        given_.append("orderBy: [" + " ".join(f"{{field: {each}, direction: {draw(ways)}}}" for each in chosen) + "]")
    if type_ in FILTERS and draw(st.booleans()):
        given_.append(f"filter: {draw(st.sampled_from(FILTERS[type_]))}")
    arguments = ", ".join(part for part in (*given_, more) if part)
    parts = draw(
        st.lists(
            st.sampled_from(["nodes", "edges", "totalCount", "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"]),
            min_size=1, unique=True,
        )
    )  # fmt: skip
    node = draw(happening(depth) if type_ in MERGED else selection(type_, depth))
    body = " ".join(
        {"nodes": f"nodes {node}", "edges": f"edges {{ cursor node {node} }}"}.get(part, part) for part in parts
    )
    return f"{name}{f'({arguments})' if arguments else ''} {{ {body} }}"


ways = st.sampled_from(["ASC", "DESC"])
moments = st.sampled_from(["", "asOf: {position: $at}"])


TYPES = {
    "id": "ID!", "at": "Position!", "n": "Int", "no": "Boolean!", "names": "[String!]!", "word": "String!",
    "stage": "StageFilter", "filter": "ContactFilter",
}  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> str:
    roots = [
        draw(listed("contacts", "Contact", 2, draw(moments))),
        draw(st.sampled_from(["", "one: contact(id: $id) " + draw(selection("Contact", 2))])),
        draw(st.sampled_from(["", "past: contact(id: $id, asOf: {position: $at}) " + draw(selection("Contact", 1))])),
        draw(st.sampled_from(["", draw(listed("meetings", "Meeting", 1, draw(moments)))])),
    ]
    body = " ".join(roots)
    used = [f"${name}: {type_}" for name, type_ in TYPES.items() if re.search(rf"\${name}\b", body)]
    return f"query {'(' * bool(used)}{', '.join(used)}{')' * bool(used)} {{ {body} }}"


variables = st.fixed_dictionaries(
    {
        "n": st.sampled_from([None, 0, 1, 3]),
        "no": st.booleans(),
        "word": st.sampled_from(["", "a"]),
        "names": st.lists(st.sampled_from(["Anna", "Bert"]), max_size=2),
        "stage": st.sampled_from([{"eq": "LEAD"}, {"in": []}, {"in": ["CUSTOMER"]}]),
        "filter": st.sampled_from(
            [{}, {"and": [{"displayName": {"isNull": True}}]}, {"not": {"displayName": {"eq": "Bert"}}}, {"or": [{}]}]
        ),
        "at": st.integers(0, 60),
        "who": st.integers(0, 5),
    }
)


@given(document=documents(), given_=variables, role=st.sampled_from(ROLES))
@settings(max_examples=80)
def test_both_executors_answer_alike(
    known: tuple[asyncio.Runner, World], document: str, given_: dict[str, Any], role: Granted
) -> None:
    runner, world = known
    contacts = world.people  # type: ignore[attr-defined]
    values = {**given_, "at": str(given_["at"]), "id": gid("Contact", contacts[given_["who"] % len(contacts)])}
    del values["who"]

    generic = runner.run(world.result(document, values, member_id=world.me, permissions=role))  # type: ignore[attr-defined]
    noted = world.trail
    answer = runner.run(_compiled(world, document, values, role))

    if generic.errors:
        assert isinstance(generic.errors[0].original_error, CrmError), (generic.errors, document)
        assert answer is None, document
    else:
        assert answer is not None, (compiled.outcomes, document)
        assert msgspec.json.decode(answer) == generic.data
        assert _told(world.trail) == _told(noted), document


def _told(trail: Trail) -> tuple[dict[str, set[UUID]], set[str]]:
    """What goes into the access log: which records were answered, and which sensitive fields."""
    return {type_: {*ids} for type_, ids in trail.nodes.items() if ids}, trail.fields


async def _compiled(world: World, document: str, values: dict[str, Any], role: Granted) -> bytes | None:
    async with world.operation(member_id=world.me, permissions=role) as reads:  # type: ignore[attr-defined]
        return await compiled.answer(document, reads, values)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def known(runner: asyncio.Runner, shared_database: DatabaseUrls) -> Iterator[tuple[asyncio.Runner, World]]:
    build(shared_database)
    reading = ReadConnections(shared_database.app, statement_timeout_ms=PATIENCE_MS)
    with closing(World(shared_database, reading)) as world:
        populate(world)
        yield runner, world
    runner.run(reading.close())


def populate(world: World) -> None:
    """Some of everything, and changes to some of it."""
    world.me = world.insert(small.MEMBER, name="Max")  # type: ignore[attr-defined]
    firms = [
        world.insert(small.COMPANY, name=n, revenue_minor=r, revenue_currency="EUR")
        for n, r in (("Acme", 150), ("Ace", 50))
    ]
    people = [
        world.contact(
            display_name=name, company_id=firm, stage=stage, owner_id=owner, tags=["vip"] if owner else None,
            last_at=world.time(hour) if hour else None, last_met_at=world.time(-hour) if hour else None,
            phones=[{"number": "+49"}] if hour else None,
        )
        for name, firm, stage, owner, hour in (
            ("Anna", firms[0], "LEAD", world.me, 1), ("Bert", firms[1], "CUSTOMER", None, 0), (None, None, "LEAD", None, 2),
            ("Änne", firms[0], "LEAD", world.me, 0), ("Anna", None, "CUSTOMER", None, 1),
        )
    ]  # fmt: skip
    for number, person in enumerate(people):
        world.insert(small.EMAIL, contact_id=person, address=f"x{number}@example.com", is_primary=number == 0)
        for _ in range(number):
            world.insert(small.GUEST, contact_id=person, meeting_id=world.insert(small.MEETING, private=number == 2))
        about = {"about_kind": ("FIRM", "PERSON", None, "NONE", "FIRM")[number], "about_id": (*firms, *people)[number]}
        for _ in range(4 - number):
            world.insert(
                small.LETTER, contact_id=person, subject="Anna", sender_id=world.me if number else None, **about
            )
    world.update(small.CONTACT, {"id": people[0]}, display_name="Anna B.", company_id=firms[1], version=2)
    world.update(small.COMPANY, {"id": firms[1]}, name="Acme 2")
    world.update(small.LETTER, {"contact_id": people[1]}, subject="Bert", occurred_at=world.time(1))
    world.update(small.CONTACT, {"id": people[4]}, record_status="ARCHIVED")
    world.update(small.ACTIVITY, {"id": people[3]}, meeting_count=9, last_met_at=world.time(9))
    world.people = people  # type: ignore[attr-defined]
