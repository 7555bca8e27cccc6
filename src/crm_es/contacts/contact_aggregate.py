"""What the store asks about a contact: what it reserves, what its fields answer, what an event touches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, get_args
from uuid import UUID

from crm_es.contacts.contact import PERSONAL, Contact, ContactStatus, Held, evolve
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
    ContactTagged,
    ContactUntagged,
    ContactUpdated,
    FieldSubject,
    Item,
)
from crm_es.eventstore.aggregate import Aggregate, Ref
from crm_es.eventstore.event import UNSET, Erased, Reservation, changed_fields, values_set
from crm_es.values import address_answer, email_key, joint_key

_ItemEvent = (
    ContactEmailAdded
    | ContactEmailChanged
    | ContactEmailRemoved
    | ContactPhoneAdded
    | ContactPhoneChanged
    | ContactPhoneRemoved
    | ContactIdentityAdded
    | ContactIdentityRemoved
    | ContactExternalIdAdded
    | ContactExternalIdRemoved
)


_MARKS: Final = ("primaryEmail", "primaryPhone")


def reservations(stream: UUID, contact: Contact) -> frozenset[Reservation]:
    """Emails, identities and external ids of a live contact. Adopted ones stay in the name of the stream that took them."""
    if contact.status is not ContactStatus.ACTIVE:
        return frozenset()
    emails = ((h, "email", email_key(h.known.address)) for h in contact.emails if h.known)
    identities = (
        (h, "identity", joint_key(h.known.channel, h.known.external_id)) for h in contact.identities if h.known
    )
    others = (
        (h, "external_id", joint_key("contact", h.known.system, h.known.value)) for h in contact.external_ids if h.known
    )
    taken: list[tuple[Held[Any], Any, str]] = [*emails, *identities, *others]
    return frozenset(Reservation(kind=kind, value=key, holder=h.item.holder or stream) for h, kind, key in taken)


def fields(contact: Contact) -> Mapping[str, object]:
    """The state as the API answers it."""
    return {
        "recordStatus": contact.status.value,
        "displayName": contact.name,
        "givenName": _plain(contact.given_name),
        "familyName": _plain(contact.family_name),
        "primaryEmail": next(
            (h.known.address for h in contact.emails if h.item == contact.primary_email and h.known), None
        ),
        "emails": _list(contact.emails, ("address", "label"), contact.primary_email, verified=False),
        "phones": _list(contact.phones, ("number", "label"), contact.primary_phone),
        "primaryPhone": next(
            (h.known.number for h in contact.phones if h.item == contact.primary_phone and h.known), None
        ),
        "identities": _list(contact.identities, ("channel", "external_id"), verified=False),
        "externalIds": _list(contact.external_ids, ("system", "value")),
        "addresses": None if isinstance(contact.addresses, Erased) else [address_answer(a) for a in contact.addresses],
        "jobTitle": _plain(contact.job_title),
        "source": contact.source,
        "lifecycleStage": contact.lifecycle_stage.value,
        "company": Ref(type="Company", id=contact.company_id) if contact.company_id else None,
        "owner": Ref(type="Member", id=contact.owner_id) if contact.owner_id else None,
        "tags": list(contact.tags),
        "mergedInto": Ref(type="Contact", id=contact.merged_into) if contact.merged_into else None,
        "absorbed": [Ref(type="Contact", id=absorbed) for absorbed, _ in contact.absorbed],
    }


def touches(event: ContactEvent) -> Iterable[tuple[str, str | None]]:
    """Items by number, tags by name, everything else by field. Two new items never meet: their numbers differ."""
    if isinstance(event, ContactTagged | ContactUntagged):
        return [("tags", tag) for tag in event.tags]
    if not isinstance(event, _ItemEvent):
        return [(name, None) for name in changed_fields(event)]
    item = _name(event.item)
    return [(name, None if name in _MARKS else item) for name in changed_fields(event)]


def addressed(contact: Contact, events: Sequence[ContactEvent], via: UUID) -> list[ContactEvent]:
    """What was said of an absorbed id is about that person: the values of an update, and the items that are new."""
    return [_about(event, contact.last_number, via) for event in events]


def _about(event: Any, last_number: int, via: UUID) -> Any:
    if isinstance(event, ContactUpdated):
        set_ = values_set(event, PERSONAL)
        return replace(event, subjects=tuple(FieldSubject(field=name, subject=via) for name in set_) or UNSET)
    named = {
        name: replace(item, subject=via)
        for name in ("item", "promoted")
        if isinstance(item := getattr(event, name, None), Item) and item.holder is None and item.number > last_number
    }
    return replace(event, **named) if named else event


def _plain(value: str | Erased | None) -> str | None:
    return None if isinstance(value, Erased) else value


def _name(item: Item) -> str:
    return f"{item.holder or ''}:{item.number}"


def _list(
    held: Sequence[Held[Any]], names: Sequence[str], primary: Item | bool | None = False, **more: object
) -> list[dict[str, object]] | None:
    """The items as objects of the API, without those of an erased person; None where these were all."""
    known = [h for h in held if h.known is not None]
    if held and not known:
        return None
    answers = []
    for h in known:
        answer: dict[str, object] = {_camel(name): getattr(h.known, name) for name in names}
        answers.append(answer | ({} if primary is False else {"primary": h.item == primary}) | more)
    return answers


def _camel(name: str) -> str:
    return {"external_id": "externalId"}.get(name, name)


CONTACT: Aggregate[Contact, ContactEvent] = Aggregate(
    name="contact",
    events=get_args(ContactEvent),
    evolve=evolve,
    reservations=reservations,
    fields=fields,
    moments={"archivedAt": lambda contact: contact.archived},
    derived={"displayName": frozenset({"givenName", "familyName"})},
    within={"primaryPhone": "phones"},
    touches=touches,
    merged_into=lambda contact: contact.merged_into,
    addressed=addressed,
)
