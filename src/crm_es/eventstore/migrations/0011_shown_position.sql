-- Why: every read tells which position of its workspace it shows. The statement for it was planned once a connection, perhaps
-- while the log was small, and then read all of the log; it cost more than the read. By the keys, whatever the plan's age.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- The newest position of a workspace at or before a place in the house's log; 0 where there is none.
-- Positions are dense, and both only grow. Mostly the newest is shown, or one of the last few: steps back grow from one. A read
-- model that is parked or made anew may be millions of events behind: what the steps leave is halved, not walked.
-- Runs with the caller's rights: row-level security stays in force beside the predicate.
CREATE FUNCTION es.shown_position(workspace uuid, place bigint) RETURNS bigint
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
  low bigint;
  high bigint;
  middle bigint;
  step bigint := 1;
  at bigint;
BEGIN
  SELECT e.sequence, e.notification_id INTO low, at
  FROM es.events e
  WHERE e.workspace_id = workspace
  ORDER BY e.sequence DESC
  LIMIT 1;
  IF low IS NULL OR at <= place THEN
    RETURN coalesce(low, 0);
  END IF;
  LOOP
    high := low;
    low := greatest(low - step, 0);
    step := step * 2;
    EXIT WHEN low = 0;
    SELECT e.notification_id INTO at FROM es.events e WHERE e.workspace_id = workspace AND e.sequence = low;
    EXIT WHEN at <= place;
  END LOOP;
  WHILE high - low > 1 LOOP
    middle := (low + high) / 2;
    SELECT e.notification_id INTO at FROM es.events e WHERE e.workspace_id = workspace AND e.sequence = middle;
    IF at <= place THEN
      low := middle;
    ELSE
      high := middle;
    END IF;
  END LOOP;
  RETURN low;
END $$;
REVOKE ALL ON FUNCTION es.shown_position FROM public;
GRANT EXECUTE ON FUNCTION es.shown_position TO crm_app;
