"""What a board hears of its deals, and how deals are found."""

from uuid import uuid4

import pytest

from tests.api.selling import a_deal, a_pipeline, act, done
from tests.api.test_changes import following, listening

pytestmark = pytest.mark.anyio

WITHIN = """query($since: Position!, $within: [ID!]) { changes(since: $since, within: $within, types: [DEAL]) {
  nodes { kind nodeId version commandId node { ... on Deal { name stage { name } } } } } }"""
SEARCH = """query($text: String!, $types: [EntityType!]) { search(text: $text, types: $types) {
  edges { field node { __typename label } } } }"""


async def position(api):
    return (await api.ask("{ viewer { position } }"))["viewer"]["position"]


async def test_a_column_tells_of_deals_that_enter_change_and_leave(api):
    board = await a_pipeline(api)
    deal, old, new = await a_deal(api, board), board["at"]["New"], board["at"]["Offer"]
    since, command = await position(api), str(uuid4())
    await act(api, "moveDeal", deal, toStageId=new, commandId=command)

    async def told(*within):
        found = (await api.ask(WITHIN, since=since, within=list(within)))["changes"]["nodes"]
        return [(each["kind"], each["node"] and each["node"]["stage"]["name"]) for each in found]

    assert await told(old) == [("GONE", None)]
    assert await told(new) == await told(board["id"]) == await told(old, new) == [("CHANGED", "Offer")]
    await act(api, "archiveDeal", deal)
    assert await told(board["id"]) == [("GONE", None)]
    (change,) = (await api.ask(WITHIN, since="0", within=[board["id"]]))["changes"]["nodes"]
    assert (change["nodeId"], change["version"]) == (deal["id"], 3)


async def test_a_board_follows_its_pipeline(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board)
    asked = "position kind nodeId commandId node { ... on Deal { name stage { name } } }"
    after, command = await position(api), str(uuid4())
    query = f'subscription {{ changes(within: ["{board["id"]}"], types: [DEAL], after: "{after}") {{ {asked} }} }}'

    async with listening(api, query) as lines:
        payload = await done(
            api, "moveDeal", "deal { id }", id=deal["id"], toStageId=board["at"]["Offer"], commandId=command
        )
        heard = (await following(lines))["data"]["changes"]

    assert heard == {
        "position": payload["position"], "kind": "CHANGED", "nodeId": deal["id"], "commandId": command,
        "node": {"name": "100 seats", "stage": {"name": "Offer"}},
    }  # fmt: skip


async def test_deals_products_and_pipelines_are_found_by_what_people_type(api):
    board = await a_pipeline(api, name="Großkunden")
    firm = (await done(api, "registerCompany", "company { id }", name="Zyx Holding"))["company"]["id"]
    deal = await a_deal(
        api, board, name="Küche für 王小明", companyId=firm, externalIds=[{"system": "erp", "value": "D-77"}]
    )
    await done(api, "registerProduct", "product { id }", name="Becher", sku="M-1")

    async def found(text, *types):
        edges = (await api.ask(SEARCH, text=text, types=list(types) or None))["search"]["edges"]
        return [(edge["node"]["__typename"], edge["field"]) for edge in edges]

    assert await found("kuche") == await found("小明") == [("Deal", "name")]
    assert await found("d-77") == [("Deal", "externalIds")]
    assert await found("zyx holding", "DEAL") == [("Deal", "company")]
    assert await found("m-1") == [("Product", "sku")]
    assert await found("grosskunden") == [("Pipeline", "name")]
    await act(api, "archiveDeal", deal)
    assert await found("kuche") == []
