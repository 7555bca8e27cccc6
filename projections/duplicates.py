"""Contacts that look like one person: the keys they share, kept as they come and go; pairs are worked out on reading.

Read through `duplicates.pairs` in the workspace of the setting `app.workspace`. A key that more than 20 contacts have says
nothing about any two of them.
"""

from collections.abc import Sequence
from typing import Any, Final, LiteralString

from msgspec import UNSET

from crm_es.contacts import contact_events as c
from crm_es.contacts.contact_events import Item
from crm_es.eventstore.event import Erased, Fact
from crm_es.projector.contract import Batch, Column, Index, Table
from crm_es.text import fold, words

NAME = "duplicates"
VERSION = 1

CONTACT: Final = Table(
    name="contact",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="archived", type="bool", default=False),
        Column(name="absorbed", type="bool", default=False),
    ),
    versioned=False,
)
KEY: Final = Table(
    name="key",
    columns=(
        Column(name="contact_id", type="uuid"),
        Column(name="slot", type="text"),
        Column(name="kind", type="text"),
        Column(name="value", type="text", personal=True, collate="C"),
    ),
    key=("contact_id", "slot"),
    versioned=False,
    subject="contact_id",
    indexes=(Index(name="value", columns=("kind", "value"), where="value IS NOT NULL"),),
)
MARK: Final = Table(
    name="mark",
    columns=(Column(name="contact_id", type="uuid"), Column(name="other_id", type="uuid")),
    key=("contact_id", "other_id"),
    versioned=False,
)
TABLES: tuple[Table, ...] = (CONTACT, KEY, MARK)
TOPICS = frozenset(e.TOPIC for e in c.ContactEvent.__args__)


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    for fact in facts:
        _contact(batch, fact)
        _keys(batch, fact)


def _contact(batch: Batch, fact: Fact) -> None:
    match fact.event:
        case c.ContactRegistered():
            batch.insert(CONTACT, fact, id=fact.stream)
        case c.ContactArchived() | c.ContactRestored():
            batch.put(CONTACT, fact, id=fact.stream, archived=isinstance(fact.event, c.ContactArchived))
        case c.ContactAbsorbed() | c.ContactUnmerged():
            batch.put(CONTACT, fact, id=fact.stream, absorbed=isinstance(fact.event, c.ContactAbsorbed))
        case c.ContactMarkedNotDuplicate(other_id=other):
            batch.put(MARK, fact, contact_id=fact.stream, other_id=other)
        case _:
            pass


def _keys(batch: Batch, fact: Fact) -> None:
    event: Any = fact.event
    name = getattr(event, "display_name", UNSET)
    if name is not UNSET:
        _put(batch, fact, "name", "name", _name(name))
    match event:
        case c.ContactRegistered() | c.ContactMerged():
            for item, email in c.numbered(event.email_items, event.emails):
                _put(batch, fact, _slot(fact, item), "email", _email(email))
            for item, phone in c.numbered(event.phone_items, event.phones):
                _put(batch, fact, _slot(fact, item), "phone", _phone(phone))
        case c.ContactEmailAdded() | c.ContactEmailChanged() if event.email is not UNSET:
            _put(batch, fact, _slot(fact, event.item), "email", _email(event.email))
        case c.ContactPhoneAdded() | c.ContactPhoneChanged() if event.phone is not UNSET:
            _put(batch, fact, _slot(fact, event.item), "phone", _phone(event.phone))
        case c.ContactEmailRemoved(item=item):
            _put(batch, fact, _slot(fact, item), "email", None)
        case c.ContactPhoneRemoved(item=item):
            _put(batch, fact, _slot(fact, item), "phone", None)
        case c.ContactReleased(absorbed_ids=absorbed):
            batch.execute(fact, _RELEASE, id=fact.stream, holders=[str(a) for a in absorbed])
        case _:
            pass


def _slot(fact: Fact, item: Item) -> str:
    return f"{item.holder or fact.stream} {item.number}"


def _put(batch: Batch, fact: Fact, slot: str, kind: str, value: str | None) -> None:
    """A key of the contact; None: gone."""
    write = batch.insert if fact.version == 1 else batch.save  # a first event finds no keys
    write(KEY, fact, contact_id=fact.stream, slot=slot, kind=kind, value=value)


def _name(name: str | Erased | None) -> str | None:
    """The words of a name in any order; one word alone is no hint."""
    found = words(name) if isinstance(name, str) else []
    return " ".join(found) if len(found) > 1 else None


def _email(email: c.Email | Erased) -> str | None:
    return None if isinstance(email, Erased) else fold(email.address)


def _phone(phone: c.Phone | Erased) -> str | None:
    return None if isinstance(phone, Erased) else phone.number


_RELEASE: Final = """
UPDATE {schema}.key
SET value = NULL, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND contact_id = %(id)s AND split_part(slot, ' ', 1) = ANY (%(holders)s)
  AND position < %(position)s
"""
# Each pair once, the smaller id first, or with `contact` that one first; best first.
_PAIRS: LiteralString = """
CREATE FUNCTION {schema}.pairs(contact uuid, at_most int)
RETURNS TABLE (contact_id uuid, other_id uuid, score double precision, matched_on text[])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  WITH space AS MATERIALIZED (
    SELECT current_setting('app.workspace')::uuid AS workspace_id
  ), live AS NOT MATERIALIZED (
    SELECT k.contact_id, k.kind, k.value
    FROM {schema}.key k
    JOIN {schema}.contact c ON c.workspace_id = k.workspace_id AND c.id = k.contact_id
    WHERE k.workspace_id = (SELECT s.workspace_id FROM space s) AND k.value IS NOT NULL AND NOT c.archived AND NOT c.absorbed
  ), block AS (
    SELECT k.kind, k.value
    FROM {schema}.key k
    WHERE k.workspace_id = (SELECT s.workspace_id FROM space s) AND k.value IS NOT NULL
      AND (contact IS NULL OR (k.kind, k.value) IN (
        SELECT own.kind, own.value FROM live own WHERE own.contact_id = contact
      ))
    GROUP BY k.kind, k.value
    HAVING count(*) BETWEEN 2 AND 20
  ), matched AS (
    SELECT DISTINCT a.contact_id, b.contact_id AS other_id, a.kind
    FROM block
    JOIN live a ON a.kind = block.kind AND a.value = block.value
    JOIN live b ON b.kind = block.kind AND b.value = block.value
    WHERE (contact IS NULL AND a.contact_id < b.contact_id) OR (a.contact_id = contact AND b.contact_id <> contact)
  ), scored AS (
    SELECT m.contact_id, m.other_id, array_agg(m.kind ORDER BY m.kind) AS matched_on,
           1 - exp(sum(ln(1 - CASE m.kind WHEN 'email' THEN 0.95 WHEN 'phone' THEN 0.8 ELSE 0.5 END)))::double precision AS score
    FROM matched m
    GROUP BY m.contact_id, m.other_id
  )
  SELECT p.contact_id, p.other_id, round(p.score::numeric, 4)::double precision, p.matched_on
  FROM scored p
  WHERE NOT EXISTS (
    SELECT FROM {schema}.mark x
    WHERE x.workspace_id = (SELECT s.workspace_id FROM space s) AND x.contact_id = p.contact_id AND x.other_id = p.other_id
  )
  ORDER BY p.score DESC, p.contact_id, p.other_id
  LIMIT at_most;
END
"""
FUNCTIONS: tuple[LiteralString, ...] = (_PAIRS,)
