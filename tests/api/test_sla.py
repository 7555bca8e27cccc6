"""SLA clocks of tickets over the API: attached by queues, true at the moment they are read, counted in reports."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from crm_es.api.http import GraphQLOverHTTP
from crm_es.reads.driver import Snapshot
from crm_es.schema import schema
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.desk import done, queue, shown, ticket
from tests.api.test_interactions import record
from tests.api.test_sla_policies import PUBLISH

pytestmark = pytest.mark.anyio

ALWAYS = {"timeZone": "UTC", "hours": [{"weekday": n, "opens": "00:00", "closes": "24:00"} for n in range(1, 8)]}
CLOCKS = """slaDueAt sla { kind cycle state policy { id name version } targetSeconds dueAt pausedAt breachedAt metAt
  elapsedSeconds remainingSeconds measuredAt }"""
HOUR = 3_600


class Clock:
    """When the test began: all its moments are so and so long before that."""

    began: datetime


@pytest.fixture(autouse=True)
def _begin():
    Clock.began = datetime.now(UTC).replace(microsecond=0)


def ago(minutes):
    return (Clock.began - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def target(kind, hours, priority="NORMAL"):
    return {"kind": kind, "priority": priority, "seconds": int(hours * HOUR)}


async def promise(api, *queues, name="Gold", first=1, resolution=8, **given):
    targets = [target("FIRST_RESPONSE", first), target("RESOLUTION", resolution), target("NEXT_RESPONSE", 2)]
    asked = {"name": name, "queueIds": queues, "targets": targets, "calendar": ALWAYS, "pausedBy": ["CUSTOMER"]} | given
    payload = (await api.ask(PUBLISH, input=asked))["publishSlaPolicy"]
    assert payload["userErrors"] == [], payload
    return payload["policy"]


async def clocks(api, made):
    return {(one["kind"], one["cycle"]): one for one in (await shown(api, made["id"], CLOCKS))["sla"]}


def seconds(one, other):
    return (datetime.fromisoformat(one) - datetime.fromisoformat(other)).total_seconds()


async def test_an_opened_ticket_gets_the_newest_policy_of_its_queue(api):
    help_, other = await queue(api), await queue(api, name="Other")
    await promise(api, help_)
    newest = await promise(api, help_, first=2)
    await promise(api, other, name="Silver")
    opened = ago(30)

    made = await ticket(api, help_, occurredAt=opened)

    told = await shown(api, made["id"], CLOCKS)
    first, resolution = told["sla"]
    assert (first["kind"], resolution["kind"]) == ("FIRST_RESPONSE", "RESOLUTION")
    assert first["policy"] == {"id": newest["id"], "name": "Gold", "version": 2}
    assert (first["state"], first["targetSeconds"], seconds(first["dueAt"], opened)) == ("RUNNING", 2 * HOUR, 2 * HOUR)
    assert first["elapsedSeconds"] == int(seconds(first["measuredAt"], opened))
    assert first["remainingSeconds"] == first["targetSeconds"] - first["elapsedSeconds"]
    assert told["slaDueAt"] == first["dueAt"]


@contextmanager
def unseen(api, place):
    """What is recorded meanwhile is shown afterwards; nobody waits for it."""
    usual = api.app.state.http
    hurried = replace(api.engine.settings, projection_wait_ms=1)
    with psycopg.connect(place.urls.projector) as held:
        held.execute("SELECT FROM es.bookmark FOR UPDATE")
        api.app.state.http = GraphQLOverHTTP(schema, replace(api.engine, settings=hurried))
        try:
            yield
        finally:
            api.app.state.http = usual


@pytest.mark.parametrize(
    ("published", "promised"),
    [
        ([("Gold", ["help"])], ("Gold", 2)),
        ([("Silver", ["help", "other"]), ("Gold", ["help"])], ("Gold", 2)),
        ([("Gold", ["help"]), ("Silver", ["help", "other"])], ("Silver", 1)),
        ([("Gold", ["other"])], ("Bronze", 1)),
        ([("Gold", ["other"]), ("Bronze", [])], None),
        ([("Silver", ["other"])], ("Gold", 1)),
    ],
)
async def test_a_policy_binds_who_comes_after_it_shown_or_not(api, place, published, promised):
    queues = {"help": await queue(api), "other": await queue(api, name="Other")}
    await promise(api, queues["help"], name="Bronze")
    await promise(api, queues["help"])
    waiting = await ticket(api, queues["other"])
    with unseen(api, place):
        for name, its in published:
            given = {"targets": [target("RESOLUTION", 8)], "calendar": ALWAYS, "pausedBy": []}
            await done(api, "publishSlaPolicy", "projected", name=name, queueIds=[queues[q] for q in its], **given)
        await done(api, "openTicket", "projected", title="It broke", queueId=queues["help"])
        await done(api, "moveTicket", "projected", id=waiting["id"], toQueueId=queues["help"])
    await queue(api, name="Last")  # waits until it is shown, and all before it

    found = await api.ask("{ tickets { nodes { sla { kind policy { name version } } } } }")

    told = [
        [(one["policy"]["name"], one["policy"]["version"]) for one in node["sla"] if one["kind"] == "RESOLUTION"]
        for node in found["tickets"]["nodes"]
    ]
    assert told == [[promised] if promised else []] * 2


async def test_a_queue_tells_its_newest_policy(api):
    help_, other = await queue(api), await queue(api, name="Other")
    await promise(api, help_, other)
    silver = await promise(api, help_, name="Silver")

    found = (await api.ask("{ queues { nodes { name slaPolicy { id name } } } }"))["queues"]["nodes"]

    assert [node["slaPolicy"]["name"] for node in found] == ["Silver", "Gold"]
    assert found[0]["slaPolicy"]["id"] == silver["id"]


async def test_a_later_version_leaves_the_tickets_that_are_there(api):
    help_ = await queue(api)
    await promise(api, help_)
    made = await ticket(api, help_)

    await promise(api, help_, first=5)

    assert (await clocks(api, made))["FIRST_RESPONSE", 1]["policy"]["version"] == 1


async def test_a_queue_of_no_policy_promises_nothing_and_takes_nothing_back(api):
    help_, other = await queue(api), await queue(api, name="Other")
    await promise(api, help_)
    made, free = await ticket(api, help_), await ticket(api, other)

    await done(api, "moveTicket", id=made["id"], toQueueId=other)
    await done(api, "moveTicket", id=free["id"], toQueueId=help_)

    assert set(await clocks(api, made)) == set(await clocks(api, free)) == {("FIRST_RESPONSE", 1), ("RESOLUTION", 1)}


async def test_clocks_follow_a_ticket_through_its_life(api):
    help_ = await queue(api)
    await promise(api, help_)
    made = await ticket(api, help_, occurredAt=ago(240))
    id_ = made["id"]

    await done(api, "replyToTicket", "ticket { id }", id=id_, body="We look.", internal=True, occurredAt=ago(235))
    await done(api, "replyToTicket", "ticket { id }", id=id_, body="We see.", internal=False, occurredAt=ago(230))
    await done(api, "holdTicket", id=id_, holdReason="CUSTOMER", occurredAt=ago(220))
    held = await clocks(api, made)
    await record(api, type="EMAIL", direction="INBOUND", ticketId=id_, body="Well?", occurredAt=ago(100))
    await done(api, "resumeTicket", id=id_, occurredAt=ago(100))
    asked = await clocks(api, made)
    await done(api, "replyToTicket", "ticket { id }", id=id_, body="Here.", internal=False, occurredAt=ago(70))
    await done(api, "resolveTicket", id=id_, occurredAt=ago(60))
    await done(api, "reopenTicket", id=id_, occurredAt=ago(50))
    again = await clocks(api, made)

    first = held["FIRST_RESPONSE", 1]
    assert (first["state"], first["elapsedSeconds"], first["remainingSeconds"]) == ("MET", 600, HOUR - 600)
    paused = held["RESOLUTION", 1]
    assert (paused["state"], paused["dueAt"], paused["elapsedSeconds"]) == ("PAUSED", None, 1_200)
    assert paused["pausedAt"]
    assert asked["NEXT_RESPONSE", 1]["state"] == "RUNNING"
    assert (again["NEXT_RESPONSE", 1]["state"], again["NEXT_RESPONSE", 1]["elapsedSeconds"]) == ("MET", 1_800)
    assert (again["RESOLUTION", 1]["state"], again["RESOLUTION", 1]["elapsedSeconds"]) == ("MET", 1_200 + 2_400)
    assert (again["RESOLUTION", 2]["state"], again["RESOLUTION", 2]["targetSeconds"]) == ("RUNNING", 8 * HOUR)


async def test_a_promise_is_broken_by_time_alone(api):
    help_ = await queue(api)
    await promise(api, help_, first=1, resolution=100)
    late, early = await ticket(api, help_, occurredAt=ago(90)), await ticket(api, help_, occurredAt=ago(30))
    listed = "query($breached: Boolean) { tickets(filter: {breached: $breached}) { nodes { id } } }"
    counted = "query($id: ID!) { queue(id: $id) { counts { open breached dueSoon } waiting { nodes { id } } } }"

    broken = (await clocks(api, late))["FIRST_RESPONSE", 1]

    assert (broken["state"], broken["remainingSeconds"] < 0) == ("BREACHED", True)
    assert broken["breachedAt"] == broken["dueAt"]
    for breached, expected in ((True, late), (False, early)):
        assert (await api.ask(listed, breached=breached))["tickets"]["nodes"] == [{"id": expected["id"]}]
    told = (await api.ask(counted, id=help_))["queue"]
    assert told["counts"] == {"open": 2, "breached": 1, "dueSoon": 1}
    assert [node["id"] for node in told["waiting"]["nodes"]] == [late["id"], early["id"]]


async def test_under_as_of_now_is_that_moment(api):
    help_ = await queue(api)
    await promise(api, help_, first=1)
    made = await ticket(api, help_, occurredAt=ago(30))
    then = await done(api, "updateTicket", "ticket { id }", id=made["id"], title="Then")
    await done(api, "replyToTicket", "ticket { id }", id=made["id"], body="Here.", internal=False)
    query = f"query($id: ID!, $at: AsOf) {{ ticket(id: $id, asOf: $at) {{ updatedAt {CLOCKS} }} }}"

    past = (await api.ask(query, id=made["id"], at={"position": then["position"]}))["ticket"]
    present = (await api.ask(query, id=made["id"]))["ticket"]

    was, now = past["sla"][0], present["sla"][0]
    assert (was["state"], was["measuredAt"], was["metAt"]) == ("RUNNING", past["updatedAt"], None)
    assert was["elapsedSeconds"] == int(HOUR - seconds(was["dueAt"], was["measuredAt"]))
    assert (now["state"], was["policy"]["id"]) == ("MET", now["policy"]["id"])


@pytest.fixture
def statements(monkeypatch):
    """How many statements each operation took, counted anew from every call on."""
    original, counts = Snapshot.rows, []

    async def counting(self, *args):
        counts[-1] += 1
        return await original(self, *args)

    def begin():
        if not counts:
            monkeypatch.setattr(Snapshot, "rows", counting)
        counts.append(0)
        return counts

    return begin


async def test_the_clocks_of_many_tickets_take_no_more_statements_than_those_of_one(api, statements):
    help_ = await queue(api)
    await promise(api, help_)
    for _ in range(12):
        await ticket(api, help_)
    query = f"query($first: Int) {{ tickets(first: $first) {{ nodes {{ {CLOCKS} }} }} }}"

    for first in (1, 12):
        counts = statements()
        await api.ask(query, first=first)

    assert counts[0] == counts[1] > 0


async def test_the_policies_of_many_queues_take_no_more_statements_than_that_of_one(api, statements):
    for name in ("Gold", "Silver", "Bronze"):
        await promise(api, await queue(api, name=name), name=name)

    for first in (1, 3):
        counts = statements()
        found = await api.ask(
            "query($first: Int) { queues(first: $first) { nodes { slaPolicy { name } } } }", first=first
        )

    assert len(found["queues"]["nodes"]) == 3
    assert counts[0] == counts[1] > 0


# Reports

REPORT = """query($from: Date!, $to: Date!, $by: SlaGroup!, $filter: TicketFilter, $timeZone: TimeZone) {
  slaReport(from: $from, to: $to, by: $by, filter: $filter, timeZone: $timeZone) {
    key policy { name version } queue { name } member { name } kind met breached medianSeconds } }"""


async def report(api, by, who="admin", **given):
    days = {"from": "2020-01-01", "to": f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"}
    found = (await api.ask(REPORT, who=who, by=by, **(days | given)))["slaReport"]
    owner = {"POLICY": "policy", "QUEUE": "queue", "MEMBER": "member"}[by]
    assert all(row[name] is None for row in found for name in {"policy", "queue", "member"} - {owner})
    return {
        (row[owner] and row[owner]["name"], row["kind"]): (row["met"], row["breached"], row["medianSeconds"])
        for row in found
    }


@pytest.fixture
async def kept(api):
    """Three tickets: one answered in time and resolved by sales, one answered late, one not at all."""
    help_, other = await queue(api), await queue(api, name="Other")
    await promise(api, help_, other)
    await promise(api, help_, other)
    one, two = await ticket(api, help_, occurredAt=ago(300)), await ticket(api, other, occurredAt=ago(300))
    await ticket(api, other, occurredAt=ago(200), tags=["none"])
    sales = api.id("Member", api.known["sales"].member_id)
    await done(api, "assignTicket", id=one["id"], assigneeId=sales, occurredAt=ago(299))
    await done(api, "replyToTicket", "ticket { id }", id=one["id"], body="So.", internal=False, occurredAt=ago(270))
    await done(api, "replyToTicket", "ticket { id }", id=two["id"], body="So.", internal=False, occurredAt=ago(180))
    await done(api, "resolveTicket", id=one["id"], occurredAt=ago(60))
    await done(api, "assignTicket", id=one["id"], assigneeId=None, occurredAt=ago(50))
    return api


async def test_a_report_counts_by_policy_queue_and_who_had_the_ticket_then(kept):
    assert await report(kept, "POLICY") == {
        ("Gold", "FIRST_RESPONSE"): (1, 2, 4_500),
        ("Gold", "RESOLUTION"): (1, 0, 14_400),
    }
    assert await report(kept, "QUEUE") == {
        ("Help", "FIRST_RESPONSE"): (1, 0, 1_800), ("Help", "RESOLUTION"): (1, 0, 14_400),
        ("Other", "FIRST_RESPONSE"): (0, 2, 7_200),
    }  # fmt: skip
    assert await report(kept, "MEMBER") == {
        ("Sales", "FIRST_RESPONSE"): (1, 0, 1_800), ("Sales", "RESOLUTION"): (1, 0, 14_400),
        (None, "FIRST_RESPONSE"): (0, 2, 7_200),
    }  # fmt: skip


async def test_a_report_narrows_by_days_and_tickets(kept):
    none = {"filter": {"tag": {"eq": "none"}}}

    assert await report(kept, "QUEUE", **none) == {("Other", "FIRST_RESPONSE"): (0, 1, None)}
    assert await report(kept, "QUEUE", **{"from": "2020-01-01", "to": "2020-12-31"}) == {}


async def test_a_report_is_for_those_who_may_read_tickets_and_counts_what_each_may_see(kept):
    days = {"from": "2020-01-01", "to": f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}", "by": "QUEUE"}
    own = may((Action.READ,), (EntityType.TICKET,), Scope.OWN)
    kept.known["sales"] = replace(kept.known["sales"], permissions=Permissions(own))
    two = (await kept.ask("{ tickets(filter: {status: {eq: OPEN}}) { nodes { id } } }"))["tickets"]["nodes"]
    await done(kept, "assignTicket", id=two[0]["id"], assigneeId=kept.id("Member", kept.known["sales"].member_id))

    refused = (await kept.post(REPORT, who="nobody", variables=days)).json()

    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]
    assert await report(kept, "QUEUE", who="sales") == {("Other", "FIRST_RESPONSE"): (0, 1, 7_200)}


@pytest.mark.parametrize(
    ("first", "last", "rule", "field"),
    [
        ("2026-01-02", "2026-01-01", "period.backwards", ["to"]),
        ("0001-01-01", "2026-01-01", "period.too_far", ["from"]),
        ("2026-01-01", "9999-12-31", "period.too_far", ["to"]),
    ],
)
async def test_a_report_of_days_that_no_calendar_has_is_refused(api, first, last, rule, field):
    body = (await api.post(REPORT, variables={"from": first, "to": last, "by": "QUEUE"})).json()

    extensions = body["errors"][0]["extensions"]
    assert (extensions["code"], extensions["rule"], extensions["field"]) == ("BAD_USER_INPUT", rule, field)
