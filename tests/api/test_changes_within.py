"""What a queue's and a contact's screens hear: what enters, changes and leaves them."""

import pytest

from tests.api.desk import done, queue, ticket
from tests.api.selling import a_contact, a_deal, a_pipeline
from tests.api.test_changes import following, listening

pytestmark = pytest.mark.anyio

WITHIN = """query($since: Position!, $within: [ID!], $first: Int, $after: String) {
  changes(since: $since, within: $within, first: $first, after: $after) {
    edges { cursor node { kind type nodeId position node { id } } } pageInfo { hasNextPage endCursor } } }"""
SUBSCRIBE = """subscription {{ changes(within: ["{within}"], types: [{type}], after: "{after}") {{
  kind nodeId node {{ id ... on Ticket {{ priority queue {{ id }} }} ... on Interaction {{ subject }} }} }} }}"""


async def position(api):
    return (await api.ask("{ viewer { position } }"))["viewer"]["position"]


async def told(api, since, *within):
    """(kind, record) of each."""
    found = (await api.ask(WITHIN, since=since, within=list(within)))["changes"]["edges"]
    for edge in found:
        assert (edge["node"]["node"] is None) == (edge["node"]["kind"] == "GONE")
    return [(edge["node"]["kind"], edge["node"]["nodeId"]) for edge in found]


async def test_a_queue_tells_of_tickets_that_enter_change_and_leave(api):
    one, other = await queue(api), await queue(api, "Other")
    since = await position(api)

    made = await ticket(api, one)
    assert await told(api, since, one) == [("CHANGED", made["id"])]
    assert await told(api, since, other) == []
    entered = await position(api)
    await done(api, "changeTicketPriority", id=made["id"], priority="HIGH")
    assert await told(api, entered, one) == [("CHANGED", made["id"])]
    changed = await position(api)
    await done(api, "moveTicket", id=made["id"], toQueueId=other)
    assert await told(api, changed, one) == [("GONE", made["id"])]
    assert await told(api, changed, other) == await told(api, changed, one, other) == [("CHANGED", made["id"])]
    left = await position(api)
    await done(api, "resolveTicket", id=made["id"])
    assert await told(api, left, one) == []
    assert await told(api, left, other) == [("CHANGED", made["id"])]


async def test_a_queues_screen_hears_of_tickets_that_enter_change_and_leave(api):
    one, other = await queue(api), await queue(api, "Other")
    after = await position(api)

    async with listening(api, SUBSCRIBE.format(within=one, type="TICKET", after=after)) as lines:
        made = await ticket(api, one)
        entered = (await following(lines))["data"]["changes"]
        await done(api, "changeTicketPriority", id=made["id"], priority="HIGH")
        changed = (await following(lines))["data"]["changes"]
        await done(api, "moveTicket", id=made["id"], toQueueId=other)
        left = (await following(lines))["data"]["changes"]

    assert [each["nodeId"] for each in (entered, changed, left)] == [made["id"]] * 3
    assert (entered["kind"], entered["node"]) == (
        "CHANGED", {"id": made["id"], "priority": "NORMAL", "queue": {"id": one}},
    )  # fmt: skip
    assert (changed["kind"], changed["node"]["priority"]) == ("CHANGED", "HIGH")
    assert (left["kind"], left["node"]) == ("GONE", None)


async def test_a_contacts_screen_hears_of_the_first_message_to_somebody_of_a_deal(api):
    ada = await a_contact(api)
    deal = await a_deal(api, await a_pipeline(api), contacts=[{"contactId": ada}])
    after = await position(api)

    async with listening(api, SUBSCRIBE.format(within=ada, type="INTERACTION", after=after)) as lines:
        said = {"type": "EMAIL", "subject": "Welcome", "contactIds": [ada], "dealId": deal["id"]}
        made = await done(
            api,
            "recordInteraction",
            "interaction { id }",
            occurredAt="2025-01-01T00:00:00Z",
            direction="OUTBOUND",
            **said,
        )
        heard = (await following(lines))["data"]["changes"]

    assert heard == {
        "kind": "CHANGED", "nodeId": made["interaction"]["id"], "node": {"id": made["interaction"]["id"], "subject": "Welcome"},
    }  # fmt: skip
