"""From a contact's events to its rows."""

from collections.abc import Sequence
from typing import Any, Final, LiteralString, assert_never
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.contacts import contact_events as e
from crm_es.contacts.contact_events import ContactEvent, Item
from crm_es.eventstore.event import Erased, Fact, values_set
from crm_es.projector.contract import Batch, Sql
from crm_es.text import fold
from crm_es.values import ExternalId
from projections.contact_profiles.tables import (
    CONTACT,
    EMAIL,
    EXTERNAL_ID,
    IDENTITY,
    NOT_DUPLICATE,
    PHONE,
    TAG,
)

_NAMES: Final = ("display_name", "given_name", "family_name")
_PLAIN: Final = ("given_name", "family_name", "job_title", "addresses", "source")
_REFERRING: Final = ("lifecycle_stage", "company_id", "owner_id")

Names = dict[tuple[UUID, UUID], tuple[str | None, ...]]
"""(workspace, contact) → display name as said, given name, family name."""


def known_names(batch: Batch, facts: Sequence[Fact]) -> Names:
    """The names, before this page, of the contacts it renames."""
    renamed = [f for f in facts if f.topic in _RENAMING and values_set(f.event, _NAMES)]
    if not renamed:
        return {}
    rows = batch.select(
        _SELECT_NAMES, workspaces=list({f.workspace for f in renamed}), contacts=list({f.stream for f in renamed})
    )
    return {(workspace, contact): tuple(names) for workspace, contact, *names in rows}


def apply(batch: Batch, fact: Fact, names: Names) -> None:
    event: ContactEvent = fact.event  # type: ignore[assignment]
    match event:
        case e.ContactRegistered():
            _register(batch, fact, event, names)
        case e.ContactUpdated():
            _touch(batch, fact, **values_set(event, _PLAIN), **_named(fact, names))
        case e.ContactEmailAdded() | e.ContactEmailChanged() | e.ContactEmailRemoved():
            _change_email(batch, fact, event)
            _touch_with_primary_email(batch, fact)
        case e.ContactPhoneAdded() | e.ContactPhoneChanged() | e.ContactPhoneRemoved():
            _change_phone(batch, fact, event)
            _touch(batch, fact)
        case e.ContactIdentityAdded(item=item, identity=identity):
            batch.save(IDENTITY, fact, **_identity(_taken(fact, item), identity))
            _touch(batch, fact)
        case e.ContactIdentityRemoved(item=item):
            batch.update(IDENTITY, fact, _key(fact, item), removed=True)
            _touch(batch, fact)
        case e.ContactExternalIdAdded(item=item, external_id=external_id):
            batch.save(EXTERNAL_ID, fact, **_external_id(_taken(fact, item), external_id))
            _touch(batch, fact)
        case e.ContactExternalIdRemoved(item=item):
            batch.update(EXTERNAL_ID, fact, _key(fact, item), removed=True)
            _touch(batch, fact)
        case e.ContactOwnerChanged() | e.ContactCompanyChanged() | e.ContactLifecycleStageChanged():
            _touch(batch, fact, **values_set(event, _REFERRING))
        case e.ContactTagged(tags=tags):
            _touch(batch, fact, tags=_tag(batch, fact, tags))
        case e.ContactUntagged(tags=tags):
            for tag in tags:
                batch.update(TAG, fact, {"contact_id": fact.stream, "tag": tag}, removed=True)
            _touch(batch, fact, tags=Sql(_WITHOUT, list(tags)))
        case e.ContactArchived():
            _touch(batch, fact, archived_at=fact.recorded_at, record_status="ARCHIVED")
        case e.ContactRestored():
            _touch(batch, fact, archived_at=None, record_status="ACTIVE")
        case e.ContactMarkedNotDuplicate(other_id=other):
            batch.put(NOT_DUPLICATE, fact, contact_id=fact.stream, other_id=other)
            _touch(batch, fact)
        case e.ContactMerged():
            _merge(batch, fact, event, names)
        case e.ContactAbsorbed(survivor_id=survivor):
            _touch(batch, fact, merged_into=survivor, record_status="MERGED")
        case e.ContactReleased():
            _release(batch, fact, event)
        case e.ContactUnmerged():
            status = Sql("CASE WHEN archived_at IS NULL THEN 'ACTIVE' ELSE 'ARCHIVED' END")
            _touch(batch, fact, merged_into=None, record_status=status)
        case _:
            assert_never(event)


_WITH: Final = "tags || ARRAY(SELECT n FROM unnest({value}) WITH ORDINALITY u (n, i) WHERE n <> ALL (tags) ORDER BY i)"
_WITHOUT: Final = "ARRAY(SELECT t FROM unnest(tags) WITH ORDINALITY u (t, i) WHERE t <> ALL ({value}) ORDER BY i)"


