"""Walking all pages of a list is the whole list, in order, whatever the order, direction, nulls, size and moment."""

import asyncio
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_es.database.urls import DatabaseUrls
from crm_es.errors import InvalidInputError
from crm_es.reads.driver import ReadConnections
from crm_es.reads.errors import BadCursorError
from tests.reads import small
from tests.reads.world import World, build, gid
from tests.waiting import PATIENCE_MS

PAGE = """query ($first: Int, $after: String, $last: Int, $before: String, $order: [ContactOrder!], $asOf: AsOf) {
  contacts(first: $first, after: $after, last: $last, before: $before, orderBy: $order, asOf: $asOf) {
    totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    edges { cursor node { liveId displayName lastAt stage createdAt } } } }"""
COLUMNS = {"DISPLAY_NAME": "displayName", "LAST_AT": "lastAt", "STAGE": "stage", "CREATED_AT": "createdAt"}


async def walk(world: World, variables: dict[str, Any], size: int, *, backwards: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    window: dict[str, Any] = {"last": size} if backwards else {"first": size}
    while True:
        page = (await world.ask(PAGE, {**variables, **window}))["contacts"]
        nodes = [edge["node"] for edge in page["edges"]]
        found = nodes + found if backwards else found + nodes
        info = page["pageInfo"]
        if not info["hasPreviousPage" if backwards else "hasNextPage"]:
            assert len(found) == page["totalCount"]
            return found
        window = (
            {"last": size, "before": info["startCursor"]} if backwards else {"first": size, "after": info["endCursor"]}
        )


def in_order(nodes: list[dict[str, Any]], order: list[dict[str, str]]) -> bool:
    """Nulls last both ways; ties by id, in the direction of the last order."""
    down = order[-1]["direction"] == "DESC"
    result = sorted(nodes, key=lambda node: str(node["id"]), reverse=down)
    for each in reversed(order):
        column = COLUMNS[each["field"]]
        present = [node for node in result if node[column] is not None]
        present.sort(key=lambda node: node[column], reverse=each["direction"] == "DESC")
        result = present + [node for node in result if node[column] is None]
    return result == nodes


contacts = st.lists(
    st.tuples(
        st.sampled_from([None, "Anna", "Bert", "Clara"]),
        st.sampled_from([None, 1, 2]),
        st.sampled_from(["LEAD", "CUSTOMER"]),
    ),
    max_size=9,
)
orders = st.lists(
    st.tuples(st.sampled_from(sorted(COLUMNS)), st.sampled_from(["ASC", "DESC"])),
    min_size=1, max_size=2, unique_by=lambda order: order[0],
)  # fmt: skip
changes = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from([None, "Dora"]), st.sampled_from([None, 3])), max_size=6
)


@given(rows=contacts, edits=changes, order=orders, size=st.integers(1, 4), backwards=st.booleans(), past=st.booleans())
@settings(max_examples=60)
def test_all_pages_make_the_list(
    paged: tuple[asyncio.Runner, DatabaseUrls, ReadConnections],
    rows: list[Any],
    edits: list[Any],
    order: list[Any],
    **how: Any,
) -> None:
    runner, urls, reading = paged
    with closing(World(urls, reading)) as world:
        check(runner, world, rows, edits, order, **how)


def check(
    runner: asyncio.Runner, world: World, rows: list[Any], edits: list[Any], order: list[Any],
    *, size: int, backwards: bool, past: bool,
) -> None:  # fmt: skip
    ids = [world.insert(small.CONTACT, display_name=name, last_at=_day(day), stage=stage) for name, day, stage in rows]
    expected = {id_: (row[0], row[1], row[2]) for id_, row in zip(ids, rows, strict=True)}
    at = world.position
    for number, name, day in edits:
        if number < len(ids):
            id_ = ids[number]
            world.update(small.CONTACT, {"id": id_}, display_name=name, last_at=_day(day))
            if not past:
                expected[id_] = (name, day, expected[id_][2])
    asked = [{"field": field, "direction": direction} for field, direction in order]
    variables = {"order": asked, "asOf": {"position": str(at)} if past else None}

    nodes = runner.run(walk(world, variables, size, backwards=backwards))

    assert {
        (node["liveId"], node["displayName"], node["lastAt"], node["stage"]) for node in nodes
    } == {
        (gid("Contact", id_), name, _text(day), stage) for id_, (name, day, stage) in expected.items()
    }  # fmt: skip
    by_gid = {gid("Contact", id_): id_ for id_ in ids}
    assert in_order([{**node, "id": by_gid[node["liveId"]]} for node in nodes], asked)


