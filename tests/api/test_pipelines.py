"""Products and pipelines over the API: made, changed, retired, archived; the board, and how few statements it takes."""

from uuid import uuid4

import pytest

from crm_es.reads.driver import Snapshot
from crm_es.sales import moving, pipeline_mutations
from tests.api.selling import STAGES, a_contact, a_deal, a_pipeline, act, columns, done, refused, usd

pytestmark = pytest.mark.anyio
BOARD = """query($id: ID!, $first: Int) { pipeline(id: $id) { id name stages { id name type
  deals(first: $first, orderBy: [{field: RANK}]) {
  totalCount summary { amount { amount currency } weightedAmount { amount currency } } edges { cursor node { id version name
  rank amount { amount currency } stage { id } expectedCloseDate owner { id name } rotsAt maskedFields
  contacts { contact { displayName } } lines { product { name } } externalIds { value } stageIntervals { stage { name } } } }
  pageInfo { endCursor hasNextPage } } } } }"""
STAGE = "id name type probability rotDays retiredAt"
ANSWER = f"""pipeline {{ id version name recordStatus archivedAt stages {{ {STAGE} }}
  all: stages(includeRetired: true) {{ name }} }}"""


def said(stage, **changed):
    return {name: stage[name] for name in ("id", "name", "type", "probability", "rotDays")} | changed


async def change(api, board, **given):
    return (await done(api, "changePipeline", ANSWER, id=board["id"], **given))["pipeline"]


async def retire(api, board, gone="Offer", to="New", **given):
    moves = [{"stageId": board["at"][gone], "moveDealsTo": board["at"][to]}]
    return await done(api, "changePipeline", ANSWER, id=board["id"], retire=moves, **given)


async def test_a_product_is_registered_changed_and_retired(api):
    made = await done(
        api, "registerProduct", "product { id name sku family price { amount currency } externalIds { value } retiredAt }",
        name="Mug", price={"amount": "1.250", "currency": "KWD"}, externalIds=[{"system": "erp", "value": "7"}],
    )  # fmt: skip
    id_ = made["product"].pop("id")
    changed = await done(
        api, "updateProduct", "product { name sku price { amount } retiredAt version }", id=id_, sku="M", retired=True
    )
    listed = await api.ask(
        "{ products(filter: {retired: true}) { nodes { name } } rest: products(filter: {retired: false}) { totalCount } }"
    )
    again = await done(
        api,
        "updateProduct",
        "product { retiredAt history { nodes { changes { field from to } } } }",
        id=id_,
        retired=False,
    )

    assert made["product"] == {
        "name": "Mug", "sku": None, "family": None, "price": {"amount": "1.250", "currency": "KWD"},
        "externalIds": [{"value": "7"}], "retiredAt": None,
    }  # fmt: skip
    assert changed["product"]["retiredAt"] is not None
    assert (changed["product"]["sku"], changed["product"]["price"]) == ("M", {"amount": "1.250"})
    assert listed == {"products": {"nodes": [{"name": "Mug"}]}, "rest": {"totalCount": 0}}
    assert again["product"]["retiredAt"] is None
    (ended,) = again["product"]["history"]["nodes"][0]["changes"]
    assert ended == {"field": "retiredAt", "from": changed["product"]["retiredAt"], "to": None}
    assert await refused(api, "updateProduct", id=id_, name=None) == [("INVALID", "field.required", ["name"])]
    taken = await refused(api, "registerProduct", name="x", externalIds=[{"system": "erp", "value": "7"}])
    assert taken == [("ALREADY_EXISTS", "external_id.taken", ["externalIds", "0"])]


async def test_a_pipeline_is_made_and_changed_whole(api):
    board = await a_pipeline(api)
    new, offer, won, lost = board["stages"]

    changed = await change(
        api, board, name="B2B", stages=[said(offer, name="Quote", rotDays=7), said(new, probability=0.25), said(won), said(lost),
        {"name": "Gone", "type": "LOST", "probability": 0}],
    )  # fmt: skip

    assert [(stage["name"], stage["probability"], stage["rotDays"]) for stage in changed["stages"]] == [
        ("Quote", 0.5, 7), ("New", 0.25, 30), ("Won", 1.0, None), ("Lost", 0.0, None), ("Gone", 0.0, None),
    ]  # fmt: skip
    assert (changed["name"], changed["version"]) == ("B2B", 2)
    for given, rule, field in (
        ({"stages": [said(new), said(won), said(lost)]}, "pipeline.stage_left_out", ["stages"]),
        ({"stages": None}, "field.required", ["stages"]),
        ({"name": " "}, "text.blank", ["name"]),
        (
            {"retire": [{"stageId": won["id"], "moveDealsTo": lost["id"]}]},
            "stage.other_type",
            ["retire", "0", "moveDealsTo"],
        ),
    ):
        assert [
            (rule_, field_) for _, rule_, field_ in await refused(api, "changePipeline", id=board["id"], **given)
        ] == [(rule, field)]
    bad = [STAGES[0] | {"probability": 2}, *STAGES[1:]]
    assert await refused(api, "createPipeline", name="x", stages=bad) == [
        ("INVALID", "probability.out_of_range", ["stages", "0", "probability"])
    ]
    assert await refused(api, "createPipeline", name="x", stages=[said(new), *STAGES[1:]]) == [
        ("INVALID", "stage.unknown", ["stages", "0", "id"])
    ]


