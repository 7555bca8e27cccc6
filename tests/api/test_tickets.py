"""Queues and tickets from a mutation to what pages show."""

from uuid import uuid4

import pytest

from tests.api.desk import attempt, conversation, done, queue, refused, shown, ticket
from tests.api.test_companies import company
from tests.api.test_contacts import register
from tests.api.test_interactions import record

pytestmark = pytest.mark.anyio

EARLY, LATER, LAST = "2025-03-01T12:00:00Z", "2025-03-02T12:00:00Z", "2025-03-03T12:00:00Z"


def member(api, name="sales"):
    return api.id("Member", api.known[name].member_id)


# Queues


async def test_a_queue_is_created_changed_archived_and_restored(api):
    card = "queue { id version name reopenDays autoCloseDays archivedAt viewerCan }"
    made = (await done(api, "createQueue", card, name="Help", autoCloseDays=7))["queue"]
    changed = (await done(api, "changeQueue", card, id=made["id"], name="Support", reopenDays=0, autoCloseDays=None))[
        "queue"
    ]
    archived = (await done(api, "archiveQueue", card, id=made["id"]))["queue"]

    assert (made["name"], made["reopenDays"], made["autoCloseDays"]) == ("Help", 30, 7)
    assert (changed["name"], changed["reopenDays"], changed["autoCloseDays"], changed["version"]) == (
        "Support",
        0,
        None,
        2,
    )
    assert archived["archivedAt"]
    assert "UPDATE" not in archived["viewerCan"]
    assert (await api.ask("{ queues { nodes { id } } }"))["queues"]["nodes"] == []
    assert await refused(api, "openTicket", title="It", queueId=made["id"]) == [
        ("RULE_VIOLATED", "queue.archived", ["queueId"])
    ]
    await done(api, "restoreQueue", card, id=made["id"])
    assert (await api.ask("{ queues { nodes { id name } } }"))["queues"]["nodes"] == [
        {"id": made["id"], "name": "Support"}
    ]


async def test_a_queues_external_id_is_its_own(api):
    known = {"system": "desk", "value": "7"}
    id_ = await queue(api, externalIds=[known])

    found = await api.ask("query($id: ID!) { queue(id: $id) { externalIds { system value } } }", id=id_)

    assert found["queue"]["externalIds"] == [known]
    assert await refused(api, "createQueue", name="x", externalIds=[known]) == [
        ("ALREADY_EXISTS", "external_id.taken", ["externalIds", "0"])
    ]


@pytest.mark.parametrize(
    ("given", "rule", "field"),
    [
        ({"name": " "}, "text.blank", ["name"]),
        ({"name": "Help", "reopenDays": -1}, "queue.days_out_of_range", ["reopenDays"]),
        ({"name": "Help", "autoCloseDays": 0}, "queue.days_out_of_range", ["autoCloseDays"]),
    ],
)
async def test_what_no_queue_can_be_is_refused(api, given, rule, field):
    assert await refused(api, "createQueue", **given) == [("INVALID", rule, field)]


# Opening and changing


async def test_an_opened_ticket_is_answered_with_all_that_was_said(api):
    ada, acme, help_ = await register(api), await company(api), await queue(api)

    made = await ticket(
        api, help_, type="INCIDENT", priority="HIGH", requesterId=ada["id"], companyId=acme["id"], body="Nothing works.",
        tags=["red"], externalIds=[{"system": "desk", "value": "1-7"}], occurredAt=EARLY,
    )  # fmt: skip

    assert (made["number"], made["status"], made["type"], made["priority"]) == (1, "NEW", "INCIDENT", "HIGH")
    assert (made["queue"], made["requester"], made["company"]) == ({"id": help_}, {"id": ada["id"]}, {"id": acme["id"]})
    assert (made["tags"], made["externalIds"]) == (["red"], [{"system": "desk", "value": "1-7"}])
    assert (made["openedAt"], made["assignee"], made["slaDueAt"]) == (EARLY, None, None)
    assert {"UPDATE", "ASSIGN", "MERGE"} <= set(made["viewerCan"])
    assert await conversation(api, made["id"]) == [("Nothing works.", False)]
    assert (await ticket(api, help_))["number"] == 2


