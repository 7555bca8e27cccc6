-- Why: processes that serve keep what they know of members until one of the members' own events is applied, not any event.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- The last event of these topics after one log id, up to another; NULL where there is none. Tells no workspace's secrets.
CREATE FUNCTION es.newest_of_topics(topics text[], after bigint, upto bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT max(e.notification_id)
  FROM es.events e
  WHERE e.notification_id > after AND e.notification_id <= upto AND e.topic = ANY (topics);
END;
REVOKE ALL ON FUNCTION es.newest_of_topics FROM public;
GRANT EXECUTE ON FUNCTION es.newest_of_topics TO crm_app;
