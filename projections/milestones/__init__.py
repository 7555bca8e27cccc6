"""What became of a customer's deals and tickets, to stand on timelines beside interactions.

A milestone is an event worth telling, with the amount its deal had then. It stands on the timelines of its record, and of the
contacts and the company that this has now: when they change, all its milestones follow. Contacts are kept as recorded and as
whom their ids mean by now.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID, uuid5

from msgspec import UNSET, UnsetType

from crm_es.contacts import contact_events as c
from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from crm_es.sales import deal_events as d
from crm_es.sales.deal_values import DealContact
from crm_es.service import ticket_events as t
from crm_es.values import Money
from projections.milestones.statements import (
    LINK_ALL,
    MOVE,
    REKEY,
    SELECT_MEANINGS,
    SELECT_STANDINGS,
    SHELVE,
    UNLINK,
)
from projections.milestones.tables import LINK as LINK
from projections.milestones.tables import MEANING, STANDING
from projections.milestones.tables import MILESTONE as MILESTONE
from projections.milestones.tables import TABLES as TABLES

NAME = "milestones"
VERSION = 1
_Told = (
    d.DealOpened | d.DealMoved | d.DealWon | d.DealLost | d.DealReopened
    | t.TicketOpened | t.TicketResolved | t.TicketClosed | t.TicketReopened | t.TicketSlaBreached
    | t.TicketMerged | t.TicketAbsorbed | t.TicketReleased | t.TicketUnmerged
)  # fmt: skip
"""The events that are milestones; of moves only those to another stage."""
_Silent = d.DealUpdated | d.DealContactsChanged | d.DealArchived | d.DealRestored | t.TicketUpdated
_Contact = c.ContactMerged | c.ContactReleased
TOPICS = frozenset(e.TOPIC for union in (_Told, _Silent, _Contact) for e in union.__args__)
KINDS: Final = tuple(e.TOPIC for e in _Told.__args__)

_Place = tuple[UUID, UUID]
"""(workspace, id)"""


@dataclass(slots=True, kw_only=True)
class _Standing:
    """What of a deal or ticket its next milestone says, and whose it is. Contacts as recorded."""

    company_id: UUID | None = None
    contact_ids: Sequence[UUID] = ()
    amount_minor: int | None = None
    amount_currency: str | None = None
    archived: bool = False

    def save(self, batch: Batch, fact: Fact) -> None:
        batch.put(
            STANDING, fact, id=fact.stream, company_id=self.company_id, contact_ids=list(self.contact_ids),
            amount_minor=self.amount_minor, amount_currency=self.amount_currency, archived=self.archived,
        )  # fmt: skip


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    page = _Page.read(batch, facts)
    for fact in facts:
        page.apply(batch, fact)


@dataclass(slots=True)
class _Page:
    """What is known while a page is applied; `meanings` tell whom a contact's id means, where it is not itself."""

    standings: dict[_Place, _Standing]
    meanings: dict[_Place, UUID]

    @classmethod
    def read(cls, batch: Batch, facts: Sequence[Fact]) -> Self:
        mine = [fact for fact in facts if not isinstance(fact.event, _Contact)]
        opened = {fact.stream for fact in mine if isinstance(fact.event, d.DealOpened | t.TicketOpened)}
        standings = _standings(batch, [fact for fact in mine if fact.stream not in opened])
        named: set[_Place] = {(fact.workspace, one) for fact in mine for one in _contacts(fact.event) or ()}
        named |= {(workspace, one) for (workspace, _), each in standings.items() for one in each.contact_ids}
        return cls(standings, _meanings(batch, named))

    def apply(self, batch: Batch, fact: Fact) -> None:
        event: Any = fact.event
        match event:
            case c.ContactMerged(absorbed_ids=absorbed):
                self._rekey(batch, fact, absorbed, fact.stream)
            case c.ContactReleased(absorbed_ids=absorbed, absorbed_id=target):
                self._rekey(batch, fact, absorbed, target)
            case d.DealOpened() | t.TicketOpened():
                self.standings[fact.workspace, fact.stream] = _Standing()
                self._change(batch, fact)
                self._tell(batch, fact)
            case d.DealUpdated() | d.DealContactsChanged() | t.TicketUpdated():
                self._change(batch, fact)
            case d.DealArchived() | d.DealRestored():
                self._shelve(batch, fact, archived=isinstance(event, d.DealArchived))
            case d.DealMoved(stage_id=stage) if stage is UNSET:
                pass
            case _:
                self._tell(batch, fact)

    def _tell(self, batch: Batch, fact: Fact) -> None:
        standing, at = self.standings[fact.workspace, fact.stream], getattr(fact.event, "occurred_at", fact.occurred_at)
        id_ = uuid5(fact.stream, str(fact.version))
        batch.insert(
            MILESTONE, fact, id=id_, kind=fact.topic, entity_type=fact.topic.partition(".")[0].upper(),
            entity_id=fact.stream, company_id=standing.company_id, occurred_at=at, amount_minor=standing.amount_minor,
            amount_currency=standing.amount_currency, actor_kind=fact.actor.kind, actor_id=fact.actor.id,
            on_behalf_of=fact.actor.on_behalf_of, authenticated_by=fact.actor.auth, archived=standing.archived,
        )  # fmt: skip
        for contact, means, canonical in self._settled(fact.workspace, standing.contact_ids):
            batch.insert(
                LINK, fact, milestone_id=id_, contact_id=contact, means_id=means, canonical_id=canonical,
                entity_id=fact.stream, occurred_at=at,
            )  # fmt: skip

    def _change(self, batch: Batch, fact: Fact) -> None:
        """Whose the record is, and what it is worth, from this event on."""
        standing, event = self.standings[fact.workspace, fact.stream], fact.event
        company, contacts, amount = _company(event), _contacts(event), getattr(event, "amount", UNSET)
        if amount is not UNSET:
            standing.amount_minor, standing.amount_currency = _parts(amount)
        if company is not UNSET:
            standing.company_id = company
            _unless_first(batch, fact, MOVE, company=company)
        if contacts is not None:
            standing.contact_ids = contacts
            self._link(batch, fact, contacts)
        if fact.version == 1 or amount is not UNSET or company is not UNSET or contacts is not None:
            standing.save(batch, fact)

    def _link(self, batch: Batch, fact: Fact, contacts: Sequence[UUID]) -> None:
        _unless_first(batch, fact, UNLINK, stay=list(contacts))
        if contacts:
            ids, means, canonical = (list(each) for each in zip(*self._settled(fact.workspace, contacts), strict=True))
            _unless_first(batch, fact, LINK_ALL, contacts=ids, means=means, canonical=canonical)

    def _settled(self, workspace: UUID, contacts: Sequence[UUID]) -> Iterable[tuple[UUID, UUID, UUID | None]]:
        """(contact, whom it means, on whose timeline): of two that mean the same, the one with the smallest id stands."""
        stands = set[UUID]()
        for contact in sorted(contacts):
            means = self.meanings.get((workspace, contact), contact)
            yield contact, means, None if means in stands else means
            stands.add(means)

    def _shelve(self, batch: Batch, fact: Fact, *, archived: bool) -> None:
        standing = self.standings[fact.workspace, fact.stream]
        standing.archived = archived
        standing.save(batch, fact)
        batch.execute(fact, SHELVE, record=fact.stream, archived=archived)

    def _rekey(self, batch: Batch, fact: Fact, absorbed: Iterable[UUID], target: UUID) -> None:
        """From this position on, the absorbed ids mean `target`."""
        ids = list(absorbed)
        for contact in ids:
            self.meanings[fact.workspace, contact] = target
            batch.put(MEANING, fact, id=contact, means_id=target)
        batch.execute(fact, REKEY, absorbed=ids, target=target)


