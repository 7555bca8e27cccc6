-- Why: the heads map, by which a part of a log is proved complete, is kept up from time to time rather than made anew each time;
-- and those who watch must know how far sealing is behind.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- How far the two tables below go, in which epoch of the log. They are derived: the sealer may begin them anew.
CREATE TABLE ledger.heads_reach (
  workspace_id uuid NOT NULL,
  epoch int NOT NULL,
  size bigint NOT NULL,
  CONSTRAINT heads_reach_pkey PRIMARY KEY (workspace_id)
);

-- Each stream's last event.
CREATE TABLE ledger.stream (
  workspace_id uuid NOT NULL,
  stream_id uuid NOT NULL,
  version bigint NOT NULL,
  "position" bigint NOT NULL,
  CONSTRAINT stream_pkey PRIMARY KEY (workspace_id, stream_id)
) WITH (fillfactor = 80);

-- The streams that belong to a subject, each since the event that made it so. A subject's own stream is among them.
CREATE TABLE ledger.mention (
  workspace_id uuid NOT NULL,
  subject_id uuid NOT NULL,
  stream_id uuid NOT NULL,
  since bigint NOT NULL,
  CONSTRAINT mention_pkey PRIMARY KEY (workspace_id, subject_id, stream_id)
);

GRANT SELECT ON ledger.heads_reach, ledger.stream, ledger.mention TO crm_app, crm_sealer;
GRANT INSERT, UPDATE, DELETE ON ledger.heads_reach, ledger.stream, ledger.mention TO crm_sealer;

ALTER TABLE ledger.heads_reach ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON ledger.heads_reach FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON ledger.heads_reach TO crm_sealer USING (true);

ALTER TABLE ledger.stream ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON ledger.stream FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON ledger.stream TO crm_sealer USING (true);

ALTER TABLE ledger.mention ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON ledger.mention FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON ledger.mention TO crm_sealer USING (true);

-- Of all workspaces: events not sealed yet, since when the oldest of them waits, when something was last signed, and how many
-- logs are in a later epoch than their first. Tells no workspace's secrets.
CREATE FUNCTION ledger.lag()
RETURNS TABLE (unsealed bigint, waiting_since timestamptz, signed_at timestamptz, reopened bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT coalesce(sum(h.sequence - s.size), 0)::bigint, min(e.recorded_at), max(s.signed_at), count(*) FILTER (WHERE s.epoch > 1)
  FROM es.head h
  CROSS JOIN LATERAL (
    SELECT coalesce(max(c.size), 0) AS size, max(c.signed_at) AS signed_at, max(c.epoch) AS epoch
    FROM (
      SELECT k.size, k.signed_at, k.epoch
      FROM ledger.checkpoint k
      WHERE k.workspace_id = h.workspace_id
      ORDER BY k.epoch DESC, k.size DESC
      LIMIT 1
    ) AS c
  ) AS s
  LEFT JOIN es.events e ON h.sequence > s.size AND e.workspace_id = h.workspace_id AND e.sequence = s.size + 1;
END;
REVOKE ALL ON FUNCTION ledger.lag FROM public;
GRANT EXECUTE ON FUNCTION ledger.lag TO crm_app, crm_projector, crm_sealer;
GRANT USAGE ON SCHEMA ledger TO crm_projector;
