"""Recording, correcting, redacting and retracting an interaction. Its events and state are in `interaction.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Final
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import ErasedError, InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import values_set
from crm_es.interactions.interaction import (
    CORRECTABLE,
    Direction,
    Interaction,
    InteractionCorrected,
    InteractionEvent,
    InteractionLinked,
    InteractionRecorded,
    InteractionRedacted,
    InteractionRetracted,
    InteractionType,
    InteractionUnlinked,
    MaybeId,
    Participant,
    TextFormat,
    Visibility,
    plain,
)
from crm_es.values import Money

MOST_CONTACTS: Final = 100
MOST_PARTICIPANTS: Final = 500
REDACTED: Final = "[redacted]"


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """What a form says. UNSET = unchanged, None = cleared."""

    type: InteractionType | UnsetType = UNSET
    direction: Direction | UnsetType | None = UNSET
    subject: str | UnsetType | None = UNSET
    body: str | UnsetType | None = UNSET
    body_format: TextFormat | UnsetType = UNSET
    occurred_at: datetime | UnsetType = UNSET
    duration_seconds: int | UnsetType | None = UNSET
    amount: Money | UnsetType | None = UNSET
    quantity: Decimal | UnsetType | None = UNSET
    company_id: MaybeId = UNSET
    deal_id: MaybeId = UNSET
    ticket_id: MaybeId = UNSET
    visibility: Visibility | UnsetType = UNSET
    add_contact_ids: Sequence[UUID] = ()
    remove_contact_ids: Sequence[UUID] = ()


def record(
    *,
    type: InteractionType,
    occurred_at: datetime,
    direction: Direction | None = None,
    channel: str | None = None,
    external_id: str | None = None,
    subject: str | None = None,
    body: str | None = None,
    body_format: TextFormat = TextFormat.PLAIN,
    duration_seconds: int | None = None,
    amount: Money | None = None,
    quantity: Decimal | None = None,
    contact_ids: Sequence[UUID] = (),
    participants: Sequence[Participant] = (),
    company_id: UUID | None = None,
    deal_id: UUID | None = None,
    ticket_id: UUID | None = None,
    member_id: UUID | None = None,
    visibility: Visibility | None = None,
    internal: bool = False,
    by_api_key: bool = False,
) -> list[InteractionEvent]:
    """Visibility is SHARED unless said otherwise; an email that a program brings is PRIVATE.

    Raises: InvalidInputError `interaction.channel_missing`, `interaction.negative_duration`, `interaction.too_many_…`.
    """
    if external_id is not None and channel is None:
        message = "An externalId is unique in its channel: name the channel."
        raise InvalidInputError(message, rule="interaction.channel_missing", field=("channel",))
    _check(duration_seconds, contact_ids, participants)
    mail = by_api_key and type is InteractionType.EMAIL
    return [
        InteractionRecorded(
            type=type,
            direction=direction or UNSET,
            channel=channel or UNSET,
            external_id=external_id or UNSET,
            subject=subject or UNSET,
            body=body or UNSET,
            body_format=body_format,
            occurred_at=occurred_at,
            duration_seconds=UNSET if duration_seconds is None else duration_seconds,
            amount=amount or UNSET,
            quantity=UNSET if quantity is None else quantity,
            contact_ids=tuple(dict.fromkeys(contact_ids)),
            participants=tuple(participants) or UNSET,
            company_id=company_id or UNSET,
            deal_id=deal_id or UNSET,
            ticket_id=ticket_id or UNSET,
            member_id=member_id or UNSET,
            visibility=visibility or (Visibility.PRIVATE if mail else Visibility.SHARED),
            internal=internal,
        )
    ]


def correct(interaction: Interaction, correction: Correction) -> list[InteractionEvent]:
    """The events that make it as the form says; none where it is so already.

    Raises: ErasedError; RuleViolatedError `interaction.retracted`, `interaction.redacted` (its text stays as it is).
    """
    check_writable(interaction)
    asked = values_set(correction, CORRECTABLE)
    changed = {name: value for name, value in asked.items() if value != getattr(interaction, name)}
    if interaction.redacted and changed.keys() & {"subject", "body"}:
        raise RuleViolatedError(
            "This text was redacted and stays so.", rule="interaction.redacted", field=("set", "body")
        )
    left = tuple(one for one in interaction.contact_ids if one in correction.remove_contact_ids)
    stay = [one for one in interaction.contact_ids if one not in left]
    joined = tuple(dict.fromkeys(one for one in correction.add_contact_ids if one not in stay))
    _check(changed.get("duration_seconds"), [*stay, *joined], ())
    events: list[InteractionEvent] = [InteractionCorrected(**changed)] if changed else []
    events += [InteractionUnlinked(contact_ids=left)] if left else []
    return events + ([InteractionLinked(contact_ids=joined)] if joined else [])


def redact(interaction: Interaction, passages: Sequence[str] | None) -> list[InteractionEvent]:
    """Cut passages out of subject and body, or the whole body; what remains is said again, for the old key is destroyed.

    Raises: InvalidInputError `interaction.passage_not_found`; as `correct`.
    """
    check_writable(interaction)
    subject, body = plain(interaction.subject), plain(interaction.body)
    if passages is None:
        body = None
    else:
        _check_passages(f"{subject or ''}\n{body or ''}", passages)
        subject, body = _without(subject, passages), _without(body, passages)
    return [
        InteractionRedacted(
            external_id=interaction.external_id or UNSET,
            subject=subject or UNSET,
            body=body or UNSET,
            participants=interaction.participants or UNSET,
        )
    ]


def retract(interaction: Interaction) -> list[InteractionEvent]:
    """Nothing where it is retracted already: reverting an import twice is reverting it once."""
    return [] if interaction.retracted else [InteractionRetracted()]


def check_writable(interaction: Interaction) -> None:
    """Raises: ErasedError, RuleViolatedError `interaction.retracted`."""
    if interaction.erased:
        raise ErasedError("Everybody this interaction was about has been erased; nothing can be written to it.")
    if interaction.retracted:
        message = "This interaction was retracted with the import that brought it."
        raise RuleViolatedError(message, rule="interaction.retracted")


def _check(duration: int | None, contacts: Sequence[UUID], participants: Sequence[Participant]) -> None:
    if duration is not None and duration < 0:
        message = "A duration is 0 or more seconds."
        raise InvalidInputError(message, rule="interaction.negative_duration", field=("durationSeconds",))
    for field, named, most in (
        ("contactIds", contacts, MOST_CONTACTS),
        ("participants", participants, MOST_PARTICIPANTS),
    ):
        if len(named) > most:
            message = f"An interaction has at most {most} {field}."
            raise InvalidInputError(message, rule=f"interaction.too_many_{field.lower()}", field=(field,))


def _check_passages(text: str, passages: Sequence[str]) -> None:
    for index, passage in enumerate(passages):
        if not passage.strip() or passage not in text:
            message = "This passage is not in the text: copy it exactly, white space included."
            raise InvalidInputError(message, rule="interaction.passage_not_found", field=("passages", str(index)))


def _without(text: str | None, passages: Sequence[str]) -> str | None:
    """Every occurrence of every passage, where they overlap too; what touches becomes one mark."""
    if not text:
        return text
    cut = [False] * len(text)
    for passage in passages:
        start = text.find(passage)
        while start >= 0:
            cut[start : start + len(passage)] = [True] * len(passage)
            start = text.find(passage, start + 1)
    runs = groupby(zip(cut, text, strict=True), key=itemgetter(0))
    return "".join(REDACTED if gone else "".join(letter for _, letter in run) for gone, run in runs)
