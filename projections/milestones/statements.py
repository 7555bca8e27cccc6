"""What cannot be said of one row by its key: whose timelines all of a record's milestones stand on."""

from typing import Final

SELECT_STANDINGS: Final = """
SELECT workspace_id, id, company_id, contact_ids, amount_minor, amount_currency, archived
FROM {schema}.standing
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(records)s)
"""
SELECT_MEANINGS: Final = """
SELECT workspace_id, id, means_id
FROM {schema}.contact_meaning
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(contacts)s)
"""
MOVE: Final = """
UPDATE {schema}.milestone
SET company_id = %(company)s::uuid, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND entity_id = %(record)s AND position <= %(position)s
  AND company_id IS DISTINCT FROM %(company)s::uuid
"""
SHELVE: Final = """
UPDATE {schema}.milestone
SET archived = %(archived)s, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND entity_id = %(record)s AND position <= %(position)s AND archived <> %(archived)s
"""
UNLINK: Final = """
UPDATE {schema}.milestone_contact
SET removed = true, canonical_id = NULL, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND entity_id = %(record)s AND contact_id <> ALL (%(stay)s::uuid[]) AND NOT removed
  AND position <= %(position)s
"""
LINK_ALL: Final = """
INSERT INTO {schema}.milestone_contact AS l (
  workspace_id, milestone_id, contact_id, means_id, canonical_id, entity_id, occurred_at, removed, position
)
SELECT m.workspace_id, m.id, c.contact_id, c.means_id, c.canonical_id, m.entity_id, m.occurred_at, false, %(position)s
FROM {schema}.milestone m
CROSS JOIN unnest(%(contacts)s::uuid[], %(means)s::uuid[], %(canonical)s::uuid[]) AS c (contact_id, means_id, canonical_id)
WHERE m.workspace_id = %(workspace_id)s AND m.entity_id = %(record)s AND m.position <= %(position)s
ON CONFLICT (workspace_id, milestone_id, contact_id) DO UPDATE
SET means_id = excluded.means_id, canonical_id = excluded.canonical_id, removed = false, position = excluded.position
WHERE (l.means_id, l.canonical_id, l.removed) IS DISTINCT FROM (excluded.means_id, excluded.canonical_id, false)
"""
# Of the links that mean the same contact, the one with the smallest id stands. Rows of later events of the page are spared.
REKEY: Final = """
WITH meant AS (
  SELECT ctid AS place, milestone_id, contact_id, removed,
         CASE WHEN contact_id = ANY (%(absorbed)s) THEN %(target)s ELSE means_id END AS means_id
  FROM {schema}.milestone_contact
  WHERE workspace_id = %(workspace_id)s AND position <= %(position)s
    AND milestone_id = ANY (ARRAY(
      SELECT milestone_id
      FROM {schema}.milestone_contact
      WHERE workspace_id = %(workspace_id)s AND contact_id = ANY (%(absorbed)s) AND position <= %(position)s
    ))
), settled AS (
  SELECT place, means_id,
         CASE WHEN NOT removed
           AND row_number() OVER (PARTITION BY milestone_id, means_id, removed ORDER BY contact_id) = 1 THEN means_id END
           AS canonical_id
  FROM meant
)
UPDATE {schema}.milestone_contact l
SET means_id = s.means_id, canonical_id = s.canonical_id, position = %(position)s
FROM settled s
WHERE l.ctid = s.place AND (l.means_id, l.canonical_id) IS DISTINCT FROM (s.means_id, s.canonical_id)
"""
