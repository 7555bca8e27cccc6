-- Why: processes that serve tell whether read models are caught up, and row-level security hides from them how long the log is.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

CREATE FUNCTION es.newest_log_id() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT max(e.notification_id) FROM es.events e;
END;
REVOKE ALL ON FUNCTION es.newest_log_id FROM public;
GRANT EXECUTE ON FUNCTION es.newest_log_id TO crm_app, crm_projector;
