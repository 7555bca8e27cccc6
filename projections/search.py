"""Finding records by what people type: names, titles, emails, digits of a phone number, companies; typos and CJK included.

Read through `search.find`, which looks in the workspace of the setting `app.workspace`: under row-level security the text
indexes would not be used.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

from msgspec import UNSET

from crm_es.contacts import company, contact_events
from crm_es.contacts.contact_events import Item
from crm_es.eventstore.event import Erased, Fact
from crm_es.projector.contract import Batch, Column, Index, Table
from crm_es.sales import deal_events, pipeline, product
from crm_es.service import article, ticket_events
from crm_es.text import bigrams, digits, fold
from crm_es.workspaces import member

NAME = "search"
VERSION = 4

RECORD: Final = Table(
    name="record",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="type", type="text"),
        Column(name="company_id", type="uuid", null=True),
        Column(name="archived", type="bool", default=False),
        Column(name="absorbed", type="bool", default=False),
    ),
    versioned=False,
    indexes=(Index(name="company", columns=("company_id",), where="company_id IS NOT NULL"),),
)
TERM: Final = Table(
    name="term",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="slot", type="text"),
        Column(name="subject_ids", type="uuid[]", default=[]),
        Column(name="field", type="text"),
        Column(name="text", type="text", personal=True),
        Column(name="folded", type="text", personal=True, collate="C"),
        Column(name="grams", type="text[]", personal=True),
    ),
    key=("id", "slot"),
    versioned=False,
    subject="subject_ids",
    indexes=(
        Index(name="folded", columns=("folded",), where="folded IS NOT NULL"),
        Index(name="trigrams", columns=("folded gin_trgm_ops",), method="gin"),
        Index(name="grams", columns=("grams",), method="gin", where="grams IS NOT NULL"),
    ),
)
# The newest title of an article. Once that is published, readers find it by what they see.
DRAFT: Final = Table(
    name="draft",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="text", type="text"),
        Column(name="folded", type="text", collate="C"),
        Column(name="grams", type="text[]", null=True),
        Column(name="published", type="bool", default=False),
    ),
    versioned=False,
)
TABLES: tuple[Table, ...] = (RECORD, TERM, DRAFT)
_Ticket = (
    ticket_events.TicketOpened
    | ticket_events.TicketUpdated
    | ticket_events.TicketAbsorbed
    | ticket_events.TicketUnmerged
)
_Deal = (
    deal_events.DealOpened
    | deal_events.DealUpdated
    | deal_events.DealContactsChanged
    | deal_events.DealArchived
    | deal_events.DealRestored
)
_Article = article.ArticleSaved | article.ArticlePublished | article.ArticleArchived | article.ArticleRestored
_Event = (
    contact_events.ContactEvent
    | company.CompanyEvent
    | member.MemberInvited
    | member.MemberRegistered
    | _Ticket
    | _Article
    | product.ProductEvent
    | pipeline.PipelineEvent
    | _Deal
)
TOPICS = frozenset(e.TOPIC for e in _Event.__args__)

_NAMES: Final = {
    "display_name": "displayName", "given_name": "givenName", "family_name": "familyName", "name": "name", "title": "title",
    "sku": "sku",
}  # fmt: skip


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    for fact in facts:
        _record(batch, fact)
        _terms(batch, fact)


def _record(batch: Batch, fact: Fact) -> None:
    """What is to be known of the record beside its words; `put` keeps the rest."""
    values: dict[str, Any] = {}
    if fact.version == 1:
        values["type"] = fact.topic.partition(".")[0].upper()
    match fact.event:
        case _ if fact.topic.endswith(".archived"):
            values["archived"] = True
        case _ if fact.topic.endswith(".restored"):
            values["archived"] = False
        case contact_events.ContactAbsorbed() | ticket_events.TicketAbsorbed():
            values["absorbed"] = True
        case contact_events.ContactUnmerged() | ticket_events.TicketUnmerged():
            values["absorbed"] = False
        case (
            contact_events.ContactRegistered(company_id=into)
            | contact_events.ContactCompanyChanged(company_id=into)
            | contact_events.ContactMerged(company_id=into)
            | deal_events.DealOpened(company_id=into)
            | deal_events.DealUpdated(company_id=into)
        ) if into is not UNSET:
            values["company_id"] = into
        case _:
            pass
    if values:
        values.setdefault("type", fact.topic.partition(".")[0].upper())
        write = batch.insert if fact.version == 1 else batch.put
        write(RECORD, fact, id=fact.stream, **values)


def _terms(batch: Batch, fact: Fact) -> None:
    event: Any = fact.event
    for name, field in _NAMES.items():
        value = getattr(event, name, UNSET)
        if value is not UNSET and not (isinstance(event, article.ArticleSaved) and fact.version > 1):
            _put(batch, fact, name, field, value)
    match event:
        case article.ArticleSaved(title=title):
            words = _words("title", title)
            if fact.version == 1:
                batch.insert(DRAFT, fact, id=fact.stream, **words)
            else:
                batch.update(DRAFT, fact, {"id": fact.stream}, **words)
                batch.execute(fact, _SHOW, id=fact.stream)
        case article.ArticlePublished() | article.ArticleRestored():
            batch.update(DRAFT, fact, {"id": fact.stream}, published=False)
            batch.execute(fact, _SHOW, id=fact.stream)
            if isinstance(event, article.ArticlePublished):
                batch.update(DRAFT, fact, {"id": fact.stream}, published=True)
        case contact_events.ContactRegistered() | contact_events.ContactMerged():
            for item, email in contact_events.numbered(event.email_items, event.emails):
                _put(batch, fact, _slot(fact, item), "emails", _of(email, "address"))
            for item, phone in contact_events.numbered(event.phone_items, event.phones):
                _put(batch, fact, _slot(fact, item), "phones", _of(phone, "number"))
        case contact_events.ContactEmailAdded() | contact_events.ContactEmailChanged() if event.email is not UNSET:
            _put(batch, fact, _slot(fact, event.item), "emails", _of(event.email, "address"))
        case contact_events.ContactPhoneAdded() | contact_events.ContactPhoneChanged() if event.phone is not UNSET:
            _put(batch, fact, _slot(fact, event.item), "phones", _of(event.phone, "number"))
        case contact_events.ContactEmailRemoved(item=item):
            _put(batch, fact, _slot(fact, item), "emails", None)
        case contact_events.ContactPhoneRemoved(item=item):
            _put(batch, fact, _slot(fact, item), "phones", None)
        case contact_events.ContactReleased(absorbed_ids=absorbed):
            batch.execute(fact, _RELEASE, id=fact.stream, holders=[str(a) for a in absorbed])
        case member.MemberInvited() | member.MemberRegistered() if event.email is not UNSET:
            _put(batch, fact, "email", "email", event.email)
        case company.CompanyRegistered(domains=domains) if domains is not UNSET:
            _domains(batch, fact, domains)
        case company.CompanyDomainAdded(domain=domain):
            _domains(batch, fact, [domain])
        case company.CompanyDomainRemoved(domain=domain):
            _put(batch, fact, f"domain {domain}", "domains", None)
        case ticket_events.TicketUpdated(requester_id=requester) if requester is not UNSET:
            batch.execute(fact, _ABOUT, id=fact.stream, subjects=[requester] if requester else [])
        case deal_events.DealContactsChanged(contacts=contacts):
            batch.execute(fact, _ABOUT, id=fact.stream, subjects=[one.contact_id for one in contacts])
        case (
            ticket_events.TicketOpened(external_ids=others)
            | deal_events.DealOpened(external_ids=others)
            | product.ProductRegistered(external_ids=others)
        ) if others is not UNSET:
            for one in dict.fromkeys(others):
                _put(batch, fact, f"external {one.system} {one.value}", "externalIds", one.value)
        case _:
            pass


def _domains(batch: Batch, fact: Fact, domains: Iterable[str]) -> None:
    for domain in dict.fromkeys(domains):
        _put(batch, fact, f"domain {domain}", "domains", domain)


def _slot(fact: Fact, item: Item) -> str:
    """Items keep a slot each, named by whose stream took them, so that an unmerge can take them away."""
    return f"{item.holder or fact.stream} {item.number}"


def _of(value: Any, name: str) -> Any:
    return None if isinstance(value, Erased) else getattr(value, name)


def _put(batch: Batch, fact: Fact, slot: str, field: str, text: str | Erased | None) -> None:
    """A word of the record; None: gone."""
    words = _words(field, text if isinstance(text, str) else None)
    if isinstance(fact.event, ticket_events.TicketUpdated | deal_events.DealUpdated):  # it stays about whom it was
        batch.update(TERM, fact, {"id": fact.stream, "slot": slot}, **words)
    else:
        write = batch.insert if fact.version == 1 else batch.save  # a first event finds no words
        write(TERM, fact, id=fact.stream, slot=slot, subject_ids=_subjects(fact), field=field, **words)


def _words(field: str, plain: str | None) -> dict[str, Any]:
    """What it is found by."""
    if plain is None:
        return {"text": None, "folded": None, "grams": None}
    folded = digits(plain) if field == "phones" else fold(plain)
    return {"text": plain, "folded": folded, "grams": bigrams(plain) or None}


def _subjects(fact: Fact) -> list[UUID]:
    """Whom the words of a record are about."""
    match fact.event:
        case ticket_events.TicketOpened(requester_id=requester):
            return [requester] if requester else []
        case deal_events.DealOpened(contacts=contacts):
            return [] if contacts is UNSET else [one.contact_id for one in contacts]
        case _:
            return [fact.stream] if fact.topic.startswith(("contact.", "member.")) else []


_SHOW: Final = """
UPDATE {schema}.term t
SET text = d.text, folded = d.folded, grams = d.grams, position = %(position)s
FROM {schema}.draft d
WHERE t.workspace_id = %(workspace_id)s AND t.id = %(id)s AND t.slot = 'title'
  AND d.workspace_id = t.workspace_id AND d.id = t.id AND NOT d.published