async def test_a_pipelines_external_id_is_its_own(api):
    known = {"system": "erp", "value": "b2b"}
    board = await a_pipeline(api, externalIds=[known])

    found = await api.ask("query($id: ID!) { pipeline(id: $id) { externalIds { system value } } }", id=board["id"])

    assert found["pipeline"]["externalIds"] == [known]
    assert await refused(api, "createPipeline", name="x", stages=STAGES, externalIds=[known]) == [
        ("ALREADY_EXISTS", "external_id.taken", ["externalIds", "0"])
    ]


async def test_a_stages_new_probability_weighs_its_deals_anew(api):
    board = await a_pipeline(api)
    await a_deal(api, board, amount=usd("10.00"))
    new, *rest = board["stages"]

    await change(api, board, stages=[said(new, probability=0.5), *map(said, rest)])

    assert (await columns(api, board))["New"]["summary"]["weightedAmount"] == [usd("5.00")]


async def test_retiring_a_stage_closes_it_and_moves_its_deals_one_event_each(api, monkeypatch):
    monkeypatch.setattr(pipeline_mutations, "CHUNK", 2)
    board = await a_pipeline(api)
    deals = [await a_deal(api, board, name=name, stageId=board["at"]["Offer"]) for name in "abcde"]
    await act(api, "archiveDeal", deals[0])

    payload = await retire(api, board, commandId=(command := str(uuid4())))
    again = await retire(api, board, commandId=command)
    anew = await retire(api, board)

    found = payload["pipeline"]
    assert [stage["name"] for stage in found["stages"]] == ["New", "Won", "Lost"]
    assert {stage["name"] for stage in found["all"]} == {"New", "Offer", "Won", "Lost"}
    assert [deal["name"] for deal in (await columns(api, board))["New"]["nodes"]] == ["e", "d", "c", "b"]
    trail = await api.ask(
        """{ events(filter: {type: {in: ["deal.moved", "pipeline.changed"]}}) {
          nodes { type commandId correlationId causationId entity { __typename } } } }"""
    )
    nodes = trail["events"]["nodes"]
    assert [node["type"] for node in nodes] == ["pipeline.changed", *["deal.moved"] * 5]
    assert len({node["correlationId"] for node in nodes}) == 1
    assert len({node["commandId"] for node in nodes}) == 4
    assert {node["causationId"] for node in nodes[1:]} == {command}
    assert again["replayed"]
    assert (anew["position"], anew["userErrors"]) == (None, [])
    gone = await refused(api, "openDeal", name="x", pipelineId=board["id"], stageId=board["at"]["Offer"])
    assert gone == [("RULE_VIOLATED", "stage.retired", ["stageId"])]


async def test_a_retirement_that_was_interrupted_goes_on_when_it_is_sent_again(api, monkeypatch):
    board = await a_pipeline(api)
    for name in "ab":
        await a_deal(api, board, name=name, stageId=board["at"]["Offer"])
    with monkeypatch.context() as patched:
        patched.setattr(pipeline_mutations, "SWEEPS", 0)
        await retire(api, board)
    closed = await api.ask(
        "query($id: ID!) { node(id: $id) { ... on Stage { retiredAt deals { totalCount } } } }", id=board["at"]["Offer"]
    )

    await retire(api, board)

    assert closed["node"]["retiredAt"] is not None
    assert closed["node"]["deals"]["totalCount"] == 2
    assert (await columns(api, board))["New"]["totalCount"] == 2


