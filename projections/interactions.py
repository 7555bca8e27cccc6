"""The timeline: interactions, whose they are, and how many each contact has.

A link keeps the contact as recorded, whom that id means now (`means_id`, re-keyed by merge and unmerge), and on whose
timeline it stands (`canonical_id`: none where it is unlinked, or another link of the interaction means the same contact).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, LiteralString, assert_never
from uuid import UUID

from msgspec import UNSET

from crm_es.contacts import contact_events as c
from crm_es.eventstore.event import Fact
from crm_es.interactions import interaction as i
from crm_es.projector.contract import Batch, Column, Index, Sql, Table

NAME = "interactions"
VERSION = 2

INTERACTION: Final = Table(
    name="interaction",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        Column(name="type", type="text"),
        Column(name="direction", type="text", null=True),
        Column(name="channel", type="text", null=True),
        Column(name="external_id", type="text", personal=True),
        Column(name="subject", type="text", personal=True),
        Column(name="body", type="text", personal=True),
        Column(name="body_format", type="text"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="duration_seconds", type="integer", null=True),
        Column(name="amount_minor", type="bigint", null=True),
        Column(name="amount_currency", type="text", null=True),
        Column(name="quantity", type="numeric", null=True),
        Column(name="participants", type="jsonb", personal=True, default=[]),
        Column(name="contact_ids", type="uuid[]"),
        Column(name="company_id", type="uuid", null=True),
        Column(name="deal_id", type="uuid", null=True),
        Column(name="ticket_id", type="uuid", null=True),
        Column(name="member_id", type="uuid", null=True),
        Column(name="visibility", type="text"),
        Column(name="internal", type="bool", default=False),
        Column(name="corrected_at", type="timestamptz", null=True),
        Column(name="redacted_at", type="timestamptz", null=True),
        Column(name="removed", type="bool", default=False),
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    ),
    subject="contact_ids",
    indexes=(
        Index(name="occurred", columns=("occurred_at",), order=True),
        Index(name="created", columns=("created_at",), order=True),
        Index(name="company", columns=("company_id", "occurred_at"), order=True, where="company_id IS NOT NULL"),
        Index(name="deal", columns=("deal_id", "occurred_at"), order=True, where="deal_id IS NOT NULL"),
        Index(name="ticket", columns=("ticket_id", "occurred_at"), order=True, where="ticket_id IS NOT NULL"),
        Index(name="member", columns=("member_id", "occurred_at"), order=True, where="member_id IS NOT NULL"),
        Index(name="external_id", columns=("external_id",), where="external_id IS NOT NULL"),
    ),
)
LINK: Final = Table(
    name="interaction_contact",
    columns=(
        Column(name="interaction_id", type="uuid"),
        Column(name="contact_id", type="uuid"),
        Column(name="means_id", type="uuid"),
        Column(name="canonical_id", type="uuid", null=True),
        Column(name="type", type="text"),
        Column(name="occurred_at", type="timestamptz"),
        Column(name="created_at", type="timestamptz"),
        Column(name="visibility", type="text"),
        Column(name="removed", type="bool", default=False),
    ),
    key=("interaction_id", "contact_id"),
    indexes=(
        Index(name="contact", columns=("canonical_id", "occurred_at"), order=True, where="canonical_id IS NOT NULL"),
        Index(name="recorded", columns=("contact_id",)),
    ),
)
ACTIVITY: Final = Table(
    name="contact_activity",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="interaction_count", type="integer", default=0),
        Column(name="unshared_count", type="integer", default=0),
        Column(name="last_interaction_at", type="timestamptz", null=True),
    ),
    indexes=(
        Index(name="last", columns=("last_interaction_at",), order=True),
        Index(name="last_down", columns=("last_interaction_at",), order=True, descending=True),
    ),
)
MEANING: Final = Table(
    name="contact_meaning",
    columns=(Column(name="id", type="uuid"), Column(name="means_id", type="uuid")),
    versioned=False,
)
TABLES: tuple[Table, ...] = (INTERACTION, LINK, ACTIVITY, MEANING)
_Contact = c.ContactRegistered | c.ContactMerged | c.ContactReleased
TOPICS = frozenset(e.TOPIC for union in (i.InteractionEvent, _Contact) for e in union.__args__)

Meanings = dict[tuple[UUID, UUID], UUID]
"""(workspace, contact as recorded) → whom that means, where it is not itself."""


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    meanings = _meanings(batch, facts)
    for fact in facts:
        event: i.InteractionEvent | _Contact = fact.event  # type: ignore[assignment]
        match event:
            case i.InteractionRecorded():
                _record(batch, fact, event, meanings)
            case i.InteractionCorrected():
                _correct(batch, fact, event)
            case i.InteractionLinked(contact_ids=contacts):
                _link(batch, fact, contacts, meanings)
            case i.InteractionUnlinked(contact_ids=contacts):
                _unlink(batch, fact, contacts)
            case i.InteractionRedacted():
                _redact(batch, fact, event)
            case i.InteractionRetracted():
                _touch(batch, fact, removed=True)
                batch.execute(fact, _RETRACT, interaction=fact.stream)
                _settle(batch, fact)
            case c.ContactRegistered():
                batch.insert(ACTIVITY, fact, id=fact.stream)
            case c.ContactMerged(absorbed_ids=absorbed):
                _rekey(batch, fact, absorbed, fact.stream, meanings)
            case c.ContactReleased(absorbed_ids=absorbed, absorbed_id=target):
                _rekey(batch, fact, absorbed, target, meanings)
            case _:
                assert_never(event)


def _meanings(batch: Batch, facts: Sequence[Fact]) -> Meanings:
    """Whom the contacts linked on this page mean before it begins."""
    linked = (f for f in facts if isinstance(f.event, i.InteractionRecorded | i.InteractionLinked))
    contacts = {(f.workspace, contact) for f in linked for contact in f.event.contact_ids}  # type: ignore[attr-defined]
    if not contacts:
        return {}
    rows = batch.select(
        _SELECT_MEANINGS, workspaces=list({w for w, _ in contacts}), contacts=list({contact for _, contact in contacts})
    )
    return {(workspace, contact): means for workspace, contact, means in rows}


# Interactions

_SAME: Final = (
    "type", "direction", "channel", "external_id", "subject", "body", "body_format", "occurred_at", "duration_seconds",
    "quantity", "participants", "company_id", "deal_id", "ticket_id", "member_id", "visibility", "internal",
)  # fmt: skip


def _given(event: Any) -> dict[str, Any]:
    """The columns the event sets."""
    values = {n: v for n in _SAME if (v := getattr(event, n, UNSET)) is not UNSET}
    amount = getattr(event, "amount", UNSET)
    if amount is not UNSET:
        values |= {"amount_minor": amount and amount.minor, "amount_currency": amount and amount.currency}
    return values


def _remaining(event: i.InteractionRedacted) -> dict[str, Any]:
    """All that is left of the personal content; what the event does not name is gone."""
    kept = {n: getattr(event, n) for n in ("external_id", "subject", "body")}
    participants = () if event.participants is UNSET else event.participants
    return {n: None if v is UNSET else v for n, v in kept.items()} | {"participants": participants}


def _touch(batch: Batch, fact: Fact, **values: Any) -> None:
    batch.update(INTERACTION, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)


def _record(batch: Batch, fact: Fact, event: i.InteractionRecorded, meanings: Mapping[tuple[UUID, UUID], UUID]) -> None:
    contacts = list(dict.fromkeys(event.contact_ids))
    at = fact.recorded_at
    batch.insert(
        INTERACTION, fact, id=fact.stream, version=fact.version, contact_ids=contacts, created_at=at, updated_at=at,
        **_given(event),
    )  # fmt: skip
    stands: set[UUID] = set()
    for contact in sorted(contacts):
        means = meanings.get((fact.workspace, contact), contact)
        batch.insert(
            LINK, fact, interaction_id=fact.stream, contact_id=contact, means_id=means,
            canonical_id=None if means in stands else means, type=event.type, occurred_at=event.occurred_at,
            created_at=at, visibility=event.visibility,
        )  # fmt: skip
        stands.add(means)
    unshared = event.visibility is not i.Visibility.SHARED
    for contact in stands:
        batch.update(
            ACTIVITY, fact, {"id": contact},
            interaction_count=Sql("interaction_count + 1"),
            unshared_count=Sql("unshared_count + {value}", int(unshared)),
            last_interaction_at=Sql("greatest(last_interaction_at, {value})", event.occurred_at),
        )  # fmt: skip


def _correct(batch: Batch, fact: Fact, event: i.InteractionCorrected) -> None:
    values = _given(event)
    _touch(batch, fact, corrected_at=fact.recorded_at, **values)
    copied = {n: values.get(n) for n in ("type", "occurred_at", "visibility")}
    if any(v is not None for v in copied.values()):
        batch.execute(fact, _CORRECT_LINKS, interaction=fact.stream, **copied)
        _recount(batch, fact)


def _redact(batch: Batch, fact: Fact, event: i.InteractionRedacted) -> None:
    """The cut is made in every past version too: no `asOf` shows what was redacted."""
    remaining = _remaining(event)
    _touch(batch, fact, redacted_at=fact.recorded_at, **remaining)
    batch.execute(fact, _REDACT_THE_PAST, interaction=fact.stream)


def _link(batch: Batch, fact: Fact, contacts: Iterable[UUID], meanings: Mapping[tuple[UUID, UUID], UUID]) -> None:
    for contact in contacts:
        means = meanings.get((fact.workspace, contact), contact)
        batch.execute(fact, _LINK, interaction=fact.stream, contact=contact, means=means)
    _touch(batch, fact, contact_ids=Sql(_MORE_CONTACTS, list(contacts)))
    _settle(batch, fact)


def _unlink(batch: Batch, fact: Fact, contacts: Iterable[UUID]) -> None:
    for contact in contacts:
        batch.update(LINK, fact, {"interaction_id": fact.stream, "contact_id": contact}, removed=True)
    _touch(batch, fact, contact_ids=Sql(_FEWER_CONTACTS, list(contacts)))
    _settle(batch, fact)


def _settle(batch: Batch, fact: Fact) -> None:
    """Work out anew on whose timeline the interaction's links stand, and those contacts' counts."""
    batch.execute(fact, _SETTLE, interaction=fact.stream)
    _recount(batch, fact)


def _recount(batch: Batch, fact: Fact) -> None:
    batch.execute(fact, _RECOUNT_OF_INTERACTION, interaction=fact.stream)


# Merge and unmerge


def _rekey(batch: Batch, fact: Fact, absorbed: Iterable[UUID], target: UUID, meanings: Meanings) -> None:
    """From this position on, the absorbed ids mean `target`."""
    ids = list(absorbed)
    for contact in ids:
        meanings[fact.workspace, contact] = target
        batch.put(MEANING, fact, id=contact, means_id=target)
    batch.execute(fact, _REKEY, absorbed=ids, target=target)
    batch.execute(fact, _RECOUNT, contacts=[*ids, fact.stream])


_MORE_CONTACTS: Final = (
    "contact_ids ||"
    " ARRAY(SELECT n FROM unnest({value}) WITH ORDINALITY u (n, i) WHERE n <> ALL (contact_ids) ORDER BY i)"
)
_FEWER_CONTACTS: Final = (
    "ARRAY(SELECT o FROM unnest(contact_ids) WITH ORDINALITY u (o, i) WHERE o <> ALL ({value}) ORDER BY i)"
)
_SELECT_MEANINGS: Final = """
SELECT workspace_id, id, means_id
FROM {schema}.contact_meaning
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(contacts)s)
"""
_LINK: Final = """
INSERT INTO {schema}.interaction_contact AS l (
  workspace_id, interaction_id, contact_id, means_id, canonical_id, type, occurred_at, created_at, visibility, removed, position
)
SELECT i.workspace_id, i.id, %(contact)s, %(means)s, NULL, i.type, i.occurred_at, i.created_at, i.visibility, false, %(position)s
FROM {schema}.interaction i
WHERE i.workspace_id = %(workspace_id)s AND i.id = %(interaction)s
ON CONFLICT (workspace_id, interaction_id, contact_id) DO UPDATE
SET means_id = excluded.means_id, type = excluded.type, occurred_at = excluded.occurred_at, visibility = excluded.visibility,
    removed = false, position = excluded.position
