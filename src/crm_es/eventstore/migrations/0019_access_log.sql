-- Why: who read what. One row an operation, in months that leave whole; the application adds rows and changes none.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
CREATE SCHEMA access AUTHORIZATION crm_owner;
SET LOCAL ROLE crm_owner;

-- `at` is when the answer was ready, by the clock of the process that gave it; `id` is a UUIDv7 of that millisecond.
-- `logged_at` is when the row was written, by the database's: hours are closed and sealed by it. Nobody may name it.
-- `node_ids` are grouped by type, so many of each: (types {Contact,Company}, counts {2,1}, three ids). At most 1,000;
-- `node_count` says how many there were, and `query_digest` (under a key of the workspace) which question it was.
CREATE TABLE access.entry (
  workspace_id uuid NOT NULL,
  id uuid NOT NULL,
  at timestamptz NOT NULL,
  logged_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  actor_kind text NOT NULL,
  actor_id uuid,
  on_behalf_of uuid,
  authenticated_by text,
  kind text NOT NULL,
  operation text NOT NULL,
  operation_hash bytea NOT NULL,
  purpose text,
  node_types text[] NOT NULL,
  node_counts int[] NOT NULL,
  node_ids uuid[] NOT NULL,
  node_count int NOT NULL,
  query_digest bytea,
  fields text[] NOT NULL,
  rows int NOT NULL,
  position bigint NOT NULL,
  microseconds bigint NOT NULL,
  allowed boolean NOT NULL,
  code text,
  CONSTRAINT entry_ids_fit CHECK (cardinality(node_ids) <= 1000),
  CONSTRAINT entry_purpose_fits CHECK (char_length(purpose) <= 500)
) PARTITION BY RANGE (logged_at);
CREATE INDEX entry_workspace_id_id_idx ON access.entry (workspace_id, id);
CREATE INDEX entry_workspace_id_at_idx ON access.entry (workspace_id, at, id);
CREATE INDEX entry_workspace_id_actor_id_idx ON access.entry (workspace_id, actor_id, at, id);
CREATE INDEX entry_workspace_id_denied_idx ON access.entry (workspace_id, at, id) WHERE NOT allowed;
CREATE INDEX entry_workspace_id_sensitive_idx ON access.entry (workspace_id, at, id) WHERE fields <> '{}';
CREATE INDEX entry_logged_at_idx ON access.entry USING brin (logged_at) WITH (pages_per_range = 16);
-- One long list of pending entries would hold up whoever fills it: keep it short.
CREATE INDEX entry_node_ids_idx ON access.entry USING gin (node_ids) WITH (gin_pending_list_limit = 256)
  WHERE node_ids <> '{}';

CREATE FUNCTION access.refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  RAISE EXCEPTION 'the access log is append-only: % refused', TG_OP USING ERRCODE = '42501';
END $$;

CREATE TRIGGER entry_append_only
BEFORE UPDATE OR DELETE ON access.entry
FOR EACH ROW EXECUTE FUNCTION access.refuse_change();

-- Whoever writes holds this, shared, until he has committed. Whoever closes an hour takes it alone for a moment: then all
-- rows of the hour are there, and later ones bear a later time, since `logged_at` is told after the lock is held.
CREATE FUNCTION access.hold_hour() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM pg_catalog.pg_advisory_xact_lock_shared(4711003);
  RETURN NULL;
END $$;

-- Row-level security knows the parent, through which rows are read; COPY, which it forbids, goes to the month itself, where
-- the application may insert and nothing else. So nobody reads another workspace's rows, and a writer serves them all.
CREATE FUNCTION access.prepare(ahead int DEFAULT 2)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
SET timezone = 'UTC'
AS $$
DECLARE
  first date;
  name text;
BEGIN
  FOR n IN 0 .. least(ahead, 12) LOOP
    first := (date_trunc('month', clock_timestamp()) + make_interval(months => n))::date;
    name := 'entry_' || to_char(first, 'YYYY_MM');
    CONTINUE WHEN to_regclass('access.' || name) IS NOT NULL;
    PERFORM pg_advisory_xact_lock(4711004);
    CONTINUE WHEN to_regclass('access.' || name) IS NOT NULL;
    -- Made beside and attached: CREATE TABLE .. PARTITION OF would wait for every reader, and everybody for it.
    EXECUTE format('CREATE TABLE access.%I (LIKE access.entry INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format('CREATE TRIGGER %I BEFORE INSERT ON access.%I EXECUTE FUNCTION access.hold_hour()', name || '_hold', name);
    EXECUTE format(
      'CREATE TRIGGER %I BEFORE TRUNCATE ON access.%I EXECUTE FUNCTION access.refuse_change()', name || '_keep', name
    );
    EXECUTE format(
      'GRANT INSERT (workspace_id, id, at, actor_kind, actor_id, on_behalf_of, authenticated_by, kind, operation, '
      'operation_hash, purpose, node_types, node_counts, node_ids, node_count, query_digest, fields, rows, position, '
      'microseconds, allowed, code) ON access.%I TO crm_app', name
    );
    EXECUTE format(
      'ALTER TABLE access.entry ATTACH PARTITION access.%I FOR VALUES FROM (%L) TO (%L)',
      name, first, (first + interval '1 month')::date
    );
  END LOOP;
END $$;

-- Where to write now, and until when.
CREATE FUNCTION access.month(OUT name text, OUT until timestamptz)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $$
  SELECT 'entry_' || to_char(now(), 'YYYY_MM'), date_trunc('month', now()) + interval '1 month'
$$;

-- Which of these rows are there: a writer that lost its connection in the middle asks before it writes again.
CREATE FUNCTION access.written(workspaces uuid[], ids uuid[])
RETURNS SETOF uuid
LANGUAGE sql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT e.id
  FROM unnest(workspaces, ids) AS wanted (workspace_id, id)
  JOIN access.entry e ON e.workspace_id = wanted.workspace_id AND e.id = wanted.id
$$;

-- The newest operations of the caller's workspace that answered any of these records. Row-level security would keep the
-- index from being used, so this one names the workspace itself, as searching does.
CREATE FUNCTION access.reads_of(nodes uuid[])
RETURNS uuid[]
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_indexscan = off
AS $$
BEGIN
  RETURN ARRAY(
    SELECT e.id
    FROM access.entry e
    WHERE e.node_ids && nodes AND e.node_ids <> '{}' AND e.workspace_id = current_setting('app.workspace')::uuid
    ORDER BY e.at DESC
    LIMIT 100000
  );
END $$;

REVOKE ALL ON FUNCTION access.prepare, access.month, access.written, access.reads_of FROM public;
GRANT USAGE ON SCHEMA access TO crm_app, crm_sealer;
GRANT EXECUTE ON FUNCTION access.prepare, access.month, access.written, access.reads_of TO crm_app;
GRANT SELECT ON access.entry TO crm_app, crm_sealer;
ALTER TABLE access.entry ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON access.entry FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON access.entry FOR SELECT TO crm_sealer USING (true);

SELECT access.prepare();
