"""A random history through the real store: what people do to contacts, companies and interactions, refusals and all.

The same seed makes the same decisions in the same order; only times and commands differ.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID, uuid4

from crm_es.contacts import company, contact
from crm_es.contacts.company import COMPANY, CompanyEdit
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import Identity, LifecycleStage
from crm_es.contacts.editing import ContactEdit, EmailEntry, PhoneEntry, register, update
from crm_es.contacts.merging import merge
from crm_es.contacts.unmerging import unmerge, values_of
from crm_es.errors import CrmError
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import Command
from crm_es.interactions.interaction import (
    INTERACTION,
    Interaction,
    InteractionType,
    Participant,
    ParticipantPart,
    Visibility,
)
from crm_es.interactions.recording import Correction, correct, record, redact, retract
from crm_es.values import DomainName, EmailAddress, ExternalId, Money, PhoneNumber, PostalAddress, Tag

NAMES = ("Ánna", "Bob", "李小龍", "de la Cruz", "🦊 Fox", "مريم")
START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = ("pears", "a secret", "Grüße", "tea")
STAGES = tuple(LifecycleStage)


class History:
    """One workspace. `streams` are all records by kind, in the order they began; `clock` is what the service desk goes by."""

    def __init__(self, api: Any, who: str, random: Random, deeds: Sequence[Any] = ()) -> None:
        self.api, self.who, self.random = api, who, random
        self.workspace = api.known[who].workspace
        self.store = api.engine.store
        self.member = api.known[who].member_id
        self.deeds = deeds or DEEDS
        self.clock = START - timedelta(days=300)
        self.published = 0
        self.written: list[tuple[UUID, UUID]] = []
        self.joined: list[UUID] = []
        self.streams: dict[str, list[UUID]] = {
            "Contact": [], "Company": [], "Interaction": [], "Queue": [], "Ticket": []
        }  # fmt: skip
        self.merged: list[tuple[UUID, UUID]] = []
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    async def steps(self, count: int) -> None:
        for _ in range(count):
            await self.step(self.random.choice(self.deeds))

    async def step(self, deed: Callable[["History"], Any]) -> None:
        """A refusal is a lawful answer too: nothing was recorded then, which the oracle would notice."""
        if len(self.streams["Contact"]) < 3:
            deed = History.register
        if len(self.streams["Interaction"]) < 2 and deed in OF_INTERACTIONS:
            deed = History.record
        if not self.streams["Company"] and deed in OF_COMPANIES:
            deed = History.found
        try:
            await deed(self)
            self.done[deed.__name__] += 1
        except CrmError as error:
            self.refused[f"{deed.__name__}: {error.rule}"] += 1

    # writing

    def command(self, **more: Any) -> Command:
        given = {
            "workspace": self.workspace, "command_id": uuid4(), "request_hash": bytes(32), "correlation_id": uuid4(),
            "actor": self.api.known[self.who].actor,
        }  # fmt: skip
        return Command(**(given | more))

    def new_id(self) -> UUID:
        """Nobody else's: workspaces share a database, and some their seeds."""
        return UUID(int=self.random.getrandbits(128) ^ self.workspace.int, version=4)

    async def begin(self, aggregate: Aggregate[Any, Any], events: Sequence[Any], id: UUID | None = None) -> UUID:
        stream = id or self.new_id()
        outcome = await self.store.create(self.command(), aggregate, stream, events)
        self.api.newest = outcome.log_id
        kind = aggregate.name.title()
        if kind in self.streams:
            self.streams[kind].append(stream)
        return stream

    async def change(self, aggregate: Aggregate[Any, Any], id: UUID, decision: Callable[[Any], Sequence[Any]]) -> None:
        outcome = await self.store.decide(self.command(reason="because"), aggregate, id, decision)
        self.api.newest = outcome.log_id or self.api.newest

    async def transact(self, survivor: UUID, absorbed: UUID, decision: Callable[[Any], Any]) -> None:
        command = self.command(reason="one person or two")
        outcome = await self.store.transact(command, [(CONTACT, survivor), (CONTACT, absorbed)], decision)
        self.api.newest = outcome.log_id or self.api.newest

    # choosing

    def any(self, kind: str) -> UUID:
        return self.random.choice(self.streams[kind])

    def maybe(self, *values: Any) -> dict[str, Any]:
        """Keyword arguments out of (name, value, value …): each left out half of the time."""
        return {name: self.random.choice(among) for name, *among in values if self.random.random() < 0.5}

    def email(self) -> EmailEntry:
        address = EmailAddress.parse(f"p{self.random.randrange(80)}@Example.org")
        return EmailEntry(address=address, primary=self.random.random() < 0.3, **self.maybe(("label", None, "work")))

    def phone(self) -> PhoneEntry:
        number = PhoneNumber.parse(f"+4930{100_000 + self.random.randrange(40)}")
        return PhoneEntry(number=number, primary=self.random.random() < 0.3)

    def some(self, make: Callable[[], Any], most: int = 2) -> list[Any]:
        return [make() for _ in range(self.random.randrange(most + 1))]

    def tags(self) -> list[Tag]:
        return [Tag.parse(t) for t in self.random.sample(["a", "b", "Ç", "d"], self.random.randrange(3))]

    def identity(self) -> Identity:
        return Identity(channel=self.random.choice(["whatsapp", "x"]), external_id=f"i{self.random.randrange(40)}")

    def external_id(self) -> ExternalId:
        return ExternalId(system=self.random.choice(["erp", "shop"]), value=str(self.random.randrange(60)))

    def said(self) -> dict[str, Any]:
        """What a form about a contact may say."""
        address = PostalAddress(lines=("Weg 1",), city="Köln", country="DE")
        return self.maybe(
            ("given_name", *NAMES, None), ("family_name", *NAMES, None), ("job_title", "Pilot", None),
            ("source", "web", None), ("addresses", (), (address,), (address, PostalAddress(lines=("Q 2",)))),
            ("company_id", None, *self.streams["Company"]), ("owner_id", None, self.member),
            ("lifecycle_stage", *STAGES),
        )  # fmt: skip

    # contacts

    async def register(self) -> None:
        form = ContactEdit(
            **(self.said() | {"display_name": self.random.choice(NAMES)}), add_emails=self.some(self.email),
            add_phones=self.some(self.phone), add_tags=self.tags(), add_identities=self.some(self.identity, 1),
            add_external_ids=self.some(self.external_id, 1),
        )  # fmt: skip
        await self.begin(CONTACT, register(form))

    async def edit(self) -> None:
        """Addressed to whatever id, merged ones too."""
        id_ = self.any("Contact")
        found = await self.store.load(CONTACT, self.workspace, id_)
        held = [each.known.address for each in found.state.emails if each.known]
        gone = [EmailAddress.parse(self.random.choice(held))] if held and self.random.random() < 0.4 else []
        numbers = [each.known.number for each in found.state.phones if each.known]
        form = ContactEdit(
            **self.said(), **self.maybe(("display_name", *NAMES, None)), remove_emails=gone,
            add_emails=self.some(self.email, 1), add_phones=self.some(self.phone, 1),
            remove_phones=[PhoneNumber.parse(n) for n in numbers[:1] if self.random.random() < 0.3],
            remove_tags=self.tags(), add_tags=self.tags(), add_identities=self.some(self.identity, 1),
            remove_identities=[each.known for each in found.state.identities[:1] if self.random.random() < 0.3],
            add_external_ids=self.some(self.external_id, 1),
        )  # fmt: skip
        await self.change(CONTACT, id_, lambda state: update(state, form, reason="asked"))

    async def archive(self) -> None:
        await self.change(CONTACT, self.any("Contact"), contact.archive)

    async def restore(self) -> None:
        for id_ in self.streams["Contact"]:
            found = await self.store.load(CONTACT, self.workspace, id_, follow=False)
            if found.state.archived:
                await self.change(CONTACT, id_, contact.restore)
                return

    async def merge(self) -> None:
        survivor, absorbed = self.random.sample(self.streams["Contact"], 2)
        keep = self.maybe(("displayName", survivor, absorbed), ("primaryEmail", survivor, absorbed))

        def decision(loaded: Any) -> Any:
            done = merge(loaded[survivor], loaded[absorbed], keep)
            return {survivor: done.survivor, absorbed: done.absorbed}

        await self.transact(survivor, absorbed, decision)
        self.merged.append((survivor, absorbed))

    async def unmerge(self) -> None:
        if not self.merged:
            return
        survivor, absorbed = self.random.choice(self.merged)
        facts = await self.store.facts(self.workspace, survivor)
        found = await self.store.load_many(CONTACT, self.workspace, [survivor, absorbed])
        tried = unmerge(found[survivor], facts, found[absorbed])
        wanted = values_of(found[survivor], found[absorbed], tried)
        holders = await self.store.holders(self.workspace, wanted)

        def decision(loaded: Any) -> Any:
            done = unmerge(loaded[survivor], facts, loaded[absorbed], holders=holders)
            return {survivor: done.survivor, absorbed: done.absorbed}

        await self.transact(survivor, absorbed, decision)
        self.merged.remove((survivor, absorbed))

    # companies

    async def found(self) -> None:
        form = CompanyEdit(name=self.random.choice(["Acme", "Ähren GmbH", "北京"]), **self.firm())
        id_ = self.new_id()
        await self.begin(COMPANY, company.register(form, id=id_), id=id_)

    async def reshape(self) -> None:
        id_ = self.any("Company")
        form = CompanyEdit(**self.maybe(("name", "Acme", "Bolt")), **self.firm(), remove_tags=self.tags())
        await self.change(COMPANY, id_, lambda state: company.update(state, form, id=id_))

    async def put_away(self) -> None:
        deed = self.random.choice([company.archive, company.restore])
        await self.change(COMPANY, self.any("Company"), deed)

    def firm(self) -> dict[str, Any]:
        domains = [
            DomainName.parse(f"d{self.random.randrange(60)}.example.com") for _ in range(self.random.randrange(2))
        ]
        said = self.maybe(
            ("industry", "tea", None), ("annual_revenue", Money(124_232_00, "USD"), None), ("employee_count", 7, None),
            ("founded_year", 1990, None), ("country", "DE", None), ("owner_id", None, self.member),
            ("parent_id", None, *self.streams["Company"][:1]),
            ("addresses", (), (PostalAddress(lines=("Allee 3",), city="Bonn"),)),
        )  # fmt: skip
        return said | {
            "add_domains": domains, "add_tags": self.tags(), "add_external_ids": self.some(self.external_id, 1)
        }  # fmt: skip

    # interactions

    async def record(self) -> None:
        known = self.streams["Contact"]
        linked = self.random.sample(known, min(len(known), self.random.randrange(4)))
        who = [Participant(part=ParticipantPart.TO, contact_id=one, address=None) for one in linked[:1]]
        events = record(
            type=self.random.choice(list(InteractionType)), occurred_at=self.moment(), contact_ids=linked,
            participants=self.random.choice([(), who]), channel="mail", body=" ".join(self.random.sample(WORDS, 3)),
            **self.maybe(
                ("subject", *WORDS), ("external_id", *(str(n) for n in range(200))), ("amount", Money(2933, "USD")),
                ("quantity", Decimal(2), Decimal("0.5")), ("duration_seconds", 0, 61), ("member_id", self.member),
                ("company_id", *(self.streams["Company"] or [None])), ("visibility", *Visibility),
            ),
        )  # fmt: skip
        await self.begin(INTERACTION, events)

    async def correct(self) -> None:
        known = self.streams["Contact"]
        said = Correction(
            **self.maybe(
                ("subject", *WORDS, None), ("body", *WORDS, None), ("occurred_at", self.moment()),
                ("amount", Money(1, "EUR"), None), ("visibility", *Visibility), ("type", *InteractionType),
                ("company_id", None, *self.streams["Company"]), ("duration_seconds", 5, None),
            ),
            add_contact_ids=self.random.sample(known, self.random.randrange(2)),
            remove_contact_ids=self.random.sample(known, self.random.randrange(min(len(known), 9))),
        )  # fmt: skip
        await self.change(INTERACTION, self.any("Interaction"), lambda state: correct(state, said))

    async def redact(self) -> None:
        passages = self.random.choice([None, ["a secret"], ["tea"]])
        await self.change(INTERACTION, self.any("Interaction"), lambda state: redact(state, passages))

    async def retract(self) -> None:
        def decision(state: Interaction) -> Sequence[Any]:
            return retract(state)

        await self.change(INTERACTION, self.any("Interaction"), decision)

    def moment(self) -> datetime:
        return START - timedelta(minutes=self.random.randrange(400_000))


OF_INTERACTIONS = (History.correct, History.redact, History.retract)
OF_COMPANIES = (History.reshape, History.put_away)
DEEDS = (
    *[History.register] * 3, *[History.edit] * 8, History.archive, History.restore, *[History.merge] * 3,
    *[History.unmerge] * 2, History.found, *[History.reshape] * 2, History.put_away, *[History.record] * 6,
    *[History.correct] * 4, History.redact, History.retract,
)  # fmt: skip