"""
_REDACT_THE_PAST: Final = """
UPDATE {schema}.interaction_history h
SET external_id = i.external_id, subject = i.subject, body = i.body, participants = i.participants
FROM {schema}.interaction i
WHERE i.workspace_id = %(workspace_id)s AND i.id = %(interaction)s
  AND h.workspace_id = i.workspace_id AND h.id = i.id
"""
_RETRACT: Final = """
UPDATE {schema}.interaction_contact
SET removed = true, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND interaction_id = %(interaction)s AND NOT removed
"""
_CORRECT_LINKS: Final = """
UPDATE {schema}.interaction_contact
SET type = coalesce(%(type)s, type), occurred_at = coalesce(%(occurred_at)s, occurred_at),
    visibility = coalesce(%(visibility)s, visibility), position = %(position)s
WHERE workspace_id = %(workspace_id)s AND interaction_id = %(interaction)s
"""
# Of the links that mean the same contact, the one with the smallest id stands. Rows of later events of the page are spared.
_SETTLE: Final = """
WITH settled AS (
  SELECT contact_id,
         CASE WHEN NOT removed AND row_number() OVER (PARTITION BY means_id, removed ORDER BY contact_id) = 1 THEN means_id END
           AS canonical_id
  FROM {schema}.interaction_contact
  WHERE workspace_id = %(workspace_id)s AND interaction_id = %(interaction)s AND position <= %(position)s
)
UPDATE {schema}.interaction_contact l
SET canonical_id = s.canonical_id, position = %(position)s
FROM settled s
WHERE l.workspace_id = %(workspace_id)s AND l.interaction_id = %(interaction)s AND l.contact_id = s.contact_id
  AND l.canonical_id IS DISTINCT FROM s.canonical_id