def _unless_first(batch: Batch, fact: Fact, statement: Any, **params: Any) -> None:
    """A record's first event has no milestones before it."""
    if fact.version > 1:
        batch.execute(fact, statement, record=fact.stream, **params)


def _parts(amount: Money | None) -> tuple[int | None, str | None]:
    return (None, None) if amount is None else (amount.minor, amount.currency)


def _company(event: object) -> UUID | UnsetType | None:
    found: UUID | UnsetType | None = getattr(event, "company_id", UNSET)
    return found


def _contacts(event: object) -> Sequence[UUID] | None:
    """The contacts that an event gives its record, each once; None where it says nothing of them."""
    if isinstance(event, t.TicketOpened | t.TicketUpdated):
        return None if event.requester_id is UNSET else [event.requester_id] if event.requester_id else []
    parties: Iterable[DealContact] | UnsetType = getattr(event, "contacts", UNSET)
    return None if parties is UNSET else list(dict.fromkeys(one.contact_id for one in parties))


def _standings(batch: Batch, facts: Sequence[Fact]) -> dict[_Place, _Standing]:
    if not facts:
        return {}
    rows = batch.select(
        SELECT_STANDINGS, workspaces=list({fact.workspace for fact in facts}),
        records=list({fact.stream for fact in facts}),
    )  # fmt: skip
    return {
        (workspace, id_): _Standing(
            company_id=company, contact_ids=contacts, amount_minor=minor, amount_currency=currency, archived=archived
        )
        for workspace, id_, company, contacts, minor, currency, archived in rows
    }


def _meanings(batch: Batch, named: set[_Place]) -> dict[_Place, UUID]:
    if not named:
        return {}
    rows = batch.select(
        SELECT_MEANINGS, workspaces=list({workspace for workspace, _ in named}), contacts=list({one for _, one in named})
    )  # fmt: skip
    return {(workspace, contact): means for workspace, contact, means in rows}
