"""Milestones of deals and tickets on timelines, between interactions, for those who may see their deal or ticket."""

from dataclasses import replace

import pytest

from crm_es.api import ids
from crm_es.reads.driver import Snapshot
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.desk import done, queue, ticket
from tests.api.selling import a_contact, a_deal, a_pipeline, act, at, usd
from tests.api.test_companies import company

pytestmark = pytest.mark.anyio
ITEM = """__typename id occurredAt ... on Interaction { subject } ... on Milestone {
  kind entity { __typename id label } amount { amount currency } actor { kind name } }"""
PAGE = f"""timeline(first: $first, after: $after, last: $last, before: $before, types: $types, milestones: $milestones) {{
  totalCount edges {{ cursor node {{ {ITEM} }} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }}"""
TIMELINE = f"""query($id: ID!, $asOf: AsOf, $first: Int, $after: String, $last: Int, $before: String,
  $types: [InteractionType!], $milestones: Boolean! = true) {{ entity(id: $id, asOf: $asOf) {{
  ... on Contact {{ {PAGE} }} ... on Company {{ {PAGE} }} ... on Deal {{ {PAGE} }} ... on Ticket {{ {PAGE} }} }} }}"""


async def page(api, id_, who="admin", **given):
    return (await api.ask(TIMELINE, who=who, id=id_, **given))["entity"]["timeline"]


async def told(api, id_, who="admin", **given):
    """What each item is called, newest first."""
    found = await page(api, id_, who, **given)
    nodes = [edge["node"] for edge in found["edges"]]
    assert found["totalCount"] == len(nodes)
    return [node.get("subject") or node["kind"] for node in nodes]


@pytest.fixture
async def story(api):
    """Ada of Acme: a call, a deal that was won, a ticket that was resolved and reopened; a second deal, archived."""
    ada, acme = await a_contact(api), await company(api, name="Acme")
    board, help_ = await a_pipeline(api), await queue(api)
    party = {"contacts": [{"contactId": ada}], "companyId": acme["id"]}
    deal = await a_deal(api, board, amount=usd("5.00"), occurredAt=at(9), **party)
    await done(
        api, "recordInteraction", "interaction { id }", type="CALL", subject="Hello", contactIds=[ada],
        companyId=acme["id"], dealId=deal["id"], occurredAt=at(8),
    )  # fmt: skip
    await act(api, "moveDeal", deal, toStageId=board["at"]["Offer"], occurredAt=at(7))
    await act(api, "winDeal", deal, amount=usd("8.00"), occurredAt=at(6))
    asked = await ticket(api, help_, requesterId=ada, companyId=acme["id"], occurredAt=at(5))
    await done(api, "resolveTicket", id=asked["id"], occurredAt=at(4))
    await done(api, "reopenTicket", id=asked["id"], occurredAt=at(3))
    shelved = await a_deal(api, board, occurredAt=at(2), **party)
    await act(api, "archiveDeal", shelved)
    return {"ada": ada, "acme": acme["id"], "deal": deal["id"], "ticket": asked["id"], "shelved": shelved["id"]}


OF_TICKET = ["ticket.reopened", "ticket.resolved", "ticket.opened"]
OF_DEAL = ["deal.won", "deal.moved", "Hello", "deal.opened"]


async def test_timelines_show_what_became_of_deals_and_tickets_between_interactions(api, story):
    assert await told(api, story["ada"]) == [*OF_TICKET, *OF_DEAL]
    assert await told(api, story["acme"]) == [*OF_TICKET, *OF_DEAL]
    assert await told(api, story["deal"]) == OF_DEAL
    assert await told(api, story["ticket"]) == OF_TICKET
    assert await told(api, story["shelved"]) == ["deal.opened"]


async def test_kinds_of_interactions_are_chosen_and_milestones_left_out(api, story):
    assert await told(api, story["deal"], types=["NOTE"]) == ["deal.won", "deal.moved", "deal.opened"]
    assert await told(api, story["deal"], types=["CALL"], milestones=False) == ["Hello"]
    assert await told(api, story["deal"], types=[], milestones=False) == []


async def test_a_milestone_tells_what_happened_to_what_for_how_much_and_who_did_it(api, story):
    won = (await page(api, story["deal"], first=1))["edges"][0]["node"]

    assert (won["__typename"], won["kind"], won["amount"]) == ("Milestone", "deal.won", usd("8.00"))
    assert won["entity"] == {"__typename": "Deal", "id": story["deal"], "label": "100 seats"}
    assert won["actor"] == {"kind": "MEMBER", "name": "Admin"}
    found = await api.ask(f"query($id: ID!) {{ node(id: $id) {{ ... on TimelineItem {{ {ITEM} }} }} }}", id=won["id"])
    assert found["node"] == won


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pages_of_both_kinds_follow_each_other_both_ways(api, story, size):
    whole = (await page(api, story["ada"]))["edges"]
    forwards, backwards, after, before = [], [], None, None
    while True:
        found = await page(api, story["ada"], first=size, after=after)
        forwards += found["edges"]
        assert found["pageInfo"]["hasPreviousPage"] is (after is not None)
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    while True:
        found = await page(api, story["ada"], last=size, before=before)
        backwards = found["edges"] + backwards
        before = found["pageInfo"]["startCursor"]
        if not found["pageInfo"]["hasPreviousPage"]:
            break

    assert forwards == backwards == whole
    assert len(whole) == 7


