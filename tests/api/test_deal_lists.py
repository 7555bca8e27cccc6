"""Deals in lists: filters, orders, sums; who sees them, beside which contacts and companies, and as of the past."""

from dataclasses import replace
from uuid import uuid4

import pytest

from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions, may
from tests.api.selling import CARD, a_contact, a_deal, a_pipeline, act, at, columns, done, refused, usd

pytestmark = pytest.mark.anyio


async def test_lists_filter_and_order_deals(api):
    board = await a_pipeline(api)
    for name, amount, day in (("a", "3.00", "2026-01-03"), ("b", "20.00", None), ("c", None, "2026-01-01")):
        await a_deal(api, board, name=name, amount=amount and usd(amount), expectedCloseDate=day)

    async def listed(filter=None, **order):
        query = "query($f: DealFilter, $o: [DealOrder!]) { deals(filter: $f, orderBy: $o) { nodes { name } } }"
        found = await api.ask(query, f=filter or {}, o=[order] if order else None)
        return "".join(deal["name"] for deal in found["deals"]["nodes"])

    assert await listed() == "cba"
    assert await listed(field="AMOUNT", direction="DESC") == "bac"
    assert await listed(field="EXPECTED_CLOSE_DATE") == "cab"
    for field in ("RANK", "NAME", "STAGE_ENTERED_AT", "OPENED_AT", "CLOSED_AT", "UPDATED_AT"):
        assert sorted(await listed(field=field, direction="DESC")) == ["a", "b", "c"]
    assert await listed({"amount": {"currency": "USD", "gt": "5"}}) == "b"
    assert await listed({"expectedCloseDate": {"gte": "2026-01-02"}}) == "a"
    assert await listed({"stageId": {"eq": board["at"]["Offer"]}}) == ""
    assert await listed({"pipelineId": {"eq": board["id"]}, "name": {"startsWith": "C"}}) == "c"
    assert await listed({"rotsAt": {"isNull": False}, "status": {"in": ["OPEN"]}}) == "cba"
    assert await listed({"forecastCategory": {"eq": "COMMIT"}}) == ""


async def test_rotting_deals_are_those_nothing_happened_to_for_too_long(api):
    board = await a_pipeline(api)
    rotting, *_ = [
        await a_deal(api, board, name=name, occurredAt=at(days)) for name, days in (("old", 31), ("young", 29))
    ]
    await a_deal(api, board, name="never", stageId=board["at"]["Offer"], occurredAt=at(900))
    asked = "query($now: DateTime!) { deals(filter: {rotsAt: {lt: $now}}) { totalCount nodes { name } } }"

    before = await api.ask(asked, now=at(0))
    await act(api, "updateDeal", rotting, name="cared for")
    after = await api.ask(asked, now=at(0))

    assert before["deals"] == {"totalCount": 1, "nodes": [{"name": "old"}]}
    assert after["deals"]["totalCount"] == 0


async def test_who_may_not_see_amounts_sees_no_sums_either(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("1.00"), lines=[{"quantity": "1", "description": "secret"}])
    reading = may((Action.READ, Action.UPDATE), (EntityType.DEAL,), fields=("lostReason",))
    api.known["peek"] = replace(api.known["sales"], permissions=Permissions(reading))

    found = (
        await api.ask(
            f"query($id: ID!) {{ deal(id: $id) {{ {CARD} lines {{ quantity }} }} }}", who="peek", id=deal["id"]
        )
    )["deal"]
    column = (await columns(api, board, who="peek"))["New"]

    assert (found["amount"], found["weightedAmount"], found["lines"]) == (None, None, None)
    assert found["maskedFields"] == ["amount", "externalIds", "lines", "weightedAmount"]
    assert column["summary"] == {"count": 1, "amount": None, "weightedAmount": None}
    body = (await api.post("{ deals(orderBy: [{field: AMOUNT}]) { totalCount } }", who="peek")).json()
    assert body["errors"][0]["extensions"]["rule"] == "order.masked"
    assert (await refused(api, "winDeal", who="peek", id=deal["id"], amount=usd("2.00")))[0][0] == "NOT_ALLOWED"


async def test_whoever_reaches_their_own_deals_sees_those_and_their_sums_alone(api):
    board = await a_pipeline(api)
    mine = api.id("Member", api.known["sales"].member_id)
    await a_deal(api, board, name="mine", amount=usd("1.00"), ownerId=mine)
    other = await a_deal(api, board, name="not mine", amount=usd("100.00"))
    own = may((Action.READ, Action.UPDATE), (EntityType.DEAL,), Scope.OWN)
    api.known["own"] = replace(api.known["sales"], permissions=Permissions(own))

    column = (await columns(api, board, who="own"))["New"]

    assert [each["name"] for each in column["nodes"]] == ["mine"]
    assert column["summary"]["amount"] == [usd("1.00")]
    assert await refused(api, "winDeal", who="own", id=other["id"]) == [("NOT_FOUND", "record.not_found", ["id"])]
    assert await refused(api, "updateDeal", who="own", id=other["id"], ownerId=mine) == [
        ("NOT_FOUND", "record.not_found", ["id"])
    ]


