-- Why: the roles, and the log with what the append needs beside it. Nothing here is written but by es.append_events (0002).
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';

-- crm_owner owns all of this and cannot log in; the others log in and own nothing of it.
DO $$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN
    SELECT *
    FROM (VALUES ('crm_owner', 'NOLOGIN'), ('crm_app', 'LOGIN'), ('crm_projector', 'LOGIN'), ('crm_sealer', 'LOGIN'))
      AS role (name, login)
  LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.login);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this cluster is being migrated at the same moment
      END;
    END IF;
  END LOOP;
  IF NOT pg_has_role(current_user, 'crm_owner', 'MEMBER') THEN
    EXECUTE format('GRANT crm_owner TO %I', current_user);
  END IF;
  EXECUTE format('GRANT CREATE, TEMPORARY ON DATABASE %I TO crm_projector', current_database());
  EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM public', current_database());
END $$;

CREATE SCHEMA es AUTHORIZATION crm_owner;
SET LOCAL ROLE crm_owner;

-- The library's five columns, then ours. `sequence` is the public position: dense per workspace, from 1.
-- `state` is what is hashed; every column is a copy of a part of it but `sequence`, which the leaf index binds.
CREATE TABLE es.events (
  originator_id uuid NOT NULL,
  originator_version bigint NOT NULL,
  topic text NOT NULL,
  state bytea NOT NULL,
  notification_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  workspace_id uuid NOT NULL,
  sequence bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  command_id uuid NOT NULL,
  CONSTRAINT events_pkey PRIMARY KEY (originator_id, originator_version),
  CONSTRAINT events_state_fits CHECK (octet_length(state) <= 65535)
) WITH (
  -- Rows are only added: vacuum them early for the visibility map, and freeze as we go.
  autovacuum_vacuum_insert_threshold = 20000,
  autovacuum_vacuum_insert_scale_factor = 0.02,
  autovacuum_analyze_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE es.events ALTER COLUMN state SET STORAGE EXTERNAL;  -- ciphertext does not compress; spare the attempt
CREATE UNIQUE INDEX events_notification_id_idx ON es.events (notification_id);
CREATE UNIQUE INDEX events_workspace_id_sequence_idx ON es.events (workspace_id, sequence);
CREATE INDEX events_workspace_id_recorded_at_idx ON es.events (workspace_id, recorded_at);

-- The end of each workspace's log. One hot row a workspace: room for HOT updates, vacuumed often.
CREATE TABLE es.head (
  workspace_id uuid NOT NULL,
  sequence bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  CONSTRAINT head_pkey PRIMARY KEY (workspace_id)
) WITH (
  fillfactor = 50,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_cost_delay = 0
);

-- Every accepted command, for ever: a retry finds its answer here. `position` is the last of its events, or where the log
-- stood when it changed nothing. `refusals` are codes of rows that were refused (allOrNone: false); never personal.
CREATE TABLE es.command (
  workspace_id uuid NOT NULL,
  command_id uuid NOT NULL,
  request_hash bytea NOT NULL,
  ids uuid[] NOT NULL,
  position bigint NOT NULL,
  changed boolean NOT NULL,
  refusals text,
  CONSTRAINT command_pkey PRIMARY KEY (workspace_id, command_id)
);

-- A value that may stand once in a workspace. `key` is its HMAC under the workspace's index key; `stream_id` the stream
-- whose event took it, which merges never change.
CREATE TABLE es.reservation (
  workspace_id uuid NOT NULL,
  kind text NOT NULL,
  key bytea NOT NULL,
  stream_id uuid NOT NULL,
  CONSTRAINT reservation_pkey PRIMARY KEY (workspace_id, kind, key)
);
CREATE INDEX reservation_workspace_id_stream_id_idx ON es.reservation (workspace_id, stream_id, kind);

-- Whose erasure destroys a key that is not its own stream's: an interaction's content key has a row for every linked
-- subject. Written in the append that links them, so no crash can come between.
CREATE TABLE es.key_holder (
  workspace_id uuid NOT NULL,
  subject_id uuid NOT NULL,
  key_id uuid NOT NULL,
  stream_id uuid NOT NULL,
  CONSTRAINT key_holder_pkey PRIMARY KEY (workspace_id, subject_id, key_id)
);
CREATE INDEX key_holder_workspace_id_key_id_idx ON es.key_holder (workspace_id, key_id);

-- Keys an event has made obsolete (a redaction): the key store must destroy them, and `destroyed_at` says that it did.
CREATE TABLE es.doomed_key (
  workspace_id uuid NOT NULL,
  key_id uuid NOT NULL,
  stream_id uuid NOT NULL,
  destroyed_at timestamptz,
  CONSTRAINT doomed_key_pkey PRIMARY KEY (workspace_id, key_id)
);
CREATE INDEX doomed_key_pending_idx ON es.doomed_key (workspace_id) WHERE destroyed_at IS NULL;

-- How far each read model has come: the notification_id it has applied, saved in the transaction of its rows.
CREATE TABLE es.bookmark (
  read_model text NOT NULL,
  version int NOT NULL,
  log_id bigint NOT NULL DEFAULT 0,
  parked jsonb,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT bookmark_pkey PRIMARY KEY (read_model)
) WITH (
  fillfactor = 50,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_cost_delay = 0
);
