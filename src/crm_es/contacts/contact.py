"""A contact: a person we deal with. Here are its state, how events change it, and the decisions about its standing.

Decisions are pure: they take the state and parsed values, and return events or raise. The events are in
`contact_events.py`, the form with all its fields in `editing.py`, merges in `merging.py` and `unmerging.py`, what the store
asks in `contact_aggregate.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import reduce
from typing import Any, Final, Generic, TypeVar, assert_never
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.contacts.contact_events import (
    ContactAbsorbed,
    ContactArchived,
    ContactCompanyChanged,
    ContactEmailAdded,
    ContactEmailChanged,
    ContactEmailRemoved,
    ContactEvent,
    ContactExternalIdAdded,
    ContactExternalIdRemoved,
    ContactIdentityAdded,
    ContactIdentityRemoved,
    ContactLifecycleStageChanged,
    ContactMarkedNotDuplicate,
    ContactMerged,
    ContactOwnerChanged,
    ContactPhoneAdded,
    ContactPhoneChanged,
    ContactPhoneRemoved,
    ContactRegistered,
    ContactReleased,
    ContactRestored,
    ContactTagged,
    ContactUnmerged,
    ContactUntagged,
    ContactUpdated,
    Email,
    FieldSubject,
    Identity,
    Item,
    LifecycleStage,
    Phone,
    numbered,
)
from crm_es.errors import ErasedError, InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import ERASED, Erased, values_set
from crm_es.values import ExternalId, PostalAddress

V = TypeVar("V")
STAGES: Final = tuple(LifecycleStage)
_PLAIN: Final = ("display_name", "given_name", "family_name", "job_title", "addresses", "source")
PERSONAL: Final = ("display_name", "given_name", "family_name", "job_title", "addresses")
_NAMES: Final = ("display_name", "given_name", "family_name")
_LINKS: Final = ("lifecycle_stage", "company_id", "owner_id")


class ContactStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ARCHIVED = "ARCHIVED"
    MERGED = "MERGED"
    ERASED = "ERASED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Held(Generic[V]):
    """An item the contact has; `ERASED` once the key of its stream is gone."""

    item: Item
    value: V | Erased

    @property
    def known(self) -> V | None:
        return None if isinstance(self.value, Erased) else self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Contact:
    """What is so after some events. `last_number` is the newest item number the stream has given out.

    `absorbed` are the merges that stand, oldest first: the absorbed id, and all ids that came with it. `subjects` are those of
    its own values, by field, that are about one of these.
    """

    archived: bool = False
    merged_into: UUID | None = None
    display_name: str | Erased | None = None
    given_name: str | Erased | None = None
    family_name: str | Erased | None = None
    job_title: str | Erased | None = None
    addresses: tuple[PostalAddress, ...] | Erased = ()
    source: str | None = None
    emails: tuple[Held[Email], ...] = ()
    primary_email: Item | None = None
    phones: tuple[Held[Phone], ...] = ()
    primary_phone: Item | None = None
    identities: tuple[Held[Identity], ...] = ()
    external_ids: tuple[Held[ExternalId], ...] = ()
    last_number: int = 0
    lifecycle_stage: LifecycleStage = LifecycleStage.SUBSCRIBER
    company_id: UUID | None = None
    owner_id: UUID | None = None
    tags: tuple[str, ...] = ()
    absorbed: tuple[tuple[UUID, tuple[UUID, ...]], ...] = ()
    subjects: frozenset[FieldSubject] = frozenset()
    not_duplicates: frozenset[UUID] = frozenset()

    @property
    def status(self) -> ContactStatus:
        if ERASED in (self.display_name, self.given_name, self.family_name) and self._own_name_erased():
            return ContactStatus.ERASED
        if self.merged_into:
            return ContactStatus.MERGED
        return ContactStatus.ARCHIVED if self.archived else ContactStatus.ACTIVE

    def subject_of(self, field: str) -> UUID | None:
        """Whom a value is about, where that is an absorbed contact."""
        return next((one.subject for one in self.subjects if one.field == field), None)

    def _own_name_erased(self) -> bool:
        return any(getattr(self, name) is ERASED and self.subject_of(name) is None for name in _NAMES)

    @property
    def absorbed_ids(self) -> tuple[UUID, ...]:
        """Every id that means this contact, beside its own."""
        return tuple(one for _, ids in self.absorbed for one in ids)

    @property
    def name(self) -> str | None:
        """What to call the contact: as was said, or made of its names."""
        if isinstance(self.display_name, str):
            return self.display_name
        return " ".join(name for name in (self.given_name, self.family_name) if isinstance(name, str)) or None


# How events change it


def evolve(contact: Contact | None, event: ContactEvent) -> Contact:  # noqa: C901, PLR0911, PLR0912  # one match per fold
    """The state after one more event. Never raises on stored history, erased or not."""
    was = contact or Contact()
    match event:
        case ContactRegistered() | ContactMerged():
            return _taken_in(was, event)
        case ContactUpdated():
            return replace(was, **values_set(event, _PLAIN), subjects=_subjects(was, event))
        case ContactEmailAdded(item=item, email=email):
            now = replace(was, emails=(*was.emails, Held(item=item, value=email)), last_number=_newest(was, [item]))
            return replace(now, primary_email=item) if event.primary else now
        case ContactEmailChanged(item=item, email=email):
            now = was if email is UNSET else replace(was, emails=_changed(was.emails, item, email))
            return replace(now, primary_email=item) if event.primary is True else now
        case ContactEmailRemoved(item=item, promoted=promoted):
            primary = _primary_without(was.primary_email, item, promoted)
            return replace(was, emails=_without(was.emails, item), primary_email=primary)
        case ContactPhoneAdded(item=item, phone=phone):
            now = replace(was, phones=(*was.phones, Held(item=item, value=phone)), last_number=_newest(was, [item]))
            return replace(now, primary_phone=item) if event.primary else now
        case ContactPhoneChanged(item=item, phone=phone):
            now = was if phone is UNSET else replace(was, phones=_changed(was.phones, item, phone))
            return replace(now, primary_phone=item) if event.primary is True else now
        case ContactPhoneRemoved(item=item, promoted=promoted):
            primary = _primary_without(was.primary_phone, item, promoted)
            return replace(was, phones=_without(was.phones, item), primary_phone=primary)
        case ContactIdentityAdded(item=item, identity=identity):
            held = Held(item=item, value=identity)
            return replace(was, identities=(*was.identities, held), last_number=_newest(was, [item]))
        case ContactIdentityRemoved(item=item):
            return replace(was, identities=_without(was.identities, item))
        case ContactExternalIdAdded(item=item, external_id=external_id):
            known = Held(item=item, value=external_id)
            return replace(was, external_ids=(*was.external_ids, known), last_number=_newest(was, [item]))
        case ContactExternalIdRemoved(item=item):
            return replace(was, external_ids=_without(was.external_ids, item))
        case ContactOwnerChanged() | ContactCompanyChanged() | ContactLifecycleStageChanged():
            return replace(was, **values_set(event, _LINKS))
        case ContactTagged(tags=tags):
            return replace(was, tags=tuple(dict.fromkeys((*was.tags, *tags))))
        case ContactUntagged(tags=tags):
            return replace(was, tags=tuple(tag for tag in was.tags if tag not in tags))
        case ContactArchived():
            return replace(was, archived=True)
        case ContactRestored():
            return replace(was, archived=False)
        case ContactMarkedNotDuplicate(other_id=other):
            return replace(was, not_duplicates=was.not_duplicates | {other})
        case ContactAbsorbed(survivor_id=survivor):
            return replace(was, merged_into=survivor)
        case ContactReleased():
            return _let_go(was, event)
        case ContactUnmerged():
            return replace(was, merged_into=None)
        case _:
            assert_never(event)


def fold(contact: Contact | None, events: Iterable[ContactEvent]) -> Contact:
    return reduce(evolve, events, contact or Contact())


def _held(items: Iterable[tuple[Item, V | Erased]]) -> tuple[Held[V], ...]:
    return tuple(Held(item=item, value=value) for item, value in items)


def _newest(contact: Contact, items: Iterable[Item]) -> int:
    return max((contact.last_number, *(item.number for item in items if item.holder is None)))


def _changed(held: tuple[Held[V], ...], item: Item, value: Any) -> tuple[Held[V], ...]:
    return tuple(Held(item=item, value=value) if one.item == item else one for one in held)


def _without(held: tuple[Held[V], ...], item: Item) -> tuple[Held[V], ...]:
    return tuple(one for one in held if one.item != item)


def _primary_without(primary: Item | None, removed: Item, promoted: Item | UnsetType | None) -> Item | None:
    if not isinstance(promoted, UnsetType):
        return promoted
    return None if primary == removed else primary


def _taken_in(was: Contact, event: ContactRegistered | ContactMerged) -> Contact:
    emails, phones = numbered(event.email_items, event.emails), numbered(event.phone_items, event.phones)
    identities = numbered(event.identity_items, event.identities)
    external_ids = numbered(event.external_id_items, event.external_ids)
    merge = ((event.absorbed_id, event.absorbed_ids),) if isinstance(event, ContactMerged) else ()
    return replace(
        was,
        **values_set(event, (*_PLAIN, *_LINKS, "primary_email", "primary_phone")),
        subjects=_subjects(was, event) if isinstance(event, ContactMerged) else was.subjects,
        emails=was.emails + _held(emails),
        phones=was.phones + _held(phones),
        identities=was.identities + _held(identities),
        external_ids=was.external_ids + _held(external_ids),
        last_number=_newest(was, [item for item, _ in (*emails, *phones, *identities, *external_ids)]),
        tags=was.tags if isinstance(event.tags, UnsetType) else tuple(dict.fromkeys((*was.tags, *event.tags))),
        absorbed=was.absorbed + merge,
    )


def _subjects(was: Contact, event: ContactUpdated | ContactMerged) -> frozenset[FieldSubject]:
    if not was.subjects and isinstance(event, ContactUpdated) and event.subjects is UNSET:
        return was.subjects
    changed = values_set(event, PERSONAL)
    said = ((name, event.subject_of(name)) for name in changed)
    kept = (one for one in was.subjects if one.field not in changed)
    return frozenset([*kept, *(FieldSubject(field=name, subject=subject) for name, subject in said if subject)])


def _let_go(was: Contact, event: ContactReleased) -> Contact:
    def stays(item: Item) -> bool:
        return item.holder not in event.absorbed_ids

    def marked(item: Item | None, heir: Item | UnsetType | None) -> Item | None:
        return item if item is None or stays(item) else heir or None

    return replace(
        was,
        emails=tuple(one for one in was.emails if stays(one.item)),
        primary_email=marked(was.primary_email, event.primary_email),
        phones=tuple(one for one in was.phones if stays(one.item)),
        primary_phone=marked(was.primary_phone, event.primary_phone),
        identities=tuple(one for one in was.identities if stays(one.item)),
        external_ids=tuple(one for one in was.external_ids if stays(one.item)),
        absorbed=tuple(merge for merge in was.absorbed if merge[0] != event.absorbed_id),
    )


# What may be decided


def check_writable(contact: Contact) -> None:
    """Raises: ErasedError, RuleViolatedError `contact.merged`, `contact.archived`."""
    match contact.status:
        case ContactStatus.ERASED:
            raise ErasedError("This contact was erased; nothing can be written to it.")
        case ContactStatus.MERGED:
            raise RuleViolatedError("This contact was merged into another one: write to that.", rule="contact.merged")
        case ContactStatus.ARCHIVED:
            raise RuleViolatedError("This contact is archived: restore it first.", rule="contact.archived")
        case ContactStatus.ACTIVE:
            return


def archive(contact: Contact) -> list[ContactEvent]:
    check_writable(contact)
    return [ContactArchived()]


def restore(contact: Contact) -> list[ContactEvent]:
    """Takes its unique values again; the store refuses when another contact has one of them by now."""
    if contact.status is not ContactStatus.ARCHIVED:
        check_writable(contact)
        raise RuleViolatedError("This contact is not archived.", rule="contact.not_archived")
    return [ContactRestored()]


def mark_not_duplicate(contact: Contact, *, id: UUID, other_id: UUID) -> list[ContactEvent]:
    """One half: the other contact's stream takes the same event with the ids exchanged."""
    check_writable(contact)
    if other_id == id:
        raise InvalidInputError("Name two contacts.", rule="contact.same", field=("otherId",))
    return [] if other_id in contact.not_duplicates else [ContactMarkedNotDuplicate(other_id=other_id)]


def change_owner(contact: Contact, owner_id: UUID | None) -> list[ContactEvent]:
    check_writable(contact)
    return [] if owner_id == contact.owner_id else [ContactOwnerChanged(owner_id=owner_id)]


def change_company(contact: Contact, company_id: UUID | None) -> list[ContactEvent]:
    check_writable(contact)
    return [] if company_id == contact.company_id else [ContactCompanyChanged(company_id=company_id)]


def change_lifecycle_stage(contact: Contact, stage: LifecycleStage, *, reason: str | None) -> list[ContactEvent]:
    """Raises: RuleViolatedError `contact.stage_needs_reason` on the way back."""
    check_writable(contact)
    if stage is contact.lifecycle_stage:
        return []
    if STAGES.index(stage) < STAGES.index(contact.lifecycle_stage) and not reason:
        raise RuleViolatedError(
            f"Going back from {contact.lifecycle_stage} to {stage} needs a reason.",
            rule="contact.stage_needs_reason",
            field=("reason",),
        )
    return [ContactLifecycleStageChanged(lifecycle_stage=stage)]
