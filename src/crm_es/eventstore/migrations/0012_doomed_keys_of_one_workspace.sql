-- Why: the role that serves requests could say of any workspace's doomed keys that they are destroyed, and keep them alive so.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- Refuses where app.workspace is unset or empty, as row-level security does.
CREATE OR REPLACE FUNCTION es.doomed_keys_destroyed(keys uuid[])
RETURNS void
LANGUAGE sql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  UPDATE es.doomed_key
  SET destroyed_at = clock_timestamp()
  WHERE workspace_id = current_setting('app.workspace')::uuid AND key_id = ANY (keys) AND destroyed_at IS NULL
$$;
