"""How long the page of a contact takes, generic executor and compiled plans in turn: a long timeline, deals, older pages.

sh scripts/bench contact [--interactions 2000] [--asks 60]
"""

import argparse
import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from random import Random
from typing import Any

from _pages import Bench, Stream, bench
from board import NOW, Team

from crm_es.api import ids
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, EmailEntry, register
from crm_es.interactions.interaction import INTERACTION, InteractionType
from crm_es.interactions.recording import record
from crm_es.occasions import Occasion
from crm_es.sales import dealing
from crm_es.sales.deal import DEAL
from crm_es.sales.deal_values import DealContact
from crm_es.sales.dealing import DealEdit
from crm_es.values import EmailAddress, Money

DEALS = 40
OTHERS = 300
BODY = "Called about the invoice of last month; promised a call back on Thursday, after the board has met. " * 5
KINDS = (InteractionType.CALL, InteractionType.EMAIL, InteractionType.NOTE, InteractionType.PURCHASE)
CARD = """fragment Card on Contact { id liveId version recordStatus displayName primaryEmail jobTitle company { id name }
  owner { id name } lifecycleStage tags maskedFields viewerCan }"""
ROW = """fragment Row on TimelineItem { __typename id occurredAt
  ... on Interaction { type direction channel subject preview amount { amount currency } member { id name } }
  ... on Milestone { kind entity { id label } amount { amount currency } actor { name } } }"""
TIMELINE = "timeline(first: 30, after: $after) { edges { node { ...Row } } pageInfo { endCursor hasNextPage } }"
PAGE = f"""...Card emails {{ address primary verified }} phones {{ number label }} wonAmount {{ amount currency }}
  openDealCount deals(first: 5, filter: {{status: {{eq: OPEN}}}}) {{ nodes {{ id name amount {{ amount currency }} }} }}
  {TIMELINE}"""
PAGES = {
    "contact page": f"query($id: ID!, $after: String) {{ contact(id: $id) {{ {PAGE} }} }} {CARD} {ROW}",
    "the same as of half the log": f"""query($id: ID!, $after: String, $then: AsOf!) {{
      contact(id: $id, asOf: $then) {{ {PAGE} }} }} {CARD} {ROW}""",
    "its card alone": f"query($id: ID!) {{ contact(id: $id) {{ ...Card }} }} {CARD}",
    "timeline, 30": f"""query($id: ID!, $after: String) {{ node(id: $id) {{ ... on Contact {{ {TIMELINE} }} }} }} {ROW}""",
    "the same with its totalCount": f"""query($id: ID!, $after: String) {{ node(id: $id) {{ ... on Contact {{
      {TIMELINE.replace("{ edges", "{ totalCount edges")} }} }} }} {ROW}""",
    "20 contacts with 3 each": f"""query($after: String) {{ contacts(first: 20) {{ nodes {{ id
      {TIMELINE.replace("30", "3")} }} }} }} {ROW}""",
}


class Customer:
    """One who buys often, among others whom we hear of now and then."""

    def __init__(self, interactions: int) -> None:
        self.dice, self.team = Random(1), Team()
        self.id, self.others = uuid.uuid4(), [uuid.uuid4() for _ in range(OTHERS)]
        self._interactions = interactions

    def founded(self) -> list[Stream]:
        people = [
            (CONTACT, id_, register(ContactEdit(
                display_name=f"Person {n}", company_id=self.dice.choice(self.team.companies),
                owner_id=self.dice.choice(self.team.members),
                add_emails=[EmailEntry(address=EmailAddress.parse(f"person{n}@example.com"))],
            )))
            for n, id_ in enumerate([self.id, *self.others])
        ]  # fmt: skip
        return [*self.team.founded(), *people]

    def streams(self) -> list[Stream]:
        found = [self._said(self.id) for _ in range(self._interactions)]
        found += [self._said(id_) for id_ in self.others for _ in range(5)]
        found += [self._deal(number) for number in range(DEALS)]
        self.dice.shuffle(found)
        return found

    def _said(self, contact: uuid.UUID) -> Stream:
        kind = self.dice.choice(KINDS)
        events = record(
            type=kind, subject="An invoice", body=BODY, contact_ids=(contact,), member_id=self.dice.choice(self.team.members),
            occurred_at=NOW - timedelta(minutes=self.dice.randrange(60 * 24 * 365)),
            amount=Money(1_999, "EUR") if kind is InteractionType.PURCHASE else None,
        )  # fmt: skip
        return INTERACTION, uuid.uuid4(), events

    def _deal(self, number: int) -> Stream:
        at = NOW - timedelta(minutes=self.dice.randrange(60 * 24 * 365))
        form = DealEdit(
            name=f"Deal {number}", amount=Money(self.dice.randrange(1, 9_999), "EUR"),
            contacts=[DealContact(contact_id=self.id)], owner_id=self.dice.choice(self.team.members),
        )  # fmt: skip
        where = {"pipeline_id": self.team.pipeline, "stage_id": self.team.stages["New"], "rank": self.team.on_top(at)}
        return DEAL, uuid.uuid4(), list(dealing.open_deal(form, **where, on=Occasion(at)))


async def run(place: Bench, options: argparse.Namespace) -> None:
    customer, halves = Customer(options.interactions), list[int]()

    async def tell(begin: Callable[..., Awaitable[int]]) -> None:
        await begin(*customer.founded())
        told = customer.streams()
        for half in (told[: len(told) // 2], told[len(told) // 2 :]):
            halves.append(await begin(*half))

    await place.write(tell)
    variables: dict[str, Any] = {
        "id": ids.encode("Contact", customer.id), "after": None, "then": {"position": str(halves[0])},
    }  # fmt: skip
    await place.measure(PAGES, variables, options.asks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--interactions", type=int, default=2_000, help="with the one contact")
    parser.add_argument("--asks", type=int, default=60, help="of each page, each way")
    options = parser.parse_args()
    with bench() as place:
        asyncio.run(run(place, options))


if __name__ == "__main__":
    main()