async def test_an_archived_pipeline_takes_no_deals(api):
    board = await a_pipeline(api)
    deal = await a_deal(api, board, amount=usd("1.00"))
    archived = (await done(api, "archivePipeline", ANSWER, id=board["id"]))["pipeline"]
    listed = await api.ask("{ pipelines { nodes { name } } all: pipelines(includeArchived: true) { nodes { name } } }")

    assert archived["recordStatus"] == "ARCHIVED"
    assert listed == {"pipelines": {"nodes": []}, "all": {"nodes": [{"name": "Sales"}]}}
    assert await refused(api, "openDeal", name="x", pipelineId=board["id"]) == [
        ("RULE_VIOLATED", "pipeline.archived", ["pipelineId"])
    ]
    moved = await refused(api, "moveDeal", id=deal["id"], toStageId=board["at"]["Offer"])
    assert moved == [("RULE_VIOLATED", "pipeline.archived", ["toStageId"])]
    assert await refused(api, "changePipeline", id=board["id"], name="x") == [
        ("RULE_VIOLATED", "pipeline.archived", ["id"])
    ]
    assert (await act(api, "winDeal", deal))["status"] == "WON"
    restored = (await done(api, "restorePipeline", ANSWER, id=board["id"]))["pipeline"]
    assert (restored["recordStatus"], restored["archivedAt"]) == ("ACTIVE", None)


async def test_the_boards_statements_grow_neither_with_it_nor_with_its_pages(api, monkeypatch):
    statements, close = [], Snapshot.close

    async def counted(self, **more):
        statements.append(len(self.statements))
        await close(self, **more)

    board, ada = await a_pipeline(api), await a_contact(api)
    given = {"amount": usd("1.00"), "contactId": ada, "lines": [{"quantity": "1"}]}
    for stage in ("New", "Offer"):
        await a_deal(api, board, stageId=board["at"][stage], **given)
    monkeypatch.setattr(Snapshot, "close", counted)
    await api.ask(BOARD, id=board["id"], first=20)
    few = max(statements)
    for stage in ("New", "New", "Offer", "Offer", "New"):
        await a_deal(api, board, stageId=board["at"][stage], **given)
    for size, shown in ((20, [4, 3, 0, 0]), (1, [1, 1, 0, 0]), (3, [3, 3, 0, 0])):
        statements.clear()
        found = (await api.ask(BOARD, id=board["id"], first=size))["pipeline"]["stages"]

        assert [stage["deals"]["totalCount"] for stage in found] == [4, 3, 0, 0]
        assert [len(stage["deals"]["edges"]) for stage in found] == shown
        assert max(statements) == few


async def test_the_charts_of_many_pipelines_take_no_more_statements_than_those_of_one(api, monkeypatch):
    for name in "abc":
        board = await a_pipeline(api, name=name)
        await a_deal(api, board, amount=usd("1.00"), expectedCloseDate="2030-01-01")
    statements, close = [], Snapshot.close

    async def counted(self, **more):
        statements.append(len(self.statements))
        await close(self, **more)

    monkeypatch.setattr(Snapshot, "close", counted)
    counts = []
    for first in (1, 3):
        statements.clear()
        found = (await api.ask(CHARTS, first=first))["pipelines"]["nodes"]
        counts.append(max(statements))

    assert [chart["forecast"][0]["pipeline"] for chart in found] == [[usd("1.00")]] * 3
    assert [chart["funnel"][0]["entered"] for chart in found] == [1, 1, 1]
    assert counts[0] == counts[1] > 0


CHARTS = """query($first: Int) { pipelines(first: $first) { nodes {
  funnel(from: "2020-01-01", to: "2099-12-31") { stage { name } entered }
  trend(from: "2026-01-01", to: "2026-03-31", interval: MONTH) { openCount }
  forecast(from: "2030-01-01", to: "2030-01-31", interval: MONTH, byOwner: true) { owner { name } pipeline { amount currency } }
  delta(from: {position: "0"}) { new { count } end { count } } } } }"""


@pytest.mark.parametrize("deed", ["openDeal", "moveDeal", "reopenDeal"])
async def test_a_deal_on_its_way_to_a_stage_that_is_retired_goes_on_with_that_ones_deals(api, monkeypatch, deed):
    board = await a_pipeline(api)
    offer, new = board["at"]["Offer"], board["at"]["New"]
    deal = await a_deal(api, board, amount=usd("1.00"))
    if deed == "reopenDeal":
        await act(api, "winDeal", deal)
    given = {
        "openDeal": {"name": "late", "pipelineId": board["id"], "stageId": offer},
        "moveDeal": {"id": deal["id"], "toStageId": offer},
        "reopenDeal": {"id": deal["id"], "toStageId": offer},
    }[deed]
    place, retired = moving.on_top, []

    async def overtaken(*args):
        """The stage is retired after it was looked at and before the deal is recorded in it."""
        found = await place(*args)
        if not retired:
            retired.append(await retire(api, board))
        return found

    monkeypatch.setattr(moving, "on_top", overtaken)

    payload = await done(api, deed, "deal { id stage { id } version }", **given)

    assert retired
    assert payload["projected"]
    assert payload["deal"]["stage"] == {"id": new}
    assert (await columns(api, board))["New"]["totalCount"] == (2 if deed == "openDeal" else 1)