"""
_REKEY: Final = """
WITH touched AS (
  SELECT DISTINCT interaction_id
  FROM {schema}.interaction_contact
  WHERE workspace_id = %(workspace_id)s AND contact_id = ANY (%(absorbed)s) AND position <= %(position)s
), meant AS (
  SELECT l.interaction_id, l.contact_id, l.removed,
         CASE WHEN l.contact_id = ANY (%(absorbed)s) THEN %(target)s ELSE l.means_id END AS means_id
  FROM {schema}.interaction_contact l
  JOIN touched t ON t.interaction_id = l.interaction_id
  WHERE l.workspace_id = %(workspace_id)s AND l.position <= %(position)s
), settled AS (
  SELECT interaction_id, contact_id, means_id,
         CASE WHEN NOT removed
           AND row_number() OVER (PARTITION BY interaction_id, means_id, removed ORDER BY contact_id) = 1 THEN means_id END
           AS canonical_id
  FROM meant
)
UPDATE {schema}.interaction_contact l
SET means_id = s.means_id, canonical_id = s.canonical_id, position = %(position)s
FROM settled s
WHERE l.workspace_id = %(workspace_id)s AND l.interaction_id = s.interaction_id AND l.contact_id = s.contact_id
  AND (l.means_id, l.canonical_id) IS DISTINCT FROM (s.means_id, s.canonical_id)