async def test_a_ticket_is_on_the_timeline_of_its_requester_and_under_them(api):
    ada, help_ = await register(api), await queue(api)
    made = await ticket(api, help_, requesterId=ada["id"], body="Help!")

    found = await api.ask(
        "query($id: ID!) { contact(id: $id) { tickets { totalCount nodes { id } } timeline(milestones: false) { nodes {"
        " ... on Interaction { body direction ticket { id } } } } } }",
        id=ada["id"],
    )
    assert found["contact"]["tickets"] == {"totalCount": 1, "nodes": [{"id": made["id"]}]}
    assert found["contact"]["timeline"]["nodes"] == [
        {"body": "Help!", "direction": "INBOUND", "ticket": {"id": made["id"]}}
    ]


async def test_an_external_id_leads_to_one_ticket(api):
    help_, one = await queue(api), {"system": "desk", "value": "1-7"}
    made = await ticket(api, help_, externalIds=[one])

    payload = await attempt(
        api, "openTicket", "userErrors { __typename ... on AlreadyExists { existing { id label } } }",
        title="Again", queueId=help_, externalIds=[{"system": "desk", "value": "2"}, one],
    )  # fmt: skip

    (error,) = payload["userErrors"]
    assert (error["code"], error["field"]) == ("ALREADY_EXISTS", ["externalIds", "1"])
    assert error["existing"] == {"id": made["id"], "label": "It broke"}
    found = await api.ask(
        "query($f: TicketFilter) { tickets(filter: $f) { nodes { id } } }", f={"externalId": {"eq": one}}
    )
    assert found["tickets"]["nodes"] == [{"id": made["id"]}]


async def test_what_a_new_ticket_names_must_be_there(api):
    help_ = await queue(api)
    nothing = {kind: api.id(kind, uuid4()) for kind in ("Contact", "Company", "Ticket", "Queue")}

    for field, kind in (("requesterId", "Contact"), ("companyId", "Company"), ("followUpOfId", "Ticket")):
        assert await refused(api, "openTicket", title="It", queueId=help_, **{field: nothing[kind]}) == [
            ("NOT_FOUND", "record.not_found", [field])
        ]
    assert await refused(api, "openTicket", title="It", queueId=nothing["Queue"]) == [
        ("NOT_FOUND", "record.not_found", ["queueId"])
    ]
    assert await refused(api, "openTicket", title="It", queueId=nothing["Contact"]) == [
        ("INVALID", "id.wrong_type", ["queueId"])
    ]


async def test_an_update_changes_what_it_says_and_nothing_else(api):
    ada, made = await register(api), await ticket(api, await queue(api), tags=["red"])
    article = (
        await done(api, "saveArticle", "article { id }", title="How", body="So.", language="en", audience="CUSTOMER")
    )["article"]["id"]

    changed = (
        await done(
            api, "updateTicket", id=made["id"], title="It broke again", requesterId=ada["id"], addTags=["blue"],
            removeTags=["red"], addArticleIds=[article], expectedVersion=made["version"],
        )
    )["ticket"]  # fmt: skip

    assert (changed["title"], changed["requester"], changed["tags"]) == ("It broke again", {"id": ada["id"]}, ["blue"])
    assert (changed["articles"], changed["type"]) == ([{"id": article}], "QUESTION")
    cleared = (await done(api, "updateTicket", id=made["id"], requesterId=None, removeArticleIds=[article]))["ticket"]
    assert (cleared["requester"], cleared["articles"]) == (None, [])
    assert await refused(api, "updateTicket", id=made["id"], addArticleIds=[api.id("Article", uuid4())]) == [
        ("NOT_FOUND", "record.not_found", ["addArticleIds", "0"])
    ]
    assert await refused(api, "updateTicket", id=made["id"], title=None) == [("INVALID", "field.required", ["title"])]


