"""Deals over the API: opened, moved, won, lost, reopened; what is refused, and what a column adds up to."""

from uuid import uuid4

import pytest

from tests.api.selling import a_contact, a_deal, a_pipeline, act, at, columns, done, refused, usd

pytestmark = pytest.mark.anyio

DRAG = """mutation($input: MoveDealInput!, $stages: [ID!]!) { moveDeal(input: $input) {
  deal { id stage { id } rank } position userErrors { rule }
  query { nodes(ids: $stages) { ... on Stage { name deals(first: 0) {
    totalCount summary { amount { amount currency } } edges { cursor } } } } } } }"""


async def names(api, board):
    return {name: [deal["name"] for deal in column["nodes"]] for name, column in (await columns(api, board)).items()}


async def test_a_deal_opens_on_top_of_the_first_stage_with_all_that_is_said(api):
    board, ada = await a_pipeline(api), await a_contact(api)
    await a_deal(api, board, name="Older")
    product = (await done(api, "registerProduct", "product { id }", name="Seat"))["product"]["id"]
    price, owner = {"unitPrice": usd("50.00"), "discount": usd("0.01")}, api.id("Member", api.known["sales"].member_id)
    line = {"productId": product, "quantity": "100", "description": "Seats"} | price

    deal = await a_deal(
        api, board, amount=usd("5000.00"), expectedCloseDate="2026-06-30", contactId=ada, ownerId=owner,
        lines=[line], externalIds=[{"system": "erp", "value": "7"}], occurredAt=at(3),
    )  # fmt: skip
    page = await api.ask(
        """query($id: ID!) { deal(id: $id) { pipeline { name stages { name } } timeline { totalCount }
          lines { product { name } description quantity unitPrice { amount } discount { amount } total { amount currency } }
          contacts { contact { displayName } part primary } externalIds { system value }
          stageIntervals { stage { name } from to seconds } history { nodes { type changes { field } } } } }""",
        id=deal["id"],
    )

    assert deal["stage"]["id"] == board["at"]["New"]
    assert (deal["status"], deal["probability"], deal["weightedAmount"]) == ("OPEN", 0.1, usd("500.00"))
    assert deal["contact"] == {"id": ada}
    assert deal["forecastCategory"] == "PIPELINE"
    assert (await names(api, board))["New"] == ["100 seats", "Older"]
    page = page["deal"]
    assert page["lines"] == [
        {"product": {"name": "Seat"}, "description": "Seats", "quantity": "100", "unitPrice": {"amount": "50.00"},
         "discount": {"amount": "0.01"}, "total": usd("4999.99")}
    ]  # fmt: skip
    assert page["contacts"] == [{"contact": {"displayName": "Ada"}, "part": None, "primary": True}]
    assert page["externalIds"] == [{"system": "erp", "value": "7"}]
    (interval,) = page["stageIntervals"]
    assert (interval["stage"]["name"], interval["to"]) == ("New", None)
    assert interval["seconds"] >= 3 * 86_400
    assert page["history"]["nodes"][0]["type"] == "deal.opened"
    fields = {change["field"] for change in page["history"]["nodes"][0]["changes"]}
    assert {"name", "amount", "lines", "contacts", "openedAt", "externalIds"} <= fields


async def test_a_dragged_deal_refreshes_both_columns_in_its_own_payload(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("10.00"))
    await a_deal(api, board, amount=usd("1.00"))
    stages = [board["at"]["New"], board["at"]["Offer"]]

    payload = (await api.ask(DRAG, input={"id": deal["id"], "toStageId": stages[1]}, stages=stages))["moveDeal"]

    assert payload["userErrors"] == []
    assert payload["deal"]["stage"]["id"] == stages[1]
    assert payload["query"]["nodes"] == [
        {"name": "New", "deals": {"totalCount": 1, "summary": {"amount": [usd("1.00")]}, "edges": []}},
        {"name": "Offer", "deals": {"totalCount": 1, "summary": {"amount": [usd("10.00")]}, "edges": []}},
    ]


