"""The timeline: interactions, whose they are, and how many each contact has.

A link keeps the contact as recorded, whom that id means now (`means_id`, re-keyed by merge and unmerge), and on whose
timeline it stands (`canonical_id`: none where it is unlinked, or another link of the interaction means the same contact).
So does an interaction with its ticket (`ticket_id`, `ticket_means_id`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, assert_never
from uuid import UUID

from msgspec import UNSET

from crm_es.contacts import contact_events as c
from crm_es.eventstore.event import Fact
from crm_es.interactions import interaction as i
from crm_es.projector.contract import Batch, Sql
from crm_es.service import ticket_events as t
from projections.interactions.statements import (
    ADD_LINK,
    CORRECT_LINKS,
    FEWER_CONTACTS,
    MORE_CONTACTS,
    RECOUNT,
    RECOUNT_OF_INTERACTION,
    REDACT_THE_PAST,
    REKEY,
    REKEY_TICKETS,
    RETRACT,
    SELECT_MEANINGS,
    SETTLE,
)
from projections.interactions.tables import ACTIVITY as ACTIVITY
from projections.interactions.tables import INTERACTION as INTERACTION
from projections.interactions.tables import LINK as LINK
from projections.interactions.tables import MEANING
from projections.interactions.tables import TABLES as TABLES

NAME = "interactions"
VERSION = 4
_Merge = c.ContactMerged | c.ContactReleased | t.TicketMerged | t.TicketReleased
_Other = c.ContactRegistered | _Merge
TOPICS = frozenset(e.TOPIC for union in (i.InteractionEvent, _Other) for e in union.__args__)

Meanings = dict[tuple[UUID, UUID], UUID]
"""(workspace, contact or ticket as recorded) → whom that means, where it is not itself."""


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    meanings = _meanings(batch, facts)
    for fact in facts:
        event: i.InteractionEvent | _Other = fact.event  # type: ignore[assignment]
        match event:
            case i.InteractionRecorded():
                _record(batch, fact, event, meanings)
            case i.InteractionCorrected():
                _correct(batch, fact, event, meanings)
            case i.InteractionLinked(contact_ids=contacts):
                _link(batch, fact, contacts, meanings)
            case i.InteractionUnlinked(contact_ids=contacts):
                _unlink(batch, fact, contacts)
            case i.InteractionRedacted():
                _redact(batch, fact, event)
            case i.InteractionRetracted():
                _touch(batch, fact, removed=True)
                batch.execute(fact, RETRACT, interaction=fact.stream)
                _settle(batch, fact)
            case c.ContactRegistered():
                batch.insert(ACTIVITY, fact, id=fact.stream)
            case c.ContactMerged(absorbed_ids=absorbed):
                _rekey(batch, fact, absorbed, fact.stream, meanings)
            case c.ContactReleased(absorbed_ids=absorbed, absorbed_id=target):
                _rekey(batch, fact, absorbed, target, meanings)
            case t.TicketMerged(absorbed_ids=absorbed):
                _rekey_tickets(batch, fact, absorbed, fact.stream, meanings)
            case t.TicketReleased(absorbed_ids=absorbed, absorbed_id=target):
                _rekey_tickets(batch, fact, absorbed, target, meanings)
            case _:
                assert_never(event)


def _meanings(batch: Batch, facts: Sequence[Fact]) -> Meanings:
    """Whom the contacts and tickets named on this page mean before it begins."""
    named = {(fact.workspace, id_) for fact in facts for id_ in _named(fact.event)}
    if not named:
        return {}
    rows = batch.select(
        SELECT_MEANINGS, workspaces=list({w for w, _ in named}), ids=list({id_ for _, id_ in named})
    )  # fmt: skip
    return {(workspace, id_): means for workspace, id_, means in rows}


def _named(event: object) -> Iterable[UUID]:
    match event:
        case i.InteractionRecorded(contact_ids=contacts, ticket_id=ticket):
            return (*contacts, ticket) if isinstance(ticket, UUID) else contacts
        case i.InteractionLinked(contact_ids=contacts):
            return contacts
        case i.InteractionCorrected(ticket_id=UUID() as ticket):
            return (ticket,)
        case _:
            return ()


# Interactions

_SAME: Final = (
    "type", "direction", "channel", "external_id", "subject", "body", "body_format", "occurred_at", "duration_seconds",
    "quantity", "participants", "company_id", "deal_id", "ticket_id", "member_id", "visibility", "internal",
)  # fmt: skip


def _given(fact: Fact, event: Any, meanings: Mapping[tuple[UUID, UUID], UUID]) -> dict[str, Any]:
    """The columns the event sets."""
    values = {n: v for n in _SAME if (v := getattr(event, n, UNSET)) is not UNSET}
    amount = getattr(event, "amount", UNSET)
    if amount is not UNSET:
        values |= {"amount_minor": amount and amount.minor, "amount_currency": amount and amount.currency}
    if "ticket_id" in values:
        ticket = values["ticket_id"]
        values["ticket_means_id"] = ticket and meanings.get((fact.workspace, ticket), ticket)
    return values


def _remaining(event: i.InteractionRedacted) -> dict[str, Any]:
    """All that is left of the personal content; what the event does not name is gone."""
    kept = {n: getattr(event, n) for n in ("external_id", "subject", "body")}
    participants = () if event.participants is UNSET else event.participants
    return {n: None if v is UNSET else v for n, v in kept.items()} | {"participants": participants}


def _touch(batch: Batch, fact: Fact, **values: Any) -> None:
    batch.update(INTERACTION, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)


def _record(batch: Batch, fact: Fact, event: i.InteractionRecorded, meanings: Mapping[tuple[UUID, UUID], UUID]) -> None:
    contacts = list(dict.fromkeys(event.contact_ids))
    at = fact.recorded_at
    batch.insert(
        INTERACTION, fact, id=fact.stream, version=fact.version, contact_ids=contacts, created_at=at, updated_at=at,
        **_given(fact, event, meanings),
    )  # fmt: skip
    stands: set[UUID] = set()
    for contact in sorted(contacts):
        means = meanings.get((fact.workspace, contact), contact)
        batch.insert(
            LINK, fact, interaction_id=fact.stream, contact_id=contact, means_id=means,
            canonical_id=None if means in stands else means, type=event.type, occurred_at=event.occurred_at,
            created_at=at, visibility=event.visibility,
        )  # fmt: skip
        stands.add(means)
    unshared = event.visibility is not i.Visibility.SHARED
    for contact in stands:
        batch.update(
            ACTIVITY, fact, {"id": contact},
            interaction_count=Sql("interaction_count + 1"),
            unshared_count=Sql("unshared_count + {value}", int(unshared)),
            last_interaction_at=Sql("greatest(last_interaction_at, {value})", event.occurred_at),
        )  # fmt: skip


def _correct(
    batch: Batch, fact: Fact, event: i.InteractionCorrected, meanings: Mapping[tuple[UUID, UUID], UUID]
) -> None:
    values = _given(fact, event, meanings)
    _touch(batch, fact, corrected_at=fact.recorded_at, **values)
    copied = {n: values.get(n) for n in ("type", "occurred_at", "visibility")}
    if any(v is not None for v in copied.values()):
        batch.execute(fact, CORRECT_LINKS, interaction=fact.stream, **copied)
        _recount(batch, fact)


def _redact(batch: Batch, fact: Fact, event: i.InteractionRedacted) -> None:
    """The cut is made in every past version too: no `asOf` shows what was redacted."""
    remaining = _remaining(event)
    _touch(batch, fact, redacted_at=fact.recorded_at, **remaining)
    batch.execute(fact, REDACT_THE_PAST, interaction=fact.stream)


def _link(batch: Batch, fact: Fact, contacts: Iterable[UUID], meanings: Mapping[tuple[UUID, UUID], UUID]) -> None:
    for contact in contacts:
        means = meanings.get((fact.workspace, contact), contact)
        batch.execute(fact, ADD_LINK, interaction=fact.stream, contact=contact, means=means)
    _touch(batch, fact, contact_ids=Sql(MORE_CONTACTS, list(contacts)))
    _settle(batch, fact)


def _unlink(batch: Batch, fact: Fact, contacts: Iterable[UUID]) -> None:
    for contact in contacts:
        batch.update(LINK, fact, {"interaction_id": fact.stream, "contact_id": contact}, removed=True)
    _touch(batch, fact, contact_ids=Sql(FEWER_CONTACTS, list(contacts)))
    _settle(batch, fact)


def _settle(batch: Batch, fact: Fact) -> None:
    """Work out anew on whose timeline the interaction's links stand, and those contacts' counts."""
    batch.execute(fact, SETTLE, interaction=fact.stream)
    _recount(batch, fact)


def _recount(batch: Batch, fact: Fact) -> None:
    batch.execute(fact, RECOUNT_OF_INTERACTION, interaction=fact.stream)


# Merge and unmerge


def _mean(batch: Batch, fact: Fact, absorbed: Iterable[UUID], target: UUID, meanings: Meanings) -> list[UUID]:
    """From this position on, the absorbed ids mean `target`."""
    ids = list(absorbed)
    for id_ in ids:
        meanings[fact.workspace, id_] = target
        batch.put(MEANING, fact, id=id_, means_id=target)
    return ids


def _rekey_tickets(batch: Batch, fact: Fact, absorbed: Iterable[UUID], target: UUID, meanings: Meanings) -> None:
    ids = _mean(batch, fact, absorbed, target, meanings)
    batch.execute(fact, REKEY_TICKETS, absorbed=ids, target=target)


def _rekey(batch: Batch, fact: Fact, absorbed: Iterable[UUID], target: UUID, meanings: Meanings) -> None:
    ids = _mean(batch, fact, absorbed, target, meanings)
    batch.execute(fact, REKEY, absorbed=ids, target=target)
    batch.execute(fact, RECOUNT, contacts=[*ids, fact.stream])
