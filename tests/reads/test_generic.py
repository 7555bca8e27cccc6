"""What declared types answer, and with how many statements."""

from typing import Any

import pytest

from crm_es.errors import InvalidInputError
from tests.reads import small
from tests.reads.world import World, gid

pytestmark = pytest.mark.anyio


async def test_a_record_is_found_by_its_id(world: World) -> None:
    acme = world.insert(small.COMPANY, name="Acme", revenue_minor=125000, revenue_currency="EUR")
    anna = world.insert(
        small.CONTACT, display_name="Anna", company_id=acme, tags=["vip"], phones=[{"number": "+49"}], note="long"
    )

    data = await world.ask(
        """query ($id: ID!) { contact(id: $id) {
          id liveId streamId version asOf label createdAt displayName shouted(times: 3) stage tags note
          phones { number } company { name revenue { amount currency } } owner { name } emails { address }
          viewerCan maskedFields } }""",
        {"id": gid("Contact", anna)},
    )

    assert data["contact"] == {
        "id": gid("Contact", anna),
        "liveId": gid("Contact", anna),
        "streamId": str(anna),
        "version": 1,
        "asOf": None,
        "label": "Anna",
        "createdAt": "2026-01-01T02:00:00Z",
        "displayName": "Anna",
        "shouted": "ANNA!!!",
        "stage": "LEAD",
        "tags": ["vip"],
        "note": "long",
        "phones": [{"number": "+49"}],
        "company": {"name": "Acme", "revenue": {"amount": "1250.00", "currency": "EUR"}},
        "owner": None,
        "emails": [],
        "viewerCan": ["READ"],
        "maskedFields": [],
    }


async def test_an_unknown_id_is_null_and_one_of_another_type_is_refused(world: World) -> None:
    acme = world.insert(small.COMPANY)

    assert await world.ask("query ($i: ID!) { contact(id: $i) { id } }", {"i": gid("Contact", acme)}) == {
        "contact": None
    }
    with pytest.raises(InvalidInputError) as refused:
        await world.ask("query ($i: ID!) { contact(id: $i) { id } }", {"i": gid("Company", acme)})
    assert refused.value.rule == "id.wrong_type"


async def test_another_workspace_sees_nothing(world: World, shared_database: Any) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    other = World(shared_database, world.reading)

    data = await other.ask(
        "query ($i: ID!) { contact(id: $i) { id } contacts { totalCount nodes { id } } }", {"i": gid("Contact", anna)}
    )

    assert data == {"contact": None, "contacts": {"totalCount": 0, "nodes": []}}
    other.close()


EVERYTHING = """query ($first: Int) { contacts(first: $first) {
  totalCount pageInfo { hasNextPage endCursor }
  edges { cursor node { id note company { name contacts(first: 2) { totalCount nodes { id } } } owner { name }
    emails { address } meetings(first: 3) { totalCount nodes { subject contacts { displayName } } } } } } }"""


async def test_the_number_of_statements_does_not_grow_with_the_page(world: World) -> None:
    member = world.insert(small.MEMBER, name="Max")
    for number in range(12):
        acme = world.insert(small.COMPANY, name=f"Acme {number % 5}")
        anna = world.insert(small.CONTACT, display_name=f"Anna {number}", company_id=acme, owner_id=member)
        world.insert(small.EMAIL, contact_id=anna, address="a@example.com")
        for _ in range(number % 3):
            meeting = world.insert(small.MEETING)
            world.insert(small.GUEST, contact_id=anna, meeting_id=meeting)

    counts = []
    for first in (3, 6, 12):
        data = await world.ask(EVERYTHING, {"first": first})
        assert len(data["contacts"]["edges"]) == first
        counts.append(world.statements)

    assert counts[0] == counts[1] == counts[2] == 11


async def test_a_nested_connection_pages_within_each_parent(world: World) -> None:
    anna, bert = (world.insert(small.CONTACT, display_name=name) for name in ("Anna", "Bert"))
    for number in range(5):
        meeting = world.insert(small.MEETING, subject=f"Meeting {number}")
        for contact in (anna, bert)[: 1 + number % 2]:
            world.insert(small.GUEST, contact_id=contact, meeting_id=meeting)

    data = await world.ask(
        """{ contacts(orderBy: [{field: DISPLAY_NAME}]) { nodes { displayName
             meetings(first: 2) { totalCount pageInfo { hasNextPage } nodes { subject } } } } }"""
    )

    assert data["contacts"]["nodes"] == [
        {
            "displayName": "Anna",
            "meetings": {
                "totalCount": 5,
                "pageInfo": {"hasNextPage": True},
                "nodes": [{"subject": "Meeting 4"}, {"subject": "Meeting 3"}],
            },
        },
        {
            "displayName": "Bert",
            "meetings": {
                "totalCount": 2,
                "pageInfo": {"hasNextPage": False},
                "nodes": [{"subject": "Meeting 3"}, {"subject": "Meeting 1"}],
            },
        },
    ]


async def test_a_short_list_is_narrowed_by_its_argument(world: World) -> None:
    anna = world.insert(small.CONTACT, display_name="Anna")
    for address, best in (("a@x.test", True), ("b@x.test", False)):
        world.insert(small.EMAIL, contact_id=anna, address=address, is_primary=best)

    data = await world.ask(
        """{ contacts { nodes {
          all: mails { address } best: mails(primary: true) { address } rest: mails(primary: false) { address } } } }"""
    )

    (node,) = data["contacts"]["nodes"]
    assert {name: [each["address"] for each in found] for name, found in node.items()} == {
        "all": ["a@x.test", "b@x.test"], "best": ["a@x.test"], "rest": ["b@x.test"],
    }  # fmt: skip
