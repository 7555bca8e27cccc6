"""What members have to do and how they got on, in a queue and across queues."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median

import pytest

from crm_es.api import ids
from crm_es.service import ticket as standing
from crm_es.service.enums import HoldReason
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.desk import done, queue
from tests.api.helped import START, WORKING, Desk, is_active

pytestmark = pytest.mark.anyio

LOAD = "open onHold resolved medianHandleSeconds"
ACROSS = f"""query($queues: [ID!], $team: ID, $from: DateTime, $to: DateTime) {{
  workload(queueIds: $queues, teamId: $team, from: $from, to: $to) {{ member {{ id name }} {LOAD} }} }}"""
IN_ONE = f"""query($id: ID!, $from: DateTime, $to: DateTime, $asOf: AsOf) {{
  queue(id: $id, asOf: $asOf) {{ workload(from: $from, to: $to) {{ member {{ id }} {LOAD} }} }} }}"""
YEAR = {"from": "2025-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}


def told(rows):
    return {
        ids.decode(row["member"]["id"]).id: tuple(row[name] for name in LOAD.split()) for row in rows
    }  # fmt: skip


async def across(api, who="admin", **given):
    return told((await api.ask(ACROSS, who=who, **given))["workload"])


async def inside(api, queue_id, who="admin", **given):
    return told((await api.ask(IN_ONE, who=who, id=api.id("Queue", queue_id), **given))["queue"]["workload"])


@pytest.fixture
async def desk(api):
    queues = [ids.decode(await queue(api, name)).id for name in ("Help", "Other")]
    return Desk(api, queues, [api.known[name].member_id for name in ("sales", "admin")])


def hour(number):
    return datetime(2025, 3, 1, tzinfo=UTC) + timedelta(hours=number)


async def test_handling_is_what_passed_while_one_had_it_and_it_waited_for_nobody(api, desk):
    sales, service = desk.members
    handed = desk.go_on(desk.open(hour(0)), hour(1), standing.assign, service)
    desk.go_on(handed, hour(3), standing.assign, sales)
    desk.go_on(handed, hour(4), standing.hold, HoldReason.CUSTOMER)
    desk.go_on(handed, hour(9), standing.resume)
    desk.go_on(handed, hour(10), standing.resolve)
    desk.go_on(desk.go_on(handed, hour(20), standing.close), hour(30), standing.reopen, window=None)
    desk.go_on(handed, hour(37), standing.resolve)
    desk.go_on(desk.go_on(desk.open(hour(5), desk.queues[1]), hour(5), standing.assign, sales), hour(6), standing.close)
    held = desk.go_on(desk.open(hour(5)), hour(5), standing.assign, service)
    desk.go_on(held, hour(6), standing.hold, HoldReason.VENDOR)
    desk.open(hour(5))
    await desk.record()

    assert await across(api, **YEAR) == {service: (1, 1, 0, None), sales: (0, 0, 3, 2 * 3_600)}
    assert await inside(api, desk.queues[0], **YEAR) == {service: (1, 1, 0, None), sales: (0, 0, 2, int(4.5 * 3_600))}
    assert await inside(api, desk.queues[1], **YEAR) == {sales: (0, 0, 1, 3_600)}
    assert await across(api, queues=[api.id("Queue", desk.queues[1])], **YEAR) == {sales: (0, 0, 1, 3_600)}
    assert await across(api, queues=[], **YEAR) == {}


async def test_any_history_is_told_as_counted_by_hand(api, desk):
    desk.fill(200, Random(11))  # noqa: S311  # a seeded history
    await desk.record()
    begins, ends = START + timedelta(days=5), START + timedelta(days=30)
    period = {"from": begins.isoformat(), "to": ends.isoformat()}

    async def compare(found, queues):
        assert found == {
            member: loads for member in desk.members if (loads := by_hand(desk, member, queues, begins, ends)) != NOTHING
        }  # fmt: skip

    await compare(await across(api, **period), desk.queues)
    for each in desk.queues:
        await compare(await inside(api, each, **period), [each])
    assert sum(loads[2] for loads in (await across(api, **period)).values()) > 10


NOTHING = (0, 0, 0, None)


def by_hand(desk, member, queues, begins, ends):
    mine = [
        one.state for one in desk.tickets
        if is_active(one.state) and one.state.assignee_id == member and one.state.queue_id in queues
    ]  # fmt: skip
    took = [
        seconds for one in desk.tickets for at, state, seconds in handled(one, member)
        if begins <= at < ends and state.queue_id in queues
    ]  # fmt: skip
    held = [state for state in mine if state.status not in WORKING]
    return len(mine), len(held), len(took), round(median(took)) if took else None


def handled(ticket, member):
    """(when, state, seconds) of each time it was resolved while the member had it."""
    spent = 0
    since = None
    for at, was, now in ticket.steps():
        if was is not None and is_active(was) and was.assignee_id == member and was.status in WORKING:
            spent += (at - since).total_seconds()
        if is_active(was) and not is_active(now):
            if now.assignee_id == member:
                yield at, now, spent
            spent = 0
        since = at


async def test_only_tickets_and_members_that_one_may_see_are_told_of(api, desk):
    sales, service = desk.members
    for member in (sales, service):
        desk.go_on(desk.open(hour(0)), hour(0), standing.assign, member)
    await desk.record()
    reading = may((Action.READ,), (EntityType.MEMBER,))
    for name, granted in {
        "own": (*reading, *may((Action.READ,), (EntityType.TICKET,), Scope.OWN)),
        "strange": may((Action.READ,), (EntityType.TICKET,)),
    }.items():
        api.known[name] = replace(api.known["sales"], permissions=Permissions(granted))

    assert await across(api, who="own") == await inside(api, desk.queues[0], who="own") == {sales: (1, 0, 0, None)}
    assert await across(api, who="strange") == await inside(api, desk.queues[0], who="strange") == {}
    refused = (await api.post(ACROSS, who="nobody")).json()
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]


async def test_a_team_is_told_of_by_itself(api, desk):
    team = (await done(api, "createTeam", "team { id }", name="First line"))["team"]["id"]
    zoe = (await done(api, "registerMember", "member { id }", name="Zoe", teamId=team))["member"]["id"]
    for member in (ids.decode(zoe).id, desk.members[0]):
        desk.go_on(desk.open(hour(0)), hour(0), standing.assign, member)
    await desk.record()

    assert await across(api, team=team) == {ids.decode(zoe).id: (1, 0, 0, None)}


async def test_the_last_30_days_are_told_of_unless_asked_otherwise(api, desk):
    sales = desk.members[0]
    now = datetime.now(UTC)
    for days in (31, 29):
        one = desk.open(now - timedelta(days=days, hours=1))
        desk.go_on(one, now - timedelta(days=days, hours=1), standing.assign, sales)
        desk.go_on(one, now - timedelta(days=days), standing.resolve)
    await desk.record()

    assert await across(api) == {sales: (0, 0, 1, 3_600)}
    assert await across(api, to=(now - timedelta(days=30)).isoformat()) == {sales: (0, 0, 1, 3_600)}


@pytest.mark.parametrize(
    ("given", "rule", "field"),
    [
        ({"from": "2999-01-01T00:00:00Z"}, "period.backwards", ["to"]),
        ({"to": "0001-01-05T00:00:00Z"}, "period.too_far", ["to"]),
        ({"queues": ["nonsense"]}, "id.malformed", ["queueIds", "0"]),
    ],
)
async def test_what_nobody_can_mean_is_refused(api, given, rule, field):
    body = (await api.post(ACROSS, variables=given)).json()

    extensions = body["errors"][0]["extensions"]
    assert (extensions["code"], extensions["rule"], extensions["field"]) == ("BAD_USER_INPUT", rule, field)
