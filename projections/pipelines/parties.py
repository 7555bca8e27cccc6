"""Whom a deal is with: its contacts as recorded, whom their ids mean now, and which of two that mean the same stands for both."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from crm_es.contacts.contact_events import ContactMerged, ContactReleased
from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from crm_es.sales.deal_values import DealContact
from projections.pipelines.standing import Page
from projections.pipelines.tables import CONTACT_MEANING, DEAL_CONTACT


def primary(contacts: Sequence[DealContact], fact: Fact, page: Page) -> UUID | None:
    """Whom the deal's primary contact means."""
    found = next((one.contact_id for one in contacts if one.primary), None)
    return found and page.means(fact.workspace, found)


def link(batch: Batch, fact: Fact, contacts: Sequence[DealContact], page: Page) -> None:
    """All the deal's contacts. Of those that mean the same, the primary one stands, or the one with the smallest id."""
    stands: set[UUID] = set()
    for place, one in sorted(enumerate(contacts), key=lambda each: (not each[1].primary, each[1].contact_id)):
        means = page.means(fact.workspace, one.contact_id)
        values: dict[str, Any] = {
            "deal_id": fact.stream, "contact_id": one.contact_id, "means_id": means,
            "canonical_id": None if means in stands else means, "place": place, "part": one.part, "is_primary": one.primary,
        }  # fmt: skip
        if fact.version == 1:
            batch.insert(DEAL_CONTACT, fact, **values)
        else:
            batch.save(DEAL_CONTACT, fact, **values)
        stands.add(means)


def unlink(batch: Batch, fact: Fact, stay: Sequence[UUID]) -> None:
    """Those who are not of the deal any more."""
    batch.execute(fact, _UNLINK, deal=fact.stream, stay=list(stay))


def rekey(batch: Batch, fact: Fact, page: Page) -> None:
    """From this position on, absorbed ids mean their survivor; released ones themselves."""
    event: ContactMerged | ContactReleased = fact.event  # type: ignore[assignment]
    ids, target = list(event.absorbed_ids), event.absorbed_id if isinstance(event, ContactReleased) else fact.stream
    for contact in ids:
        page.meanings[fact.workspace, contact] = target
        batch.put(CONTACT_MEANING, fact, id=contact, means_id=target)
    batch.execute(fact, REKEY, absorbed=ids, target=target)
    batch.execute(fact, _REKEY_PRIMARY, absorbed=ids, target=target)


_UNLINK: Final = """
UPDATE {schema}.deal_contact
SET removed = true, canonical_id = NULL, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND deal_id = %(deal)s AND contact_id <> ALL (%(stay)s) AND NOT removed
  AND position <= %(position)s
"""
# Rows of later events of the page are spared: they know the meaning by then.
REKEY: Final = """
WITH settled AS (
  SELECT place, means_id,
         CASE WHEN NOT removed AND row_number() OVER (
           PARTITION BY deal_id, means_id, removed ORDER BY is_primary DESC, contact_id
         ) = 1 THEN means_id END AS canonical_id
  FROM (
    SELECT ctid AS place, deal_id, contact_id, removed, is_primary,
           CASE WHEN contact_id = ANY (%(absorbed)s) THEN %(target)s ELSE means_id END AS means_id
    FROM {schema}.deal_contact
    WHERE workspace_id = %(workspace_id)s AND position <= %(position)s
      AND deal_id = ANY (ARRAY(
        SELECT deal_id
        FROM {schema}.deal_contact
        WHERE workspace_id = %(workspace_id)s AND contact_id = ANY (%(absorbed)s) AND position <= %(position)s
      ))
  ) meant
)
UPDATE {schema}.deal_contact l
SET means_id = s.means_id, canonical_id = s.canonical_id, position = %(position)s
FROM settled s
WHERE l.ctid = s.place AND (l.means_id, l.canonical_id) IS DISTINCT FROM (s.means_id, s.canonical_id)
"""
_REKEY_PRIMARY: Final = """
UPDATE {schema}.deal d
SET contact_id = %(target)s, position = %(position)s
FROM {schema}.deal_contact l
WHERE l.workspace_id = %(workspace_id)s AND l.contact_id = ANY (%(absorbed)s) AND l.is_primary AND NOT l.removed
  AND l.position <= %(position)s
  AND d.workspace_id = l.workspace_id AND d.id = l.deal_id AND d.contact_id <> %(target)s AND d.position <= %(position)s
"""
