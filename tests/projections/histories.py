"""Random but lawful histories: contacts edited, merged, unmerged; interactions recorded, corrected, linked, redacted; deals."""

from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID

from msgspec import UNSET

from crm_es.contacts import contact_events as e
from crm_es.contacts.contact import Contact, ContactStatus
from crm_es.contacts.contact import evolve as evolve_contact
from crm_es.contacts.contact_events import Email, Item, LifecycleStage, Phone
from crm_es.interactions import interaction as i
from crm_es.interactions.interaction import Interaction
from crm_es.sales.deal import Deal
from crm_es.sales.pipeline import Pipeline
from crm_es.values import Money, PostalAddress
from tests.projections.sales_histories import Sales
from tests.projector.log import START, Log

NAMES = ("Ánna", "Bob", "李小龍", "de la Cruz", "anna", None)


@dataclass
class World(Sales):
    """One workspace. `step` appends one more lawful thing to the log."""

    log: Log
    workspace: UUID
    random: Random
    contacts: dict[UUID, Contact] = field(default_factory=dict)
    interactions: dict[UUID, Interaction] = field(default_factory=dict)
    products: list[UUID] = field(default_factory=list)
    pipelines: dict[UUID, Pipeline] = field(default_factory=dict)
    deals: dict[UUID, Deal] = field(default_factory=dict)

    def steps(self, count: int) -> None:
        for _ in range(3):
            self.register()
        for _ in range(count):
            self.random.choice(self.DEEDS)(self)

    def new_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def append(self, *events):
        self.log.append(self.workspace, *events)
        for stream, event in events:
            if self.folded(stream, event):
                continue
            if isinstance(event, e.ContactEvent):
                self.contacts[stream] = evolve_contact(self.contacts.get(stream), event)
            else:
                self.interactions[stream] = i.evolve(self.interactions.get(stream), event)

    def active(self) -> UUID:
        return self.random.choice([c for c, s in self.contacts.items() if s.status is ContactStatus.ACTIVE])

    def number(self, contact: UUID) -> int:
        return self.contacts[contact].last_number + 1

    # Contacts

    def register(self):
        r, contact = self.random, self.new_id()
        emails = tuple(Email(address=f"p{r.randrange(1000)}@Exämple.org") for _ in range(r.randrange(3)))
        items = tuple(Item(number=n) for n in range(1, len(emails) + 1))
        self.append(
            (
                contact,
                e.ContactRegistered(
                    display_name=r.choice([*NAMES[:5], UNSET]), given_name=r.choice(NAMES), lifecycle_stage=LifecycleStage.LEAD,
                    emails=emails or UNSET, email_items=items or UNSET, primary_email=items[0] if items else UNSET,
                    tags=r.choice([UNSET, ("b", "a", "b")]), source=r.choice([UNSET, "web"]),
                    addresses=r.choice([UNSET, (PostalAddress(lines=("Weg 1",), city="Köln"),)]),
                ),
            )
        )  # fmt: skip

    def rename(self):
        contact, r = self.active(), self.random
        changed = {n: r.choice(NAMES) for n in ("display_name", "given_name", "family_name") if r.random() < 0.5}
        if changed:
            self.append((contact, e.ContactUpdated(**changed)))

    def refer(self):
        r, contact = self.random, self.active()
        event = r.choice(
            [
                e.ContactOwnerChanged(owner_id=r.choice([None, UUID(int=5)])),
                e.ContactCompanyChanged(company_id=r.choice([None, UUID(int=9), UUID(int=10)])),
                e.ContactLifecycleStageChanged(lifecycle_stage=r.choice(list(LifecycleStage))),
            ]
        )
        self.append((contact, event))

    def add_email(self):
        contact = self.active()
        email = Email(address=f"q{self.random.randrange(9)}@b.c", label=self.random.choice([None, "work"]))
        item = Item(number=self.number(contact))
        self.append((contact, e.ContactEmailAdded(item=item, email=email, primary=self.random.random() < 0.5)))

    def change_email(self):
        contact = self.active()
        if held := self.contacts[contact].emails:
            email = self.random.choice([UNSET, Email(address=f"r{self.random.randrange(9)}@b.c")])
            primary = self.random.choice([UNSET, True])
            self.append(
                (contact, e.ContactEmailChanged(item=self.random.choice(held).item, email=email, primary=primary))
            )

    def remove_email(self):
        contact = self.active()
        state = self.contacts[contact]
        if state.emails:
            gone = self.random.choice(state.emails).item
            rest = [h.item for h in state.emails if h.item != gone]
            promoted = rest[0] if rest and state.primary_email == gone else UNSET
            self.append((contact, e.ContactEmailRemoved(item=gone, promoted=promoted)))

    def add_phone(self):
        contact = self.active()
        phone = Phone(number=f"+4930{self.random.randrange(10**6)}")
        item = Item(number=self.number(contact))
        self.append((contact, e.ContactPhoneAdded(item=item, phone=phone, primary=self.random.random() < 0.5)))

    def tag(self):
        tags = tuple(self.random.sample(["a", "b", "c", "d"], 2))
        event = self.random.choice([e.ContactTagged, e.ContactUntagged])
        self.append((self.active(), event(tags=tags)))

    def archive(self):
        if sum(s.status is ContactStatus.ACTIVE for s in self.contacts.values()) > 2:
            self.append((self.active(), e.ContactArchived()))

    def restore(self):
        if archived := [c for c, s in self.contacts.items() if s.status is ContactStatus.ARCHIVED]:
            self.append((self.random.choice(archived), e.ContactRestored()))

    def merge(self):
        survivor, absorbed = self.active(), self.active()
        if survivor == absorbed:
            return
        state = self.contacts[absorbed]
        mine = [
            (h.item if h.item.holder else Item(number=h.item.number, holder=absorbed), h.value) for h in state.emails
        ]
        phones = [
            (h.item if h.item.holder else Item(number=h.item.number, holder=absorbed), h.value) for h in state.phones
        ]
        below = [a for _, ids in state.absorbed for a in ids]
        event = e.ContactMerged(
            absorbed_id=absorbed,
            absorbed_version=self.log.versions[absorbed],
            absorbed_ids=(absorbed, *below),
            email_items=tuple(item for item, _ in mine) or UNSET,
            emails=tuple(value for _, value in mine) or UNSET,
            phone_items=tuple(item for item, _ in phones) or UNSET,
            phones=tuple(value for _, value in phones) or UNSET,
            primary_email=mine[0][0] if mine and self.random.random() < 0.5 else UNSET,
            display_name=self.random.choice([UNSET, "Merged"]),
            tags=state.tags or UNSET,
        )
        version = self.log.versions[survivor] + 1
        self.append((survivor, event), (absorbed, e.ContactAbsorbed(survivor_id=survivor, survivor_version=version)))

    def unmerge(self):
        survivors = [c for c, s in self.contacts.items() if s.absorbed and s.status is ContactStatus.ACTIVE]
        if survivors:
            survivor = self.random.choice(survivors)
            absorbed, ids = self.random.choice(self.contacts[survivor].absorbed)
            released = e.ContactReleased(absorbed_id=absorbed, absorbed_ids=ids)
            self.append((survivor, released), (absorbed, e.ContactUnmerged(survivor_id=survivor)))

    # Interactions

    def record(self):
        r = self.random
        known = list(self.contacts)
        self.append(
            (
                self.new_id(),
                i.InteractionRecorded(
                    type=r.choice(list(i.InteractionType)), occurred_at=START - timedelta(days=r.randrange(400)),
                    contact_ids=tuple(r.sample(known, min(len(known), r.randrange(4)))), body="Grüße", subject="Hi",
                    amount=r.choice([UNSET, Money(2933, "USD")]), visibility=r.choice(list(i.Visibility)),
                    company_id=r.choice([UNSET, UUID(int=9)]), external_id=r.choice([UNSET, "x1"]),
                ),
            )
        )  # fmt: skip

    def an_interaction(self):
        kept = [n for n, s in self.interactions.items() if not s.retracted]
        return self.random.choice(kept) if kept else None

    def correct(self):
        r, interaction = self.random, self.an_interaction()
        if interaction:
            event = i.InteractionCorrected(
                occurred_at=r.choice([UNSET, START - timedelta(days=r.randrange(400))]),
                visibility=r.choice([UNSET, *i.Visibility]),
                subject=r.choice([UNSET, "Other"]),
                company_id=r.choice([UNSET, None, UUID(int=10)]),
            )
            self.append((interaction, event))

    def link(self):
        interaction = self.an_interaction()
        if interaction and (
            fresh := [c for c in self.contacts if c not in self.interactions[interaction].contact_ids][:2]
        ):
            self.append((interaction, i.InteractionLinked(contact_ids=tuple(fresh))))

    def unlink(self):
        interaction = self.an_interaction()
        if interaction and (linked := self.interactions[interaction].contact_ids):
            self.append((interaction, i.InteractionUnlinked(contact_ids=(self.random.choice(linked),))))

    def redact(self):
        if self.random.random() < 0.3 and (interaction := self.an_interaction()):
            self.append((interaction, i.InteractionRedacted(body="[cut]")))

    def retract(self):
        if self.random.random() < 0.3 and (interaction := self.an_interaction()):
            self.append((interaction, i.InteractionRetracted()))

    DEEDS = (
        register, rename, rename, refer, add_email, add_email, change_email, remove_email, add_phone, tag, tag, archive,
        restore, merge, merge, unmerge, record, record, record, record, correct, link, unlink, redact, retract,
        *Sales.SALES,
    )  # fmt: skip
