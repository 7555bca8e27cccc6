"""The operations pages need, as far as their types are built, answer on the demo."""

from uuid import uuid4

import pytest

from tests.api import contract

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SOME = """{ contacts(first: 6, orderBy: [{field: LAST_INTERACTION_AT, direction: DESC}]) { nodes { id version } }
  members(first: 1) { nodes { id } } viewer { position } }"""
CREATE_PIPELINE = """mutation ($input: CreatePipelineInput!) { createPipeline(input: $input) {
  pipeline { id stages { id type } } userErrors { message } } }"""
OPEN_DEAL = "mutation ($input: OpenDealInput!) { openDeal(input: $input) { deal { id } userErrors { message } } }"
CREATE_QUEUE = (
    "mutation ($input: CreateQueueInput!) { createQueue(input: $input) { queue { id } userErrors { message } } }"
)
OPEN_TICKET = (
    "mutation ($input: OpenTicketInput!) { openTicket(input: $input) { ticket { id } userErrors { message } } }"
)
STAGES = [
    {"name": "Talking", "type": "OPEN", "probability": 0.2},
    {"name": "Offered", "type": "OPEN", "probability": 0.6},
    {"name": "Won", "type": "WON", "probability": 1},
    {"name": "Lost", "type": "LOST", "probability": 0},
]
TELLS = {
    "Undo": lambda data: data["revertCommand"]["reverted"] and data["revertCommand"]["skipped"] == [],
    "SearchBox": lambda data: data["search"]["edges"],
    "RecordHistory": lambda data: data["entity"]["history"]["edges"],
    "AuditPage": lambda data: data["events"]["nodes"] and data["log"]["checkpoint"]["rootHash"],
    "DiffTwoDates": lambda data: data["diff"]["changes"] and data["explain"]["event"]["actor"]["name"],
}
# A subscription has no one answer.
ANSWERED = [title for title, text in contract.possible().items() if "subscription" not in text]


async def board(demonstrated):
    """A pipeline with a deal in its first stage: their ids, and those of the stages."""
    created = await demonstrated.ask(CREATE_PIPELINE, input={"name": "New business", "stages": STAGES})
    pipeline = created["createPipeline"]["pipeline"]
    worth = {"amount": {"amount": "20.00", "currency": "EUR"}, "expectedCloseDate": "2030-02-01"}
    deal = {"name": "Engines", "pipelineId": pipeline["id"], **worth}
    opened = await demonstrated.ask(OPEN_DEAL, input=deal)
    return pipeline["id"], [stage["id"] for stage in pipeline["stages"]], opened["openDeal"]["deal"]["id"]


async def desk(demonstrated):
    """A queue with a ticket in it, and the command that made the queue."""
    command = str(uuid4())
    created = await demonstrated.ask(CREATE_QUEUE, input={"name": "Help", "commandId": command})
    queue = created["createQueue"]["queue"]["id"]
    opened = await demonstrated.ask(OPEN_TICKET, input={"title": "It broke", "queueId": queue})
    return queue, opened["openTicket"]["ticket"]["id"], command


def variables(title, found, sales, service):
    """What a page would send."""
    (pipeline, stages, deal), (queue, ticket, command) = sales, service
    a, b, c, d = [node["id"] for node in found["contacts"]["nodes"]][:4]
    member = found["members"]["nodes"][0]["id"]
    return {
        "MyHotLeads": {},
        "Board": {"id": pipeline, "filter": {"status": {"eq": "OPEN"}}},
        "BoardColumnMore": {"stage": stages[0]},
        "DealPage": {"id": deal},
        "ContactTimelineOlder": {"id": a},
        "DragDeal": {"input": {"id": deal, "toStageId": stages[1]}, "stages": stages[:2]},
        "WinDeal": {"input": {"id": deal}},
        "Reply": {"input": {"id": ticket, "body": "We look.", "internal": False}},
        "HoldTicket": {"input": {"id": ticket, "holdReason": "CUSTOMER"}},
        "QueuePage": {"id": queue},
        "Workload": {"queues": [queue]},
        "TicketPage": {"id": ticket},
        "CatchUp": {"since": found["viewer"]["position"]},
        "Forecast": {"id": pipeline, "from": "2030-01-01", "to": "2030-03-31", "tz": "Europe/Berlin"},
        "Funnel": {"id": pipeline, "from": "2020-01-01", "to": "2099-12-31", "filter": {"status": {"eq": "OPEN"}}},
        "ForecastMoved": {"id": pipeline, "from": {"position": found["viewer"]["position"]}},
        "TimeSlider": {"id": a, "position": found["viewer"]["position"]},
        "Viewer": {},
        "Views": {},
        "ContactList": {
            "filter": {"lifecycleStage": {"eq": "CUSTOMER"}, "lastInteractionAt": {"past": "P400D"}},
            "orderBy": [{"field": "LAST_INTERACTION_AT", "direction": "DESC"}],
        },
        "SearchBox": {"text": "王"},
        "Undo": {"input": {"target": {"commandId": command}, "reason": "a mistake"}},
        "RecordHistory": {"id": a},
        "DiffTwoDates": {"id": a, "from": {"position": "1"}, "to": {"position": found["viewer"]["position"]}},
        "AuditPage": {"filter": {"type": {"eq": "contact.registered"}}},
        "MergePage": {"a": a, "b": b},
        "Merge": {"input": {"survivorId": a, "absorbedId": b, "reason": "the same person"}},
        "EditContact": {"input": {"id": c, "jobTitle": "Pilot", "addTags": ["vip"]}},
        "BulkOwner": {"input": {"contacts": [{"id": c, "ownerId": member}, {"id": d, "ownerId": member}]}},
        "StartExport": {"input": {"purpose": "audit 2026", "reason": "yearly", "contactId": a}},
        "SaveView": {"input": {"name": "Mine", "target": "CONTACT", "filter": {"ownerId": {"isMe": True}}}},
    }[title]


@pytest.mark.parametrize("title", ANSWERED)
async def test_it_answers_on_the_demo(demonstrated, title):
    found = await demonstrated.ask(SOME)

    sent = variables(title, found, await board(demonstrated), await desk(demonstrated))
    data = await demonstrated.ask(contract.possible()[title], **sent)

    for answer in data.values():
        assert answer is not None
        if isinstance(answer, dict) and "userErrors" in answer:
            assert answer["userErrors"] == []
            assert answer["projected"]
    if title == "ContactList":
        assert data["contacts"]["totalCount"] > len(data["contacts"]["edges"]) == 50
    if title == "ForecastMoved":
        moved = data["pipeline"]["delta"]
        assert (moved["start"]["count"], moved["new"]["count"], moved["end"]["count"]) == (0, 1, 1)
    if title == "Forecast":
        assert [point["date"] for point in data["pipeline"]["forecast"]] == ["2030-02-01"]
    if title == "Funnel":
        assert [step["entered"] for step in data["pipeline"]["funnel"]] == [1, 0, 0, 0]
    if title == "CatchUp":
        kinds = {node["type"] for node in data["changes"]["nodes"]}
        assert kinds == {"DEAL", "PIPELINE", "QUEUE", "TICKET"}
    assert TELLS.get(title, bool)(data)