async def test_two_edits_of_one_field_conflict_and_of_two_fields_merge(api):
    made = await ticket(api, await queue(api))
    await done(api, "updateTicket", id=made["id"], title="First")

    other = await attempt(api, "updateTicket", id=made["id"], type="PROBLEM", expectedVersion=1)
    same = await attempt(api, "updateTicket", id=made["id"], title="Second", expectedVersion=1)

    assert other["userErrors"] == []
    (conflict,) = same["userErrors"]
    assert (conflict["code"], conflict["conflicts"]) == ("VERSION_CONFLICT", [{"field": "title"}])


# Through its life


async def test_a_ticket_goes_through_its_life(api):
    made = await ticket(api, await queue(api), occurredAt=EARLY)
    id_ = made["id"]

    moved = [
        (await done(api, "assignTicket", id=id_, assigneeId=member(api), occurredAt=LATER))["ticket"],
        (await done(api, "holdTicket", id=id_, holdReason="CUSTOMER"))["ticket"],
        (await done(api, "holdTicket", id=id_, holdReason="VENDOR"))["ticket"],
        (await done(api, "resumeTicket", id=id_))["ticket"],
        (await done(api, "changeTicketPriority", id=id_, priority="URGENT"))["ticket"],
        (await done(api, "resolveTicket", id=id_, resolution="Mended"))["ticket"],
        (await done(api, "closeTicket", id=id_))["ticket"],
        (await done(api, "rateTicket", id=id_, satisfaction=4, comment="Fine"))["ticket"],
        (await done(api, "reopenTicket", id=id_))["ticket"],
    ]

    assert [(one["status"], one["holdReason"]) for one in moved] == [
        ("OPEN", None), ("PENDING", "CUSTOMER"), ("ON_HOLD", "VENDOR"), ("OPEN", None), ("OPEN", None), ("RESOLVED", None),
        ("CLOSED", None), ("CLOSED", None), ("OPEN", None),
    ]  # fmt: skip
    closed, last = moved[-2:]
    assert closed["resolvedAt"] <= closed["closedAt"]
    assert (last["resolution"], last["satisfaction"], last["satisfactionComment"]) == ("Mended", 4, "Fine")
    assert (last["resolvedAt"], last["closedAt"], last["priority"], last["assignee"]) == (
        None, None, "URGENT", {"id": member(api)},
    )  # fmt: skip
    assert "ASSIGN" not in closed["viewerCan"]
    assert "ASSIGN" in last["viewerCan"]


async def test_intervals_tell_how_long_it_stood_how(api):
    first, second = await queue(api), await queue(api, "Other")
    id_ = (await ticket(api, first, occurredAt=EARLY))["id"]
    await done(api, "assignTicket", id=id_, assigneeId=member(api), occurredAt=LATER)
    await done(api, "moveTicket", id=id_, toQueueId=second, occurredAt=LAST)
    await done(api, "holdTicket", id=id_, holdReason="VENDOR", occurredAt=LAST)
    await done(api, "resumeTicket", id=id_)

    found = await shown(api, id_, "statusIntervals { status holdReason queue { id } assignee { id } from to seconds }")

    intervals, mine = found["statusIntervals"], {"id": member(api)}
    assert [(one["status"], one["holdReason"], one["queue"]["id"], one["assignee"]) for one in intervals] == [
        ("NEW", None, first, None), ("OPEN", None, first, mine), ("ON_HOLD", "VENDOR", second, mine),
        ("OPEN", None, second, mine),
    ]  # fmt: skip
    assert [(one["from"], one["to"]) for one in intervals[:2]] == [(EARLY, LATER), (LATER, LAST)]
    assert [one["seconds"] for one in intervals[:2]] == [86_400, 86_400]
    assert intervals[-1]["to"] is None


