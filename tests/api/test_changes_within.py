"""What a queue's and a contact's screens hear: what enters, changes and leaves them, merged contacts and all."""

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


@pytest.fixture
async def merged(api):
    """Ada's deal, ticket and call; Bob's note. Ada is merged into Bob, then Bob into Cleo."""
    ada, bob, cleo = [await a_contact(api, name) for name in ("Ada", "Bob", "Cleo")]
    deal = await a_deal(api, await a_pipeline(api), contacts=[{"contactId": ada}])
    asked = await ticket(api, await queue(api), requesterId=ada)
    call, note = [
        (await done(
            api, "recordInteraction", "interaction { id }", type="CALL", contactIds=[who], occurredAt="2025-01-01T00:00:00Z"
        ))["interaction"]["id"]
        for who in (ada, bob)
    ]  # fmt: skip
    since = await position(api)
    for survivor, absorbed in ((bob, ada), (cleo, bob)):
        await done(
            api, "mergeContacts", "contact { id }", survivorId=survivor, absorbedId=absorbed, reason="one person"
        )
    return {"ada": ada, "bob": bob, "cleo": cleo, "of ada": [deal["id"], asked["id"], call], "of bob": [note]}, since


async def test_what_a_merge_brings_enters_its_survivor_and_leaves_the_absorbed(api, merged):
    who, since = merged
    everything = {*who["of ada"], *who["of bob"]}

    assert {*await told(api, since, who["cleo"])} == {("CHANGED", id_) for id_ in everything}
    assert {*await told(api, since, who["bob"])} == {("GONE", id_) for id_ in everything}
    assert {*await told(api, since, who["ada"])} == {("GONE", id_) for id_ in who["of ada"]}
    assert {*await told(api, since, who["ada"], who["cleo"])} == {("CHANGED", id_) for id_ in everything}
    later = await position(api)
    assert await told(api, later, who["cleo"]) == []
    say = {"type": "EMAIL", "contactIds": [who["ada"]], "occurredAt": "2025-02-01T00:00:00Z"}
    wrote = (await done(api, "recordInteraction", "interaction { id }", **say))["interaction"]["id"]
    assert await told(api, later, who["cleo"]) == [("CHANGED", wrote)]


async def test_what_an_unmerge_gives_back_leaves_the_survivor_and_enters_its_own(api, merged):
    who, _ = merged
    since = await position(api)
    await done(api, "unmergeContact", "contact { id }", absorbedId=who["bob"], reason="two after all")

    assert {*await told(api, since, who["cleo"])} >= {("GONE", id_) for id_ in (*who["of ada"], *who["of bob"])}
    assert {*await told(api, since, who["bob"])} >= {("CHANGED", id_) for id_ in (*who["of ada"], *who["of bob"])}
    assert "CHANGED" not in {kind for kind, id_ in await told(api, since, who["ada"]) if id_ in who["of ada"]}


async def test_many_records_that_one_merge_brought_are_paged_each_once(api, merged):
    who, since = merged
    whole = (await api.ask(WITHIN, since=since, within=[who["cleo"]]))["changes"]["edges"]
    found, after = [], None
    while True:
        page = (await api.ask(WITHIN, since=since, within=[who["cleo"]], first=1, after=after))["changes"]
        found += page["edges"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break

    assert found == whole
    assert len(whole) == 4


async def test_a_screen_hears_of_all_that_a_merge_brought_however_much_it_takes_at_once(api, monkeypatch):
    monkeypatch.setattr("crm_es.workspaces.changes.BATCH", 2)
    ada, bob = [await a_contact(api, name) for name in ("Ada", "Bob")]
    help_ = await queue(api)
    tickets = [(await ticket(api, help_, requesterId=ada))["id"] for _ in range(5)]
    after = await position(api)

    async with listening(api, SUBSCRIBE.format(within=bob, type="TICKET", after=after)) as lines:
        await done(api, "mergeContacts", "contact { id }", survivorId=bob, absorbedId=ada, reason="one person")
        heard = [(await following(lines))["data"]["changes"]["nodeId"] for _ in tickets]

    assert sorted(heard) == sorted(tickets)
