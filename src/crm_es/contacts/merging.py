"""Two contacts that are one person: what a merge would do, and doing it.

The survivor's stream takes the adopted values, so that it folds alone; the absorbed one only points to the survivor.
Nothing is lost and `unmerging.py` takes it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from uuid import UUID

from msgspec import UNSET

from crm_es.contacts.contact import STAGES, Contact, Held, check_writable, fold
from crm_es.contacts.contact_aggregate import fields
from crm_es.contacts.contact_events import ContactAbsorbed, ContactEvent, ContactMerged, Item
from crm_es.contacts.editing import MOST_ITEMS, MOST_TAGS, too_many
from crm_es.errors import InvalidInputError
from crm_es.eventstore.aggregate import Loaded
from crm_es.eventstore.event import ERASED

V = TypeVar("V")
# What may be chosen, by its name in the API, and the attribute of the state and the event behind it.
CHOICES: Final = {
    "displayName": "display_name",
    "givenName": "given_name",
    "familyName": "family_name",
    "primaryEmail": "primary_email",
    "primaryPhone": "primary_phone",
    "addresses": "addresses",
    "jobTitle": "job_title",
    "company": "company_id",
    "lifecycleStage": "lifecycle_stage",
    "owner": "owner_id",
    "source": "source",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MergeField:
    """A field in which the two differ: both values as the API answers them, and whose is proposed."""

    field: str
    survivor: object
    absorbed: object
    proposed: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class Merge:
    """The events of both streams."""

    survivor: list[ContactEvent]
    absorbed: list[ContactEvent]


def merge_preview(survivor: Loaded[Contact], absorbed: Loaded[Contact]) -> list[MergeField]:
    """What would have to be chosen, and what is if nothing is said. Raises: as `merge`."""
    _check(survivor, absorbed, {})
    mine, theirs = (fields(one.state) for one in (survivor, absorbed))
    return [
        MergeField(
            field=name, survivor=mine[name], absorbed=theirs[name], proposed=_chosen(survivor, absorbed, name, {})
        )
        for name in CHOICES
        if mine[name] != theirs[name]
    ]


def merge(survivor: Loaded[Contact], absorbed: Loaded[Contact], keep: Mapping[str, UUID] | None = None) -> Merge:
    """`keep` names, by API field, whose value stands; else the survivor's, or the absorbed one's where it has none.

    Raises: ErasedError; RuleViolatedError `contact.archived`, `contact.merged`, `contact.too_many_…`; InvalidInputError
    `contact.same`, `contact.unknown_choice`, `contact.foreign_choice`.
    """
    keep = keep or {}
    _check(survivor, absorbed, keep)
    event = ContactMerged(
        absorbed_id=absorbed.id,
        absorbed_version=absorbed.version,
        absorbed_ids=(absorbed.id, *absorbed.state.absorbed_ids),
        **_adopted(survivor, absorbed, keep),
        **_items("email", "emails", absorbed.state.emails, absorbed.id),
        **_items("phone", "phones", _new_phones(survivor.state, absorbed.state), absorbed.id),
        **_items("identity", "identities", absorbed.state.identities, absorbed.id),
        **_items("external_id", "external_ids", absorbed.state.external_ids, absorbed.id),
        tags=tuple(tag for tag in absorbed.state.tags if tag not in survivor.state.tags) or UNSET,
    )
    _check_limits(fold(survivor.state, [event]))
    pointer = ContactAbsorbed(survivor_id=survivor.id, survivor_version=survivor.version)
    return Merge(survivor=[event], absorbed=[pointer])


def foreign(item: Item, stream: UUID) -> Item:
    """An item of `stream` as another stream names it."""
    return item if item.holder else replace(item, holder=stream)


def _check(survivor: Loaded[Contact], absorbed: Loaded[Contact], keep: Mapping[str, UUID]) -> None:
    if survivor.id == absorbed.id:
        raise InvalidInputError("Name two contacts.", rule="contact.same", field=("absorbedId",))
    check_writable(survivor.state)
    check_writable(absorbed.state)
    for index, (name, source) in enumerate(keep.items()):
        if name not in CHOICES:
            message = f"Choose among {', '.join(CHOICES)}."
            raise InvalidInputError(message, rule="contact.unknown_choice", field=("keep", str(index), "field"))
        if source not in (survivor.id, absorbed.id):
            message = "Name the survivor or the absorbed contact."
            raise InvalidInputError(message, rule="contact.foreign_choice", field=("keep", str(index), "from"))


def _adopted(survivor: Loaded[Contact], absorbed: Loaded[Contact], keep: Mapping[str, UUID]) -> dict[str, Any]:
    """The absorbed contact's values that stand from now on, by event field."""
    found: dict[str, Any] = {}
    for name, attribute in CHOICES.items():
        value = getattr(absorbed.state, attribute)
        value = foreign(value, absorbed.id) if isinstance(value, Item) else value
        theirs = _chosen(survivor, absorbed, name, keep) == absorbed.id and value is not ERASED
        if theirs and value != getattr(survivor.state, attribute):
            found[attribute] = value
    if "primary_phone" in found:
        found["primary_phone"] = _same_phone(survivor.state, absorbed.state) or found["primary_phone"]
    adopted = {name: value for name, value in found.items() if value is not None or not name.startswith("primary_")}
    about = tuple(sorted((one for one in absorbed.state.subjects if one.field in adopted), key=lambda one: one.field))
    return adopted | ({"subjects": about} if about else {})


def _chosen(survivor: Loaded[Contact], absorbed: Loaded[Contact], name: str, keep: Mapping[str, UUID]) -> UUID:
    if name in keep:
        return keep[name]
    mine, theirs = (getattr(one.state, CHOICES[name]) for one in (survivor, absorbed))
    if name == "lifecycleStage":
        return absorbed.id if STAGES.index(theirs) > STAGES.index(mine) else survivor.id
    return survivor.id if mine or not theirs else absorbed.id


def _phone(contact: Contact) -> str | None:
    return next((h.known.number for h in contact.phones if h.item == contact.primary_phone and h.known), None)


def _same_phone(survivor: Contact, absorbed: Contact) -> Item | None:
    """The survivor's own item for the number that is primary with the absorbed contact, where both have it."""
    number = _phone(absorbed)
    return next((h.item for h in survivor.phones if h.known and h.known.number == number), None)


def _new_phones(survivor: Contact, absorbed: Contact) -> Sequence[Held[Any]]:
    mine = {h.known.number for h in survivor.phones if h.known}
    return [h for h in absorbed.phones if h.known and h.known.number not in mine]


def _items(kind: str, kinds: str, held: Sequence[Held[Any]], holder: UUID) -> dict[str, Any]:
    known = [h for h in held if h.known]
    if not known:
        return {}
    return {kinds: tuple(h.value for h in known), f"{kind}_items": tuple(foreign(h.item, holder) for h in known)}


def _check_limits(merged: Contact) -> None:
    for field, held, most in (
        ("emails", merged.emails, MOST_ITEMS),
        ("phones", merged.phones, MOST_ITEMS),
        ("identities", merged.identities, MOST_ITEMS),
        ("externalIds", merged.external_ids, MOST_ITEMS),
        ("tags", merged.tags, MOST_TAGS),
    ):
        if len(held) > most:
            raise too_many(field, most)
