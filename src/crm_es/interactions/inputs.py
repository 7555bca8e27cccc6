"""What mutations of interactions take, and how it becomes parsed values: each refusal names its place in the input."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import strawberry
from strawberry import ID, UNSET

from crm_es.api import ids
from crm_es.api.nodes import MoneyInput
from crm_es.api.payloads import Envelope, Versioned, said
from crm_es.contacts.inputs import each, may_say
from crm_es.errors import FieldPath, InvalidInputError
from crm_es.eventstore.event import camel
from crm_es.interactions.enums import Direction, InteractionType, ParticipantPart, TextFormat, Visibility
from crm_es.interactions.interaction import Participant
from crm_es.interactions.recording import Correction
from crm_es.occasions import check_happened
from crm_es.reads.operands import ExternalIdInput
from crm_es.values import Money, joint_key, parse_body, parse_text

_LINKS: Final = {"company_id": "Company", "deal_id": "Deal", "ticket_id": "Ticket"}
_LONGEST_QUANTITY: Final = Decimal(10) ** 15


@strawberry.input(description="Somebody who took part: a contact, a colleague, or only an address.")
class ParticipantInput:
    part: ParticipantPart = strawberry.field(description="In which part.")
    contact_id: ID | None = may_say("A contact.")
    member_id: ID | None = may_say("A colleague.")
    address: str | None = may_say("The address or number used.")


@strawberry.input(description="Something that happened with a customer.")
class RecordInteractionInput(Envelope):
    type: InteractionType = strawberry.field(description="What kind it was.")
    occurred_at: datetime = strawberry.field(description="When it happened in the world.")
    direction: Direction | None = may_say("Who began it.")
    channel: str | None = may_say("Where it was taken from, as `gmail`.")
    external_id: str | None = may_say("Its id there: sent again, the first one is answered.")
    subject: str | None = may_say("What it was about.")
    body: str | None = may_say("All of the text, exactly as it is to be kept.")
    body_format: TextFormat = strawberry.field(default=TextFormat.PLAIN, description="How the text is written.")
    duration_seconds: int | None = may_say("How long it took.")
    amount: MoneyInput | None = may_say("Of a purchase.")
    quantity: Decimal | None = may_say("How many things were bought.")
    contact_ids: list[ID] | None = may_say("Whose timelines it stands on.")
    contact_external_ids: list[ExternalIdInput] | None = may_say("The same, by what other systems call them.")
    participants: list[ParticipantInput] | None = may_say("Who took part, in which part.")
    company_id: ID | None = may_say("The company it was with.")
    deal_id: ID | None = may_say("The deal it was about.")
    ticket_id: ID | None = may_say("The ticket it was about.")
    visibility: Visibility | None = may_say("SHARED if left out; PRIVATE for email that a program brings.")


@strawberry.input(description="Up to 1,000 interactions.")
class RecordInteractionsInput(Envelope):
    interactions: list[RecordInteractionInput] = strawberry.field(
        description="In any order. commandId and reason stand on the batch."
    )
    all_or_none: bool = strawberry.field(default=True, description="False: what can be recorded is, row by row.")


@strawberry.input(description="What was wrong: what is left out stays, null clears.")
class InteractionCorrection:
    type: InteractionType | None = may_say("What kind it was.")
    direction: Direction | None = may_say("Who began it.")
    subject: str | None = may_say("What it was about.")
    body: str | None = may_say("All of the text.")
    body_format: TextFormat | None = may_say("How the text is written.")
    occurred_at: datetime | None = may_say("When it happened in the world.")
    duration_seconds: int | None = may_say("How long it took.")
    amount: MoneyInput | None = may_say("Of a purchase.")
    quantity: Decimal | None = may_say("How many things were bought.")
    add_contact_ids: list[ID] | None = may_say("Who took part after all.")
    remove_contact_ids: list[ID] | None = may_say("Who did not.")
    company_id: ID | None = may_say("The company it was with.")
    deal_id: ID | None = may_say("The deal it was about.")
    ticket_id: ID | None = may_say("The ticket it was about.")
    visibility: Visibility | None = may_say("Who in the workspace sees it.")


@strawberry.input(description="A correction; what was said before stays in the history.")
class CorrectInteractionInput(Versioned):
    id: ID = strawberry.field(description="Which interaction.")
    set: InteractionCorrection = strawberry.field(description="What is right.")


@strawberry.input(description="Cut text out for ever, out of the past too.")
class RedactInteractionInput(Versioned):
    id: ID = strawberry.field(description="Which interaction.")
    reason: str = strawberry.field(description="Why. Kept with the event for ever.")
    passages: list[str] | None = may_say(
        "What to cut out of subject and body, exactly as it stands. Absent: the whole body."
    )


@dataclass(frozen=True, slots=True)
class Row:
    """A parsed interaction. `given` is for `recording.record`; `key` tells it from all others, where it has one.

    `callers` are the places and reservation keys of contacts named by what other systems call them.
    """

    place: FieldPath
    given: dict[str, Any]
    key: str | None
    callers: list[tuple[FieldPath, str]]


def row(input: RecordInteractionInput, place: FieldPath, now: datetime) -> Row:
    """Raises: InvalidInputError at its place."""
    try:
        check_happened(input.occurred_at, now)
        return _row(input, place)
    except InvalidInputError as error:
        error.at(*place)
        raise


def _row(input: RecordInteractionInput, place: FieldPath) -> Row:
    if place and (input.command_id or input.reason):
        named = "commandId" if input.command_id else "reason"
        raise InvalidInputError(f"In a batch {named} stands on the batch.", rule="batch.row_envelope", field=(named,))
    given: dict[str, Any] = {name: getattr(input, name) or None for name in ("direction", "visibility")}
    given |= {"type": input.type, "occurred_at": input.occurred_at, "body_format": input.body_format}
    given |= {name: input_text(input, name) for name in ("channel", "external_id", "subject")}
    given |= {name: linked(input, name) for name in _LINKS}
    given["body"] = parse_body(input.body, ("body",)) if input.body else None
    given["duration_seconds"] = None if input.duration_seconds is UNSET else input.duration_seconds
    given["amount"] = money(input.amount) if input.amount else None
    given["quantity"] = quantity(input.quantity) if input.quantity not in (None, UNSET) else None
    given["contact_ids"] = list(each("contactIds", input.contact_ids or (), contact_id))
    given["participants"] = list(each("participants", input.participants or (), participant))
    callers = list(each("contactExternalIds", input.contact_external_ids or (), caller))
    key = joint_key(given["channel"], given["external_id"]) if given["external_id"] and given["channel"] else None
    return Row(place, given, key, callers)


def correction(input: InteractionCorrection, now: datetime) -> Correction:
    """Raises: InvalidInputError."""
    for name in ("type", "occurred_at", "visibility", "body_format"):
        if getattr(input, name) is None:
            message = "This cannot be cleared: leave the field out."
            raise InvalidInputError(message, rule="field.required", field=(camel(name),))
    if input.occurred_at:
        check_happened(input.occurred_at, now)
    given = {name: said(getattr(input, name)) for name in _SAID}
    given |= {name: said(getattr(input, name)) if not getattr(input, name) else linked(input, name) for name in _LINKS}
    if isinstance(input.subject, str):
        given["subject"] = parse_text(input.subject, ("subject",))
    if isinstance(input.body, str):
        given["body"] = parse_body(input.body, ("body",))
    if input.amount:
        given["amount"] = money(input.amount)
    if input.quantity:
        given["quantity"] = quantity(input.quantity)
    return Correction(
        **given,
        add_contact_ids=list(each("addContactIds", input.add_contact_ids or (), contact_id)),
        remove_contact_ids=list(each("removeContactIds", input.remove_contact_ids or (), contact_id)),
    )


_SAID: Final = (
    "type", "direction", "subject", "body", "body_format", "occurred_at", "duration_seconds", "amount", "quantity",
    "visibility",
)  # fmt: skip


def input_text(input: Any, name: str) -> str | None:
    value = getattr(input, name)
    return parse_text(value, (camel(name),)) if value else None


def linked(input: Any, name: str) -> UUID | None:
    value = getattr(input, name)
    return ids.live(value, _LINKS[name], field=(camel(name),)) if value else None


def money(given: MoneyInput) -> Money:
    return Money.parse(given.amount, given.currency, ("amount",))


def quantity(given: Decimal) -> Decimal:
    if not -_LONGEST_QUANTITY < given < _LONGEST_QUANTITY:
        raise InvalidInputError("A quantity has at most 15 digits.", rule="quantity.too_large", field=("quantity",))
    return given


def contact_id(value: str, field: FieldPath) -> UUID:
    return ids.live(value, "Contact", field=field)


def caller(value: ExternalIdInput, field: FieldPath) -> tuple[FieldPath, str]:
    return field, joint_key("contact", value.system.strip(), value.value.strip())


def participant(given: ParticipantInput, field: FieldPath) -> Participant:
    contact = ids.live(given.contact_id, "Contact", field=(*field, "contactId")) if given.contact_id else None
    member = ids.live(given.member_id, "Member", field=(*field, "memberId")) if given.member_id else None
    address = parse_text(given.address, (*field, "address")) if given.address else None
    if not (contact or member or address):
        message = "Name a contact, a member or an address."
        raise InvalidInputError(message, rule="interaction.nobody", field=field)
    return Participant(part=given.part, contact_id=contact, member_id=member, address=address)