@pytest.mark.parametrize(
    ("mutation", "given"),
    [
        ("assignTicket", {"assigneeId": None}),
        ("changeTicketPriority", {"priority": "LOW"}),
        ("holdTicket", {"holdReason": "OTHER"}),
        ("resumeTicket", {}),
        ("resolveTicket", {}),
        ("closeTicket", {}),
        ("replyToTicket", {"body": "Hello", "internal": False}),
    ],
)
async def test_a_closed_ticket_takes_none_of_these(api, mutation, given):
    made = await ticket(api, await queue(api))
    await done(api, "closeTicket", id=made["id"])

    assert await refused(api, mutation, id=made["id"], **given) == [("RULE_VIOLATED", "ticket.closed", None)]


@pytest.mark.parametrize(
    ("mutation", "given", "rule", "field"),
    [
        ("rateTicket", {"satisfaction": 6}, "ticket.satisfaction_out_of_range", ["satisfaction"]),
        ("assignTicket", {}, "field.required", ["assigneeId"]),
        ("replyToTicket", {"body": " ", "internal": True}, "text.blank", ["body"]),
        ("resolveTicket", {"resolution": "x" * 50_001}, "text.too_long", ["resolution"]),
        ("closeTicket", {"occurredAt": "2999-01-01T00:00:00Z"}, "occurred_at.in_future", ["occurredAt"]),
        ("closeTicket", {"occurredAt": EARLY}, "occurred_at.before_last", ["occurredAt"]),
    ],
)
async def test_what_can_never_be_is_invalid_at_its_place(api, mutation, given, rule, field):
    made = await ticket(api, await queue(api), occurredAt=LATER)

    assert await refused(api, mutation, id=made["id"], **given) == [("INVALID", rule, field)]


@pytest.mark.parametrize(
    ("mutation", "given", "rule"),
    [
        ("reopenTicket", {}, "ticket.not_resolved"),
        ("rateTicket", {"satisfaction": 5}, "ticket.not_resolved"),
    ],
)
async def test_what_is_not_done_is_neither_reopened_nor_rated(api, mutation, given, rule):
    made = await ticket(api, await queue(api))

    assert await refused(api, mutation, id=made["id"], **given) == [("RULE_VIOLATED", rule, None)]


async def test_after_the_days_of_its_queue_a_ticket_is_followed_up_instead(api):
    help_ = await queue(api, reopenDays=3)
    id_ = (await ticket(api, help_, occurredAt=EARLY))["id"]
    await done(api, "closeTicket", id=id_, occurredAt=EARLY)

    in_time = await refused(api, "reopenTicket", id=id_, occurredAt="2025-03-04T12:00:01Z")
    follow = await ticket(api, help_, followUpOfId=id_)

    assert in_time == [("RULE_VIOLATED", "ticket.reopen_window_over", None)]
    assert follow["followUpOf"] == {"id": id_}
    await done(api, "reopenTicket", id=id_, occurredAt="2025-03-04T12:00:00Z")


async def test_a_repeated_command_is_done_once(api):
    help_, command = await queue(api), str(uuid4())
    sent = {"title": "It broke", "queueId": help_, "body": "Help", "commandId": command}

    first, again = [await done(api, "openTicket", **sent) for _ in range(2)]
    reply = {"id": first["ticket"]["id"], "body": "Hello", "internal": False, "commandId": str(uuid4())}
    selection = "ticket { id } interaction { id }"
    one, two = [await done(api, "replyToTicket", selection, **reply) for _ in range(2)]

    assert (again["replayed"], again["ticket"]["id"]) == (True, first["ticket"]["id"])
    assert (two["replayed"], two["interaction"]) == (True, one["interaction"])
    assert len(await conversation(api, first["ticket"]["id"])) == 2


# Many at once


