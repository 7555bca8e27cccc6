"""The forecast of a pipeline: what was won and what is open, by when, as sure as it is said to be, with an honest estimate."""

import csv
from dataclasses import replace
from datetime import UTC, date, datetime
from random import Random
from uuid import uuid4

import pytest

from crm_es.api import ids
from crm_es.sales.stages import ForecastCategory
from crm_es.sales.win_rate import part, win_rate
from crm_es.values import Money
from crm_es.workspaces import member
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.selling import a_deal, a_pipeline, act, usd
from tests.api.sold import Book, totals
from tests.imports.office import shared_data

pytestmark = pytest.mark.anyio

KINDS = ("closed", "commit", "bestCase", "pipeline", "weighted")
FORECAST = f"""query($id: ID!, $from: Date!, $to: Date!, $every: Interval!, $zone: TimeZone, $filter: DealFilter, $asOf: AsOf,
  $byOwner: Boolean! = false) {{ pipeline(id: $id, asOf: $asOf) {{
    forecast(from: $from, to: $to, interval: $every, timeZone: $zone, filter: $filter, byOwner: $byOwner) {{
      date owner {{ id name }} {" ".join(f"{kind} {{ amount currency }}" for kind in KINDS)}
      estimate {{ currency low mid high }} }} }} }}"""


async def forecast(api, board, first="2025-03-01", last="2025-03-31", every="MONTH", *, who="admin", **more):
    asked = {"id": board["id"], "from": str(first), "to": str(last), "every": every, "zone": "UTC"}
    return (await api.ask(FORECAST, who=who, **(asked | more)))["pipeline"]["forecast"]


def day(number, hour=0):
    return datetime(2025, 3, number, hour, tzinfo=UTC)


def expected(number):
    return {"expected_close_date": date(2025, 3, number)}


def sums(point):
    return {kind: [each["amount"] for each in point[kind]] for kind in KINDS if point[kind]}


async def test_open_deals_stand_by_expected_close_and_won_ones_by_when_they_were_won(api):
    book = Book(api, await a_pipeline(api))
    for number, category in ((3, "COMMIT"), (4, "BEST_CASE"), (4, None), (4, "OMITTED"), (9, "COMMIT")):
        sale = book.open(day(1), Money(number * 100, "USD"), **expected(number))
        if category:
            book.revise(sale, day(1), forecast_category=ForecastCategory(category))
    book.open(day(1), Money(6, "JPY"), stage="Offer", **expected(4))
    book.open(day(1), Money(100_000, "USD"))
    book.win(book.open(day(1), Money(700, "USD"), **expected(20)), day(4, 23))
    book.lose(book.open(day(1), Money(1, "USD"), **expected(4)), day(4))
    await book.record()

    found = await forecast(api, book.board, "2025-03-03", "2025-03-08", "DAY")

    assert [point["date"] for point in found] == [f"2025-03-0{n}" for n in range(3, 9)]
    assert sums(found[0]) == {"commit": ["3.00"], "weighted": ["0.30"]}
    assert sums(found[1]) == {
        "closed": ["7.00"], "bestCase": ["4.00"], "pipeline": ["6", "4.00"], "weighted": ["3", "0.80"],
    }  # fmt: skip
    assert [sums(point) for point in found[2:]] == [{}] * 4
    assert {point["owner"] for point in found} == {None}


async def test_the_estimate_is_the_share_of_deals_won_so_far_between_wilsons_bounds(api):
    book = Book(api, await a_pipeline(api))
    book.open(day(1), Money(10_000, "USD"), **expected(9))
    book.revise(book.open(day(1), Money(700, "JPY"), **expected(9)), day(1), forecast_category=ForecastCategory.COMMIT)
    await book.record()

    assert (await forecast(api, book.board))[0]["estimate"] == []

    for number in range(10):
        sale = book.open(day(1), Money(100, "EUR"))
        book.win(sale, day(2)) if number < 8 else book.lose(sale, day(2))
    book.sales = book.sales[2:]
    await book.record()

    (found,) = await forecast(api, book.board)

    assert found["estimate"] == [
        {"currency": "JPY", "low": "343", "mid": "560", "high": "660"},
        {"currency": "USD", "low": "49.02", "mid": "80.00", "high": "94.33"},
    ]
    chosen = {"amount": {"currency": "USD", "gt": "1.00"}}
    assert (await forecast(api, book.board, filter=chosen))[0]["estimate"] == []


