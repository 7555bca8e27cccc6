-- Why: the role that serves requests was told the doomed keys of every workspace at once. It asks which workspaces have some,
-- and is told the keys of the one it works for.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

CREATE FUNCTION es.workspaces_with_doomed_keys(at_most int)
RETURNS SETOF uuid
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT DISTINCT d.workspace_id FROM es.doomed_key d WHERE d.destroyed_at IS NULL ORDER BY d.workspace_id LIMIT at_most
$$;
REVOKE ALL ON FUNCTION es.workspaces_with_doomed_keys FROM public;
GRANT EXECUTE ON FUNCTION es.workspaces_with_doomed_keys TO crm_app;

-- None where app.workspace is unset: a process of the version before, which still runs, sweeps nothing and does not fail.
CREATE OR REPLACE FUNCTION es.pending_doomed_keys(at_most int)
RETURNS TABLE (workspace_id uuid, key_id uuid)
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT d.workspace_id, d.key_id
  FROM es.doomed_key d
  WHERE d.workspace_id = nullif(current_setting('app.workspace', true), '')::uuid AND d.destroyed_at IS NULL
  ORDER BY d.key_id
  LIMIT at_most
$$;