async def test_many_tickets_are_assigned_all_or_none_or_row_by_row(api):
    help_ = await queue(api)
    made = [(await ticket(api, help_))["id"] for _ in range(3)]
    await done(api, "closeTicket", id=made[2])
    rows = [{"id": id_, "assigneeId": member(api)} for id_ in made]
    selection = "rows { index ticket { id assignee { id } } userErrors { rule field } }"

    none = await attempt(api, "assignTickets", selection, tickets=rows)
    some = await done(api, "assignTickets", selection, tickets=rows, allOrNone=False)

    assert [(each["rule"], each["field"]) for each in none["userErrors"]] == [("ticket.closed", ["tickets", "2"])]
    assert [row["ticket"] and row["ticket"]["assignee"] for row in some["rows"]] == [
        {"id": member(api)}, {"id": member(api)}, None,
    ]  # fmt: skip
    assert some["rows"][2]["userErrors"] == [{"rule": "ticket.closed", "field": ["tickets", "2"]}]
    again = await done(api, "assignTickets", selection, tickets=[{"id": made[0], "assigneeId": None}])
    assert again["rows"][0]["ticket"]["assignee"] is None


# What is written on it


async def test_a_public_reply_is_a_first_response_and_a_note_is_not(api):
    ada, help_ = await register(api), await queue(api)
    id_ = (await ticket(api, help_, requesterId=ada["id"], occurredAt=EARLY))["id"]
    text = """ticket { status firstRespondedAt } interaction { body internal direction visibility contacts { id }
      participants { part contact { id } member { id } } ticket { id } occurredAt }"""

    note = await done(api, "replyToTicket", text, id=id_, body="She is angry.", internal=True, occurredAt=LATER)
    reply = await done(api, "replyToTicket", text, id=id_, body="We look.", internal=False, occurredAt=LAST)

    assert note["ticket"] == {"status": "NEW", "firstRespondedAt": None}
    assert reply["ticket"] == {"status": "OPEN", "firstRespondedAt": LAST}
    assert (note["interaction"]["internal"], note["interaction"]["direction"]) == (True, "INTERNAL")
    assert reply["interaction"] == {
        "body": "We look.", "internal": False, "direction": "OUTBOUND", "visibility": "SHARED",
        "contacts": [{"id": ada["id"]}], "ticket": {"id": id_}, "occurredAt": LAST,
        "participants": [
            {"part": "FROM", "contact": None, "member": {"id": member(api, "admin")}},
            {"part": "TO", "contact": {"id": ada["id"]}, "member": None},
        ],
    }  # fmt: skip
    assert await conversation(api, id_) == [("She is angry.", True), ("We look.", False)]
    assert await conversation(api, id_, internal=False) == [("We look.", False)]
    assert await conversation(api, id_, internal=True) == [("She is angry.", True)]


async def test_what_was_recorded_elsewhere_is_linked_and_talk_among_ourselves_is_internal(api):
    help_ = await queue(api)
    id_ = (await ticket(api, help_, occurredAt=EARLY))["id"]
    await record(api, type="EMAIL", direction="OUTBOUND", body="Ours", ticketId=id_, occurredAt=LATER)
    await record(api, type="EMAIL", direction="INBOUND", body="Theirs", ticketId=id_, occurredAt=LAST)
    await record(api, type="NOTE", body="Note", ticketId=id_, occurredAt=LAST)

    found = await shown(api, id_, "version status firstRespondedAt history { nodes { type } }")

    assert await conversation(api, id_) == [("Ours", False), ("Theirs", False), ("Note", True)]
    assert (found["status"], found["firstRespondedAt"]) == ("NEW", LATER)
    assert [one["type"] for one in found["history"]["nodes"]] == ["ticket.replied", "ticket.replied", "ticket.opened"]
    nothing = await api.refused(
        "mutation($i: RecordInteractionInput!) { recordInteraction(input: $i) { userErrors { code rule field } } }",
        i={"type": "NOTE", "occurredAt": LATER, "ticketId": api.id("Ticket", uuid4())},
    )
    assert nothing == [("NOT_FOUND", "record.not_found", ["ticketId"])]


async def test_a_text_is_put_on_another_ticket(api):
    help_ = await queue(api)
    one, two = [(await ticket(api, help_))["id"] for _ in range(2)]
    text = await record(api, body="Misfiled", ticketId=one)

    await done(api, "correctInteraction", "interaction { ticket { id } }", id=text["id"], set={"ticketId": two})

    assert await conversation(api, one) == []
    assert await conversation(api, two) == [("Misfiled", True)]