async def test_owners_are_credited_as_at_close(api):
    book = Book(api, await a_pipeline(api))
    sold, took = api.known["sales"].member_id, api.known["admin"].member_id
    won = book.win(book.open(day(1), Money(100, "USD"), owner_id=sold), day(2))
    book.revise(won, day(3), owner_id=took)
    book.open(day(1), Money(300, "USD"), owner_id=took, **expected(4))
    book.open(day(1), Money(500, "USD"), **expected(4))
    await book.record()

    found = await forecast(api, book.board, byOwner=True)

    by_name = {point["owner"] and point["owner"]["name"]: sums(point) for point in found}
    assert by_name == {
        "Sales": {"closed": ["1.00"]}, "Admin": {"pipeline": ["3.00"], "weighted": ["0.30"]},
        None: {"pipeline": ["5.00"], "weighted": ["0.50"]},
    }  # fmt: skip
    assert [point["owner"] for point in found][-1] is None
    assert await forecast(api, book.board, "2025-04-01", "2025-04-30", byOwner=True) == []


async def test_days_are_those_of_the_zone_for_what_was_won(api):
    book = Book(api, await a_pipeline(api))
    book.win(book.open(day(1), Money(100, "USD")), day(1, 23))
    book.open(day(1), Money(100, "USD"), **expected(1))
    await book.record()

    tokyo = await forecast(api, book.board, "2025-03-01", "2025-03-02", "DAY", zone="Asia/Tokyo")
    hours = await forecast(api, book.board, "2025-03-01", "2025-03-01", "HOUR")

    assert [[*sums(point)] for point in tokyo] == [["pipeline", "weighted"], ["closed"]]
    assert [[*sums(point)] for point in hours] == [[]] * 23 + [["closed", "pipeline", "weighted"]]


@pytest.mark.parametrize("every", ["DAY", "WEEK", "MONTH", "QUARTER"])
async def test_any_history_adds_up_as_counted_by_hand(api, every):
    random, owner = Random(13), api.known["sales"].member_id  # noqa: S311  # a seeded history
    book = Book(api, await a_pipeline(api))
    book.fill(60, random, (None, owner), **expected(9))
    for sale in book.sales:
        if sale.state.status == "OPEN" and not sale.state.archived:
            close, category = date(2025, random.randrange(1, 6), 28), random.choice([None, *CHOICES])
            book.revise(sale, sale.moments[-1][0], expected_close_date=close, forecast_category=category)
    await book.record()
    closed = [sale.state.status for sale in book.sales]
    rate = win_rate(closed.count("WON"), closed.count("LOST"))

    found = await forecast(api, book.board, "2025-01-20", "2025-05-28", every, byOwner=True)

    starts = sorted({point["date"] for point in await forecast(api, book.board, "2025-01-20", "2025-05-28", every)})
    counted = {}
    for sale in book.sales:
        state = sale.state
        won = state.status == "WON"
        on = state.closed_at.date() if won else state.expected_close_date
        kind = "closed" if won else NAMES.get(state.category)
        if date(2025, 1, 20) <= on <= date(2025, 5, 28) and kind and state.amount:
            whose = closing_owner(sale) if won else state.owner_id
            key = (max(each for each in starts if each <= str(on)), whose and ids.encode("Member", whose))
            counted.setdefault(key, {}).setdefault(kind, []).append(state.amount)
    shown = {(point["date"], point["owner"] and point["owner"]["id"]): point for point in found}
    assert {key for key, point in shown.items() if sums(point)} == {*counted}
    for key, kinds in counted.items():
        assert [shown[key][kind] for kind in KINDS[:4]] == [totals(kinds.get(kind, [])) for kind in KINDS[:4]]
        coming = totals([amount for kind in KINDS[1:4] for amount in kinds.get(kind, [])])
        assert shown[key]["estimate"] == [estimated(each, rate) for each in coming]


