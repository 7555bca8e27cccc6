"""For benches of whole logs: what a business of any size records, some of everything, told by the same dice every time.

Of 1,000 events about 80 begin contacts, 120 change contacts and deals of long ago, 10 begin companies; deals are opened,
moved and closed, tickets asked and solved; the rest are calls, mails and purchases.
"""

import asyncio
import uuid
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

import psycopg
from _pages import Bench, Stream
from board import NOW, Team
from desk import Desk

from crm_es.catalog import AGGREGATES
from crm_es.contacts import company, editing
from crm_es.contacts.company import COMPANY, CompanyEdit
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, EmailEntry
from crm_es.eventstore.event import Actor, ActorKind, Command, Dated
from crm_es.eventstore.store import Store
from crm_es.interactions.interaction import INTERACTION, InteractionType
from crm_es.interactions.recording import record
from crm_es.occasions import Occasion
from crm_es.projector.runner import Projector
from crm_es.sales import dealing
from crm_es.sales.deal import DEAL
from crm_es.sales.dealing import DealEdit
from crm_es.serving.projecting import decoding, opened_keys
from crm_es.values import EmailAddress, Money
from projections import READ_MODELS

ROUND = 1_000
BODY = "Called about the invoice of last month; promised a call back on Thursday, after the board has met. "
KINDS = (InteractionType.CALL, InteractionType.EMAIL, InteractionType.NOTE, InteractionType.PURCHASE)


class Business:
    """Tells rounds of about a thousand events. What later rounds change is remembered, ids alone."""

    def __init__(self, place: Bench, store: Store) -> None:
        self.place, self.store = place, store
        self.dice, self.team, self.desk = Random(1), Team(), Desk(store, place.workspace)
        self.contacts: list[uuid.UUID] = []
        self.deals: list[uuid.UUID] = []
        self.tickets = 0

    async def found(self) -> None:
        await self._begin(self.team.founded())
        await self.desk.found()
        self.contacts += self.desk.contacts
        await self._begin([*self._deals()])

    async def round(self) -> int:
        """How many events it was."""
        told = await self._change()
        new = [*self._people(), *self._firms(), *self._deals(), *self._tickets()]
        rest = ROUND - told - sum(len(events) for _, _, events in new)
        return told + await self._begin([*new, *self._talk(rest)])

    async def _begin(self, streams: list[Stream]) -> int:
        await self.store.create_many(self._command(), streams)
        return sum(len(events) for _, _, events in streams)

    async def _change(self) -> int:
        """Contacts and deals of any age."""
        people, deals = (set(self.dice.choices(among, k=60)) for among in (self.contacts, self.deals))
        targets = [*((CONTACT, each) for each in people), *((DEAL, each) for each in deals)]
        title, now, told = f"Clerk {self.dice.random()}", Occasion(NOW, said=False), [0]

        def decided(was: Any) -> dict[uuid.UUID, Any]:
            found = {each: editing.update(was[each].state, ContactEdit(job_title=title)) for each in people}
            found |= {
                each: dealing.update(was[each].state, DealEdit(name=f"Deal of {title}"), on=now) for each in deals
            }
            told[0] = sum(map(len, found.values()))
            return found

        await self.store.transact(self._command(), targets, decided)
        return told[0]

    def _people(self) -> Iterator[Stream]:
        for _ in range(80):
            id_, number = self._id(), len(self.contacts)
            email = EmailEntry(address=EmailAddress.parse(f"person{number}@example.com"))
            self.contacts.append(id_)
            yield (
                CONTACT,
                id_,
                editing.register(
                    ContactEdit(
                        given_name="Pérson", family_name=f"Number {number}", job_title="=Clerk", add_emails=[email]
                    )
                ),
            )

    def _firms(self) -> Iterator[Stream]:
        for _ in range(10):
            id_ = self._id()
            yield COMPANY, id_, company.register(CompanyEdit(name=f"Firm {id_}"), id=id_)

    def _deals(self) -> Iterator[Stream]:
        for _ in range(25):
            stream = self.team.deal(len(self.deals), closed=bool(self.dice.randrange(2)))
            self.deals.append(stream[1])
            yield stream

    def _tickets(self) -> Iterator[Stream]:
        for _ in range(25):
            self.tickets += 1
            yield self.desk.asked(self.tickets, done=bool(self.dice.randrange(4)))

    def _talk(self, count: int) -> Iterator[Stream]:
        for _ in range(count):
            kind, at = self.dice.choice(KINDS), NOW - timedelta(seconds=self.dice.randrange(10**8))
            amount = Money(self.dice.randrange(100_000), "USD") if kind is InteractionType.PURCHASE else None
            events = record(
                type=kind, occurred_at=at, subject="About the invoice", body=BODY * self.dice.randrange(1, 5), amount=amount,
                contact_ids=[self.dice.choice(self.contacts)],
            )  # fmt: skip
            yield INTERACTION, self._id(), [Dated(event, at) for event in events]

    def _id(self) -> uuid.UUID:
        return uuid.UUID(int=self.dice.getrandbits(128), version=4)

    def _command(self) -> Command:
        return Command(
            workspace=self.place.workspace, command_id=uuid.uuid4(), request_hash=bytes(32),
            actor=Actor(kind=ActorKind.SYSTEM, auth="bench"), correlation_id=uuid.uuid4(),
        )  # fmt: skip


async def write(place: Bench, events: int) -> None:
    """At least so many, and all read models caught up."""
    with opened_keys(place.settings) as keys:
        store = await Store.open(place.urls.app, AGGREGATES, keys)
        business, done = Business(place, store), 0
        await business.found()
        while done < events:
            done += await business.round()
        await store.close()
    with decoding(place.settings) as decode:
        await asyncio.to_thread(Projector(place.urls.projector, decode, READ_MODELS).drain)
    with psycopg.connect(place.urls.owner, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
