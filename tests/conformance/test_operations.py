"""The operations pages need, as far as their types are built, answer on the demo."""

import pytest

from tests.api import contract

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SOME = """{ contacts(first: 6, orderBy: [{field: LAST_INTERACTION_AT, direction: DESC}]) { nodes { id version } }
  members(first: 1) { nodes { id } } }"""


def variables(title, contacts, member):
    """What a page would send."""
    a, b, c, d = contacts[:4]
    return {
        "Viewer": {},
        "Views": {},
        "ContactList": {
            "filter": {"lifecycleStage": {"eq": "CUSTOMER"}, "lastInteractionAt": {"past": "P400D"}},
            "orderBy": [{"field": "LAST_INTERACTION_AT", "direction": "DESC"}],
        },
        "SearchBox": {"text": "王"},
        "RecordHistory": {"id": a},
        "MergePage": {"a": a, "b": b},
        "Merge": {"input": {"survivorId": a, "absorbedId": b, "reason": "the same person"}},
        "EditContact": {"input": {"id": c, "jobTitle": "Pilot", "addTags": ["vip"]}},
        "BulkOwner": {"input": {"contacts": [{"id": c, "ownerId": member}, {"id": d, "ownerId": member}]}},
        "SaveView": {"input": {"name": "Mine", "target": "CONTACT", "filter": {"ownerId": {"isMe": True}}}},
    }[title]


@pytest.mark.parametrize("title", contract.possible())
async def test_it_answers_on_the_demo(demonstrated, title):
    found = await demonstrated.ask(SOME)
    contacts = [node["id"] for node in found["contacts"]["nodes"]]

    data = await demonstrated.ask(
        contract.possible()[title], **variables(title, contacts, found["members"]["nodes"][0]["id"])
    )

    for answer in data.values():
        assert answer is not None
        if isinstance(answer, dict) and "userErrors" in answer:
            assert answer["userErrors"] == []
            assert answer["projected"]
    if title == "ContactList":
        assert data["contacts"]["totalCount"] > len(data["contacts"]["edges"]) == 50
    if title == "SearchBox":
        assert data["search"]["edges"]
    if title == "RecordHistory":
        assert data["entity"]["history"]["edges"]
