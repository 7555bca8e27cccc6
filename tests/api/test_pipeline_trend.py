"""The trend of a pipeline: what was open at the end of each interval, what was won and lost within it."""

import csv
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from crm_es.periods import Interval, cut
from crm_es.values import Money
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.selling import a_deal, a_pipeline, act, usd
from tests.api.sold import Book, totals
from tests.imports.office import shared_data

pytestmark = pytest.mark.anyio

TREND = """query($id: ID!, $from: Date!, $to: Date!, $every: Interval!, $zone: TimeZone, $filter: DealFilter, $asOf: AsOf) {
  pipeline(id: $id, asOf: $asOf) { trend(from: $from, to: $to, interval: $every, timeZone: $zone, filter: $filter) {
    date at openCount openAmount { amount currency } wonCount wonAmount { amount currency } lostCount } } }"""


async def trend(api, board, first, last, every="DAY", *, who="admin", zone="UTC", **more):
    asked = {"id": board["id"], "from": str(first), "to": str(last), "every": every, "zone": zone}
    return (await api.ask(TREND, who=who, **asked, **more))["pipeline"]["trend"]


def day(number, hour=0):
    return datetime(2025, 3, number, hour, tzinfo=UTC)


def counts(points):
    return [(point["openCount"], point["wonCount"], point["lostCount"]) for point in points]


async def test_days_tell_what_was_open_at_their_end_and_closed_within_them(api):
    book = Book(api, await a_pipeline(api))
    book.win(book.open(day(1), Money(1000, "USD")), day(3), amount=Money(1200, "USD"))
    lost = book.lose(book.open(day(2, 23), Money(700, "JPY")), day(4, 12))
    book.win(book.reopen(lost, day(5, 1)), day(5, 2))
    book.open(day(4))
    await book.record()

    found = await trend(api, book.board, "2025-03-01", "2025-03-05")

    assert counts(found) == [(1, 0, 0), (2, 0, 0), (1, 1, 0), (1, 0, 1), (1, 1, 0)]
    assert found[1]["openAmount"] == [{"amount": "700", "currency": "JPY"}, usd("10.00")]
    assert (found[2]["wonAmount"], found[3]["openAmount"]) == ([usd("12.00")], [])
    assert (found[0]["date"], found[0]["at"]) == ("2025-03-01", "2025-03-02T00:00:00Z")


async def test_days_are_those_of_the_zone_asked_for_or_of_the_workspace(api):
    book = Book(api, await a_pipeline(api))
    book.open(day(1, 23))
    await book.record()

    assert counts(await trend(api, book.board, "2025-03-01", "2025-03-01")) == [(1, 0, 0)]
    assert counts(await trend(api, book.board, "2025-03-01", "2025-03-01", zone="Asia/Tokyo")) == [(0, 0, 0)]
    known = api.token(api.known["admin"].member_id)
    (berlin,) = await trend(api, book.board, "2025-03-01", "2025-03-01", zone=None, who=known)
    assert (berlin["at"], berlin["openCount"]) == ("2025-03-01T23:00:00Z", 0)


async def test_weeks_begin_as_in_the_workspace(api):
    book = Book(api, await a_pipeline(api))
    api.known["sunday"] = replace(api.known["admin"], week_starts_on=7)

    found = [await trend(api, book.board, "2025-03-01", "2025-03-10", "WEEK", who=who) for who in ("admin", "sunday")]

    assert [[point["date"][-2:] for point in points] for points in found] == [["01", "03", "10"], ["01", "02", "09"]]


@pytest.mark.parametrize("every", [each.value for each in Interval if each is not Interval.HOUR])
async def test_any_history_is_charted_as_counted_by_hand(api, every):
    book = Book(api, await a_pipeline(api))
    owners = (None, api.known["sales"].member_id)
    book.fill(60, Random(7), owners)  # noqa: S311  # a seeded history
    await book.record()
    mine = {"filter": {"ownerId": {"eq": api.id("Member", owners[1])}}}

    for sales, more in ((book.sales, {}), ([each for each in book.sales if each.state.owner_id], mine)):
        found = await trend(api, book.board, "2025-01-20", "2025-05-20", every, **more)
        expected = cut(date(2025, 1, 20), date(2025, 5, 20), Interval(every), "UTC")
        for point, piece in zip(found, expected, strict=True):
            standing = [state for sale in sales if (state := sale.at(piece.ends)) and state.status == "OPEN"]
            won, lost = (
                [each for sale in sales for each in sale.entered(status, piece.begins, piece.ends)]
                for status in ("WON", "LOST")
            )
            assert (point["openCount"], point["wonCount"], point["lostCount"]) == (len(standing), len(won), len(lost))
            assert point["openAmount"] == totals([each.amount for each in standing])
            assert point["wonAmount"] == totals([each.amount for each in won])


