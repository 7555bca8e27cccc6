"""Registering and editing a contact: one form, many small decisions, each on the state the one before left.

Removing what is not there, or setting what is so already, is no event.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.contacts.contact import (
    Contact,
    Held,
    change_company,
    change_lifecycle_stage,
    change_owner,
    check_writable,
    fold,
)
from crm_es.contacts.contact_events import (
    ContactEmailAdded,
    ContactEmailChanged,
    ContactEmailRemoved,
    ContactEvent,
    ContactExternalIdAdded,
    ContactExternalIdRemoved,
    ContactIdentityAdded,
    ContactIdentityRemoved,
    ContactPhoneAdded,
    ContactPhoneChanged,
    ContactPhoneRemoved,
    ContactRegistered,
    ContactTagged,
    ContactUntagged,
    ContactUpdated,
    Email,
    Identity,
    Item,
    LifecycleStage,
    Phone,
)
from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.values import EmailAddress, ExternalId, PhoneNumber, PostalAddress, Tag, email_key

V = TypeVar("V")
MOST_ITEMS: Final = 100
MOST_ADDRESSES: Final = 20
MOST_TAGS: Final = 500
ATTRIBUTES: Final = ("display_name", "given_name", "family_name", "job_title", "source", "addresses")


@dataclass(frozen=True, kw_only=True, slots=True)
class EmailEntry:
    """An email to add, or to change where the address is there already: a label left UNSET stays."""

    address: EmailAddress
    label: str | UnsetType | None = UNSET
    primary: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class PhoneEntry:
    """A phone to add or to change, as `EmailEntry`."""

    number: PhoneNumber
    label: str | UnsetType | None = UNSET
    primary: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ContactEdit:
    """What a form says. UNSET = unchanged, None = cleared; `addresses` are all of them."""

    display_name: str | UnsetType | None = UNSET
    given_name: str | UnsetType | None = UNSET
    family_name: str | UnsetType | None = UNSET
    job_title: str | UnsetType | None = UNSET
    source: str | UnsetType | None = UNSET
    addresses: tuple[PostalAddress, ...] | UnsetType = UNSET
    company_id: UUID | UnsetType | None = UNSET
    owner_id: UUID | UnsetType | None = UNSET
    lifecycle_stage: LifecycleStage | UnsetType = UNSET
    remove_emails: Sequence[EmailAddress] = ()
    add_emails: Sequence[EmailEntry] = ()
    remove_phones: Sequence[PhoneNumber] = ()
    add_phones: Sequence[PhoneEntry] = ()
    remove_identities: Sequence[Identity] = ()
    add_identities: Sequence[Identity] = ()
    remove_external_ids: Sequence[ExternalId] = ()
    add_external_ids: Sequence[ExternalId] = ()
    remove_tags: Sequence[Tag] = ()
    add_tags: Sequence[Tag] = ()


def register(form: ContactEdit) -> list[ContactEvent]:
    """One event for all of it. Raises: InvalidInputError `contact.nameless` and as `update`."""
    made, _ = _edited(Contact(), form, reason="new")
    return [
        ContactRegistered(
            display_name=made.display_name or UNSET,
            given_name=made.given_name or UNSET,
            family_name=made.family_name or UNSET,
            job_title=made.job_title or UNSET,
            addresses=made.addresses or UNSET,
            **_items("email", "emails", made.emails, made.primary_email),
            **_items("phone", "phones", made.phones, made.primary_phone),
            **_items("identity", "identities", made.identities),
            **_items("external_id", "external_ids", made.external_ids),
            lifecycle_stage=made.lifecycle_stage,
            source=made.source or UNSET,
            company_id=made.company_id or UNSET,
            owner_id=made.owner_id or UNSET,
            tags=made.tags or UNSET,
        )
    ]


def update(contact: Contact, form: ContactEdit, *, reason: str | None = None) -> list[ContactEvent]:
    """The events that make the contact as the form says; none where it is so already.

    Raises: ErasedError; RuleViolatedError `contact.archived`, `contact.merged`, `contact.stage_needs_reason`,
    `contact.too_many_…`; InvalidInputError `contact.nameless`, `contact.two_primaries`.
    """
    check_writable(contact)
    return _edited(contact, form, reason=reason)[1]


def _edited(contact: Contact, form: ContactEdit, *, reason: str | None) -> tuple[Contact, list[ContactEvent]]:
    """What the contact is then, and by which events."""
    _check_primaries(form)
    state, events = contact, list[ContactEvent]()

    def then(decision: Callable[..., list[ContactEvent]], *arguments: Any, **named: Any) -> None:
        nonlocal state
        decided = decision(state, *arguments, **named)
        state = fold(state, decided)
        events.extend(decided)

    then(_change_attributes, form)
    if not isinstance(form.company_id, UnsetType):
        then(change_company, form.company_id)
    if not isinstance(form.owner_id, UnsetType):
        then(change_owner, form.owner_id)
    if not isinstance(form.lifecycle_stage, UnsetType):
        then(change_lifecycle_stage, form.lifecycle_stage, reason=reason)
    for name, decision in _LISTS:
        for value in getattr(form, name):
            then(decision, value)
    then(_untag, form.remove_tags)
    then(_tag, form.add_tags)
    if state.name is None:
        raise InvalidInputError("A contact needs one name at least.", rule="contact.nameless", field=("displayName",))
    return state, events


def _check_primaries(form: ContactEdit) -> None:
    for name, entries in (("emails", form.add_emails), ("phones", form.add_phones)):
        if sum(entry.primary for entry in entries) > 1:
            raise InvalidInputError("Only one can be primary.", rule="contact.two_primaries", field=(name,))


def _change_attributes(contact: Contact, form: ContactEdit) -> list[ContactEvent]:
    asked = {name: getattr(form, name) for name in ATTRIBUTES if getattr(form, name) is not UNSET}
    changed = {name: value for name, value in asked.items() if value != getattr(contact, name)}
    events: list[ContactEvent] = [ContactUpdated(**changed)] if changed else []
    if form.addresses is not UNSET and len(form.addresses) > MOST_ADDRESSES:
        raise too_many("addresses", MOST_ADDRESSES)
    return events


def _add_email(contact: Contact, entry: EmailEntry) -> list[ContactEvent]:
    there = _email(contact, entry.address)
    label = _label(entry.label, there.known if there else None)
    email = Email(address=entry.address.given, label=label)
    if there is None:
        item = _next_item(contact, contact.emails, "emails")
        return [ContactEmailAdded(item=item, email=email, primary=entry.primary or contact.primary_email is None)]
    promoted = entry.primary and contact.primary_email != there.item
    if there.value == email and not promoted:
        return []
    changed = UNSET if there.value == email else email
    return [ContactEmailChanged(item=there.item, email=changed, primary=True if promoted else UNSET)]


def _remove_email(contact: Contact, address: EmailAddress) -> list[ContactEvent]:
    there = _email(contact, address)
    if there is None:
        return []
    return [ContactEmailRemoved(item=there.item, promoted=successor(contact.emails, contact.primary_email, there.item))]


def _label(asked: str | UnsetType | None, there: Email | Phone | None) -> str | None:
    if not isinstance(asked, UnsetType):
        return asked
    return there.label if there else None


def _email(contact: Contact, address: EmailAddress) -> Held[Email] | None:
    return next((h for h in contact.emails if h.known and email_key(h.known.address) == address.key), None)


def _add_phone(contact: Contact, entry: PhoneEntry) -> list[ContactEvent]:
    there = _phone(contact, entry.number)
    label = _label(entry.label, there.known if there else None)
    phone = Phone(number=entry.number.e164, label=label)
    if there is None:
        item = _next_item(contact, contact.phones, "phones")
        return [ContactPhoneAdded(item=item, phone=phone, primary=entry.primary or contact.primary_phone is None)]
    promoted = entry.primary and contact.primary_phone != there.item
    if there.value == phone and not promoted:
        return []
    changed = UNSET if there.value == phone else phone
    return [ContactPhoneChanged(item=there.item, phone=changed, primary=True if promoted else UNSET)]


def _remove_phone(contact: Contact, number: PhoneNumber) -> list[ContactEvent]:
    there = _phone(contact, number)
    if there is None:
        return []
    return [ContactPhoneRemoved(item=there.item, promoted=successor(contact.phones, contact.primary_phone, there.item))]


def _phone(contact: Contact, number: PhoneNumber) -> Held[Phone] | None:
    return next((h for h in contact.phones if h.known and h.known.number == number.e164), None)


def _add_identity(contact: Contact, identity: Identity) -> list[ContactEvent]:
    if any(held.value == identity for held in contact.identities):
        return []
    return [ContactIdentityAdded(item=_next_item(contact, contact.identities, "identities"), identity=identity)]


def _remove_identity(contact: Contact, identity: Identity) -> list[ContactEvent]:
    return [ContactIdentityRemoved(item=held.item) for held in contact.identities if held.value == identity]


def _add_external_id(contact: Contact, external_id: ExternalId) -> list[ContactEvent]:
    if any(held.value == external_id for held in contact.external_ids):
        return []
    item = _next_item(contact, contact.external_ids, "externalIds")
    return [ContactExternalIdAdded(item=item, external_id=external_id)]


def _remove_external_id(contact: Contact, external_id: ExternalId) -> list[ContactEvent]:
    return [ContactExternalIdRemoved(item=held.item) for held in contact.external_ids if held.value == external_id]


def _tag(contact: Contact, tags: Sequence[Tag]) -> list[ContactEvent]:
    new = tuple(dict.fromkeys(tag.name for tag in tags if tag.name not in contact.tags))
    if len(contact.tags) + len(new) > MOST_TAGS:
        raise too_many("tags", MOST_TAGS)
    return [ContactTagged(tags=new)] if new else []


def _untag(contact: Contact, tags: Sequence[Tag]) -> list[ContactEvent]:
    gone = tuple(dict.fromkeys(tag.name for tag in tags if tag.name in contact.tags))
    return [ContactUntagged(tags=gone)] if gone else []


def _next_item(contact: Contact, held: Sequence[Held[Any]], field: str) -> Item:
    if len(held) >= MOST_ITEMS:
        raise too_many(field, MOST_ITEMS)
    return Item(number=contact.last_number + 1)


def successor(held: Sequence[Held[Any]], primary: Item | None, removed: Item) -> Item | UnsetType | None:
    """Who is primary when the primary one goes: the one that has been there longest; None where none is left."""
    if primary != removed:
        return UNSET
    return next((one.item for one in held if one.item != removed), None)


def too_many(field: str, most: int) -> RuleViolatedError:
    message = f"A contact has at most {most} {field}: remove some first."
    return RuleViolatedError(message, rule=f"contact.too_many_{field.lower()}", field=(field,))


def _items(kind: str, kinds: str, held: Sequence[Held[Any]], primary: Item | None = None) -> dict[str, Any]:
    """The fields of ContactRegistered for one kind of item."""
    if not held:
        return {}
    found: dict[str, Any] = {kinds: tuple(h.value for h in held), f"{kind}_items": tuple(h.item for h in held)}
    return found | ({f"primary_{kind}": primary} if primary else {})


_LISTS: Final[tuple[tuple[str, Callable[..., list[ContactEvent]]], ...]] = (
    ("remove_emails", _remove_email),
    ("add_emails", _add_email),
    ("remove_phones", _remove_phone),
    ("add_phones", _add_phone),
    ("remove_identities", _remove_identity),
    ("add_identities", _add_identity),
    ("remove_external_ids", _remove_external_id),
    ("add_external_ids", _add_external_id),
)