async def test_deals_stand_where_they_are_put(api):
    board = await a_pipeline(api)
    deals = {name: await a_deal(api, board, name=name) for name in "abcd"}
    offer = {"toStageId": board["at"]["Offer"]}

    async def put(name, **near):
        await act(api, "moveDeal", deals[name], **offer, **{k: deals[v]["id"] for k, v in near.items()})

    await put("a")
    await put("b")
    await put("c", afterDealId="b")
    await put("d", afterDealId="b", beforeDealId="c")
    assert (await names(api, board))["Offer"] == ["b", "d", "c", "a"]
    await put("a", beforeDealId="d")
    assert (await names(api, board))["Offer"] == ["b", "a", "d", "c"]
    await put("c")
    assert (await names(api, board))["Offer"] == ["c", "b", "a", "d"]
    await put("c", afterDealId="d", beforeDealId="b")
    assert (await names(api, board))["Offer"] == ["b", "a", "d", "c"]


async def test_winning_losing_and_reopening_tell_when_and_why(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("10.00"), occurredAt=at(9))
    await act(api, "moveDeal", deal, toStageId=board["at"]["Offer"], occurredAt=at(8))

    lost = await act(api, "loseDeal", deal, lostReason="Too dear.", occurredAt=at(5))
    again = await act(api, "reopenDeal", deal, occurredAt=at(4))
    won = await act(api, "winDeal", deal, amount=usd("12.50"), occurredAt=at(2))

    assert (lost["status"], lost["stage"]["name"], lost["lostReason"]) == ("LOST", "Lost", "Too dear.")
    assert (lost["forecastCategory"], lost["weightedAmount"]) == ("OMITTED", usd("0.00"))
    assert (again["status"], again["stage"]["name"], again["lostReason"], again["closedAt"]) == (
        "OPEN",
        "Offer",
        None,
        None,
    )
    assert (won["status"], won["amount"], won["weightedAmount"]) == ("WON", usd("12.50"), usd("12.50"))
    assert (won["forecastCategory"], won["probability"]) == ("CLOSED", 1.0)
    assert won["closedAt"][:10] == at(2)[:10]
    asked = "query($id: ID!) { deal(id: $id) { stageIntervals { stage { name } seconds } history { nodes { type } } } }"
    found = (await api.ask(asked, id=deal["id"]))["deal"]
    assert [each["stage"]["name"] for each in found["stageIntervals"]] == ["New", "Offer", "Lost", "Offer", "Won"]
    assert [each["seconds"] // 3600 for each in found["stageIntervals"]][:4] == [24, 72, 24, 48]
    assert [each["type"] for each in found["history"]["nodes"]] == [
        "deal.won", "deal.updated", "deal.reopened", "deal.lost", "deal.moved", "deal.opened",
    ]  # fmt: skip


async def test_illegal_moves_are_refused_by_name_and_record_nothing(api):
    board, other = await a_pipeline(api), await a_pipeline(api, name="Other")
    deal, lost = await a_deal(api, board, amount=usd("1.00")), await a_deal(api, board, amount=usd("1.00"))
    await act(api, "loseDeal", lost, lostReason="No money.")
    stranger = await a_deal(api, other)
    here, there, won = board["at"]["New"], other["at"]["New"], board["at"]["Won"]
    violated, invalid, unknown = "RULE_VIOLATED", "INVALID", ("NOT_FOUND", "record.not_found")
    before = (await api.ask("{ viewer { position } }"))["viewer"]["position"]

    async def told(name, /, *expected, **given):
        assert await refused(api, name, **given) == [expected], (name, given)

    async def lost_is(name, /, *expected, **given):
        await told(name, *expected, id=lost["id"], **given)

    async def open_is(name, /, *expected, **given):
        await told(name, *expected, id=deal["id"], **given)

    async def new_is(*expected, **given):
        await told("openDeal", *expected, **({"name": "x", "pipelineId": board["id"]} | given))

    await lost_is("winDeal", violated, "deal.closed", ["id"])
    await lost_is("loseDeal", violated, "deal.closed", ["id"], lostReason="x")
    await lost_is("moveDeal", violated, "deal.closed", ["id"], toStageId=here)
    await lost_is("updateDeal", violated, "deal.closed", ["lines"], lines=[{"quantity": "1"}])
    await open_is("reopenDeal", violated, "deal.not_closed", ["id"])
    await open_is("loseDeal", invalid, "text.blank", ["lostReason"], lostReason=" ")
    await open_is("loseDeal", violated, "stage.not_lost", ["stageId"], lostReason="x", stageId=won)
    await open_is("moveDeal", violated, "stage.not_in_pipeline", ["toStageId"], toStageId=there)
    await open_is("moveDeal", violated, "stage.not_open", ["toStageId"], toStageId=won)
    for neighbour, id_ in (("afterDealId", stranger["id"]), ("beforeDealId", deal["id"])):
        await open_is("moveDeal", invalid, "deal.not_in_column", [neighbour], toStageId=here, **{neighbour: id_})
    await open_is(
        "moveDeal",
        invalid,
        "occurred_at.before_last",
        ["occurredAt"],
        toStageId=board["at"]["Offer"],
        occurredAt=at(30),
    )
    await open_is("winDeal", invalid, "occurred_at.in_future", ["occurredAt"], occurredAt=at(-1))
    await open_is("winDeal", violated, "deal.amount_missing", ["amount"], amount=usd("0"))
    await open_is("updateDeal", invalid, "money.negative", ["amount", "amount"], amount=usd("-0.01"))
    yen = {"amount": "1.5", "currency": "JPY"}
    await open_is("updateDeal", invalid, "money.too_many_digits", ["amount", "amount"], amount=yen)
    await open_is("updateDeal", invalid, "probability.out_of_range", ["probability"], probability=1.5)
    await open_is(
        "updateDeal", invalid, "forecast.closed_is_no_choice", ["forecastCategory"], forecastCategory="CLOSED"
    )
    await open_is("updateDeal", invalid, "field.required", ["name"], name=None)
    sold = [{"quantity": "1", "productId": api.id("Product", uuid4())}]
    await open_is("updateDeal", *unknown, ["lines", "0", "productId"], lines=sold)
    await new_is(violated, "stage.not_in_pipeline", ["stageId"], stageId=there)
    await new_is(invalid, "money.negative", ["amount", "amount"], amount=usd("-1"))
    await new_is(invalid, "money.unknown_currency", ["amount", "currency"], amount={"amount": "1", "currency": "XYZ"})
    await new_is(*unknown, ["pipelineId"], pipelineId=api.id("Pipeline", uuid4()))
    await new_is(*unknown, ["contactId"], contactId=api.id("Contact", uuid4()))
    assert (await api.ask("{ viewer { position } }"))["viewer"]["position"] == before


async def test_amounts_have_the_digits_of_their_currency_and_are_never_converted(api):
    board = await a_pipeline(api)
    for amount, currency in (("1500", "JPY"), ("1.250", "KWD"), ("10.00", "USD"), ("0.25", "USD")):
        await a_deal(api, board, amount={"amount": amount, "currency": currency})
    await a_deal(api, board)

    column = (await columns(api, board))["New"]

    assert column["totalCount"] == column["summary"]["count"] == 5
    assert column["summary"]["amount"] == [
        {"amount": "1500", "currency": "JPY"}, {"amount": "1.250", "currency": "KWD"}, {"amount": "10.25", "currency": "USD"},
    ]  # fmt: skip
    assert column["summary"]["weightedAmount"] == [
        {"amount": "150", "currency": "JPY"}, {"amount": "0.125", "currency": "KWD"}, {"amount": "1.03", "currency": "USD"},
    ]  # fmt: skip


async def test_a_repeated_command_answers_as_it_did_whatever_happened_since(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("1.00"))
    move = {"id": deal["id"], "toStageId": board["at"]["Offer"], "commandId": str(uuid4())}
    lose = {"id": deal["id"], "lostReason": "x", "commandId": str(uuid4())}
    reopen = {"id": deal["id"], "commandId": str(uuid4())}
    first = [
        await done(api, name, "deal { status }", **given)
        for name, given in (("moveDeal", move), ("loseDeal", lose), ("reopenDeal", reopen))
    ]
    await act(api, "winDeal", deal)

    again = [
        await done(api, name, "deal { status }", **given)
        for name, given in (("moveDeal", move), ("loseDeal", lose), ("reopenDeal", reopen))
    ]

    assert [each["position"] for each in again] == [each["position"] for each in first]
    assert all(each["replayed"] and each["deal"]["status"] == "WON" for each in again)


async def test_edits_of_different_fields_merge_and_of_one_conflict(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("1.00"))
    await act(api, "updateDeal", deal, amount=usd("2.00"))

    merged = await act(api, "updateDeal", deal, probability=0.75, expectedVersion=deal["version"])
    conflict = await refused(api, "updateDeal", id=deal["id"], amount=usd("3.00"), expectedVersion=deal["version"])

    assert (merged["amount"], merged["probability"], merged["weightedAmount"]) == (usd("2.00"), 0.75, usd("1.50"))
    assert [code for code, *_ in conflict] == ["VERSION_CONFLICT"]
    cleared = await act(api, "updateDeal", deal, probability=None, amount=None)
    assert (cleared["amount"], cleared["probability"]) == (None, 0.1)


async def test_many_deals_change_at_once_each_at_its_own_time(api):
    board = await a_pipeline(api)
    deals = [await a_deal(api, board, name=name, occurredAt=at(9)) for name in "ab"]
    rows = [{"id": deal["id"], "amount": usd("5.00"), "occurredAt": at(3)} for deal in deals]
    answer = "rows { index deal { amount { amount } } userErrors { rule field } }"

    changed = await done(api, "updateDeals", answer, deals=rows)
    mixed = await done(
        api, "updateDeals", answer, allOrNone=False,
        deals=[{"id": deals[0]["id"], "amount": usd("6.00"), "occurredAt": at(8)}, {"id": deals[1]["id"], "name": "c"}],
    )  # fmt: skip

    assert [row["deal"]["amount"]["amount"] for row in changed["rows"]] == ["5.00", "5.00"]
    events = await api.ask(
        "query($id: ID!) { deal(id: $id) { history { nodes { type occurredAt } } } }", id=deals[0]["id"]
    )
    assert events["deal"]["history"]["nodes"][0]["occurredAt"][:10] == at(3)[:10]
    assert [row["userErrors"] for row in mixed["rows"]] == [
        [{"rule": "occurred_at.before_last", "field": ["deals", "0", "occurredAt"]}], [],
    ]  # fmt: skip


async def test_archived_deals_are_left_out_of_boards_and_sums_until_they_are_back(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("1.00"), externalIds=[{"system": "erp", "value": "1"}])

    archived = await act(api, "archiveDeal", deal)
    column = (await columns(api, board))["New"]
    other = await a_deal(api, board, name="other", externalIds=[{"system": "erp", "value": "1"}])
    taken = await refused(api, "restoreDeal", id=deal["id"])
    await act(api, "archiveDeal", other)
    restored = await act(api, "restoreDeal", deal)

    assert (archived["recordStatus"], archived["viewerCan"]) == (
        "ARCHIVED",
        ["READ", "ARCHIVE", "REVEAL", "EXPORT", "ERASE", "AUDIT"],
    )
    assert column["summary"] == {"count": 0, "amount": [], "weightedAmount": []}
    assert [code for code, *_ in taken] == ["ALREADY_EXISTS"]
    assert (restored["recordStatus"], restored["archivedAt"]) == ("ACTIVE", None)
    assert (await columns(api, board))["New"]["totalCount"] == 1


async def test_a_taken_external_id_points_at_itself_and_its_holder(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, externalIds=[{"system": "erp", "value": "1"}])
    document = """mutation($input: OpenDealInput!) { openDeal(input: $input) { userErrors { field
      ... on AlreadyExists { existing { id } } } } }"""

    again = {
        "name": "x",
        "pipelineId": board["id"],
        "externalIds": [{"system": "a", "value": "b"}, {"system": "erp", "value": "1"}],
    }
    (error,) = (await api.ask(document, input=again))["openDeal"]["userErrors"]

    assert error == {"field": ["externalIds", "1"], "existing": {"id": deal["id"]}}
