"""What a contact has to do with deals and tickets, in numbers: true through merges, and nothing to those who may not see all."""

from dataclasses import replace

import pytest

from crm_es.reads.driver import Snapshot
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.desk import done, queue, ticket
from tests.api.selling import a_deal, a_pipeline, act, usd
from tests.api.test_contacts import register

pytestmark = pytest.mark.anyio
COUNTERS = "openDealCount openTicketCount wonAmount { amount currency }"
TALK = (EntityType.TICKET, EntityType.INTERACTION)
BOTH = (EntityType.DEAL, EntityType.TICKET)


async def counters(api, id_, who="admin", **as_of):
    query = f"query($id: ID!, $asOf: AsOf) {{ contact(id: $id, asOf: $asOf) {{ {COUNTERS} }} }}"
    found = (await api.ask(query, who=who, id=id_, asOf=as_of or None))["contact"]
    return tuple(found.values())


@pytest.fixture
async def busy(api):
    """Ada: two open deals, two won, one archived; two open tickets of three. Bob: in one of the won deals, one ticket."""
    ada, bob = [(await register(api, displayName=name))["id"] for name in ("Ada", "Bob")]
    board, help_ = await a_pipeline(api), await queue(api)
    with_ada = {"contacts": [{"contactId": ada}]}
    for _ in range(2):
        await a_deal(api, board, amount=usd("5.00"), **with_ada)
    await act(api, "archiveDeal", await a_deal(api, board, amount=usd("7.00"), **with_ada))
    both = await a_deal(api, board, amount=usd("10.00"), contacts=[{"contactId": ada}, {"contactId": bob}])
    yen = await a_deal(api, board, amount={"amount": "700", "currency": "JPY"}, **with_ada)
    for each in (both, yen):
        await act(api, "winDeal", each)
    made = [await ticket(api, help_, requesterId=who) for who in (ada, ada, ada, bob)]
    await done(api, "holdTicket", id=made[0]["id"], holdReason="VENDOR")
    await done(api, "resolveTicket", id=made[1]["id"])
    return ada, bob


YEN = {"amount": "700", "currency": "JPY"}


async def test_a_contact_counts_open_deals_and_tickets_and_sums_what_was_won(api, busy):
    ada, bob = busy

    assert await counters(api, ada) == (2, 2, [YEN, usd("10.00")])
    assert await counters(api, bob) == (0, 1, [usd("10.00")])
    assert await counters(api, (await register(api, displayName="Zoe"))["id"]) == (0, 0, [])


async def test_merged_contacts_are_counted_as_one_and_a_deal_of_both_once(api, busy):
    ada, bob = busy
    before = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await done(api, "mergeContacts", "contact { id }", survivorId=ada, absorbedId=bob, reason="one person")

    assert await counters(api, ada) == (2, 3, [YEN, usd("10.00")])
    assert await counters(api, ada, position=before) == (2, 2, [YEN, usd("10.00")])
    assert await counters(api, bob, position=before) == (0, 1, [usd("10.00")])


async def test_who_may_not_see_all_is_told_nothing(api, busy):
    reading = may((Action.READ,), (EntityType.CONTACT,))
    for name, granted in {
        "own": may((Action.READ,), BOTH, Scope.OWN),
        "neither": (),
        "masked": may((Action.READ,), BOTH, fields=()),
    }.items():
        api.known[name] = replace(api.known["sales"], permissions=Permissions((*reading, *granted)))

    assert await counters(api, busy[0], who="own") == (None, None, None)
    assert await counters(api, busy[0], who="neither") == (None, None, None)
    assert await counters(api, busy[0], who="masked") == (2, 2, None)


@pytest.mark.usefixtures("busy")
async def test_many_contacts_take_no_more_statements_than_one(api, monkeypatch):
    query = f"query($first: Int) {{ contacts(first: $first) {{ nodes {{ {COUNTERS} lastServiceContactAt }} }} }}"
    counted, rows = [], Snapshot.rows

    async def counting(self, *args):
        counted[-1] += 1
        return await rows(self, *args)

    monkeypatch.setattr(Snapshot, "rows", counting)
    for first in (1, 2):
        counted.append(0)
        found = await api.ask(query, first=first)

    assert len(found["contacts"]["nodes"]) == 2
    assert counted[0] == counted[1] > 0


async def last_contact(api, id_, who="admin", **as_of):
    query = "query($id: ID!, $asOf: AsOf) { contact(id: $id, asOf: $asOf) { lastServiceContactAt } }"
    return (await api.ask(query, who=who, id=id_, asOf=as_of or None))["contact"]["lastServiceContactAt"]


async def say(api, on, when, **given):
    """Something about a ticket."""
    said = {
        "type": "EMAIL",
        "direction": "INBOUND",
        "subject": "Still broken",
        "ticketId": on["id"],
        "occurredAt": when,
    }
    return await done(api, "recordInteraction", "interaction { id }", **said | given)


