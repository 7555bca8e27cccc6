"""What can happen to a contact. Its state and decisions are in `contact.py` and `merging.py`.

Emails, phones, identities and external ids are *items*: each has a number in the stream that took it, so that an event
can name one without repeating a personal value, and erased streams still fold to the same items.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.contacts.contact_values import Email as Email  # noqa: PLC0414  # given on
from crm_es.contacts.contact_values import FieldSubject as FieldSubject  # noqa: PLC0414  # given on
from crm_es.contacts.contact_values import Identity as Identity  # noqa: PLC0414  # given on
from crm_es.contacts.contact_values import Item as Item  # noqa: PLC0414  # given on
from crm_es.contacts.contact_values import LifecycleStage as LifecycleStage  # noqa: PLC0414  # given on
from crm_es.contacts.contact_values import Original as Original  # noqa: PLC0414  # given on
from crm_es.contacts.contact_values import Phone as Phone  # noqa: PLC0414  # given on
from crm_es.contacts.contact_values import Subjects, subject_in
from crm_es.eventstore.event import ERASED, Erased, changes, pii
from crm_es.values import ExternalId, PostalAddress

V = TypeVar("V")
PersonalText = str | None | Erased | UnsetType
Emails = tuple[Email, ...] | Erased | UnsetType
Phones = tuple[Phone, ...] | Erased | UnsetType
Identities = tuple[Identity, ...] | Erased | UnsetType
ExternalIds = tuple[ExternalId, ...] | Erased | UnsetType
Addresses = tuple[PostalAddress, ...] | Erased | UnsetType
Items = tuple[Item, ...] | UnsetType
AdoptedEmails = tuple[Email | Erased, ...] | Erased | UnsetType
AdoptedPhones = tuple[Phone | Erased, ...] | Erased | UnsetType
AdoptedIdentities = tuple[Identity | Erased, ...] | Erased | UnsetType
AdoptedExternalIds = tuple[ExternalId | Erased, ...] | Erased | UnsetType
MaybeOriginal = Original | UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactRegistered:
    """`email_items` are those of `emails`, in order, and so on: they stay countable after erasure."""

    TOPIC: ClassVar[str] = "contact.registered"
    display_name: PersonalText = pii(default=UNSET)
    given_name: PersonalText = pii(default=UNSET)
    family_name: PersonalText = pii(default=UNSET)
    job_title: PersonalText = pii(default=UNSET)
    addresses: Addresses = pii(default=UNSET)
    emails: Emails = pii(default=UNSET)
    email_items: Items = changes("emails", default=UNSET)
    primary_email: Item | UnsetType = UNSET
    phones: Phones = pii(default=UNSET)
    phone_items: Items = changes("phones", default=UNSET)
    primary_phone: Item | UnsetType = UNSET
    identities: Identities = pii(default=UNSET)
    identity_items: Items = changes("identities", default=UNSET)
    external_ids: ExternalIds = pii(default=UNSET)
    external_id_items: Items = changes("externalIds", default=UNSET)
    lifecycle_stage: LifecycleStage
    source: str | UnsetType | None = UNSET
    company_id: UUID | UnsetType | None = changes("company", default=UNSET)
    owner_id: UUID | UnsetType | None = changes("owner", default=UNSET)
    tags: tuple[str, ...] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactUpdated:
    """Plain attributes. `addresses` are all of them; `subjects` says which values are about an absorbed contact."""

    TOPIC: ClassVar[str] = "contact.updated"
    display_name: PersonalText = pii(subject="subject_of", default=UNSET)
    given_name: PersonalText = pii(subject="subject_of", default=UNSET)
    family_name: PersonalText = pii(subject="subject_of", default=UNSET)
    job_title: PersonalText = pii(subject="subject_of", default=UNSET)
    addresses: Addresses = pii(subject="subject_of", default=UNSET)
    source: str | UnsetType | None = UNSET
    subjects: Subjects = changes(None, default=UNSET)
    original: MaybeOriginal = changes(None, default=UNSET)

    def subject_of(self, field: str) -> UUID | None:
        return subject_in(self.subjects, field)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactEmailAdded:
    """A primary one takes the mark from the one that had it."""

    TOPIC: ClassVar[str] = "contact.email_added"
    FIELDS: ClassVar[tuple[str, ...]] = ("emails",)
    item: Item
    email: Email | Erased = pii(subject="item")
    primary: bool = changes("primaryEmail")
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactEmailChanged:
    """The email as it reads now. `primary` is only ever set: the mark leaves one email when another takes it."""

    TOPIC: ClassVar[str] = "contact.email_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("emails",)
    item: Item
    email: Email | Erased | UnsetType = pii(subject="item", default=UNSET)
    primary: bool | UnsetType = changes("primaryEmail", default=UNSET)
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactEmailRemoved:
    """`promoted` is the email that is primary from now on, when the removed one was; None: none is left."""

    TOPIC: ClassVar[str] = "contact.email_removed"
    FIELDS: ClassVar[tuple[str, ...]] = ("emails",)
    item: Item
    promoted: Item | UnsetType | None = changes("primaryEmail", default=UNSET)
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactPhoneAdded:
    TOPIC: ClassVar[str] = "contact.phone_added"
    FIELDS: ClassVar[tuple[str, ...]] = ("phones",)
    item: Item
    phone: Phone | Erased = pii(subject="item")
    primary: bool = changes("primaryPhone")
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactPhoneChanged:
    TOPIC: ClassVar[str] = "contact.phone_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("phones",)
    item: Item
    phone: Phone | Erased | UnsetType = pii(subject="item", default=UNSET)
    primary: bool | UnsetType = changes("primaryPhone", default=UNSET)
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactPhoneRemoved:
    TOPIC: ClassVar[str] = "contact.phone_removed"
    FIELDS: ClassVar[tuple[str, ...]] = ("phones",)
    item: Item
    promoted: Item | UnsetType | None = changes("primaryPhone", default=UNSET)
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactIdentityAdded:
    TOPIC: ClassVar[str] = "contact.identity_added"
    FIELDS: ClassVar[tuple[str, ...]] = ("identities",)
    item: Item
    identity: Identity | Erased = pii(subject="item")
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactIdentityRemoved:
    TOPIC: ClassVar[str] = "contact.identity_removed"
    FIELDS: ClassVar[tuple[str, ...]] = ("identities",)
    item: Item
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactExternalIdAdded:
    TOPIC: ClassVar[str] = "contact.external_id_added"
    FIELDS: ClassVar[tuple[str, ...]] = ("externalIds",)
    item: Item
    external_id: ExternalId | Erased = pii(subject="item")
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactExternalIdRemoved:
    TOPIC: ClassVar[str] = "contact.external_id_removed"
    FIELDS: ClassVar[tuple[str, ...]] = ("externalIds",)
    item: Item
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactOwnerChanged:
    TOPIC: ClassVar[str] = "contact.owner_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("owner",)
    owner_id: UUID | None
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactCompanyChanged:
    TOPIC: ClassVar[str] = "contact.company_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("company",)
    company_id: UUID | None
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactLifecycleStageChanged:
    TOPIC: ClassVar[str] = "contact.lifecycle_stage_changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("lifecycleStage",)
    lifecycle_stage: LifecycleStage
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactTagged:
    TOPIC: ClassVar[str] = "contact.tagged"
    FIELDS: ClassVar[tuple[str, ...]] = ("tags",)
    tags: tuple[str, ...]
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactUntagged:
    TOPIC: ClassVar[str] = "contact.untagged"
    FIELDS: ClassVar[tuple[str, ...]] = ("tags",)
    tags: tuple[str, ...]
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactArchived:
    TOPIC: ClassVar[str] = "contact.archived"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "archivedAt")
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactRestored:
    TOPIC: ClassVar[str] = "contact.restored"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "archivedAt")
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactMarkedNotDuplicate:
    """Stands on both contacts' streams, each naming the other."""

    TOPIC: ClassVar[str] = "contact.marked_not_duplicate"
    FIELDS: ClassVar[tuple[str, ...]] = ()
    other_id: UUID
    original: MaybeOriginal = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactMerged:
    """The survivor took in another contact, with these of its values; the items keep their holder and number.

    `absorbed_ids` are the absorbed contact and all it had absorbed itself: every id that means the survivor from now on.
    `primary_email` and `primary_phone` are set when the mark moves to an adopted one. `addresses` are all that stand now,
    `tags` those added. `subjects` says which values are about a contact that the absorbed one had absorbed itself.
    """

    TOPIC: ClassVar[str] = "contact.merged"
    absorbed_id: UUID = changes("absorbed")
    absorbed_version: int = changes(None)
    absorbed_ids: tuple[UUID, ...] = changes("absorbed")
    display_name: PersonalText = pii(subject="subject_of", default=UNSET)
    given_name: PersonalText = pii(subject="subject_of", default=UNSET)
    family_name: PersonalText = pii(subject="subject_of", default=UNSET)
    job_title: PersonalText = pii(subject="subject_of", default=UNSET)
    addresses: Addresses = pii(subject="subject_of", default=UNSET)
    emails: AdoptedEmails = pii(subject="email_items", default=UNSET)
    email_items: Items = changes("emails", default=UNSET)
    primary_email: Item | UnsetType = UNSET
    phones: AdoptedPhones = pii(subject="phone_items", default=UNSET)
    phone_items: Items = changes("phones", default=UNSET)
    primary_phone: Item | UnsetType = UNSET
    identities: AdoptedIdentities = pii(subject="identity_items", default=UNSET)
    identity_items: Items = changes("identities", default=UNSET)
    external_ids: AdoptedExternalIds = pii(subject="external_id_items", default=UNSET)
    external_id_items: Items = changes("externalIds", default=UNSET)
    lifecycle_stage: LifecycleStage | UnsetType = UNSET
    source: str | UnsetType | None = UNSET
    company_id: UUID | UnsetType | None = changes("company", default=UNSET)
    owner_id: UUID | UnsetType | None = changes("owner", default=UNSET)
    tags: tuple[str, ...] | UnsetType = UNSET
    subjects: Subjects = changes(None, default=UNSET)

    def subject_of(self, field: str) -> UUID:
        return subject_in(self.subjects, field) or self.absorbed_id


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactAbsorbed:
    """The absorbed contact's half of a merge: from now on its id means the survivor."""

    TOPIC: ClassVar[str] = "contact.absorbed"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "mergedInto")
    survivor_id: UUID
    survivor_version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactReleased:
    """The survivor's half of an unmerge: every item held by `absorbed_ids` leaves. What else changes back follows as
    ordinary events of the same append. `primary_email` and `primary_phone` are set when the mark leaves with an item: who has
    it from now on; None: none is left."""

    TOPIC: ClassVar[str] = "contact.released"
    FIELDS: ClassVar[tuple[str, ...]] = ("absorbed", "emails", "phones", "identities", "externalIds")
    absorbed_id: UUID
    absorbed_ids: tuple[UUID, ...]
    primary_email: Item | UnsetType | None = changes("primaryEmail", default=UNSET)
    primary_phone: Item | UnsetType | None = changes("primaryPhone", default=UNSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactUnmerged:
    """The absorbed contact is itself again, as it was when absorbed. Its own later events follow, each with its `original`."""

    TOPIC: ClassVar[str] = "contact.unmerged"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "mergedInto")
    survivor_id: UUID


def numbered(items: Items, values: tuple[V | Erased, ...] | Erased | UnsetType) -> list[tuple[Item, V | Erased]]:
    """Items beside their values, in an event that names many; `ERASED` for each where the sealed values are gone."""
    if isinstance(items, UnsetType) or isinstance(values, UnsetType):
        return []
    if isinstance(values, Erased):
        return [(item, ERASED) for item in items]
    return list(zip(items, values, strict=True))


ContactEvent = (
    ContactRegistered
    | ContactUpdated
    | ContactEmailAdded
    | ContactEmailChanged
    | ContactEmailRemoved
    | ContactPhoneAdded
    | ContactPhoneChanged
    | ContactPhoneRemoved
    | ContactIdentityAdded
    | ContactIdentityRemoved
    | ContactExternalIdAdded
    | ContactExternalIdRemoved
    | ContactOwnerChanged
    | ContactCompanyChanged
    | ContactLifecycleStageChanged
    | ContactTagged
    | ContactUntagged
    | ContactArchived
    | ContactRestored
    | ContactMarkedNotDuplicate
    | ContactMerged
    | ContactAbsorbed
    | ContactReleased
    | ContactUnmerged
)
