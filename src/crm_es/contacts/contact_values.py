"""The values that a contact's events hold beside plain text."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from msgspec import UnsetType


class LifecycleStage(StrEnum):
    """How far a contact has come, in order. Going back needs a reason."""

    SUBSCRIBER = "SUBSCRIBER"
    LEAD = "LEAD"
    MARKETING_QUALIFIED = "MARKETING_QUALIFIED"
    SALES_QUALIFIED = "SALES_QUALIFIED"
    OPPORTUNITY = "OPPORTUNITY"
    CUSTOMER = "CUSTOMER"
    EVANGELIST = "EVANGELIST"
    FORMER = "FORMER"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """Which email, phone, identity or external id: its number, and the absorbed contact whose stream took it.

    `holder` is None for the stream's own. Numbers count from 1 per stream, over all four kinds, and are never used again.
    `subject` is whom it is about where that is not the holder: an absorbed contact, whose id it was said of after the merge.
    """

    number: int
    holder: UUID | None = None
    subject: UUID | None = None

    @property
    def person(self) -> UUID | None:
        """Whose key seals it; None: the stream's own."""
        return self.subject or self.holder


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldSubject:
    """Whom the value of a field is about, by the contact's id."""

    field: str
    subject: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Email:
    """An address as given; it is compared by `EmailAddress.key`."""

    address: str
    label: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Phone:
    """A number in E.164."""

    number: str
    label: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who the contact is on a channel: ("whatsapp", "4915112345")."""

    channel: str
    external_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Original:
    """The fact that an unmerge handed on: where it stands, and the absorbed id it had been addressed to."""

    stream: UUID
    version: int
    via: UUID | None = None


Subjects = tuple[FieldSubject, ...] | UnsetType


def subject_in(subjects: Subjects, field: str) -> UUID | None:
    """Whom a field's value is about, where that is said."""
    if isinstance(subjects, UnsetType):
        return None
    return next((one.subject for one in subjects if one.field == field), None)
