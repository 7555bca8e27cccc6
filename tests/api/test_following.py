"""Keeping tickets as another service desk has them."""

import pytest

from tests.api.desk import done, queue, refused, shown, ticket
from tests.api.test_tickets import EARLY, LATER, member

pytestmark = pytest.mark.anyio


async def test_a_ticket_is_brought_to_where_another_system_has_it(api):
    id_ = (await ticket(api, await queue(api), occurredAt=EARLY))["id"]

    taken = await done(api, "setTicketStatus", id=id_, status="PENDING", assigneeId=member(api), occurredAt=LATER)
    same = await done(api, "setTicketStatus", id=id_, status="PENDING")
    back = (await done(api, "setTicketStatus", id=id_, status="OPEN", assigneeId=None))["ticket"]

    card = taken["ticket"]
    assert (card["status"], card["holdReason"], card["assignee"]) == ("PENDING", "CUSTOMER", {"id": member(api)})
    assert same["position"] is None
    assert (back["status"], back["holdReason"], back["assignee"]) == ("OPEN", None, None)
    intervals = (await shown(api, id_, "statusIntervals { status from to }"))["statusIntervals"]
    assert intervals[0] == {"status": "NEW", "from": EARLY, "to": LATER}
    assert [one["status"] for one in intervals[1:] if one["from"] != one["to"]] == ["PENDING", "OPEN"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"status": "NEW"}, ("INVALID", "ticket.status_no_choice", ["status"])),
        ({"status": "ON_HOLD"}, ("INVALID", "ticket.hold_reason", ["holdReason"])),
        ({"status": "RESOLVED"}, ("RULE_VIOLATED", "ticket.closed", None)),
        ({"status": "OPEN", "occurredAt": EARLY}, ("INVALID", "occurred_at.before_last", ["occurredAt"])),
        ({"status": "OPEN", "assigneeId": "x"}, ("INVALID", "id.malformed", ["assigneeId"])),
    ],
)
async def test_a_closed_ticket_is_brought_nowhere_but_open(api, given, expected):
    id_ = (await ticket(api, await queue(api), occurredAt=EARLY))["id"]
    await done(api, "closeTicket", id=id_, occurredAt=LATER)

    assert await refused(api, "setTicketStatus", id=id_, **given) == [expected]
