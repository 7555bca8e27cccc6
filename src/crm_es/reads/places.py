"""Which position of a workspace is shown at a place in the house's log. Positions are dense, and both only grow."""

from typing import Final

from psycopg.sql import SQL

# `p` has the places. Mostly the workspace's newest event is shown. A read model that is behind, parked or made anew may be
# millions of events behind: they are halved again and again, not walked.
_SHOWN: Final = SQL("""
SELECT p.log_id, CASE
  WHEN newest.sequence IS NULL THEN 0
  WHEN newest.notification_id <= p.log_id THEN newest.sequence
  ELSE (
    WITH RECURSIVE step (low, high) AS (
      SELECT 0::bigint, newest.sequence
      UNION ALL
      SELECT CASE WHEN e.notification_id <= p.log_id THEN e.sequence ELSE s.low END,
             CASE WHEN e.notification_id <= p.log_id THEN s.high ELSE e.sequence END
      FROM step s
      JOIN es.events e ON e.workspace_id = $1::uuid AND e.sequence = (s.low + s.high) / 2
      WHERE s.high - s.low > 1
    )
    SELECT max(low) FROM step
  )
END AS position
FROM place p
LEFT JOIN (
  SELECT e.sequence, e.notification_id FROM es.events e WHERE e.workspace_id = $1::uuid ORDER BY e.sequence DESC LIMIT 1
) AS newest ON true
""")
AT_PLACE: Final = SQL(
    "WITH place AS (SELECT $2::bigint AS log_id), shown AS ({shown}) SELECT position FROM shown"
).format(shown=_SHOWN)
# How far each read model has come; those being made anew are nobody's to read.
BOOKMARKS: Final = SQL(r"""
WITH model AS MATERIALIZED (SELECT b.read_model, b.log_id FROM es.bookmark b WHERE b.read_model NOT LIKE '%\_\_next'),
place AS MATERIALIZED (SELECT DISTINCT m.log_id FROM model m),
shown AS MATERIALIZED ({shown})
SELECT m.read_model, m.log_id, s.position
FROM model m
JOIN shown s ON s.log_id = m.log_id
""").format(shown=_SHOWN)
