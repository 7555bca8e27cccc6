"""SLA policies: what is published, and what is refused."""

from uuid import uuid4

import pytest

from crm_es.service import queue
from tests.api.test_contacts import PROBLEMS

pytestmark = pytest.mark.anyio

FIELDS = """id name version timeZone hours { weekday opens closes } holidays closedOn targets { kind priority seconds }
  pausedBy publishedAt"""
PUBLISH = f"""
mutation($input: PublishSlaPolicyInput!) {{
  publishSlaPolicy(input: $input) {{ policy {{ {FIELDS} }} position replayed {PROBLEMS} }}
}}"""
WEEK = [{"weekday": day, "opens": "09:00", "closes": "17:00"} for day in range(1, 6)]
OFFICE = {"timeZone": "Europe/Berlin", "hours": WEEK}
FIRST = {"kind": "FIRST_RESPONSE", "priority": "NORMAL", "seconds": 14_400}
GOLD = {"name": "Gold", "targets": [FIRST], "calendar": OFFICE, "pausedBy": ["CUSTOMER"]}


async def a_queue(api, name="Help"):
    return api.id("Queue", await api.begin(queue.QUEUE, queue.create(queue.QueueEdit(name=name))))


async def publish(api, **given):
    payload = (await api.ask(PUBLISH, input=GOLD | given))["publishSlaPolicy"]
    assert payload["userErrors"] == [], payload
    return payload["policy"]


async def test_a_policy_is_answered_whole(api):
    closed = ["2026-12-24", "2026-12-31", "2026-12-24"]

    made = await publish(
        api, calendar=OFFICE | {"holidays": "DE-BY", "closedOn": closed}, pausedBy=["OTHER", "CUSTOMER"]
    )

    assert (made["name"], made["version"], made["timeZone"], made["hours"]) == ("Gold", 1, "Europe/Berlin", WEEK)
    assert (made["holidays"], made["closedOn"]) == ("DE-BY", ["2026-12-24", "2026-12-31"])
    assert (made["targets"], made["pausedBy"]) == ([FIRST], ["CUSTOMER", "OTHER"])


async def test_each_publishing_is_a_version_and_lists_hold_the_newest(api):
    first = await publish(api)
    silver = await publish(api, name="Silver")
    then = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    second = await publish(api, name="GOLD", targets=[FIRST | {"seconds": 60}])

    listed = "query($asOf: AsOf) { slaPolicies(asOf: $asOf) { id name version } }"
    now = (await api.ask(listed))["slaPolicies"]
    past = (await api.ask(listed, asOf={"position": then}))["slaPolicies"]
    nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on SlaPolicy { version targets { seconds } } } }"
    found = (await api.ask(nodes, ids=[first["id"], second["id"]]))["nodes"]

    assert [(one["id"], one["version"]) for one in now] == [(second["id"], 2), (silver["id"], 1)]
    assert [(one["id"], one["version"]) for one in past] == [(first["id"], 1), (silver["id"], 1)]
    assert [(one["id"], one["targets"][0]["seconds"]) for one in found] == [(first["id"], 14_400), (second["id"], 60)]


async def test_a_repeated_publishing_is_answered_as_the_first(api):
    command = {"commandId": str(uuid4())}
    first = await publish(api, **command)

    again = (await api.ask(PUBLISH, input=GOLD | command))["publishSlaPolicy"]

    assert (again["replayed"], again["policy"]) == (True, first)


async def test_an_unknown_queue_is_refused(api):
    known, unknown = await a_queue(api), api.id("Queue", uuid4())

    assert await api.refused(PUBLISH, input=GOLD | {"queueIds": [known, unknown]}) == [
        ("NOT_FOUND", "record.not_found", ["queueIds", "1"])
    ]
    assert (await publish(api, queueIds=[known]))["version"] == 1


async def test_only_who_may_change_queues_publishes(api):
    assert await api.refused(PUBLISH, who="sales", input=GOLD) == [("NOT_ALLOWED", "permission.denied", None)]


def hours(*spans):
    return {
        "calendar": OFFICE | {"hours": [dict(zip(("weekday", "opens", "closes"), one, strict=True)) for one in spans]}
    }


@pytest.mark.parametrize(
    ("given", "rule", "field"),
    [
        ({"name": " "}, "text.blank", "name"),
        ({"targets": []}, "sla_policy.no_targets", "targets"),
        ({"targets": [FIRST, FIRST]}, "sla_policy.target_twice", "targets.1"),
        ({"targets": [FIRST | {"seconds": 0}]}, "sla_policy.target_out_of_reach", "targets.0.seconds"),
        ({"targets": [FIRST | {"seconds": 2**31 - 1}]}, "sla_policy.target_out_of_reach", "targets.0.seconds"),
        ({"calendar": OFFICE | {"hours": []}}, "calendar.never_open", "calendar.hours"),
        ({"calendar": OFFICE | {"holidays": "XX"}}, "calendar.unknown_holidays", "calendar.holidays"),
        (hours((1, "9", "17:00")), "calendar.no_time", "calendar.hours.0.opens"),
        (hours((1, "09:00", "24:30")), "calendar.no_time", "calendar.hours.0.closes"),
        (hours((1, "17:00", "09:00")), "calendar.hours_backwards", "calendar.hours.0.closes"),
        (hours((8, "09:00", "17:00")), "calendar.no_weekday", "calendar.hours.0.weekday"),
        (hours((1, "09:00", "17:00"), (1, "16:00", "24:00")), "calendar.hours_overlap", "calendar.hours.1"),
    ],
)
async def test_what_cannot_be_promised_is_refused(api, given, rule, field):
    assert await api.refused(PUBLISH, input=GOLD | given) == [("INVALID", rule, field.split("."))]
