"""An interaction: a call, email, meeting, note or purchase, recorded once on the timeline of those who took part.

Its content is sealed with a key of its own, wrapped for each linked contact. What was said does not change; it can be
corrected, redacted, or retracted when the import that brought it is reverted.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Final, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.eventstore.aggregate import Aggregate, Ref
from crm_es.eventstore.event import ERASED, Erased, Reservation, changed_fields, changes, pii, values_set
from crm_es.values import Money, joint_key, money_answer


class InteractionType(StrEnum):
    CALL = "CALL"
    EMAIL = "EMAIL"
    MEETING = "MEETING"
    NOTE = "NOTE"
    CHAT = "CHAT"
    SMS = "SMS"
    SOCIAL_MESSAGE = "SOCIAL_MESSAGE"
    WEB_VISIT = "WEB_VISIT"
    FORM = "FORM"
    PURCHASE = "PURCHASE"
    SURVEY = "SURVEY"
    CHECK_IN = "CHECK_IN"
    OTHER = "OTHER"


class Direction(StrEnum):
    INBOUND = "INBOUND"
    OUTBOUND = "OUTBOUND"
    INTERNAL = "INTERNAL"


class Visibility(StrEnum):
    PRIVATE = "PRIVATE"
    TEAM = "TEAM"
    SHARED = "SHARED"


class TextFormat(StrEnum):
    PLAIN = "PLAIN"
    MARKDOWN = "MARKDOWN"
    HTML = "HTML"


class ParticipantPart(StrEnum):
    FROM = "FROM"
    TO = "TO"
    CC = "CC"
    BCC = "BCC"
    ATTENDEE = "ATTENDEE"
    CALLER = "CALLER"
    CALLEE = "CALLEE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Participant:
    """Who took part and by which address; a contact, a member, or only an address."""

    part: ParticipantPart
    contact_id: UUID | None = None
    member_id: UUID | None = None
    address: str | None = None


PersonalText = str | None | Erased | UnsetType
Participants = tuple[Participant, ...] | Erased | UnsetType
MaybeId = UUID | None | UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class InteractionRecorded:
    """`occurred_at` repeats the envelope's, so that a correction can change it."""

    TOPIC: ClassVar[str] = "interaction.recorded"
    type: InteractionType
    direction: Direction | UnsetType | None = UNSET
    channel: str | UnsetType | None = UNSET
    external_id: PersonalText = pii(default=UNSET)
    subject: PersonalText = pii(default=UNSET)
    body: PersonalText = pii(default=UNSET)
    body_format: TextFormat = TextFormat.PLAIN
    occurred_at: datetime
    duration_seconds: int | UnsetType | None = UNSET
    amount: Money | UnsetType | None = UNSET
    quantity: Decimal | UnsetType | None = UNSET
    contact_ids: tuple[UUID, ...] = changes("contacts", default=())
    participants: Participants = pii(default=UNSET)
    company_id: MaybeId = changes("company", default=UNSET)
    deal_id: MaybeId = changes("deal", default=UNSET)
    ticket_id: MaybeId = changes("ticket", default=UNSET)
    member_id: MaybeId = changes("member", default=UNSET)
    visibility: Visibility
    internal: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class InteractionCorrected:
    TOPIC: ClassVar[str] = "interaction.corrected"
    type: InteractionType | UnsetType = UNSET
    direction: Direction | UnsetType | None = UNSET
    subject: PersonalText = pii(default=UNSET)
    body: PersonalText = pii(default=UNSET)
    body_format: TextFormat | UnsetType = UNSET
    occurred_at: datetime | UnsetType = UNSET
    duration_seconds: int | UnsetType | None = UNSET
    amount: Money | UnsetType | None = UNSET
    quantity: Decimal | UnsetType | None = UNSET
    company_id: MaybeId = changes("company", default=UNSET)
    deal_id: MaybeId = changes("deal", default=UNSET)
    ticket_id: MaybeId = changes("ticket", default=UNSET)
    visibility: Visibility | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class InteractionLinked:
    """More contacts took part; the content key is wrapped for them too."""

    TOPIC: ClassVar[str] = "interaction.linked"
    contact_ids: tuple[UUID, ...] = changes("contacts")


@dataclass(frozen=True, kw_only=True, slots=True)
class InteractionUnlinked:
    """These contacts did not take part after all."""

    TOPIC: ClassVar[str] = "interaction.unlinked"
    contact_ids: tuple[UUID, ...] = changes("contacts")


