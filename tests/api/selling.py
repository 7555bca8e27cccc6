"""A pipeline and deals made over the API, for the tests of the sales room."""

from datetime import UTC, datetime, timedelta
from typing import Any

from crm_es.contacts import editing
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit

PROBLEMS = "userErrors { code rule field message }"
STAGES = [
    {"name": "New", "type": "OPEN", "probability": 0.1, "rotDays": 30},
    {"name": "Offer", "type": "OPEN", "probability": 0.5},
    {"name": "Won", "type": "WON", "probability": 1},
    {"name": "Lost", "type": "LOST", "probability": 0},
]
CARD = """id version name status rank probability forecastCategory expectedCloseDate openedAt closedAt lostReason
  stageEnteredAt rotsAt recordStatus archivedAt
  amount { amount currency } weightedAmount { amount currency } stage { id name } pipeline { id }
  owner { id } company { id } contact { id } maskedFields viewerCan"""

COLUMNS = """query($id: ID!) { pipeline(id: $id) { stages { name deals {
  totalCount nodes { name } summary { count amount { amount currency } weightedAmount { amount currency } } } } } }"""


def document(name: str, answer: str) -> str:
    kind = name[0].upper() + name[1:]
    return f"mutation($input: {kind}Input!) {{ {name}(input: $input) {{ {answer} position replayed projected {PROBLEMS} }} }}"


async def done(api: Any, name: str, answer: str, /, *, who: str = "admin", **given: Any) -> Any:
    """The payload of a mutation that was not refused."""
    payload = (await api.ask(document(name, answer), who=who, input=given))[name]
    assert payload["userErrors"] == [], payload
    return payload


async def refused(api: Any, name: str, /, *, who: str = "admin", **given: Any) -> list[tuple[Any, ...]]:
    """(code, rule, field) of each reason; nothing was recorded."""
    payload = (await api.ask(document(name, "__typename"), who=who, input=given))[name]
    assert payload["position"] is None
    return [(each["code"], each["rule"], each["field"]) for each in payload["userErrors"]]


async def a_pipeline(api: Any, **given: Any) -> dict[str, Any]:
    """With its stages by name."""
    answer = "pipeline { id version name stages { id name type probability rotDays } }"
    made = (await done(api, "createPipeline", answer, **({"name": "Sales", "stages": STAGES} | given)))["pipeline"]
    return made | {"at": {stage["name"]: stage["id"] for stage in made["stages"]}}


async def a_deal(api: Any, board: Any, **given: Any) -> Any:
    given = {"name": "100 seats", "pipelineId": board["id"]} | given
    return (await done(api, "openDeal", f"deal {{ {CARD} }}", **given))["deal"]


async def act(api: Any, name: str, deal: Any, /, **given: Any) -> Any:
    return (await done(api, name, f"deal {{ {CARD} }}", id=deal["id"], **given))["deal"]


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


async def a_contact(api: Any, name: str = "Ada") -> str:
    id_ = await api.begin(CONTACT, editing.register(ContactEdit(display_name=name)))
    await api.projected()
    return api.id("Contact", id_)


async def columns(api: Any, board: Any, who: str = "admin") -> dict[str, Any]:
    """The deals of each stage by its name."""
    stages = (await api.ask(COLUMNS, who=who, id=board["id"]))["pipeline"]["stages"]
    return {stage["name"]: stage["deals"] for stage in stages}


def at(days: float) -> str:
    """So many days ago."""
    return (datetime.now(UTC) - timedelta(days=days)).isoformat()