def _named(fact: Fact, names: Names) -> dict[str, Any]:
    """What the contact is called, if the event says anything about that; made of its other names where nothing was said."""
    said = values_set(fact.event, _NAMES)
    if not said:
        return {}
    before = dict(zip(_NAMES, names.get((fact.workspace, fact.stream), (None,) * 3), strict=True))
    now = before | {n: v if isinstance(v, str) else None for n, v in said.items()}
    names[fact.workspace, fact.stream] = tuple(now[n] for n in _NAMES)
    called, given, family = (now[n] for n in _NAMES)
    display = called if called is not None else " ".join(n for n in (given, family) if n is not None) or None
    return {"called": called, "display_name": display, "display_name_folded": _folded(display)}


def _folded(text: str | Erased | None) -> str | None:
    return fold(text) if isinstance(text, str) else None


def _touch(batch: Batch, fact: Fact, **values: Any) -> None:
    """Every event of the contact sets its version, and so is a version of its row."""
    batch.update(CONTACT, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)


def _key(fact: Fact, item: Item) -> dict[str, Any]:
    return {"contact_id": fact.stream, "holder_id": item.holder or fact.stream, "number": item.number}


def _taken(fact: Fact, item: Item, place: int = 0) -> dict[str, Any]:
    """The key of an item the contact takes in, and its place in lists."""
    return _key(fact, item) | {"since": fact.position, "place": place}


def _register(batch: Batch, fact: Fact, event: e.ContactRegistered, names: Names) -> None:
    emails = e.numbered(event.email_items, event.emails)
    primary = [email for item, email in emails if item == event.primary_email]
    values = values_set(event, (*_PLAIN, *_REFERRING)) | _named(fact, names)
    tags = () if event.tags is UNSET else tuple(dict.fromkeys(event.tags))
    batch.insert(
        CONTACT,
        fact,
        id=fact.stream,
        version=fact.version,
        primary_email=_of(primary[0], "address") if primary else None,
        tags=list(tags),
        created_at=fact.recorded_at,
        updated_at=fact.recorded_at,
        **values,
    )
    for place, (item, email) in enumerate(emails):
        batch.insert(EMAIL, fact, **_email(_taken(fact, item, place), email), is_primary=item == event.primary_email)
    for place, (item, phone) in enumerate(e.numbered(event.phone_items, event.phones)):
        batch.insert(PHONE, fact, **_phone(_taken(fact, item, place), phone), is_primary=item == event.primary_phone)
    for place, (item, identity) in enumerate(e.numbered(event.identity_items, event.identities)):
        batch.insert(IDENTITY, fact, **_identity(_taken(fact, item, place), identity))
    for place, (item, external_id) in enumerate(e.numbered(event.external_id_items, event.external_ids)):
        batch.insert(EXTERNAL_ID, fact, **_external_id(_taken(fact, item, place), external_id))
    for tag in tags:
        batch.insert(TAG, fact, contact_id=fact.stream, tag=tag, tag_folded=fold(tag))


def _merge(batch: Batch, fact: Fact, event: e.ContactMerged, names: Names) -> None:
    for place, (item, email) in enumerate(e.numbered(event.email_items, event.emails)):
        batch.save(EMAIL, fact, **_email(_taken(fact, item, place), email))
    for place, (item, phone) in enumerate(e.numbered(event.phone_items, event.phones)):
        batch.save(PHONE, fact, **_phone(_taken(fact, item, place), phone))
    for place, (item, identity) in enumerate(e.numbered(event.identity_items, event.identities)):
        batch.save(IDENTITY, fact, **_identity(_taken(fact, item, place), identity))
    for place, (item, external_id) in enumerate(e.numbered(event.external_id_items, event.external_ids)):
        batch.save(EXTERNAL_ID, fact, **_external_id(_taken(fact, item, place), external_id))
    _promote(batch, fact, _PROMOTE_EMAIL, event.primary_email)
    _promote(batch, fact, _PROMOTE_PHONE, event.primary_phone)
    values = values_set(event, (*_PLAIN, *_REFERRING)) | _named(fact, names)
    if event.tags is not UNSET:
        values["tags"] = _tag(batch, fact, event.tags)
    _touch(batch, fact, **values)
    _refresh_primary_email(batch, fact)


def _release(batch: Batch, fact: Fact, event: e.ContactReleased) -> None:
    for statement in _RELEASE:
        batch.execute(fact, statement, contact=fact.stream, absorbed=list(event.absorbed_ids))
    _promote(batch, fact, _PROMOTE_EMAIL, event.primary_email)
    _promote(batch, fact, _PROMOTE_PHONE, event.primary_phone)
    _touch_with_primary_email(batch, fact)


def _tag(batch: Batch, fact: Fact, tags: tuple[str, ...]) -> Sql:
    for tag in dict.fromkeys(tags):
        batch.save(TAG, fact, contact_id=fact.stream, tag=tag, tag_folded=fold(tag))
    return Sql(_WITH, list(dict.fromkeys(tags)))


# Items


def _of(value: object, name: str) -> Any:
    """A part of a sealed value, None when that was erased."""
    return None if isinstance(value, Erased) else getattr(value, name)