"""
_COUNTED: LiteralString = """
UPDATE {schema}.contact_activity a
SET interaction_count = n.count, unshared_count = n.unshared, last_interaction_at = n.last, position = %(position)s
FROM (
  SELECT c.id, count(l.interaction_id) AS count, count(*) FILTER (WHERE l.visibility <> 'SHARED') AS unshared,
         max(l.occurred_at) AS last
  FROM ({contacts}) AS c (id)
  LEFT JOIN {schema}.interaction_contact l
    ON l.workspace_id = %(workspace_id)s AND l.canonical_id = c.id AND l.position <= %(position)s
  GROUP BY c.id
) n
WHERE a.workspace_id = %(workspace_id)s AND a.id = n.id
  AND (a.interaction_count, a.unshared_count, a.last_interaction_at) IS DISTINCT FROM (n.count, n.unshared, n.last)
"""
_RECOUNT: Final[LiteralString] = _COUNTED.replace("{contacts}", "SELECT unnest(%(contacts)s)")
_RECOUNT_OF_INTERACTION: Final[LiteralString] = _COUNTED.replace(
    "{contacts}",
    "SELECT DISTINCT means_id FROM {schema}.interaction_contact"
    " WHERE workspace_id = %(workspace_id)s AND interaction_id = %(interaction)s AND position <= %(position)s",
)
