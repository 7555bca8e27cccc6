"""Merging tickets, taking that back, splitting one: the conversation follows, and what is internal stays internal."""

from uuid import uuid4

import pytest

from tests.api.desk import attempt, conversation, done, queue, refused, shown, ticket
from tests.api.test_contacts import register
from tests.api.test_interactions import record

pytestmark = pytest.mark.anyio

BOTH = "ticket { id status absorbed { id } } absorbed { id status mergedInto { id } viewerCan }"
BACK = "ticket { id status mergedInto { id } } survivor { id absorbed { id } }"


@pytest.fixture
async def two(api):
    help_ = await queue(api)
    made = [await ticket(api, help_, title=title) for title in ("First", "Second")]
    for one in made:
        await done(api, "replyToTicket", id=one["id"], body=f"Note on {one['title']}", internal=True)
        await done(api, "replyToTicket", id=one["id"], body=f"Reply on {one['title']}", internal=False)
    return [one["id"] for one in made]


async def test_the_survivor_has_both_conversations_and_notes_stay_internal(api, two):
    survivor, absorbed = two

    merged = await done(api, "mergeTickets", BOTH, survivorId=survivor, absorbedId=absorbed, reason="same thing")

    assert merged["ticket"] == {"id": survivor, "status": "OPEN", "absorbed": [{"id": absorbed}]}
    assert merged["absorbed"] == {
        "id": absorbed, "status": "MERGED", "mergedInto": {"id": survivor}, "viewerCan": ["READ"]
    }  # fmt: skip
    assert sorted(await conversation(api, survivor)) == [
        ("Note on First", True), ("Note on Second", True), ("Reply on First", False), ("Reply on Second", False),
    ]  # fmt: skip
    assert await conversation(api, absorbed) == []


async def test_what_is_said_to_a_merged_ticket_goes_to_its_survivor_and_comes_back_with_it(api, two):
    survivor, absorbed = two
    ada = await register(api)
    await done(api, "mergeTickets", BOTH, survivorId=survivor, absorbedId=absorbed, reason="same thing")

    replied = await done(
        api, "replyToTicket", "ticket { id } interaction { ticket { id } }", id=absorbed, body="To both", internal=True,
        reason="asked",
    )  # fmt: skip
    updated = (await done(api, "updateTicket", id=absorbed, requesterId=ada["id"]))["ticket"]
    await record(api, type="EMAIL", direction="INBOUND", body="From them", ticketId=absorbed)

    assert (replied["ticket"], replied["interaction"]["ticket"]) == ({"id": survivor}, {"id": survivor})
    assert (updated["id"], updated["requester"]) == (survivor, {"id": ada["id"]})
    assert {"To both", "From them"} <= {body for body, _ in await conversation(api, survivor)}
    back = await done(api, "unmergeTicket", BACK, absorbedId=absorbed, reason="no, two")
    assert back["ticket"] == {"id": absorbed, "status": "OPEN", "mergedInto": None}
    assert back["survivor"] == {"id": survivor, "absorbed": []}
    assert sorted(await conversation(api, absorbed)) == [
        ("From them", False), ("Note on Second", True), ("Reply on Second", False), ("To both", True)
    ]  # fmt: skip
    assert [body for body, _ in await conversation(api, survivor)] == ["Note on First", "Reply on First"]
    types = (await shown(api, absorbed, "history { nodes { type } }"))["history"]["nodes"]
    assert [one["type"] for one in types[:3]] == ["ticket.replied", "ticket.replied", "ticket.unmerged"]


async def test_a_search_by_the_absorbed_external_id_finds_what_it_means(api):
    help_ = await queue(api)
    one, two = [await ticket(api, help_, externalIds=[{"system": "desk", "value": str(n)}]) for n in range(2)]
    await done(api, "mergeTickets", BOTH, survivorId=one["id"], absorbedId=two["id"], reason="same thing")

    again = await attempt(
        api, "openTicket", "userErrors { ... on AlreadyExists { existing { id } } }", title="New", queueId=help_,
        externalIds=[{"system": "desk", "value": "1"}],
    )  # fmt: skip

    assert [one["code"] for one in again["userErrors"]] == ["ALREADY_EXISTS"]