"""
_ABOUT: Final = """
UPDATE {schema}.term
SET subject_ids = %(subjects)s::uuid[], position = %(position)s
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND position <= %(position)s
"""
_RELEASE: Final = """
UPDATE {schema}.term
SET text = NULL, folded = NULL, grams = NULL, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND id = %(id)s AND split_part(slot, ' ', 1) = ANY (%(holders)s)
  AND position < %(position)s
"""
# `query` is folded; `numbers` its digits, `pairs` its CJK characters and pairs. One row a record, best first.
_FIND: LiteralString = """
CREATE FUNCTION {schema}.find(query text, numbers text, pairs text[], types text[], at_most int)
RETURNS TABLE (id uuid, type text, field text, snippet text, score real)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET pg_trgm.word_similarity_threshold = 0.45
BEGIN ATOMIC
  WITH space AS MATERIALIZED (
    SELECT current_setting('app.workspace')::uuid AS workspace_id
  ), hit AS (
    (SELECT t.id, t.field, t.text, 1.0 AS score
     FROM {schema}.term t
     WHERE t.workspace_id = (SELECT s.workspace_id FROM space s) AND query <> '' AND t.folded = query
     LIMIT 200)
    UNION ALL
    (SELECT t.id, t.field, t.text, 0.9
     FROM {schema}.term t
     WHERE t.workspace_id = (SELECT s.workspace_id FROM space s) AND query <> ''
       AND t.folded >= query AND t.folded < query || chr(1114111)
     LIMIT 200)
    UNION ALL
    (SELECT t.id, t.field, t.text, 0.7
     FROM {schema}.term t
     WHERE t.workspace_id = (SELECT s.workspace_id FROM space s) AND length(query) > 2
       AND t.folded LIKE '%' || replace(replace(replace(query, '\\', '\\\\'), '%', '\\%'), '_', '\\_') || '%'
     LIMIT 200)
    UNION ALL
    (SELECT t.id, t.field, t.text, 0.65 * public.word_similarity(query, t.folded)
     FROM {schema}.term t
     WHERE t.workspace_id = (SELECT s.workspace_id FROM space s) AND length(query) > 2 AND query OPERATOR(public.<%) t.folded
     LIMIT 200)
    UNION ALL
    (SELECT t.id, t.field, t.text, 0.8
     FROM {schema}.term t
     WHERE t.workspace_id = (SELECT s.workspace_id FROM space s) AND length(numbers) > 3
       AND t.field = 'phones' AND t.folded LIKE '%' || numbers || '%'
     LIMIT 200)
    UNION ALL
    (SELECT t.id, t.field, t.text, 0.75
     FROM {schema}.term t
     WHERE t.workspace_id = (SELECT s.workspace_id FROM space s) AND pairs <> '{{}}' AND t.grams @> pairs
     LIMIT 200)
  ), found AS (
    SELECT r.id, r.type, h.field, h.text, h.score
    FROM hit h
    JOIN {schema}.record r ON r.workspace_id = (SELECT s.workspace_id FROM space s) AND r.id = h.id
    WHERE NOT r.archived AND NOT r.absorbed
    UNION ALL
    SELECT c.id, c.type, 'company', h.text, h.score * 0.5
    FROM hit h
    JOIN {schema}.record r ON r.workspace_id = (SELECT s.workspace_id FROM space s) AND r.id = h.id AND r.type = 'COMPANY'
    JOIN {schema}.record c ON c.workspace_id = r.workspace_id AND c.company_id = r.id
    WHERE NOT c.archived AND NOT c.absorbed
  ), best AS (
    SELECT DISTINCT ON (f.id) f.id, f.type, f.field, f.text, f.score
    FROM found f
    WHERE types IS NULL OR f.type = ANY (types)
    ORDER BY f.id, f.score DESC, f.field, f.text
  )
  SELECT b.id, b.type, b.field, b.text, b.score::real
  FROM best b
  ORDER BY b.score DESC, b.id
  LIMIT at_most;
END
"""
FUNCTIONS: tuple[LiteralString, ...] = (_FIND,)