async def test_whoever_may_not_see_a_deal_or_ticket_hears_nothing_of_it(api, story):
    parties = may((Action.READ,), (EntityType.CONTACT, EntityType.INTERACTION))
    deals, tickets = ((each,) for each in (EntityType.DEAL, EntityType.TICKET))
    for name, granted in {
        "deals": may((Action.READ,), deals),
        "own": may((Action.READ,), (*deals, *tickets), Scope.OWN),
        "neither": (),
    }.items():
        api.known[name] = replace(api.known["sales"], permissions=Permissions((*parties, *granted)))
    sales = api.id("Member", api.known["sales"].member_id)
    await done(api, "assignTicket", id=story["ticket"], assigneeId=sales)

    assert await told(api, story["ada"], who="deals") == OF_DEAL
    assert await told(api, story["ada"], who="neither") == ["Hello"]
    assert await told(api, story["ada"], who="own") == [*OF_TICKET, "Hello"]
    won = (await page(api, story["deal"], first=1))["edges"][0]["node"]["id"]
    for who, seen in (("deals", {"id": won}), ("own", None), ("neither", None)):
        assert (await api.ask("query($id: ID!) { node(id: $id) { id } }", who=who, id=won))["node"] == seen


async def test_a_masked_amount_is_masked_in_milestones(api, story):
    masked = (*may((Action.READ,), (EntityType.CONTACT,)), *may((Action.READ,), (EntityType.DEAL,), fields=("name",)))
    api.known["masked"] = replace(api.known["sales"], permissions=Permissions(masked))

    found = await page(api, story["ada"], who="masked")

    assert [edge["node"]["amount"] for edge in found["edges"]] == [None, None, None]


async def test_merged_contacts_share_their_milestones_and_part_again(api, story):
    bob, before = await a_contact(api, "Bob"), (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await done(api, "mergeContacts", "contact { id }", survivorId=bob, absorbedId=story["ada"], reason="one person")

    assert await told(api, bob) == [*OF_TICKET, *OF_DEAL]
    assert await told(api, story["ada"]) == []
    assert await told(api, story["ada"], asOf={"position": before}) == [*OF_TICKET, *OF_DEAL]
    await done(api, "unmergeContact", "contact { id }", absorbedId=story["ada"], reason="two after all")
    assert await told(api, bob) == []
    assert await told(api, story["ada"]) == [*OF_TICKET, *OF_DEAL]


async def test_the_past_has_the_milestones_of_then_with_ids_of_its_own(api, story):
    before = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    live = (await page(api, story["deal"], first=1))["edges"][0]["node"]
    await done(api, "updateDeal", "deal { id }", id=story["deal"], name="200 seats", contacts=[])
    await act(api, "reopenDeal", {"id": story["deal"]})

    past = (await page(api, story["deal"], asOf={"position": before}))["edges"]
    then = api.id("Deal", ids.decode(story["deal"]).id, int(before))
    assert past[0]["node"]["entity"] == {"__typename": "Deal", "id": then, "label": "100 seats"}
    assert past[0]["node"]["id"] != live["id"]
    assert await told(api, story["ada"]) == [*OF_TICKET, "Hello"]
    found = await api.ask(
        "query($id: ID!) { node(id: $id) { id ... on Milestone { kind } } }", id=past[0]["node"]["id"]
    )
    assert found["node"] == {"id": past[0]["node"]["id"], "kind": "deal.won"}


async def test_a_payload_shows_the_milestone_that_it_made(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("1.00"))

    won = await done(
        api, "winDeal", "deal { timeline(first: 1) { nodes { ... on Milestone { kind } } } }", id=deal["id"]
    )

    assert won["deal"]["timeline"]["nodes"] == [{"kind": "deal.won"}]


async def test_many_timelines_take_no_more_statements_than_one(api, story, monkeypatch):
    await a_contact(api, "Bob")
    query = f"query($n: Int) {{ contacts(first: $n) {{ nodes {{ timeline(first: 9) {{ nodes {{ {ITEM} }} }} }} }} }}"
    counted, fetch = [], Snapshot.fetch

    async def counting(self, *args, **options):
        counted[-1] += 1
        return await fetch(self, *args, **options)

    monkeypatch.setattr(Snapshot, "fetch", counting)
    for first in (1, 2):
        counted.append(0)
        found = await api.ask(query, n=first)

    assert story["ada"]
    assert len(found["contacts"]["nodes"]) == 2
    assert counted[0] == counted[1] > 0
