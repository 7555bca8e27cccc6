"""Nothing is recorded that has not happened: wherever a mutation takes `occurredAt`."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from crm_es.api import ids
from tests.api.conftest import opened
from tests.api.test_contacts import register
from tests.api.test_interactions import record
from tests.isolation.walking import LIST, Asking, places

pytestmark = pytest.mark.anyio

EVERYWHERE = [place for place in places("mutation", "DateTime") if place.argument[-1] == "occurredAt"]


def ahead(**more):
    return (datetime.now(UTC) + timedelta(**more)).isoformat()


@pytest.fixture(scope="module")
async def api_of_all(place, anyio_backend):  # noqa: ARG001
    """One for all places, since nothing is recorded in it."""
    async with opened(place) as api:
        own = {kind: ids.encode(kind, uuid4()) for kind in ("Company", "Member", "Team", "Role", "ApiKey", "SavedView")}
        own |= {"Contact": (await register(api))["id"], "Interaction": (await record(api))["id"]}
        yield api, Asking(own, "words")


def test_rows_and_corrections_are_among_the_places():
    assert {place.argument for place in EVERYWHERE} >= {
        ("input", "occurredAt"), ("input", "interactions", LIST, "occurredAt"), ("input", "contacts", LIST, "occurredAt"),
        ("input", "set", "occurredAt"),
    }  # fmt: skip


@pytest.mark.parametrize("where", EVERYWHERE, ids=str)
async def test_what_is_to_happen_in_ten_minutes_is_refused_at_its_place(api_of_all, where):
    api, asking = api_of_all
    ((document, variables),) = asking.documents(where, [ahead(minutes=10)])

    (payload,) = (await api.ask(document, **variables)).values()

    at = ["0" if step == LIST else step for step in where.argument[1:]]
    assert [(e["code"], e["rule"], e["field"]) for e in payload["userErrors"]] == [
        ("INVALID", "occurred_at.in_future", at)
    ]
    assert payload["position"] is None


async def test_one_row_of_the_future_spoils_no_other_row_by_row(api):
    rows = [{"type": "NOTE", "occurredAt": at} for at in (ahead(hours=1), ahead(hours=-1))]

    data = await api.ask(
        "mutation($input: RecordInteractionsInput!) { recordInteractions(input: $input) {"
        " rows { interaction { id } userErrors { rule } } } }",
        input={"interactions": rows, "allOrNone": False},
    )

    refused, done = data["recordInteractions"]["rows"]
    assert refused == {"interaction": None, "userErrors": [{"rule": "occurred_at.in_future"}]}
    assert done["interaction"]


async def test_clocks_may_differ_a_little(api):
    assert await record(api, occurredAt=ahead(minutes=4))
