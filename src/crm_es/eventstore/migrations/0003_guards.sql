-- Why: who may do what. Facts are append-only for everybody; a workspace sees its own rows and an unset workspace sees an error.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

CREATE FUNCTION es.refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  RAISE EXCEPTION 'events are append-only: % refused', TG_OP USING ERRCODE = '42501';
END $$;

CREATE TRIGGER events_append_only
BEFORE UPDATE OR DELETE ON es.events
FOR EACH ROW EXECUTE FUNCTION es.refuse_change();

CREATE TRIGGER events_append_only_truncate
BEFORE TRUNCATE ON es.events
FOR EACH STATEMENT EXECUTE FUNCTION es.refuse_change();

REVOKE ALL ON FUNCTION es.append_events FROM public;
GRANT EXECUTE ON FUNCTION es.append_events TO crm_app, crm_sealer;

GRANT USAGE ON SCHEMA es TO crm_app, crm_projector, crm_sealer;
GRANT SELECT ON es.events, es.head, es.command, es.reservation, es.key_holder TO crm_app, crm_projector, crm_sealer;
GRANT SELECT ON es.bookmark TO crm_app, crm_sealer;
GRANT SELECT, INSERT, UPDATE, DELETE ON es.bookmark TO crm_projector;

-- current_setting without missing_ok: an unset workspace is an error, and so is '' (what the setting is after a transaction).
ALTER TABLE es.events ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.events FOR SELECT TO crm_app
  USING (workspace_id IS NOT DISTINCT FROM (SELECT current_setting('app.workspace')::uuid));  -- a fence, no index condition
CREATE POLICY every_workspace ON es.events FOR SELECT TO crm_projector, crm_sealer USING (true);

ALTER TABLE es.head ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.head FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON es.head FOR SELECT TO crm_projector, crm_sealer USING (true);

ALTER TABLE es.command ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.command FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON es.command FOR SELECT TO crm_projector, crm_sealer USING (true);

ALTER TABLE es.reservation ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.reservation FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON es.reservation FOR SELECT TO crm_projector, crm_sealer USING (true);

ALTER TABLE es.key_holder ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.key_holder FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON es.key_holder FOR SELECT TO crm_projector, crm_sealer USING (true);

-- The log as people read it. The bytes in `state` are the record; this only shows them.
CREATE VIEW es.audit WITH (security_invoker = true) AS
SELECT workspace_id, sequence AS position, recorded_at, topic, originator_id AS stream, originator_version AS version,
       command_id, convert_from(state, 'UTF8')::jsonb AS body
FROM es.events;
GRANT SELECT ON es.audit TO crm_app, crm_projector, crm_sealer;

-- Keys waiting to be destroyed, of all workspaces: ids only. Whoever starts the store sweeps them.
CREATE FUNCTION es.pending_doomed_keys(at_most int)
RETURNS TABLE (workspace_id uuid, key_id uuid)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT d.workspace_id, d.key_id
  FROM es.doomed_key d
  WHERE d.destroyed_at IS NULL
  ORDER BY d.workspace_id, d.key_id
  LIMIT at_most
$$;

CREATE FUNCTION es.doomed_keys_destroyed(keys uuid[])
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE es.doomed_key SET destroyed_at = clock_timestamp() WHERE key_id = ANY (keys) AND destroyed_at IS NULL
$$;
REVOKE ALL ON FUNCTION es.pending_doomed_keys, es.doomed_keys_destroyed FROM public;
GRANT EXECUTE ON FUNCTION es.pending_doomed_keys, es.doomed_keys_destroyed TO crm_app;