async def test_what_is_masked_or_out_of_reach_is_in_no_chart(api):
    book = Book(api, await a_pipeline(api))
    mine = api.known["sales"].member_id
    book.win(book.open(day(1), Money(100, "USD"), owner_id=mine), day(2))
    book.open(day(1), Money(5, "USD"), owner_id=mine)
    book.win(book.open(day(1), Money(7, "USD")), day(2))
    book.open(day(1), Money(11, "USD"))
    await book.record()
    for name, granted in {
        "masked": may((Action.READ,), (EntityType.DEAL,), fields=()),
        "own": may((Action.READ,), (EntityType.DEAL,), Scope.OWN),
        "blind": may((Action.READ,), (EntityType.PIPELINE,)),
    }.items():
        api.known[name] = replace(api.known["sales"], permissions=Permissions(granted))

    async def second_of(who):
        return (await trend(api, book.board, "2025-03-01", "2025-03-02", who=who))[1]

    own, masked, blind = [await second_of(who) for who in ("own", "masked", "blind")]
    assert (own["openCount"], own["openAmount"], own["wonAmount"]) == (1, [usd("0.05")], [usd("1.00")])
    assert (masked["openCount"], masked["wonCount"]) == (2, 2)
    assert (masked["openAmount"], masked["wonAmount"]) == (None, None)
    assert (blind["openCount"], blind["wonCount"], blind["openAmount"]) == (0, 0, [])
    body = await api.post(
        TREND, who="masked", variables={"id": book.board["id"], "from": "2025-03-01", "to": "2025-03-02", "every": "DAY",
                                        "filter": {"amount": {"currency": "USD", "gt": "1"}}},
    )  # fmt: skip
    assert body.json()["errors"][0]["extensions"]["rule"] == "filter.masked"


async def test_the_past_is_charted_as_it_was_known_then(api):
    board = await a_pipeline(api)
    opened, won = datetime.now(UTC) - timedelta(days=9), datetime.now(UTC) - timedelta(days=6)
    deal = await a_deal(api, board, amount=usd("1.00"), occurredAt=opened.isoformat())
    position = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await act(api, "winDeal", deal, occurredAt=won.isoformat())
    days = (opened.date(), (opened + timedelta(days=5)).date())

    then = await trend(api, board, *days, asOf={"position": position})
    now = await trend(api, board, *days)

    assert [point["openCount"] for point in then] == [1] * 6
    assert [point["openCount"] for point in now][-1] == 0
    assert sum(point["wonCount"] for point in now) == 1


async def test_archived_deals_count_when_asked_for_and_the_future_is_left_out(api):
    board = await a_pipeline(api)
    today = datetime.now(UTC)
    deal = await a_deal(api, board)
    await act(api, "archiveDeal", deal)
    week = (today.date(), today.date() + timedelta(days=6))

    found = await trend(api, board, *week)
    archived = await trend(api, board, *week, filter={"recordStatus": {"in": ["ARCHIVED"]}})

    assert counts(found)[-1] == (0, 0, 0)
    assert counts(archived)[-1] == (1, 0, 0)
    assert len(found) <= 2  # midnight may pass meanwhile


@pytest.mark.parametrize(
    ("given", "rule", "field"),
    [
        ({"from": "2025-03-02", "to": "2025-03-01"}, "period.backwards", ["to"]),
        ({"from": "2020-01-01", "to": "2025-03-01"}, "period.too_many", ["interval"]),
        ({"from": "0001-01-01", "to": "2025-03-01"}, "period.too_far", ["from"]),
    ],
)
async def test_periods_that_cannot_be_charted_are_refused(api, given, rule, field):
    board = await a_pipeline(api)

    body = (await api.post(TREND, variables={"id": board["id"], "every": "DAY"} | given)).json()

    extensions = body["errors"][0]["extensions"]
    assert (extensions["code"], extensions["rule"], extensions["field"]) == ("BAD_USER_INPUT", rule, field)


@pytest.mark.slow
async def test_a_real_history_of_sales_adds_up(api):
    folder = shared_data()
    with (folder / "crm-sales" / "sales_pipeline.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["engage_date"]]
    book = Book(api, await a_pipeline(api))
    for row in rows:
        sale = book.open(_day(row["engage_date"]))
        if row["deal_stage"] == "Won":
            book.win(sale, _day(row["close_date"]), amount=Money(int(row["close_value"]) * 100, "USD"))
        elif row["deal_stage"] == "Lost":
            book.lose(sale, _day(row["close_date"]))
    await book.record()

    found = await trend(api, book.board, "2016-10-01", "2017-12-31", "MONTH")

    standing = {point["date"]: point["openCount"] for point in found}
    assert [standing[f"2017-{month}-01"] for month in ("03", "06", "09", "12")] == [1_330, 1_686, 2_409, 1_589]
    assert (sum(point["wonCount"] for point in found), sum(point["lostCount"] for point in found)) == (4_238, 2_473)
    for point in found:
        month = datetime.fromisoformat(point["date"]).strftime("%Y-%m")
        won = [int(row["close_value"]) for row in rows if row["deal_stage"] == "Won"
               and _day(row["close_date"]).strftime("%Y-%m") == month]  # fmt: skip
        assert point["wonAmount"] == ([usd(f"{sum(won)}.00")] if won else [])


def _day(text):
    return datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC)
