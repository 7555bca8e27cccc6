"""Which position of a workspace is shown at a place in the house's log."""

from typing import Final

from psycopg.sql import SQL

AT_PLACE: Final = SQL("SELECT es.shown_position($1::uuid, $2::bigint)")
# How far each read model has come; those being made anew are nobody's to read. Mostly all stand at one place. With each the size
# of the newest signed checkpoint, so that no answer needs a statement more to tell it.
BOOKMARKS: Final = SQL(r"""
WITH model AS MATERIALIZED (SELECT b.read_model, b.log_id FROM es.bookmark b WHERE b.read_model NOT LIKE '%\_\_next'),
shown AS MATERIALIZED (
  SELECT p.log_id, es.shown_position($1::uuid, p.log_id) AS position FROM (SELECT DISTINCT m.log_id FROM model m) AS p
)
SELECT m.read_model, m.log_id, s.position, (
  SELECT c.size FROM ledger.checkpoint c WHERE c.workspace_id = $1::uuid ORDER BY c.epoch DESC, c.size DESC LIMIT 1
)
FROM model m
JOIN shown s ON s.log_id = m.log_id
""")
