-- Why: what the sealer signs: the tiles of each workspace's tree, checkpoints, its public keys, and the log of logs. It also
-- opens the one door through which the sealer's role appends: ledger.* events, into the workspace's own ledger stream, alone.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';

CREATE SCHEMA ledger AUTHORIZATION crm_owner;
SET LOCAL ROLE crm_owner;
GRANT USAGE ON SCHEMA ledger TO crm_app, crm_sealer;

-- Public halves. The private ones are in the sealer's key file, which no other process reads.
CREATE TABLE ledger.key (
  id int NOT NULL GENERATED ALWAYS AS IDENTITY,
  public bytea NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT key_pkey PRIMARY KEY (id),
  CONSTRAINT key_public_key UNIQUE (public),
  CONSTRAINT key_public_is_ed25519 CHECK (octet_length(public) = 32)
);

-- One a workspace and epoch; a new epoch begins where history no longer was what the sealer had signed. The log of logs is
-- that of the nil workspace. `key_id` signs it now.
CREATE TABLE ledger.log (
  workspace_id uuid NOT NULL,
  epoch int NOT NULL,
  origin text NOT NULL,
  key_id int NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT log_pkey PRIMARY KEY (workspace_id, epoch),
  CONSTRAINT log_key_id_fkey FOREIGN KEY (key_id) REFERENCES ledger.key (id)
);

-- C2SP tlog-tiles of height 8: up to 256 hashes a row. The right edge grows; a full tile never changes.
CREATE TABLE ledger.tile (
  workspace_id uuid NOT NULL,
  epoch int NOT NULL,
  level smallint NOT NULL,
  number bigint NOT NULL,
  hashes bytea NOT NULL,
  CONSTRAINT tile_pkey PRIMARY KEY (workspace_id, epoch, level, number),
  CONSTRAINT tile_is_of_hashes CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0)
);
ALTER TABLE ledger.tile ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- hashes do not compress

-- `kind` says why this size: HEADS, ROTATION, EPOCH and OTHER end with a ledger.* event and are kept for ever.
CREATE TABLE ledger.checkpoint (
  workspace_id uuid NOT NULL,
  epoch int NOT NULL,
  size bigint NOT NULL,
  root bytea NOT NULL,
  signed_at timestamptz NOT NULL,
  kind text NOT NULL,
  note text NOT NULL,
  CONSTRAINT checkpoint_pkey PRIMARY KEY (workspace_id, epoch, size),
  CONSTRAINT checkpoint_kind CHECK (kind IN ('TIME', 'HEADS', 'ROTATION', 'EPOCH', 'OTHER'))
);
CREATE INDEX checkpoint_signed_at_idx ON ledger.checkpoint (signed_at) WHERE kind = 'TIME';

-- The entries of the log of logs: checkpoints, verbatim, each of the log of the workspace `log_of`. Open to anybody.
CREATE TABLE ledger.note (
  number bigint NOT NULL,
  log_of uuid NOT NULL,
  note text NOT NULL,
  CONSTRAINT note_pkey PRIMARY KEY (number)
);
CREATE INDEX note_log_of_number_idx ON ledger.note (log_of, number);

-- Somebody wants the heads sealed now (an export). `tree_size` is the position of the event that seals them.
CREATE TABLE ledger.request (
  workspace_id uuid NOT NULL,
  id uuid NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  done_at timestamptz,
  size bigint,
  tree_size bigint,
  CONSTRAINT request_pkey PRIMARY KEY (workspace_id, id)
);
CREATE INDEX request_pending_idx ON ledger.request (requested_at) WHERE done_at IS NULL;

CREATE FUNCTION ledger.guard_tile() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_OP = 'UPDATE'
     AND (NEW.workspace_id, NEW.epoch, NEW.level, NEW.number) = (OLD.workspace_id, OLD.epoch, OLD.level, OLD.number)
     AND substr(NEW.hashes, 1, octet_length(OLD.hashes)) = OLD.hashes THEN
    RETURN NEW;
  END IF;
  IF TG_OP = 'DELETE' AND NOT EXISTS (
    SELECT FROM ledger.checkpoint c WHERE c.workspace_id = OLD.workspace_id AND c.epoch = OLD.epoch
  ) THEN
    RETURN OLD;  -- of an epoch that was never signed
  END IF;
  RAISE EXCEPTION 'tiles only grow: % refused', TG_OP USING ERRCODE = '42501';
END $$;
CREATE TRIGGER tile_grows BEFORE UPDATE OR DELETE ON ledger.tile
FOR EACH ROW EXECUTE FUNCTION ledger.guard_tile();

CREATE FUNCTION ledger.guard_checkpoint() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.kind = 'TIME' AND OLD.signed_at < clock_timestamp() - interval '30 days' THEN
    RETURN OLD;  -- thinned
  END IF;
  RAISE EXCEPTION 'checkpoints are kept: % refused', TG_OP USING ERRCODE = '42501';
END $$;
CREATE TRIGGER checkpoint_stays BEFORE UPDATE OR DELETE ON ledger.checkpoint
FOR EACH ROW EXECUTE FUNCTION ledger.guard_checkpoint();

