"""An interaction: a call, email, meeting, note or purchase, recorded once on the timeline of those who took part.

Its content is sealed with a key of its own, wrapped for each linked contact. What was said does not change; it can be
corrected, redacted, or retracted when the import that brought it is reverted.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.eventstore.event import Erased, changes, pii
from crm_es.values import Money


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

    `NEW_KEY` tells the store so. What was cut out is stored nowhere.
    """

    TOPIC: ClassVar[str] = "interaction.redacted"
    NEW_KEY: ClassVar[bool] = True
    FIELDS: ClassVar[tuple[str, ...]] = ("subject", "body", "preview", "redactedAt")
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
