"""Tells the story day by day. All chance comes from one generator, so the order of draws is part of the story."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final
from uuid import UUID

from crm_es.demo.helping import Helping
from crm_es.demo.people import BODIES, CITIES, FIRM_HEADS, FIRM_TAILS, JOBS, SOURCES, SUBJECTS, TAGS
from crm_es.demo.selling import Selling
from crm_es.demo.story import (
    DAYS,
    HOURS,
    SEED,
    Archive,
    Deed,
    Edit,
    Merge,
    NewCompany,
    NewContact,
    NewInteraction,
    Restore,
    Sitting,
    Story,
    new_id,
    share,
    tongue,
)

CONTACTS: Final = 2_000
COMPANIES: Final = 300
INTERACTIONS: Final = 21_000
EDITS: Final = 2_400
MERGES: Final = 60
ARCHIVES: Final = 120
RESTORES: Final = 30
MINUTE: Final = timedelta(minutes=1)
FIRST_COMPANIES: Final = 20
"""Known from the first sitting on, so that contacts have somewhere to work."""
STAGES: Final = ("LEAD", "LEAD", "MARKETING_QUALIFIED", "SALES_QUALIFIED", "OPPORTUNITY", "CUSTOMER")
LADDER: Final = ("LEAD", "MARKETING_QUALIFIED", "SALES_QUALIFIED", "OPPORTUNITY", "CUSTOMER", "EVANGELIST")
TYPES: Final = {
    "EMAIL": 34,
    "CALL": 22,
    "PURCHASE": 14,
    "NOTE": 10,
    "MEETING": 8,
    "CHAT": 7,
    "WEB_VISIT": 4,
    "SURVEY": 1,
}
SPOKEN: Final = ("CALL", "MEETING", "CHAT")
INBOUND: Final = ("WEB_VISIT", "PURCHASE", "SURVEY", "CHAT")


@dataclass(slots=True)
class Teller:
    """What has been told so far. `gone` are contacts nothing more happens to; `touched` those of this sitting."""

    story: Story
    rng: Random = field(default_factory=lambda: Random(SEED + 1))  # noqa: S311  # invented people need no secrets
    companies: list[NewCompany] = field(default_factory=list)
    contacts: list[NewContact] = field(default_factory=list)
    twins: list[Merge] = field(default_factory=list)
    archived: list[UUID] = field(default_factory=list)
    gone: set[UUID] = field(default_factory=set)
    touched: set[UUID] = field(default_factory=set)
    stages: dict[UUID, str] = field(default_factory=dict)
    lines: int = 0

    def tell(self) -> Iterator[Sitting]:
        selling, helping = Selling(self.story), Helping(self.story)
        for day in range(DAYS):
            begins = self.story.founded + timedelta(days=day + 1)
            actor = self.rng.choice(self.story.members).id
            self.touched = set()
            people = [one for one in self.contacts if one.id not in self.gone]
            deeds = list(self._sitting(day, begins))
            for room in (selling, helping):
                if day == 0:
                    deeds += room.begin(begins)
                deeds += room.day(day, begins, people)
            yield Sitting(at=begins + HOURS, actor=actor, deeds=tuple(sorted(deeds, key=lambda timed: timed[0])))
            if ran_out := helping.ran_out(day):
                yield Sitting(at=begins + HOURS + MINUTE, actor=None, deeds=tuple(ran_out))

    def _sitting(self, day: int, begins: datetime) -> Iterator[tuple[datetime, Deed]]:
        """Who is new has a quiet first day: all else happens to those known before."""
        known = len(self.contacts)
        if day == 0:
            yield from ((begins, self._company(begins)) for _ in range(FIRST_COMPANIES))
        makers: tuple[tuple[int, Callable[[datetime], Deed | None]], ...] = (
            (COMPANIES - FIRST_COMPANIES, self._company),
            (CONTACTS, self._contact),
            (MERGES, lambda _: self._merge()),
            (ARCHIVES, lambda _: self._archive(known)),
            (RESTORES, lambda _: self._restore()),
            (EDITS, lambda _: self._edit(known)),
            (INTERACTIONS, lambda when: self._interaction(when, known)),
        )
        for total, make in makers:
            for _ in range(share(total, day)):
                when = begins + self.rng.random() * HOURS
                if deed := make(when):
                    yield when, deed

    def _company(self, when: datetime) -> NewCompany:
        number = len(self.companies) + 1
        head, (tail, industry) = self.rng.choice(FIRM_HEADS), self.rng.choice(FIRM_TAILS)
        company = NewCompany(
            id=new_id(self.rng, when),
            name=f"{head} {tail} {number}",
            domain=f"firm{number}.example",
            industry=industry,
            revenue=self.rng.randrange(1, 9_000) * 100_000,
            employees=self.rng.randrange(3, 12_000),
            founded=self.rng.randrange(1890, 2024),
            country=self.rng.choice(tuple(CITIES)),
            owner_id=self._seller(),
            parent_id=self.rng.choice(self.companies).id if number > FIRST_COMPANIES and number % 7 == 0 else None,
        )
        self.companies.append(company)
        return company

    def _contact(self, when: datetime) -> NewContact:
        contact = self._twin(when) if self.rng.random() < MERGES / CONTACTS else None
        contact = contact or self._stranger(when)
        self.contacts.append(contact)
        self.stages[contact.id] = contact.stage
        return contact

    def _stranger(self, when: datetime) -> NewContact:
        speech, number, company = tongue(self.rng), len(self.contacts) + 1, self.rng.choice(self.companies)
        which, family = self.rng.randrange(len(speech.given)), self.rng.choice(speech.family)
        country = self.rng.choice(speech.countries)
        return NewContact(
            id=new_id(self.rng, when),
            given=speech.given[which],
            family=family,
            display=speech.full(speech.given[which], family),
            email=f"{speech.latin[which]}.{number}@{company.domain}",
            phone=speech.dialling.format(self.rng.randrange(1000)),
            city=CITIES[country],
            country=country,
            job=self.rng.choice(JOBS),
            source=self.rng.choice(SOURCES),
            stage=self.rng.choice(STAGES),
            tags=tuple(sorted(self.rng.sample(TAGS, self.rng.choice((0, 0, 1, 2))))),
            company_id=company.id,
            owner_id=self._seller(),
        )

    def _twin(self, when: datetime) -> NewContact | None:
        """Somebody registered again under another address: found out later, and merged."""
        known = self._someone(len(self.contacts))
        if known is None or known.email.endswith("@mail.example") or any(t.survivor_id == known.id for t in self.twins):
            return None
        email = f"{known.email.split('@')[0]}@mail.example"
        again = replace(known, id=new_id(self.rng, when), email=email, source="website", stage="LEAD", tags=())
        self.twins.append(Merge(survivor_id=known.id, absorbed_id=again.id))
        return again

    def _merge(self) -> Merge | None:
        """The oldest twin not found out yet; the newest few are left for the one who tries this."""
        open_twins = [t for t in self.twins if not {t.survivor_id, t.absorbed_id} & (self.gone | self.touched)]
        if len(open_twins) <= 3:  # noqa: PLR2004
            return None
        twin = open_twins[0]
        self.gone.add(twin.absorbed_id)
        self.touched |= {twin.survivor_id, twin.absorbed_id}
        return twin

    def _archive(self, known: int) -> Archive | None:
        contact = self._someone(known)
        if contact is None or any(contact.id in (t.survivor_id, t.absorbed_id) for t in self.twins):
            return None
        self.touched.add(contact.id)
        self.gone.add(contact.id)
        self.archived.append(contact.id)
        return Archive(id=contact.id)

    def _restore(self) -> Restore | None:
        waiting = [contact for contact in self.archived if contact not in self.touched]
        if not waiting:
            return None
        back = self.rng.choice(waiting)
        self.archived.remove(back)
        self.gone.remove(back)
        self.touched.add(back)
        return Restore(id=back)

    def _edit(self, known: int) -> Edit | None:
        contact = self._someone(known)
        if contact is None:
            return None
        self.touched.add(contact.id)
        field_ = self.rng.choice(("owner", "stage", "job", "tag", "email"))
        return Edit(id=contact.id, field=field_, value=self._value(contact, field_))

    def _value(self, contact: NewContact, field_: str) -> str | UUID:
        match field_:
            case "owner":
                return self._seller()
            case "stage":
                at = LADDER.index(self.stages[contact.id])
                self.stages[contact.id] = LADDER[min(at + 1, len(LADDER) - 1)]
                return self.stages[contact.id]
            case "job":
                return self.rng.choice(JOBS)
            case "tag":
                return self.rng.choice(TAGS)
            case _:
                self.lines += 1
                return f"{contact.email.split('@')[0]}.{self.lines}@home.example"

    def _interaction(self, when: datetime, known: int) -> NewInteraction | None:
        contact = self._anyone(known)
        if contact is None:
            return None
        kind = self.rng.choices(tuple(TYPES), tuple(TYPES.values()))[0]
        bought = kind == "PURCHASE"
        return NewInteraction(
            id=new_id(self.rng, when),
            type=kind,
            direction="INBOUND" if kind in INBOUND or self.rng.random() < 0.5 else "OUTBOUND",  # noqa: PLR2004
            subject=self.rng.choice(SUBJECTS[kind]),
            body=self.rng.choice(BODIES) if kind in ("EMAIL", "CALL", "MEETING", "NOTE") else None,
            seconds=self.rng.randrange(30, 3_600) if kind in SPOKEN else None,
            cents=self.rng.randrange(500, 900_000) if bought else None,
            quantity=Decimal(self.rng.randrange(1, 40)) if bought else None,
            contact_id=contact.id,
            company_id=contact.company_id,
            member_id=self._seller(),
        )

    def _seller(self) -> UUID:
        return self.rng.choice(self.story.members).id

    def _someone(self, known: int) -> NewContact | None:
        """A contact nothing has happened to in this sitting, or nobody this time."""
        contact = self.rng.choice(self.contacts[:known]) if known else None
        return None if contact is None or contact.id in self.gone | self.touched else contact

    def _anyone(self, known: int) -> NewContact | None:
        """The newer a contact, the more is heard of it."""
        if not known:
            return None
        contact = self.contacts[int(known * max(self.rng.random(), self.rng.random()))]
        return None if contact.id in self.gone | self.touched else contact
