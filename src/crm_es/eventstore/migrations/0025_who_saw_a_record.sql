-- Why: "who saw this record" is answered in full, however old, and with what may have held anybody: exports of many and answers
-- with more records than a row names.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '30min';
SET LOCAL ROLE crm_owner;

CREATE INDEX entry_workspace_id_bulk_idx ON access.entry (workspace_id, position) WHERE kind = 'EXPORT' OR node_count > 1000;

-- The operations of the caller's workspace that answered any of these records; NULL where they are more than `most`: then they
-- are found faster by walking the log. `since` is the position at which the oldest of the records began: an export of many
-- (which names the workspace) holds it from there on, and so may an answer that names but the first of its records.
-- Row-level security would keep the index of ids from being used, so this names the workspace itself, as searching does.
-- `access.reads_of` is for processes of the release before, and goes with the next.
CREATE FUNCTION access.answered(nodes uuid[], since bigint, most int)
RETURNS uuid[]
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_indexscan = off
AS $$
DECLARE
  own uuid := current_setting('app.workspace')::uuid;
  named uuid[];
  perhaps uuid[];
BEGIN
  named := ARRAY(
    SELECT e.id
    FROM access.entry e
    WHERE e.node_ids && nodes AND e.node_ids <> '{}' AND e.workspace_id = own
    LIMIT most + 1
  );
  IF cardinality(named) > most THEN
    RETURN NULL;
  END IF;
  perhaps := ARRAY(
    SELECT e.id
    FROM access.entry e
    WHERE (e.kind = 'EXPORT' OR e.node_count > 1000) AND e.workspace_id = own AND e.position >= since
      AND (e.node_count > 1000 OR own = ANY (e.node_ids))
    LIMIT most + 1
  );
  RETURN CASE WHEN cardinality(perhaps) > most THEN NULL ELSE named || perhaps END;
END $$;

REVOKE ALL ON FUNCTION access.answered FROM public;
GRANT EXECUTE ON FUNCTION access.answered TO crm_app;