async def test_contacts_and_companies_show_their_deals_also_after_a_merge(api):
    board, ada, twin = await a_pipeline(api), await a_contact(api), await a_contact(api, "Ada L.")
    firm = (await done(api, "registerCompany", "company { id }", name="Acme"))["company"]["id"]
    both = [{"contactId": twin, "part": "buyer", "primary": True}, {"contactId": ada}]
    deal = await a_deal(api, board, contacts=both, companyId=firm, amount=usd("3.00"))
    await a_deal(api, board, name="alone")
    await done(api, "mergeContacts", "contact { id }", survivorId=ada, absorbedId=twin, reason="same")

    found = await api.ask(
        """query($ada: ID!, $firm: ID!, $deal: ID!) {
          contact(id: $ada) { deals { totalCount nodes { name } summary { amount { amount } } } }
          company(id: $firm) { deals { nodes { name } } } deal(id: $deal) { contact { id } contacts { contact { id } part } }
          busy: contacts(filter: {deals: {some: {status: {eq: OPEN}}}}) { nodes { id } }
          idle: contacts(filter: {deals: {none: {status: {eq: OPEN}}}}) { nodes { id } }
          deals(filter: {contactId: {eq: $ada}}) { nodes { name } } }""",
        ada=ada, firm=firm, deal=deal["id"],
    )  # fmt: skip

    assert found["contact"]["deals"] == {
        "totalCount": 1, "nodes": [{"name": "100 seats"}], "summary": {"amount": [{"amount": "3.00"}]},
    }  # fmt: skip
    assert found["company"]["deals"]["nodes"] == [{"name": "100 seats"}] == found["deals"]["nodes"]
    assert found["deal"] == {"contact": {"id": ada}, "contacts": [{"contact": {"id": ada}, "part": "buyer"}]}
    assert (found["busy"]["nodes"], found["idle"]["nodes"]) == ([{"id": ada}], [])


async def test_an_interaction_is_about_a_deal(api):
    board = await a_pipeline(api)
    deal, other = await a_deal(api, board), await a_deal(api, board, name="other")
    call = {"type": "CALL", "occurredAt": at(1), "subject": "Price?", "dealId": deal["id"]}
    made = (await done(api, "recordInteraction", "interaction { id deal { name } }", **call))["interaction"]

    corrected = await done(
        api, "correctInteraction", "interaction { deal { name } }", id=made["id"], set={"dealId": other["id"]}
    )
    found = await api.ask(
        """query($id: ID!) { deal(id: $id) { timeline(milestones: false) { nodes { ... on Interaction { subject } } } }
          interactions(filter: {dealId: {eq: $id}}) { totalCount } }""",
        id=other["id"],
    )

    assert made["deal"] == {"name": "100 seats"}
    assert corrected["interaction"]["deal"] == {"name": "other"}
    assert found["deal"]["timeline"]["nodes"] == [{"subject": "Price?"}]
    assert found["interactions"]["totalCount"] == 1
    gone = await refused(api, "recordInteraction", **(call | {"dealId": api.id("Deal", uuid4())}))
    assert gone == [("NOT_FOUND", "record.not_found", ["dealId"])]


async def test_a_deal_as_of_the_past_leads_through_the_past(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("1.00"))
    position = (await api.ask("{ viewer { position } }"))["viewer"]["position"]
    await act(api, "winDeal", deal, amount=usd("2.00"))

    past = await api.ask(
        """query($id: ID!, $p: Position!) { deal(id: $id, asOf: {position: $p}) {
          id liveId status amount { amount } stage { id name deals { totalCount summary { amount { amount } } } }
          stageIntervals { to } } }""",
        id=deal["id"], p=position,
    )  # fmt: skip

    found = past["deal"]
    assert (found["status"], found["amount"], found["liveId"]) == ("OPEN", {"amount": "1.00"}, deal["id"])
    assert found["stage"]["name"] == "New"
    assert found["stage"]["deals"] == {"totalCount": 1, "summary": {"amount": [{"amount": "1.00"}]}}
    assert found["stageIntervals"] == [{"to": None}]
    again = await api.ask(
        "query($id: ID!) { node(id: $id) { ... on Stage { name deals { totalCount } } } }", id=found["stage"]["id"]
    )
    assert again["node"] == {"name": "New", "deals": {"totalCount": 1}}