CHOICES = (ForecastCategory.PIPELINE, ForecastCategory.BEST_CASE, ForecastCategory.COMMIT, ForecastCategory.OMITTED)
NAMES = {
    ForecastCategory.PIPELINE: "pipeline", ForecastCategory.BEST_CASE: "bestCase", ForecastCategory.COMMIT: "commit",
}  # fmt: skip


def closing_owner(sale):
    return sale.entered("WON", datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))[-1].owner_id


def estimated(money, rate):
    minor = Money.parse(money["amount"], money["currency"]).minor
    bounds = {"low": rate.low, "mid": rate.mid, "high": rate.high}
    shown = {name: str(part(minor, bound, money["currency"])) for name, bound in bounds.items()}
    return {"currency": money["currency"]} | shown


async def test_what_is_masked_or_out_of_reach_is_in_no_forecast(api):
    book = Book(api, await a_pipeline(api))
    mine = api.known["sales"].member_id
    book.win(book.open(day(1), Money(100, "USD"), owner_id=mine), day(2))
    book.lose(book.open(day(1), Money(100, "USD")), day(2))
    book.open(day(1), Money(500, "USD"), owner_id=mine, **expected(4))
    book.open(day(1), Money(700, "USD"), **expected(4))
    await book.record()
    for name, granted in {
        "masked": may((Action.READ,), (EntityType.DEAL,), fields=()),
        "own": may((Action.READ,), (EntityType.DEAL,), Scope.OWN),
        "blind": may((Action.READ,), (EntityType.PIPELINE,)),
    }.items():
        api.known[name] = replace(api.known["sales"], permissions=Permissions(granted))

    async def point_of(who):
        return (await forecast(api, book.board, who=who))[0]

    own, masked, blind = [await point_of(who) for who in ("own", "masked", "blind")]

    assert sums(own) == {"closed": ["1.00"], "pipeline": ["5.00"], "weighted": ["0.50"]}
    assert own["estimate"] == [{"currency": "USD", "low": "1.03", "mid": "5.00", "high": "5.00"}]
    assert {str(masked[kind]) for kind in (*KINDS, "estimate")} == {"None"}
    assert (sums(blind), blind["estimate"]) == ({}, [])
    (hidden,) = await forecast(api, book.board, who="own", byOwner=True)
    assert (hidden["owner"], sums(hidden)) == (None, sums(own))


async def test_the_past_is_forecast_as_it_was_known_then(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("1.00"), expectedCloseDate="2030-01-15")
    position = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await act(api, "updateDeal", deal, amount=usd("2.00"), expectedCloseDate="2030-02-15")
    ahead = ("2030-01-01", "2030-02-28")

    then = await forecast(api, board, *ahead, asOf={"position": position})
    now = await forecast(api, board, *ahead)

    assert [sums(point).get("pipeline") for point in then] == [["1.00"], None]
    assert [sums(point).get("pipeline") for point in now] == [None, ["2.00"]]


@pytest.mark.slow
async def test_what_everybody_of_a_real_team_won_each_month_adds_up(api):
    folder = shared_data()
    with (folder / "crm-sales" / "sales_pipeline.csv").open() as file:
        won = [row for row in csv.DictReader(file) if row["deal_stage"] == "Won"]
    book, agents = Book(api, await a_pipeline(api)), {row["sales_agent"]: uuid4() for row in won}
    for name, id_ in agents.items():
        await api.begin(member.MEMBER, member.register(name=name), id=id_)
    wanted = {}
    for row in won:
        closed, worth = _day(row["close_date"]), int(row["close_value"])
        owner = {"owner_id": agents[row["sales_agent"]]}
        book.win(book.open(_day(row["engage_date"]), Money(worth * 100, "USD"), **owner), closed)
        key = (row["sales_agent"], closed.strftime("%Y-%m-01"))
        wanted[key] = wanted.get(key, 0) + worth
    await book.record()

    found = await forecast(api, book.board, "2016-10-01", "2017-12-31", byOwner=True)

    assert {(point["owner"]["name"], point["date"]): point["closed"] for point in found} == {
        key: [usd(f"{worth}.00")] for key, worth in wanted.items()
    }
    assert (len(agents), sum(wanted.values())) == (30, 10_005_534)


def _day(text):
    return datetime.strptime(text, "%m/%d/%Y").replace(tzinfo=UTC)
