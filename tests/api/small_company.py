"""A little company's records with a past: companies, contacts, interactions, tickets, edits, merges and an archived one, by the
API.
"""

from random import Random
from typing import Any

from tests.api.conftest import Api

NAMES = ("Ada", "Bob", "Chloé", "Dan", "Eve", "Éva", "Frank", "Grace", "Heidi", "Ivan")
STAGES = ("LEAD", "CUSTOMER", "OPPORTUNITY")


async def found(api: Api) -> dict[str, list[str]]:
    """Global ids by type."""
    owners = [api.id("Member", identity.member_id) for identity in api.known.values()]
    random = Random(1)  # noqa: S311  # invented people
    companies = [
        await _made(api, "registerCompany", "company", name=name, domains=[f"{name.lower()}.test"], employeeCount=size,
                    annualRevenue={"amount": f"{size}.50", "currency": "EUR"})
        for name, size in (("Acme", 10), ("Globex", 200), ("Initech", 3))
    ]  # fmt: skip
    contacts = [await _contact(api, random, name, companies, owners) for name in NAMES]
    interactions = [await _interaction(api, random, number, contacts, companies) for number in range(25)]
    for id_ in contacts[:4]:
        await _done(api, "updateContact", id=id_, jobTitle="Boss", addTags=["seen"], companyId=companies[0])
    await _done(api, "archiveContact", id=contacts[4])
    await _done(api, "mergeContacts", survivorId=contacts[0], absorbedId=contacts[5], reason="one person")
    desk = await _desk(api, random, contacts, companies, owners)
    return {"Contact": contacts, "Company": companies, "Interaction": interactions, "Member": owners} | desk


async def _desk(
    api: Api, random: Random, contacts: list[str], companies: list[str], owners: list[str]
) -> dict[str, list[str]]:
    queues = [await _made(api, "createQueue", "queue", name=name) for name in ("Help", "Billing")]
    tickets = [
        await _made(
            api, "openTicket", "ticket", title=f"Ticket {number}", queueId=random.choice(queues),
            priority=random.choice(["LOW", "NORMAL", "URGENT"]), requesterId=random.choice([None, *contacts[:3]]),
            companyId=random.choice([None, *companies]), body=random.choice([None, "Help"]),
            tags=random.sample(["red", "new"], 1), externalIds=[{"system": "desk", "value": str(number)}],
            occurredAt=f"2025-01-0{random.randint(1, 9)}T10:00:00Z",
        )
        for number in range(8)
    ]  # fmt: skip
    for id_ in tickets[:6]:
        await _done(api, "assignTicket", id=id_, assigneeId=random.choice(owners))
    await _done(api, "replyToTicket", id=tickets[0], body="We look", internal=False)
    await _done(api, "replyToTicket", id=tickets[1], body="Hm", internal=True)
    await _done(api, "holdTicket", id=tickets[2], holdReason="CUSTOMER")
    await _done(api, "resolveTicket", id=tickets[3], resolution="Done")
    await _done(api, "moveTicket", id=tickets[4], toQueueId=queues[0])
    await _done(api, "mergeTickets", survivorId=tickets[0], absorbedId=tickets[1], reason="one thing")
    return {"Queue": queues, "Ticket": tickets}


async def _contact(api: Api, random: Random, name: str, companies: list[str], owners: list[str]) -> str:
    return await _made(
        api, "registerContact", "contact", displayName=f"{name} {random.choice('LMNOP')}", jobTitle="Clerk",
        emails=[{"address": f"{name}{n}@example.com".replace("é", "e").replace("É", "E")} for n in range(random.randint(0, 3))],
        phones=[{"number": f"+4930123456{random.randint(10, 99)}"}], companyId=random.choice([None, *companies]),
        ownerId=random.choice([None, *owners]), tags=random.sample(["vip", "new", "old"], random.randint(0, 2)),
        lifecycleStage=random.choice(STAGES), source=random.choice([None, "web"]),
    )  # fmt: skip


async def _interaction(api: Api, random: Random, number: int, contacts: list[str], companies: list[str]) -> str:
    return await _made(
        api, "recordInteraction", "interaction", type=random.choice(["NOTE", "CALL", "EMAIL"]),
        occurredAt=f"2025-0{random.randint(1, 9)}-0{random.randint(1, 9)}T10:00:00Z", subject=f"About {number}",
        body=f"<p>Text {number}</p>", bodyFormat=random.choice(["HTML", "PLAIN"]),
        contactIds=random.sample(contacts, random.randint(1, 2)), companyId=random.choice([None, *companies]),
        visibility=random.choice(["SHARED", "TEAM", "PRIVATE"]),
    )  # fmt: skip


async def _made(api: Api, mutation: str, record: str, **input: Any) -> str:
    id_: str = (await _done(api, mutation, f"{record} {{ id }}", **input))[record]["id"]
    return id_


async def _done(api: Api, mutation: str, selection: str = "position", **input: Any) -> dict[str, Any]:
    kind = mutation[0].upper() + mutation[1:] + "Input"
    document = f"mutation($i: {kind}!) {{ {mutation}(input: $i) {{ {selection} userErrors {{ message field }} }} }}"
    answer: dict[str, Any] = (await api.ask(document, i=input))[mutation]
    assert answer["userErrors"] == [], (mutation, input, answer)
    return answer
