"""Doing things with tickets over the API, for the tests of the service room."""

from typing import Any

from tests.api.conftest import Api

TICKET = """id liveId version number title status holdReason priority type tags queue { id } assignee { id } requester { id }
  company { id } mergedInto { id } absorbed { id } followUpOf { id } splitFrom { id } openedAt firstRespondedAt resolvedAt
  closedAt resolution articles { id } satisfaction satisfactionComment slaDueAt externalIds { system value } viewerCan"""
PROBLEMS = "userErrors { code rule field message ... on VersionConflict { currentVersion conflicts { field } } }"


async def attempt(
    api: Api, mutation: str, selection: str = f"ticket {{ {TICKET} }}", who: str = "admin", **input: Any
) -> Any:
    """The payload of a mutation, done or refused."""
    kind = mutation[0].upper() + mutation[1:] + "Input"
    document = f"mutation($i: {kind}!) {{ {mutation}(input: $i) {{ {selection} position replayed {PROBLEMS} }} }}"
    return (await api.ask(document, who=who, i=input))[mutation]


async def done(api: Api, mutation: str, selection: str = f"ticket {{ {TICKET} }}", **input: Any) -> Any:
    payload = await attempt(api, mutation, selection, **input)
    assert payload["userErrors"] == [], (mutation, input, payload)
    return payload


async def refused(api: Api, mutation: str, **input: Any) -> list[tuple[Any, ...]]:
    """(code, rule, field) of each reason."""
    payload = await attempt(api, mutation, "__typename", **input)
    assert payload["position"] is None
    return [(each["code"], each["rule"], each["field"]) for each in payload["userErrors"]]


async def queue(api: Api, name: str = "Help", **given: Any) -> str:
    id_: str = (await done(api, "createQueue", "queue { id }", name=name, **given))["queue"]["id"]
    return id_


async def ticket(api: Api, queue_id: str, **given: Any) -> Any:
    return (await done(api, "openTicket", **({"title": "It broke", "queueId": queue_id} | given)))["ticket"]


async def shown(api: Api, id_: str, selection: str = TICKET, who: str = "admin") -> Any:
    return (await api.ask(f"query($id: ID!) {{ ticket(id: $id) {{ {selection} }} }}", who=who, id=id_))["ticket"]


async def conversation(api: Api, id_: str, internal: bool | None = None) -> list[tuple[str, bool]]:
    """(body, internal) of what is written on it, oldest first."""
    texts = "conversation(internal: $internal) { nodes { body internal } }"
    query = f"query($id: ID!, $internal: Boolean) {{ ticket(id: $id) {{ {texts} }} }}"
    found = (await api.ask(query, id=id_, internal=internal))["ticket"]["conversation"]["nodes"]
    return [(one["body"], one["internal"]) for one in found]
