"""The trend of a queue: what came into it and was resolved within each interval, what was open when it ended."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from crm_es.api import ids
from crm_es.periods import Interval, between
from crm_es.reads.driver import Snapshot
from crm_es.service import ticket as standing
from crm_es.service.enums import HoldReason, Priority, SlaKind
from crm_es.service.sla import SlaTarget
from crm_es.service.sla_policy import SLA_POLICY, publish, stream_of
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.desk import done, queue, ticket
from tests.api.helped import START, Desk, is_active
from tests.faults.timed import ALWAYS

pytestmark = pytest.mark.anyio

TREND = """query($id: ID!, $from: DateTime!, $to: DateTime!, $every: Interval!, $zone: TimeZone, $asOf: AsOf) {
  queue(id: $id, asOf: $asOf) { trend(from: $from, to: $to, interval: $every, timeZone: $zone) {
    at arrived resolved open breached } } }"""


async def trend(api, id_, begins, ends, every="DAY", *, who="admin", zone="UTC", **more):
    asked = {"id": id_, "from": begins.isoformat(), "to": ends.isoformat(), "every": every, "zone": zone}
    return (await api.ask(TREND, who=who, **asked, **more))["queue"]["trend"]


def counts(points, *names):
    return [tuple(point[name] for name in names or ("arrived", "resolved", "open")) for point in points]


def day(number, hour=0):
    return datetime(2025, 3, number, hour, tzinfo=UTC)


@pytest.fixture
async def desk(api):
    queues = [ids.decode(await queue(api, name)).id for name in ("Help", "Other")]
    return Desk(api, queues, [api.known[name].member_id for name in ("sales", "admin")])


async def test_days_tell_what_came_and_was_resolved_and_what_was_left(api, desk):
    first = desk.open(day(1))
    desk.go_on(desk.go_on(first, day(2), standing.resolve), day(4), standing.reopen, window=None)
    moved = desk.go_on(
        desk.open(day(1, 5)), day(3), standing.move, desk.queues[1], sla_policy_id=None, sla_policy_version=None
    )
    desk.go_on(desk.go_on(moved, day(4), standing.resolve), day(5), standing.close)
    desk.go_on(desk.go_on(desk.open(day(2, 23)), day(3), standing.hold, HoldReason.VENDOR), day(5), standing.close)
    await desk.record()

    help_, other = [await trend(api, api.id("Queue", each), day(1), day(6)) for each in desk.queues]

    assert counts(help_) == [(2, 0, 2), (1, 1, 2), (0, 0, 1), (1, 0, 2), (0, 1, 1)]
    assert counts(other) == [(0, 0, 0), (0, 0, 0), (1, 0, 1), (0, 1, 0), (0, 0, 0)]
    assert [point["at"] for point in help_[:2]] == ["2025-03-02T00:00:00Z", "2025-03-03T00:00:00Z"]


@pytest.mark.parametrize("every", [each.value for each in Interval])
async def test_any_history_is_charted_as_counted_by_hand(api, desk, every):
    desk.fill(50, Random(3))  # noqa: S311  # a seeded history
    await desk.record()
    begins, ends = START + timedelta(days=4, hours=5), START + timedelta(days=25 if every == "HOUR" else 60)

    for queue_id in desk.queues:
        found = await trend(api, api.id("Queue", queue_id), begins, ends, every, zone="Europe/Berlin")
        steps = [step for one in desk.tickets for step in one.steps()]
        for point, piece in zip(found, between(begins, ends, Interval(every), "Europe/Berlin"), strict=True):
            within = [(was, now) for at, was, now in steps if piece.begins <= at < piece.ends]
            arrived = [now for was, now in within if is_active(now, queue_id) and not is_active(was, queue_id)]
            resolved = [
                now for was, now in within if is_active(was) and not is_active(now) and now.queue_id == queue_id
            ]
            left = [one for one in desk.tickets if is_active(one.at(piece.ends), queue_id)]
            assert counts([point]) == [(len(arrived), len(resolved), len(left))]


async def test_what_is_left_is_the_depth_at_the_last_moment(api, desk):
    desk.fill(30, Random(5))  # noqa: S311  # a seeded history
    await desk.record()
    id_ = api.id("Queue", desk.queues[0])
    depth = "query($id: ID!, $at: DateTime!) { queue(id: $id) { depth(at: $at) } }"

    for point in await trend(api, id_, START, START + timedelta(days=50), "WEEK"):
        last = datetime.fromisoformat(point["at"]) - timedelta(microseconds=1)
        assert (await api.ask(depth, id=id_, at=last.isoformat()))["queue"]["depth"] == point["open"]


async def test_a_broken_promise_counts_while_the_ticket_is_open(api, desk):
    stream = stream_of(api.workspace, "Gold")
    target = SlaTarget(kind=SlaKind.RESOLUTION, priority=Priority.NORMAL, seconds=36 * 3_600)
    await api.begin(SLA_POLICY, publish(None, name="Gold", targets=[target], calendar=ALWAYS), id=stream)
    promised = {"sla_policy_id": stream, "sla_policy_version": 1}
    desk.go_on(desk.open(day(1), **promised), day(2), standing.resolve)
    late = desk.go_on(desk.open(day(1), **promised), day(3, 1), standing.resolve)
    desk.go_on(late, day(4), standing.reopen, window=None)
    desk.open(day(3), **promised)
    desk.open(day(3))
    await desk.record()

    found = await trend(api, api.id("Queue", desk.queues[0]), day(1), day(6))

    assert counts(found, "open", "breached") == [(2, 0), (1, 1), (2, 0), (3, 2), (3, 2)]


async def test_only_what_one_may_see_is_charted(api, desk):
    desk.open(day(1))
    desk.go_on(desk.open(day(1)), day(1), standing.assign, desk.members[0])
    await desk.record()
    id_ = api.id("Queue", desk.queues[0])
    for name, granted in {
        "own": may((Action.READ,), (EntityType.TICKET,), Scope.OWN),
        "blind": may((Action.READ,), (EntityType.QUEUE,)),
    }.items():
        api.known[name] = replace(api.known["sales"], permissions=Permissions(granted))

    own, blind = [await trend(api, id_, day(1), day(2), who=who) for who in ("own", "blind")]

    assert (counts(own), counts(blind)) == ([(1, 0, 1)], [(0, 0, 0)])


async def test_the_past_is_charted_as_it_was_known_then_and_the_future_not_at_all(api):
    help_ = await queue(api)
    now = datetime.now(UTC)
    made = await ticket(api, help_, occurredAt=(now - timedelta(days=9)).isoformat())
    position = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await done(api, "resolveTicket", id=made["id"], occurredAt=(now - timedelta(days=6)).isoformat())
    period = (now - timedelta(days=8), now - timedelta(days=2))

    then = await trend(api, help_, *period, asOf={"position": position})
    today = await trend(api, help_, now - timedelta(days=2), now + timedelta(days=9))

    assert {point["open"] for point in then} == {1}
    assert [point["open"] for point in await trend(api, help_, *period)][-1] == 0
    assert len(today) <= 4  # midnight may pass meanwhile


async def test_many_queues_take_no_more_statements_than_one(api, monkeypatch):
    for name in ("A", "B", "C"):
        await ticket(api, await queue(api, name))
    query = """query($first: Int) { queues(first: $first) { nodes { workload { open member { name } }
      trend(from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z", interval: DAY) { open } } } }"""
    counted, rows = [], Snapshot.rows

    async def counting(self, *args):
        counted[-1] += 1
        return await rows(self, *args)

    monkeypatch.setattr(Snapshot, "rows", counting)
    for first in (1, 3):
        counted.append(0)
        found = await api.ask(query, first=first)

    assert len(found["queues"]["nodes"]) == 3
    assert counted[0] == counted[1] > 0


@pytest.mark.parametrize(
    ("given", "rule", "field"),
    [
        ({"from": "2025-03-02T00:00:00Z", "to": "2025-03-02T00:00:00Z"}, "period.backwards", ["to"]),
        ({"from": "2020-01-01T00:00:00Z", "to": "2025-03-01T00:00:00Z"}, "period.too_many", ["interval"]),
        ({"from": "0001-01-01T00:00:00Z", "to": "2025-03-01T00:00:00Z"}, "period.too_far", ["from"]),
        ({"from": "2025-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}, "period.too_far", ["to"]),
    ],
)
async def test_periods_that_cannot_be_charted_are_refused(api, given, rule, field):
    body = (await api.post(TREND, variables={"id": await queue(api), "every": "DAY"} | given)).json()

    extensions = body["errors"][0]["extensions"]
    assert (extensions["code"], extensions["rule"], extensions["field"]) == ("BAD_USER_INPUT", rule, field)