async def test_illegal_merges_are_refused_where_they_are_wrong(api, two):
    one, other = two
    closed = (await ticket(api, await queue(api)))["id"]
    await done(api, "closeTicket", id=closed)
    nothing = api.id("Ticket", uuid4())

    async def merging(survivor, absorbed, **more):
        return await refused(
            api, "mergeTickets", **{"survivorId": survivor, "absorbedId": absorbed, "reason": "x"} | more
        )

    assert await merging(one, one) == [("INVALID", "ticket.same", ["absorbedId"])]
    assert await merging(one, closed) == [("RULE_VIOLATED", "ticket.closed", ["absorbedId"])]
    assert await merging(one, nothing) == [("NOT_FOUND", "record.not_found", ["absorbedId"])]
    assert await merging(one, other, reason=" ") == [("INVALID", "text.blank", ["reason"])]
    assert await merging(one, other, expectedAbsorbedVersion=1) == [
        ("VERSION_CONFLICT", "record.version_conflict", ["expectedAbsorbedVersion"])
    ]
    assert await refused(api, "unmergeTicket", absorbedId=other, reason="x") == [
        ("RULE_VIOLATED", "ticket.not_merged", ["absorbedId"])
    ]
    await done(api, "mergeTickets", BOTH, survivorId=one, absorbedId=other, reason="same thing")
    assert await merging(other, one) == [("RULE_VIOLATED", "ticket.merged", ["survivorId"])]


async def test_only_the_innermost_merge_is_taken_back(api, two):
    inner, outer = two[1], (await ticket(api, await queue(api)))["id"]
    await done(api, "mergeTickets", BOTH, survivorId=two[0], absorbedId=inner, reason="same thing")
    await done(api, "mergeTickets", BOTH, survivorId=outer, absorbedId=two[0], reason="same thing")

    assert len(await conversation(api, outer)) == 4
    assert await refused(api, "unmergeTicket", absorbedId=inner, reason="x") == [
        ("RULE_VIOLATED", "ticket.unmerge_outer_first", ["absorbedId"])
    ]
    await done(api, "unmergeTicket", BACK, absorbedId=two[0], reason="two")
    await done(api, "unmergeTicket", BACK, absorbedId=inner, reason="two")
    assert [len(await conversation(api, one)) for one in (outer, two[0], inner)] == [0, 2, 2]


async def test_a_part_of_a_conversation_becomes_a_ticket_of_its_own(api, two):
    one, _ = two
    note, reply = (await shown(api, one, "conversation { nodes { id } }"))["conversation"]["nodes"]

    made = await done(
        api, "splitTicket", "ticket { id } split { id title status splitFrom { id } queue { id } }", id=one,
        title="Another thing", interactionIds=[note["id"], note["id"]],
    )  # fmt: skip

    new = made["split"]
    assert (new["title"], new["status"], new["splitFrom"]) == ("Another thing", "NEW", {"id": one})
    assert await conversation(api, new["id"]) == [("Note on First", True)]
    assert await conversation(api, new["id"], internal=False) == []
    assert await conversation(api, one) == [("Reply on First", False)]
    assert reply["id"]


async def test_only_what_is_in_the_conversation_is_split_off(api, two):
    one, other = two
    (text, *_) = (await shown(api, other, "conversation { nodes { id } }"))["conversation"]["nodes"]

    async def splitting(*texts):
        return await refused(api, "splitTicket", id=one, title="Part", interactionIds=list(texts))

    assert await splitting() == [("INVALID", "ticket.nothing_to_split", ["interactionIds"])]
    assert await splitting(text["id"]) == [("INVALID", "ticket.other_conversation", ["interactionIds", "0"])]
    assert await splitting(api.id("Interaction", uuid4())) == [
        ("NOT_FOUND", "record.not_found", ["interactionIds", "0"])
    ]
