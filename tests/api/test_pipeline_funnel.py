"""The funnel of a pipeline: how many deals of a period went on from each stage, and how long they stood in it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from crm_es.values import Money
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.selling import STAGES, a_deal, a_pipeline, act, done
from tests.api.sold import START, Book, days_in, part_of, uuid

pytestmark = pytest.mark.anyio

FUNNEL = """query($id: ID!, $from: Date!, $to: Date!, $zone: TimeZone, $filter: DealFilter, $asOf: AsOf) {
  pipeline(id: $id, asOf: $asOf) { funnel(from: $from, to: $to, timeZone: $zone, filter: $filter) {
    stage { id name } entered left converted conversionRate medianDays p90Days } } }"""


async def funnel(api, board, first="2025-01-01", last="2025-12-31", *, who="admin", **more):
    asked = {"id": board["id"], "from": str(first), "to": str(last), "zone": "UTC"}
    steps = (await api.ask(FUNNEL, who=who, **(asked | more)))["pipeline"]["funnel"]
    return {step.pop("stage")["name"]: step for step in steps}


def counts(found):
    return {name: (step["entered"], step["left"], step["converted"]) for name, step in found.items()}


ONE = Money(100, "USD")


def day(number, hour=0):
    return datetime(2025, 3, number, hour, tzinfo=UTC)


async def test_each_stage_tells_who_went_on_and_how_long_they_stood_there(api):
    book = Book(api, await a_pipeline(api))
    stays, lost = book.open(day(1), ONE), book.lose(book.open(day(1), ONE), day(4))
    won = book.win(book.move(book.open(day(1), ONE), day(2), "Offer"), day(5))
    leaps = book.win(book.open(day(1), ONE), day(11))
    await book.record()

    found = await funnel(api, book.board)

    assert [*found] == ["New", "Offer", "Won", "Lost"]
    assert counts(found) == {"New": (4, 3, 2), "Offer": (1, 1, 1), "Won": (2, 0, 0), "Lost": (1, 0, 0)}
    assert [step["conversionRate"] for step in found.values()] == [0.5, 1.0, None, None]
    assert (found["New"]["medianDays"], found["New"]["p90Days"]) == (3.0, pytest.approx(8.6))
    assert (found["Won"]["medianDays"], found["Lost"]["p90Days"]) == (None, None)
    assert {sale.state.status for sale in (stays, lost, won, leaps)} == {"OPEN", "LOST", "WON"}


async def test_going_back_is_no_conversion_and_visits_are_added_up(api):
    book = Book(api, await a_pipeline(api))
    sale = book.move(book.open(day(1), ONE, stage="Offer"), day(3), "New")
    book.lose(book.move(sale, day(4), "Offer"), day(6))
    won = book.win(book.open(day(1), ONE, stage="Offer"), day(2))
    book.lose(book.reopen(won, day(3)), day(4))
    await book.record()

    found = await funnel(api, book.board)

    assert counts(found) == {"New": (1, 1, 1), "Offer": (2, 2, 1), "Won": (1, 1, 0), "Lost": (2, 0, 0)}
    assert (found["Offer"]["medianDays"], found["Won"]["medianDays"]) == (3.0, 1.0)


async def test_the_period_is_of_days_of_the_zone_in_which_deals_were_opened(api):
    book = Book(api, await a_pipeline(api))
    book.win(book.open(day(1, 23), ONE), day(20))
    await book.record()

    assert counts(await funnel(api, book.board, "2025-03-01", "2025-03-01"))["New"] == (1, 1, 1)
    assert counts(await funnel(api, book.board, "2025-03-02", "2025-03-31"))["New"] == (0, 0, 0)
    tokyo = await funnel(api, book.board, "2025-03-02", "2025-03-02", zone="Asia/Tokyo")
    assert counts(tokyo)["New"] == (1, 1, 1)


async def test_any_history_is_told_as_counted_by_hand(api):
    book = Book(api, await a_pipeline(api))
    owners = (None, api.known["sales"].member_id)
    book.fill(80, Random(11), owners)  # noqa: S311  # a seeded history
    await book.record()
    mine = {"filter": {"ownerId": {"eq": api.id("Member", owners[1])}}}
    last = START + timedelta(days=30)

    for more, chosen in (({}, lambda _: True), (mine, lambda sale: sale.state.owner_id)):
        found = await funnel(api, book.board, START.date(), last.date() - timedelta(days=1), **more)
        sales = [sale for sale in book.sales if chosen(sale) and sale.moments[0][0] < last]
        for place, name in enumerate(("New", "Offer", "Won", "Lost")):
            visits = [(sale, book.visits(sale)) for sale in sales]
            stood = [(sale, seen) for sale, seen in visits if name in [visit.stage for visit in seen]]
            left = [days_in(name, seen) for sale, seen in stood if sale.state.stage_id != book.stages[name]]
            step = found[name]
            assert (step["entered"], step["left"]) == (len(stood), len(left))
            assert step["medianDays"] == (pytest.approx(part_of(left, 0.5)) if left else None)
            assert step["p90Days"] == (pytest.approx(part_of(left, 0.9)) if left else None)
            ahead = ("New", "Offer", "Won")[place + 1 :]
            onward = [seen for _, seen in stood if {visit.stage for visit in seen[first(name, seen) :]} & {*ahead}]
            assert step["converted"] == (len(onward) if name in {"New", "Offer"} else 0)


def first(name, visits):
    return [visit.stage for visit in visits].index(name)


async def test_what_is_out_of_reach_is_in_no_funnel(api):
    book = Book(api, await a_pipeline(api))
    book.win(book.open(day(1), ONE, owner_id=api.known["sales"].member_id), day(2))
    book.lose(book.open(day(1), ONE), day(2))
    await book.record()
    for name, granted in {
        "own": may((Action.READ,), (EntityType.DEAL,), Scope.OWN), "blind": may((Action.READ,), (EntityType.PIPELINE,)),
    }.items():  # fmt: skip
        api.known[name] = replace(api.known["sales"], permissions=Permissions(granted))

    own, blind = [counts(await funnel(api, book.board, who=who)) for who in ("own", "blind")]

    assert own == {"New": (1, 1, 1), "Offer": (0, 0, 0), "Won": (1, 0, 0), "Lost": (0, 0, 0)}
    assert set(blind.values()) == {(0, 0, 0)}


async def test_a_retired_stage_is_told_of_where_a_deal_stood_in_it(api):
    board = await a_pipeline(api)
    long_ago = datetime.now(UTC) - timedelta(days=9)
    await a_deal(api, board, occurredAt=long_ago.isoformat())
    opened = long_ago.date(), long_ago.date() + timedelta(days=1)
    kept = [{"id": board["at"][stage["name"]], **stage} for stage in STAGES if stage["name"] != "New"]
    retire = [{"stageId": board["at"]["New"], "moveDealsTo": board["at"]["Offer"]}]
    position = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await done(api, "changePipeline", "pipeline { id }", id=board["id"], stages=kept, retire=retire)

    found = counts(await funnel(api, board, *opened))
    then = counts(await funnel(api, board, *opened, asOf={"position": position}))
    later = await funnel(api, board, *[each + timedelta(days=3) for each in opened])

    assert found == {"Offer": (1, 0, 0), "New": (1, 1, 1), "Won": (0, 0, 0), "Lost": (0, 0, 0)}
    assert then == {"New": (1, 0, 0), "Offer": (0, 0, 0), "Won": (0, 0, 0), "Lost": (0, 0, 0)}
    assert [*later] == ["Offer", "Won", "Lost"]


async def test_archived_deals_are_told_of_when_asked_for(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board)
    await act(api, "archiveDeal", deal)
    today = datetime.now(UTC).date()
    period = (today - timedelta(days=1), today + timedelta(days=1))

    assert counts(await funnel(api, board, *period))["New"] == (0, 0, 0)
    archived = {"recordStatus": {"in": ["ARCHIVED"]}}
    assert counts(await funnel(api, board, *period, filter=archived))["New"] == (1, 0, 0)


async def test_a_period_that_ends_before_it_begins_is_refused(api):
    board = await a_pipeline(api)

    body = (await api.post(FUNNEL, variables={"id": board["id"], "from": "2025-03-02", "to": "2025-03-01"})).json()

    assert (body["errors"][0]["extensions"]["rule"], uuid(board["id"])) == ("period.backwards", uuid(board["id"]))