def _email(key: dict[str, Any], email: e.Email | Erased) -> dict[str, Any]:
    address = _of(email, "address")
    return key | {"address": address, "address_folded": _folded(address), "label": _of(email, "label")}


def _phone(key: dict[str, Any], phone: e.Phone | Erased) -> dict[str, Any]:
    return key | {"phone_number": _of(phone, "number"), "label": _of(phone, "label")}


def _identity(key: dict[str, Any], identity: e.Identity | Erased) -> dict[str, Any]:
    return key | {"channel": _of(identity, "channel"), "external_id": _of(identity, "external_id")}


def _external_id(key: dict[str, Any], external_id: ExternalId | Erased) -> dict[str, Any]:
    return key | {"system": _of(external_id, "system"), "value": _of(external_id, "value")}


def _change_email(
    batch: Batch, fact: Fact, event: e.ContactEmailAdded | e.ContactEmailChanged | e.ContactEmailRemoved
) -> None:
    key = _key(fact, event.item)
    match event:
        case e.ContactEmailAdded(email=email):
            batch.save(EMAIL, fact, **_email(_taken(fact, event.item), email))
        case e.ContactEmailChanged(email=email):
            if email is not UNSET:
                batch.update(EMAIL, fact, key, **_email({}, email))
        case e.ContactEmailRemoved():
            batch.update(EMAIL, fact, key, removed=True, is_primary=False)
    _promote(batch, fact, _PROMOTE_EMAIL, _promoted(event))


def _change_phone(
    batch: Batch, fact: Fact, event: e.ContactPhoneAdded | e.ContactPhoneChanged | e.ContactPhoneRemoved
) -> None:
    key = _key(fact, event.item)
    match event:
        case e.ContactPhoneAdded(phone=phone):
            batch.save(PHONE, fact, **_phone(_taken(fact, event.item), phone))
        case e.ContactPhoneChanged(phone=phone):
            if phone is not UNSET:
                batch.update(PHONE, fact, key, **_phone({}, phone))
        case e.ContactPhoneRemoved():
            batch.update(PHONE, fact, key, removed=True, is_primary=False)
    _promote(batch, fact, _PROMOTE_PHONE, _promoted(event))


def _promoted(event: Any) -> Item | UnsetType | None:
    """Which item has the primary mark from now on, if the event says."""
    if getattr(event, "primary", False) is True:
        item: Item = event.item
        return item
    promoted: Item | UnsetType | None = getattr(event, "promoted", UNSET)
    return promoted


def _promote(batch: Batch, fact: Fact, statement: LiteralString, item: Item | UnsetType | None) -> None:
    if item:
        key = _key(fact, item)
        batch.execute(fact, statement, contact=fact.stream, holder=key["holder_id"], number=item.number)


def _touch_with_primary_email(batch: Batch, fact: Fact) -> None:
    _touch(batch, fact)
    _refresh_primary_email(batch, fact)


def _refresh_primary_email(batch: Batch, fact: Fact) -> None:
    batch.execute(fact, _REFRESH_PRIMARY_EMAIL, contact=fact.stream)


_RENAMING: Final = (e.ContactUpdated.TOPIC, e.ContactMerged.TOPIC)
_SELECT_NAMES: Final = """
SELECT workspace_id, id, called, given_name, family_name
FROM {schema}.contact
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(contacts)s)
"""
_PROMOTE_EMAIL: Final = """
UPDATE {schema}.contact_email
SET is_primary = (holder_id = %(holder)s AND number = %(number)s), position = %(position)s
WHERE workspace_id = %(workspace_id)s AND contact_id = %(contact)s AND NOT removed AND position <= %(position)s
  AND is_primary <> (holder_id = %(holder)s AND number = %(number)s)
"""
_PROMOTE_PHONE: Final = """
UPDATE {schema}.contact_phone
SET is_primary = (holder_id = %(holder)s AND number = %(number)s), position = %(position)s
WHERE workspace_id = %(workspace_id)s AND contact_id = %(contact)s AND NOT removed AND position <= %(position)s
  AND is_primary <> (holder_id = %(holder)s AND number = %(number)s)
"""
_REFRESH_PRIMARY_EMAIL: Final = """
UPDATE {schema}.contact
SET position = %(position)s, primary_email = (
  SELECT e.address
  FROM {schema}.contact_email e
  WHERE e.workspace_id = %(workspace_id)s AND e.contact_id = %(contact)s AND e.is_primary AND NOT e.removed
)
WHERE workspace_id = %(workspace_id)s AND id = %(contact)s
"""
_RELEASE_ITEMS: LiteralString = """
UPDATE {schema}.[items]
SET removed = true, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND contact_id = %(contact)s AND holder_id = ANY (%(absorbed)s)
  AND NOT removed AND position < %(position)s
"""
_RELEASE: Final = [_RELEASE_ITEMS.replace("[items]", table.name) for table in (EMAIL, PHONE, IDENTITY, EXTERNAL_ID)]
