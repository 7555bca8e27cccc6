-- Why: a read of streams is one statement that carries its own workspace, so one round trip and no setting left behind.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- Plans are kept by the session, as in es.append_events: by the keys, whatever the tables held when they were made.

-- The events of some streams, each after a version, and the row of a command (in every row; alone if there are no events).
-- Runs with the caller's rights: row-level security stays in force beside the predicate.
CREATE FUNCTION es.read_streams(workspace uuid, streams uuid[], after bigint[], upto bigint, command uuid)
RETURNS TABLE (
  stream uuid, version bigint, log_id bigint, sequence bigint, state bytea,
  request_hash bytea, ids uuid[], command_position bigint, refusals text, command_log_id bigint
)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_catalog.set_config('app.workspace', workspace::text, true);
  RETURN QUERY
  SELECT e.originator_id, e.originator_version, e.notification_id, e.sequence, e.state,
         c.request_hash, c.ids, CASE WHEN c.changed THEN c.position END, c.refusals, l.notification_id
  FROM (SELECT) AS always
  LEFT JOIN es.command c ON c.workspace_id = workspace AND c.command_id = command
  LEFT JOIN es.events l ON l.workspace_id = workspace AND l.sequence = c.position AND c.changed
  LEFT JOIN LATERAL (
    SELECT t.originator_id, t.originator_version, t.notification_id, t.sequence, t.state
    FROM unnest(streams, after) AS wanted (stream, version)
    JOIN es.events t
      ON t.originator_id = wanted.stream AND t.originator_version > wanted.version AND t.originator_version <= upto
    WHERE t.workspace_id IS NOT DISTINCT FROM workspace  -- no index may answer this: the stream's own is the one
  ) AS e ON true
  ORDER BY e.originator_id, e.originator_version;
END $$;

-- Who holds these values: (kind, HMAC) pairs to the streams that took them.
CREATE FUNCTION es.read_holders(workspace uuid, kinds text[], keys bytea[])
RETURNS TABLE (kind text, key bytea, stream uuid)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_catalog.set_config('app.workspace', workspace::text, true);
  RETURN QUERY
  SELECT r.kind, r.key, r.stream_id
  FROM unnest(kinds, keys) AS wanted (k, y)
  JOIN es.reservation r ON r.workspace_id = workspace AND r.kind = wanted.k AND r.key = wanted.y;
END $$;

-- Which of these streams stand in the workspace and begin with an event of this aggregate.
CREATE FUNCTION es.read_existing(workspace uuid, aggregate text, streams uuid[])
RETURNS TABLE (stream uuid)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_catalog.set_config('app.workspace', workspace::text, true);
  RETURN QUERY
  SELECT e.originator_id
  FROM unnest(streams) AS wanted (s)
  JOIN es.events e ON e.originator_id = wanted.s AND e.originator_version = 1
    AND e.workspace_id IS NOT DISTINCT FROM workspace
  WHERE starts_with(e.topic, aggregate || '.');
END $$;

REVOKE ALL ON FUNCTION es.read_streams, es.read_holders, es.read_existing FROM public;
GRANT EXECUTE ON FUNCTION es.read_streams, es.read_holders, es.read_existing TO crm_app, crm_projector, crm_sealer;