def _day(number: int | None) -> datetime | None:
    return None if number is None else datetime(2026, 2, 1, tzinfo=UTC) + timedelta(days=number)


def _text(number: int | None) -> str | None:
    day = _day(number)
    return None if day is None else day.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def runner() -> Any:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture
def paged(runner: asyncio.Runner, shared_database: DatabaseUrls) -> Any:
    build(shared_database)
    reading = ReadConnections(shared_database.app, statement_timeout_ms=PATIENCE_MS)
    yield runner, shared_database, reading
    runner.run(reading.close())


@pytest.mark.anyio
async def test_no_page_is_fifty_and_more_than_a_thousand_is_refused(world: World) -> None:
    for _ in range(51):
        world.insert(small.CONTACT)

    page = (await world.ask("{ contacts { nodes { id } pageInfo { hasNextPage } } }"))["contacts"]

    assert (len(page["nodes"]), page["pageInfo"]) == (50, {"hasNextPage": True})
    for wrong in ("first: 1001", "first: -1", "last: 1001", "first: 1, last: 1", 'first: 1, before: "x"'):
        with pytest.raises(InvalidInputError):
            await world.ask(f"{{ contacts({wrong}) {{ nodes {{ id }} }} }}")


@pytest.mark.anyio
async def test_a_page_of_none_still_counts(world: World) -> None:
    world.insert(small.CONTACT)

    page = (await world.ask("{ contacts(first: 0) { totalCount nodes { id } pageInfo { hasNextPage endCursor } } }"))[
        "contacts"
    ]

    assert page == {"totalCount": 1, "nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}
    await world.ask("{ contacts { totalCount } }")
    assert world.statements == 1


@pytest.mark.anyio
async def test_a_cursor_serves_its_own_list_only(world: World, shared_database: DatabaseUrls) -> None:
    for name in ("Anna", "Bert"):
        world.insert(small.CONTACT, display_name=name)
        world.insert(small.COMPANY, name=name)
    ask = "query ($a: String) { contacts(first: 1, after: $a) { pageInfo { endCursor } } }"
    cursor = (await world.ask(ask))["contacts"]["pageInfo"]["endCursor"]
    other = World(shared_database, world.reading)

    assert b"Anna" not in cursor.encode()
    strays = [
        (world, ask, cursor[:-2] + "AA"), (world, ask, "x"), (world, ask, ""), (world, ask, "é"), (other, ask, cursor),
        (world, "query ($a: String) { contacts(orderBy: [{field: DISPLAY_NAME}], after: $a) { nodes { id } } }", cursor),
        (world, "query ($a: String) { companies(after: $a) { nodes { id } } }", cursor),
        (world, 'query ($a: String) { contacts(asOf: {position: "4"}, after: $a) { nodes { id } } }', cursor),
    ]  # fmt: skip
    for where, query, stray in strays:
        with pytest.raises(BadCursorError):
            await where.ask(query, {"a": stray})
    other.close()


@pytest.mark.anyio
async def test_more_than_two_orders_are_refused(world: World) -> None:
    for order in (
        "[{field: STAGE}, {field: LAST_AT}, {field: CREATED_AT}]",
        "[{field: STAGE}, {field: STAGE, direction: DESC}]",
    ):
        with pytest.raises(InvalidInputError):
            await world.ask(f"{{ contacts(orderBy: {order}) {{ nodes {{ id }} }} }}")