@dataclass(frozen=True, kw_only=True, slots=True)
class InteractionRedacted:
    """All that remains of the personal content, sealed under a new key; the store destroys the old one.

    `NEW_KEY` tells the store so. What was cut out is stored nowhere. The past is frozen with it: every `asOf` shows the subject,
    text, participants and external id that remain now, and earlier wordings that a correction had replaced are gone too.
    """

    TOPIC: ClassVar[str] = "interaction.redacted"
    NEW_KEY: ClassVar[bool] = True
    FIELDS: ClassVar[tuple[str, ...]] = ("subject", "body", "redactedAt")
    external_id: PersonalText = pii(default=UNSET)
    subject: PersonalText = pii(default=UNSET)
    body: PersonalText = pii(default=UNSET)
    participants: Participants = pii(default=UNSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class InteractionRetracted:
    """The import that recorded it was reverted: gone from lists, counts and sums, its external id free again."""

    TOPIC: ClassVar[str] = "interaction.retracted"
    FIELDS: ClassVar[tuple[str, ...]] = ()


InteractionEvent = (
    InteractionRecorded
    | InteractionCorrected
    | InteractionLinked
    | InteractionUnlinked
    | InteractionRedacted
    | InteractionRetracted
)


_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Interaction:
    type: InteractionType = InteractionType.OTHER
    direction: Direction | None = None
    channel: str | None = None
    external_id: str | Erased | None = None
    subject: str | Erased | None = None
    body: str | Erased | None = None
    body_format: TextFormat = TextFormat.PLAIN
    occurred_at: datetime = _NEVER
    duration_seconds: int | None = None
    amount: Money | None = None
    quantity: Decimal | None = None
    contact_ids: tuple[UUID, ...] = ()
    participants: tuple[Participant, ...] | Erased = ()
    company_id: UUID | None = None
    deal_id: UUID | None = None
    ticket_id: UUID | None = None
    member_id: UUID | None = None
    visibility: Visibility = Visibility.SHARED
    internal: bool = False
    redacted: bool = False
    retracted: bool = False

    @property
    def erased(self) -> bool:
        return ERASED in (self.external_id, self.subject, self.body, self.participants)


_CONTENT: Final = ("external_id", "subject", "body", "participants")
CORRECTABLE: Final = (
    "type", "direction", "subject", "body", "body_format", "occurred_at", "duration_seconds", "amount", "quantity",
    "company_id", "deal_id", "ticket_id", "visibility",
)  # fmt: skip
_RECORDED: Final = (*CORRECTABLE, "channel", "external_id", "contact_ids", "participants", "member_id", "internal")


def evolve(interaction: Interaction | None, event: InteractionEvent) -> Interaction:
    """The state after one more event. Never raises on stored history, erased or not."""
    was = interaction or Interaction()
    match event:
        case InteractionRecorded():
            said = values_set(event, _RECORDED)
            return Interaction(**said) if interaction is None else replace(interaction, **said)  # thousands an import
        case InteractionCorrected():
            return replace(was, **values_set(event, CORRECTABLE))
        case InteractionLinked(contact_ids=contacts):
            return replace(was, contact_ids=tuple(dict.fromkeys((*was.contact_ids, *contacts))))
        case InteractionUnlinked(contact_ids=contacts):
            return replace(was, contact_ids=tuple(one for one in was.contact_ids if one not in contacts))
        case InteractionRedacted():
            nothing: dict[str, Any] = {"external_id": None, "subject": None, "body": None, "participants": ()}
            return replace(was, **(nothing | values_set(event, _CONTENT)), redacted=True)
        case InteractionRetracted():
            return replace(was, retracted=True)
        case _:
            assert_never(event)


def plain(value: str | Erased | None) -> str | None:
    return None if isinstance(value, Erased) else value


def _reservations(stream: UUID, interaction: Interaction) -> frozenset[Reservation]:
    external_id = plain(interaction.external_id)
    if interaction.retracted or not interaction.channel or not external_id:
        return frozenset()
    key = joint_key(interaction.channel, external_id)
    return frozenset({Reservation(kind="interaction", value=key, holder=stream)})


def _subjects(stream: UUID, interaction: Interaction) -> tuple[UUID, ...]:  # noqa: ARG001  # it belongs to those it is about
    return interaction.contact_ids


def _fields(interaction: Interaction) -> Mapping[str, object]:
    participants = None if isinstance(interaction.participants, Erased) else interaction.participants
    return {
        "type": interaction.type.value,
        "direction": interaction.direction.value if interaction.direction else None,
        "channel": interaction.channel,
        "externalId": plain(interaction.external_id),
        "subject": plain(interaction.subject),
        "body": plain(interaction.body),
        "bodyFormat": interaction.body_format.value,
        "occurredAt": interaction.occurred_at.isoformat().replace("+00:00", "Z"),
        "durationSeconds": interaction.duration_seconds,
        "amount": money_answer(interaction.amount),
        "quantity": None if interaction.quantity is None else str(interaction.quantity),
        "contacts": [Ref(type="Contact", id=one) for one in interaction.contact_ids],
        "participants": None if participants is None else [_participant(one) for one in participants],
        "company": _ref("Company", interaction.company_id),
        "deal": _ref("Deal", interaction.deal_id),
        "ticket": _ref("Ticket", interaction.ticket_id),
        "member": _ref("Member", interaction.member_id),
        "visibility": interaction.visibility.value,
        "internal": interaction.internal,
    }


def _participant(one: Participant) -> dict[str, object]:
    contact, member = _ref("Contact", one.contact_id), _ref("Member", one.member_id)
    return {"part": one.part.value, "contact": contact, "member": member, "address": one.address}


def _ref(type: str, id: UUID | None) -> Ref | None:
    return Ref(type=type, id=id) if id else None


def _touches(event: InteractionEvent) -> Iterable[tuple[str, str | None]]:
    match event:
        case InteractionLinked(contact_ids=contacts) | InteractionUnlinked(contact_ids=contacts):
            return [("contacts", str(contact)) for contact in contacts]
        case _:
            return [(name, None) for name in changed_fields(event)]


INTERACTION: Aggregate[Interaction, InteractionEvent] = Aggregate(
    name="interaction",
    events=get_args(InteractionEvent),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    moments={"redactedAt": lambda interaction: interaction.redacted},
    derived={"preview": frozenset({"body"})},
    touches=_touches,
    subjects=_subjects,
)
