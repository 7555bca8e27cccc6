"""Columns of a table beside the type's own, keys that are positions, rows that are hidden."""

from typing import Any

import pytest

from crm_es.workspaces.actions import Action, EntityType, Scope
from tests.reads import small
from tests.reads.test_compiled import both
from tests.reads.world import Granted, World, gid

pytestmark = pytest.mark.anyio

ORDERED = """query ($d: OrderDirection!, $f: Int, $a: String, $at: AsOf) {
  contacts(orderBy: [{field: LAST_MET_AT, direction: $d}], first: $f, after: $a, asOf: $at) {
    nodes { displayName meetingCount lastMet } pageInfo { endCursor hasNextPage } } }"""


async def test_a_table_beside_answers_orders_and_filters(world: World) -> None:
    anna = world.contact(display_name="Anna", meeting_count=3, last_met_at=world.time(2))
    world.contact(display_name="Bert")
    world.contact(display_name="Clara", meeting_count=1, last_met_at=world.time(1))
    then = world.position
    world.update(small.ACTIVITY, {"id": anna}, meeting_count=4, last_met_at=world.time(30))

    async def walk(direction: str, at: dict[str, str] | None = None) -> list[Any]:
        found, after, more = [], None, True
        while more:
            page = (await both(world, ORDERED, {"d": direction, "f": 1, "a": after, "at": at}))["contacts"]
            found += page["nodes"]
            after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        return found

    assert [row["displayName"] for row in await walk("ASC")] == ["Clara", "Anna", "Bert"]
    assert await walk("DESC") == [
        {"displayName": "Anna", "meetingCount": 4, "lastMet": "02.01.2026 (4) None"},
        {"displayName": "Clara", "meetingCount": 1, "lastMet": "01.01.2026 (1) None"},
        {"displayName": "Bert", "meetingCount": 0, "lastMet": None},
    ]
    assert (await walk("DESC", {"position": str(then)}))[0] == {
        "displayName": "Anna", "meetingCount": 3, "lastMet": f"01.01.2026 (3) {then}",
    }  # fmt: skip
    never = "{ contacts(filter: {lastMetAt: {isNull: true}}) { nodes { displayName } } }"
    assert await both(world, never) == {"contacts": {"nodes": [{"displayName": "Bert"}]}}


async def test_a_masked_column_beside_is_null(world: World) -> None:
    world.contact(display_name="Anna", meeting_count=3)
    hidden = Granted(hidden={EntityType.CONTACT: frozenset({"meetingCount"})})

    data = await both(world, "{ contacts { nodes { displayName meetingCount lastMet } } }", permissions=hidden)

    assert data == {"contacts": {"nodes": [{"displayName": "Anna", "meetingCount": None, "lastMet": None}]}}


async def test_rows_named_by_position_page_as_well(world: World) -> None:
    anna = world.contact(display_name="Anna")
    for number in range(5):
        world.insert(small.EVENT, stream_id=anna, type=f"contact.{number % 2}")
    ask = """query ($o: [EventOrder!], $a: String, $i: ID!) {
      events(first: 2, orderBy: $o, after: $a) { totalCount nodes { position } pageInfo { endCursor hasNextPage } }
      contact(id: $i) { happenings(last: 2) { nodes { position type } } } }"""

    for order in ([], [{"field": "TYPE"}], [{"field": "TYPE"}, {"field": "POSITION", "direction": "DESC"}]):
        found, after, more = [], None, True
        while more:
            page = (await both(world, ask, {"o": order, "a": after, "i": gid("Contact", anna)}))["events"]
            found += [node["position"] for node in page["nodes"]]
            after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        assert sorted(found) == ["3", "4", "5", "6", "7"]
    past = '{ events(asOf: {position: "4"}) { nodes { position } } }'
    assert await both(world, past) == {"events": {"nodes": [{"position": "4"}, {"position": "3"}]}}


class Auditor(Granted):
    def scope(self, type: EntityType, action: Action) -> Scope | None:  # noqa: ARG002
        return Scope.WORKSPACE if action in (Action.READ, Action.AUDIT) else None


async def test_hidden_rows_are_hidden_everywhere(world: World) -> None:
    anna = world.contact(display_name="Anna")
    for private in (True, False):
        world.insert(small.GUEST, contact_id=anna, meeting_id=world.insert(small.MEETING, private=private))
    ask = (
        "{ meetings { totalCount nodes { subject } } contacts { nodes { meetings { totalCount nodes { subject } } } } }"
    )

    seen = await both(world, ask)
    audited = await both(world, ask, permissions=Auditor())

    assert [seen["meetings"]["totalCount"], len(seen["contacts"]["nodes"][0]["meetings"]["nodes"])] == [1, 1]
    assert [audited["meetings"]["totalCount"], audited["contacts"]["nodes"][0]["meetings"]["totalCount"]] == [2, 2]
