"""What changed in a pipeline between two recorded moments: the start and all parts make the end, by currency, to the cent."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from random import Random

import pytest

from crm_es.values import Money
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.selling import a_deal, a_pipeline, act, done, usd
from tests.api.sold import Book

pytestmark = pytest.mark.anyio

GAINS, LOSSES, CHANGES = ("new", "reopened", "movedIn"), ("won", "lost", "movedOut"), ("grown", "shrunk")
PARTS = (*GAINS, *LOSSES, *CHANGES)
WORTH = "count amount { amount currency }"


def document(part):
    return f"""query($id: ID!, $from: AsOf!, $to: AsOf, $filter: DealFilter, $asOf: AsOf) {{ pipeline(id: $id, asOf: $asOf) {{
      delta(from: $from, to: $to, filter: $filter) {{
        start {{ {WORTH} weightedAmount {{ amount currency }} }} end {{ {WORTH} weightedAmount {{ amount currency }} }}
        {" ".join(f"{name} {{ {part} }}" for name in PARTS)} }} }} }}"""


DELTA, SUMS = document(f"{WORTH} deals(first: 100) {{ totalCount nodes {{ id name }} }}"), document(WORTH)


async def delta(api, board, since, until=None, *, asking=DELTA, who="admin", **more):
    given = {"id": board["id"], "from": {"position": str(since)}, **more}
    if until is not None:
        given["to"] = {"position": str(until)}
    return (await api.ask(asking, who=who, **given))["pipeline"]["delta"]


async def position(api):
    return (await api.ask("{ viewer { position } }"))["viewer"]["position"]


def told(found):
    """The parts that hold something: how many, and the amount of the one currency there is."""
    return {
        part: (found[part]["count"], *(each["amount"] for each in found[part]["amount"]))
        for part in ("start", *PARTS, "end")
        if found[part]["count"]
    }


def named(found):
    parts = {part: sorted(deal["name"] for deal in found[part]["deals"]["nodes"]) for part in PARTS}
    return {part: names for part, names in parts.items() if names}


async def test_each_part_tells_one_reason(api):
    board = await a_pipeline(api)
    names = ("stays", "grows", "shrinks", "won", "lost", "closed", "archived")
    deals = {name: await a_deal(api, board, name=name, amount=usd("10.00")) for name in names}
    await act(api, "loseDeal", deals["closed"], lostReason="x")
    before = await position(api)
    await a_deal(api, board, name="new", amount=usd("1.00"))
    await act(api, "updateDeal", deals["grows"], amount=usd("12.00"))
    await act(api, "updateDeal", deals["shrinks"], amount=usd("7.50"))
    await act(api, "winDeal", deals["won"], amount=usd("11.00"))
    await act(api, "loseDeal", deals["lost"], lostReason="x")
    await act(api, "reopenDeal", deals["closed"])
    await act(api, "archiveDeal", deals["archived"])
    sold = await a_deal(api, board, name="at once", amount=usd("3.00"))
    await act(api, "winDeal", sold)

    found = await delta(api, board, before)

    assert told(found) == {
        "start": (6, "60.00"), "new": (2, "4.00"), "reopened": (1, "10.00"), "won": (2, "-14.00"), "lost": (1, "-10.00"),
        "movedOut": (1, "-10.00"), "grown": (2, "3.00"), "shrunk": (1, "-2.50"), "end": (5, "40.50"),
    }  # fmt: skip
    assert named(found) == {
        "new": ["at once", "new"], "reopened": ["closed"], "won": ["at once", "won"], "lost": ["lost"],
        "movedOut": ["archived"], "grown": ["grows", "won"], "shrunk": ["shrinks"],
    }  # fmt: skip


async def test_a_filter_is_a_border_that_deals_cross(api):
    board, mine = await a_pipeline(api), api.id("Member", api.known["sales"].member_id)
    come = await a_deal(api, board, name="comes", amount=usd("2.00"))
    go = await a_deal(api, board, name="goes", amount=usd("3.00"), ownerId=mine)
    before = await position(api)
    await act(api, "updateDeal", come, ownerId=mine, amount=usd("5.00"))
    await act(api, "updateDeal", go, ownerId=None)

    found = await delta(api, board, before, filter={"ownerId": {"eq": mine}})

    assert told(found) == {
        "start": (1, "3.00"), "movedIn": (1, "5.00"), "movedOut": (1, "-3.00"), "end": (1, "5.00"),
    }  # fmt: skip
    assert named(found) == {"movedIn": ["comes"], "movedOut": ["goes"]}


async def test_another_currency_is_growth_in_the_one_and_shrinking_in_the_other(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("2.00"))
    before = await position(api)
    await act(api, "updateDeal", deal, amount={"amount": "300", "currency": "JPY"})

    found = await delta(api, board, before)

    assert found["shrunk"]["amount"] == [usd("-2.00")]
    assert found["grown"]["amount"] == [{"amount": "300", "currency": "JPY"}]
    assert (found["grown"]["count"], found["shrunk"]["count"]) == (1, 1)


class Expected:
    """Deals by part, and minor units by part and currency, out of the states at the two moments."""

    def __init__(self, was, now, chosen):
        self.worth, self.deals = Counter(), Counter()
        for id_, after in now.items():
            self.compare(was.get(id_), after, chosen)

    def put(self, part, amount, sign=1):
        self.deals[part] += 1
        if amount is not None:
            self.worth[part, amount.currency] += sign * amount.minor

    def compare(self, before, after, chosen):
        counts, closed, fresh = not after.archived and chosen(after), after.status != "OPEN", before is None
        was_in = not fresh and not before.archived and chosen(before) and before.status == "OPEN"
        now_in = counts and not closed
        if now_in:
            self.put("end", after.amount)
        if was_in:
            self.put("start", before.amount)
            self.leave(before, after, closed=closed, stays=now_in)
        elif now_in or (fresh and counts):
            self.put("new" if fresh else "movedIn" if before.status == "OPEN" else "reopened", after.amount)
        if closed and (was_in or (fresh and counts)):
            self.put(after.status.lower(), after.amount, -1)

    def leave(self, before, after, *, closed, stays):
        if not stays and not closed:
            self.put("movedOut", before.amount, -1)
            return
        change = Counter()
        for amount, sign in ((before.amount, -1), (after.amount, 1)):
            if amount is not None:
                change[amount.currency] += sign * amount.minor
        for currency, minor in change.items():
            if minor:
                self.put("grown" if minor > 0 else "shrunk", Money(minor, currency))


def answered(found):
    digits = {"USD": 100, "EUR": 100, "JPY": 1}
    worth, deals = Counter(), Counter()
    for part in ("start", *PARTS, "end"):
        deals[part] = found[part]["count"]
        for each in found[part]["amount"]:
            worth[part, each["currency"]] = int(Decimal(each["amount"]) * digits[each["currency"]])
    return worth, deals


def owned(owner, state):
    return state.owner_id == owner


async def test_between_any_two_positions_the_parts_add_up_to_the_cent(api):
    random, board = Random(11), await a_pipeline(api)  # noqa: S311  # a seeded history
    owner = api.known["sales"].member_id
    pages = await Book(api, board).live(160, random, (None, owner))
    mine = {"ownerId": {"eq": api.id("Member", owner)}}
    tried = Counter()

    for number in range(100):
        since, until = sorted(random.choices(sorted(pages), k=2))
        filtered = number % 3 == 0
        listed = number % 20 == 0
        asking = {"asking": DELTA if listed else SUMS} | ({"filter": mine} if filtered else {})
        found = await delta(api, board, since, until, **asking)
        worth, deals = answered(found)

        for currency in ("USD", "EUR", "JPY"):
            parts = sum(worth[part, currency] for part in ("start", *PARTS))
            assert parts == worth["end", currency], (since, until, currency)
        chosen = partial(owned, owner) if filtered else bool
        wanted = Expected(pages[since], pages[until], chosen)
        assert (+worth, -worth, +deals) == (+wanted.worth, -wanted.worth, wanted.deals), (since, until)
        for part in PARTS if listed else ():
            assert found[part]["deals"]["totalCount"] == found[part]["count"] == len(found[part]["deals"]["nodes"])
        tried += +deals

    assert set(PARTS) <= set(tried)


async def test_the_ends_are_what_lists_of_those_moments_hold(api):
    board = await a_pipeline(api)
    pages = await Book(api, board).live(60, Random(5), (None,))  # noqa: S311
    since, until = sorted(pages)[30], max(pages)
    chosen = {"status": {"eq": "OPEN"}, "amount": {"currency": "USD", "gt": "100"}}

    found = await delta(api, board, since, until, filter=chosen)

    asked = f"""query($filter: DealFilter, $asOf: AsOf) {{ deals(filter: $filter, asOf: $asOf) {{
      summary {{ {WORTH} weightedAmount {{ amount currency }} }} }} }}"""
    for moment, part in ((since, "start"), (until, "end")):
        listed = await api.ask(asked, filter=chosen, asOf={"position": str(moment)})
        assert found[part] == listed["deals"]["summary"]
        assert found[part]["count"]


async def test_what_is_masked_or_out_of_reach_is_told_of_nowhere(api):
    board, mine = await a_pipeline(api), api.id("Member", api.known["sales"].member_id)
    given, grown = [await a_deal(api, board, amount=usd("100.00"), ownerId=mine) for _ in range(2)]
    other = await a_deal(api, board, amount=usd("7.00"))
    before = await position(api)
    await act(api, "updateDeal", grown, amount=usd("101.00"))
    await act(api, "updateDeal", given, ownerId=None, amount=usd("99999.00"))
    await act(api, "winDeal", given)
    await act(api, "winDeal", other)
    own = may((Action.READ,), (EntityType.DEAL,), Scope.OWN)
    api.known["own"] = replace(api.known["sales"], permissions=Permissions(own))
    masked = may((Action.READ,), (EntityType.DEAL,), fields=())
    api.known["masked"] = replace(api.known["sales"], permissions=Permissions(masked))

    found, blind = [await delta(api, board, before, who=who) for who in ("own", "masked")]

    assert told(found) == {
        "start": (2, "200.00"), "movedOut": (1, "-100.00"), "grown": (1, "1.00"), "end": (1, "101.00"),
    }  # fmt: skip
    assert found["movedOut"]["deals"]["totalCount"] == 0
    assert {blind[part]["amount"] for part in PARTS} == {None}
    assert (blind["grown"]["count"], blind["won"]["count"], blind["start"]["amount"]) == (0, 2, None)


async def test_parts_page_by_cursors_of_their_own(api):
    board = await a_pipeline(api)
    before = await position(api)
    for name in "abc":
        await a_deal(api, board, name=name)
    asked = """query($id: ID!, $from: AsOf!, $after: String) { pipeline(id: $id) { delta(from: $from) {
      new { deals(first: 2, after: $after) { edges { cursor node { name } } pageInfo { hasNextPage endCursor } } } } } }"""
    given = {"id": board["id"], "from": {"position": before}}

    first = (await api.ask(asked, **given))["pipeline"]["delta"]["new"]["deals"]
    rest = (await api.ask(asked, **given, after=first["pageInfo"]["endCursor"]))["pipeline"]["delta"]["new"]["deals"]

    assert [edge["node"]["name"] for edge in (*first["edges"], *rest["edges"])] == ["c", "b", "a"]
    assert (first["pageInfo"]["hasNextPage"], rest["pageInfo"]["hasNextPage"]) == (True, False)
    wrong = asked.replace(" new {", " lost {")
    body = await api.post(wrong, variables={**given, "after": first["pageInfo"]["endCursor"]})
    assert body.json()["errors"][0]["extensions"]["code"] == "BAD_CURSOR"


async def test_moments_that_do_not_follow_one_another_are_refused(api):
    board = await a_pipeline(api)
    now = await position(api)
    await a_deal(api, board)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    async def refused(**given):
        body = (await api.post(DELTA, variables={"id": board["id"]} | given)).json()
        extensions = body["errors"][0]["extensions"]
        return extensions["code"], extensions["rule"], extensions["field"]

    latest = await position(api)
    at = {"position": now}
    assert await refused(**{"from": {"position": latest}, "to": at}) == ("BAD_USER_INPUT", "delta.backwards", ["to"])
    assert (await refused(**{"from": {"time": later}}))[::2] == ("AS_OF_OUT_OF_RANGE", ["from", "time"])
    assert (await refused(**{"from": at, "to": {"position": latest}, "asOf": at}))[::2] == (
        "AS_OF_OUT_OF_RANGE",
        ["to"],
    )
    found = await delta(api, board, now, asOf={"position": latest})
    assert (found["start"]["count"], found["new"]["count"], found["end"]["count"]) == (0, 1, 1)
    assert (await done(api, "archivePipeline", "pipeline { id }", id=board["id"]))["position"]