@pytest.fixture
async def helped(api):
    """Ada wrote in 2025-02, was answered in 2025-03; Bob wrote in 2025-01. Notes and talk of other things came later."""
    ada, bob = [(await register(api, displayName=name))["id"] for name in ("Ada", "Bob")]
    help_ = await queue(api)
    early = {"occurredAt": "2024-12-01T00:00:00Z"}
    asked, other = [await ticket(api, help_, requesterId=who, **early) for who in (ada, bob)]
    await say(api, asked, "2025-02-01T00:00:00Z")
    await say(api, asked, "2025-03-01T00:00:00Z", direction="OUTBOUND", contactIds=[bob])
    await say(api, asked, "2025-04-01T00:00:00Z", type="NOTE", direction="INTERNAL")
    await say(api, other, "2025-01-01T00:00:00Z")
    call = {"type": "CALL", "contactIds": [ada], "occurredAt": "2025-05-01T00:00:00Z"}
    await done(api, "recordInteraction", "interaction { id }", **call)
    return ada, bob, asked, other


async def test_a_contact_knows_when_service_last_talked_with_them(api, helped):
    ada, bob, asked, _ = helped
    before = (await api.ask("{ viewer { position } }"))["viewer"]["position"]

    assert await last_contact(api, ada) == "2025-03-01T00:00:00Z"
    assert await last_contact(api, bob) == "2025-01-01T00:00:00Z"
    assert await last_contact(api, (await register(api, displayName="Zoe"))["id"]) is None
    await done(api, "updateTicket", id=asked["id"], requesterId=bob)
    assert (await last_contact(api, ada), await last_contact(api, bob)) == (None, "2025-03-01T00:00:00Z")
    assert await last_contact(api, ada, position=before) == "2025-03-01T00:00:00Z"


async def test_merged_contacts_and_tickets_keep_when_service_last_talked_with_them(api, helped):
    ada, bob, asked, other = helped
    await done(api, "mergeTickets", "ticket { id }", survivorId=other["id"], absorbedId=asked["id"], reason="one fault")
    assert (await last_contact(api, ada), await last_contact(api, bob)) == (
        "2025-03-01T00:00:00Z",
        "2025-01-01T00:00:00Z",
    )

    await done(api, "mergeContacts", "contact { id }", survivorId=bob, absorbedId=ada, reason="one person")
    assert await last_contact(api, bob) == "2025-03-01T00:00:00Z"


async def test_the_last_talk_of_service_is_nothing_to_who_may_not_see_all_of_it(api, helped):
    ada, bob, asked, _ = helped
    reading = may((Action.READ,), (EntityType.CONTACT,))
    for name, granted in {
        "own tickets": (*may((Action.READ,), (EntityType.TICKET,), Scope.OWN), *may((Action.READ,), TALK[1:])),
        "own talk": (*may((Action.READ,), TALK[1:], Scope.OWN), *may((Action.READ,), TALK[:1])),
        "all": may((Action.READ,), TALK),
    }.items():
        api.known[name] = replace(api.known["sales"], permissions=Permissions((*reading, *granted)))
    assert await last_contact(api, ada, who="own tickets") is None
    assert await last_contact(api, ada, who="own talk") is None
    assert await last_contact(api, ada, who="all") == "2025-03-01T00:00:00Z"

    await say(api, asked, "2025-03-02T00:00:00Z", visibility="PRIVATE")

    assert await last_contact(api, ada, who="all") is None
    assert await last_contact(api, ada) == "2025-03-02T00:00:00Z"
    assert await last_contact(api, bob, who="all") == "2025-01-01T00:00:00Z"


PREVIEW = "query($a: ID!, $b: ID!) { mergePreview(survivorId: $a, absorbedId: $b) { dealsMoved ticketsMoved } }"


async def test_a_preview_tells_how_many_deals_and_tickets_a_merge_moves(api, busy):
    ada, bob = busy

    assert (await api.ask(PREVIEW, a=bob, b=ada))["mergePreview"] == {"dealsMoved": 5, "ticketsMoved": 3}
    assert (await api.ask(PREVIEW, a=ada, b=bob))["mergePreview"] == {"dealsMoved": 1, "ticketsMoved": 1}


async def test_a_preview_counts_no_record_beyond_reach(api, busy):
    ada, bob = busy
    granted = (*may((Action.READ,), (EntityType.CONTACT,)), *may((Action.READ,), BOTH, Scope.OWN))
    api.known["own"] = replace(api.known["sales"], permissions=Permissions(granted))

    assert (await api.ask(PREVIEW, who="own", a=bob, b=ada))["mergePreview"] == {"dealsMoved": 0, "ticketsMoved": 0}
