"""What cannot be said of one row by its key: links that settle, counts, ids that mean others."""

from typing import Final, LiteralString

MORE_CONTACTS: Final = (
    "contact_ids ||"
    " ARRAY(SELECT n FROM unnest({value}) WITH ORDINALITY u (n, i) WHERE n <> ALL (contact_ids) ORDER BY i)"
)
FEWER_CONTACTS: Final = (
    "ARRAY(SELECT o FROM unnest(contact_ids) WITH ORDINALITY u (o, i) WHERE o <> ALL ({value}) ORDER BY i)"
)
SELECT_MEANINGS: Final = """
SELECT workspace_id, id, means_id
FROM {schema}.meaning
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(ids)s)
"""
ADD_LINK: Final = """
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
REDACT_THE_PAST: Final = """
UPDATE {schema}.interaction_history h
SET external_id = i.external_id, subject = i.subject, body = i.body, participants = i.participants
FROM {schema}.interaction i
WHERE i.workspace_id = %(workspace_id)s AND i.id = %(interaction)s
  AND h.workspace_id = i.workspace_id AND h.id = i.id
"""
RETRACT: Final = """
UPDATE {schema}.interaction_contact
SET removed = true, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND interaction_id = %(interaction)s AND NOT removed
"""
CORRECT_LINKS: Final = """
UPDATE {schema}.interaction_contact
SET type = coalesce(%(type)s, type), occurred_at = coalesce(%(occurred_at)s, occurred_at),
    visibility = coalesce(%(visibility)s, visibility), position = %(position)s
WHERE workspace_id = %(workspace_id)s AND interaction_id = %(interaction)s
"""
# Of the links that mean the same contact, the one with the smallest id stands. Rows of later events of the page are spared.
SETTLE: Final = """
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
REKEY: Final = """
WITH meant AS (
  SELECT ctid AS place, interaction_id, contact_id, removed,
         CASE WHEN contact_id = ANY (%(absorbed)s) THEN %(target)s ELSE means_id END AS means_id
  FROM {schema}.interaction_contact
  WHERE workspace_id = %(workspace_id)s AND position <= %(position)s
    AND interaction_id = ANY (ARRAY(
      SELECT interaction_id
      FROM {schema}.interaction_contact
      WHERE workspace_id = %(workspace_id)s AND contact_id = ANY (%(absorbed)s) AND position <= %(position)s
    ))
), settled AS (
  SELECT place, means_id,
         CASE WHEN NOT removed
           AND row_number() OVER (PARTITION BY interaction_id, means_id, removed ORDER BY contact_id) = 1 THEN means_id END
           AS canonical_id
  FROM meant
)
UPDATE {schema}.interaction_contact l
SET means_id = s.means_id, canonical_id = s.canonical_id, position = %(position)s
FROM settled s
WHERE l.ctid = s.place AND (l.means_id, l.canonical_id) IS DISTINCT FROM (s.means_id, s.canonical_id)
"""
REKEY_TICKETS: Final = """
UPDATE {schema}.interaction
SET ticket_means_id = %(target)s, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND ticket_id = ANY (%(absorbed)s) AND position <= %(position)s
  AND ticket_means_id IS DISTINCT FROM %(target)s
"""
COUNTED: LiteralString = """
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
RECOUNT: Final[LiteralString] = COUNTED.replace("{contacts}", "SELECT unnest(%(contacts)s)")
RECOUNT_OF_INTERACTION: Final[LiteralString] = COUNTED.replace(
    "{contacts}",
    "SELECT DISTINCT means_id FROM {schema}.interaction_contact"
    " WHERE workspace_id = %(workspace_id)s AND interaction_id = %(interaction)s AND position <= %(position)s",
)