CREATE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only: % of % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '42501';
END $$;
CREATE TRIGGER note_append_only BEFORE UPDATE OR DELETE ON ledger.note
FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER note_no_truncate BEFORE TRUNCATE ON ledger.note
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER tile_no_truncate BEFORE TRUNCATE ON ledger.tile
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER checkpoint_no_truncate BEFORE TRUNCATE ON ledger.checkpoint
FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER key_append_only BEFORE UPDATE OR DELETE ON ledger.key
FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();

-- The stream of a workspace's ledger events: a UUIDv8 that follows from the workspace's id.
CREATE FUNCTION ledger.stream_of(workspace uuid) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
  SELECT encode(
    set_byte(set_byte(h, 6, (get_byte(h, 6) & 15) | 128), 8, (get_byte(h, 8) & 63) | 128), 'hex'
  )::uuid
  FROM (SELECT substr(sha256(convert_to('ledger:' || workspace::text, 'UTF8')), 1, 16) AS h) AS hashed;
END;

-- One ledger.* event, at `version` of the workspace's ledger stream. The columns are what the bytes say.
CREATE FUNCTION ledger.append(workspace uuid, command uuid, hash bytea, version bigint, topic text, state bytea, hole int)
RETURNS TABLE (status text, "position" bigint)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  stream uuid := ledger.stream_of(workspace);
  body jsonb := convert_from(state, 'UTF8')::jsonb;
BEGIN
  IF starts_with(topic, 'ledger.') IS NOT TRUE
     OR (body ->> 'type', body ->> 'workspace', body ->> 'stream', body ->> 'version', body #>> '{actor,kind}', body ->> 'command_id')
        IS DISTINCT FROM (topic, workspace::text, stream::text, version::text, 'SYSTEM', command::text) THEN
    RAISE EXCEPTION 'the sealer appends ledger events alone' USING ERRCODE = '42501';
  END IF;
  IF NOT EXISTS (SELECT FROM es.head h WHERE h.workspace_id = workspace) THEN
    RAISE EXCEPTION 'no such workspace' USING ERRCODE = '42501';
  END IF;
  RETURN QUERY
  SELECT a.status, a.last_position
  FROM es.append_events(
    ARRAY[workspace], ARRAY[command], ARRAY[hash], ARRAY['{}'], ARRAY[NULL]::text[], ARRAY[NULL]::timestamptz[], ARRAY[1],
    ARRAY[1], ARRAY[stream], ARRAY[version], ARRAY[topic], ARRAY[state], ARRAY[hole],
    '{}', '{}', '{}', '{}',
    '{}', '{}', '{}', '{}',
    '{}', '{}', '{}', '{}', '{}',
    '{}', '{}', '{}'
  ) AS a;
END $$;
REVOKE ALL ON FUNCTION ledger.append FROM public;
GRANT EXECUTE ON FUNCTION ledger.append TO crm_sealer;

-- And nobody else appends them.
CREATE FUNCTION ledger.refuse_others() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT pg_has_role(session_user, 'crm_sealer', 'MEMBER') OR NEW.originator_id <> ledger.stream_of(NEW.workspace_id) THEN
    RAISE EXCEPTION 'ledger events are the sealer''s' USING ERRCODE = '42501';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER events_ledger BEFORE INSERT ON es.events
FOR EACH ROW WHEN (starts_with(NEW.topic, 'ledger.')) EXECUTE FUNCTION ledger.refuse_others();

GRANT SELECT ON ledger.key, ledger.log, ledger.tile, ledger.checkpoint, ledger.note, ledger.request TO crm_app, crm_sealer;
GRANT INSERT ON ledger.key, ledger.log, ledger.tile, ledger.checkpoint, ledger.note TO crm_sealer;
GRANT UPDATE (hashes) ON ledger.tile TO crm_sealer;
GRANT UPDATE (key_id) ON ledger.log TO crm_sealer;
GRANT DELETE ON ledger.tile, ledger.checkpoint, ledger.request TO crm_sealer;
GRANT UPDATE (done_at, size, tree_size) ON ledger.request TO crm_sealer;
GRANT INSERT (workspace_id, id) ON ledger.request TO crm_app;

-- A workspace sees its own log and, as everybody, the log of logs.
ALTER TABLE ledger.log ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON ledger.log FOR SELECT TO crm_app
  USING (workspace_id IN ((SELECT current_setting('app.workspace')::uuid), '00000000-0000-0000-0000-000000000000'));
CREATE POLICY every_workspace ON ledger.log TO crm_sealer USING (true);

ALTER TABLE ledger.tile ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON ledger.tile FOR SELECT TO crm_app
  USING (workspace_id IN ((SELECT current_setting('app.workspace')::uuid), '00000000-0000-0000-0000-000000000000'));
CREATE POLICY every_workspace ON ledger.tile TO crm_sealer USING (true);

ALTER TABLE ledger.checkpoint ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON ledger.checkpoint FOR SELECT TO crm_app
  USING (workspace_id IN ((SELECT current_setting('app.workspace')::uuid), '00000000-0000-0000-0000-000000000000'));
CREATE POLICY every_workspace ON ledger.checkpoint TO crm_sealer USING (true);

ALTER TABLE ledger.request ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON ledger.request TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON ledger.request TO crm_sealer USING (true);
