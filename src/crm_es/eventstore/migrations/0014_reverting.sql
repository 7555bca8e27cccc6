-- Why: taking much back is a job, not a fact: its row says how far it is and what it had to leave, the facts say the rest.
-- And an import must know which of its commands were taken back, since those it records again.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- `id` is the command that asked for it. `done` of `total` streams are dealt with. `reason` is gone when it has ended.
CREATE TABLE es.revert_run (
  workspace_id uuid NOT NULL,
  id uuid NOT NULL,
  target_kind text NOT NULL,
  target uuid NOT NULL,
  upto bigint NOT NULL,
  dry_run boolean NOT NULL,
  actor_kind text NOT NULL,
  actor_id uuid,
  actor_auth text,
  reason text,
  status text NOT NULL DEFAULT 'QUEUED',
  done int NOT NULL DEFAULT 0,
  total int,
  undone int NOT NULL DEFAULT 0,
  skipped int NOT NULL DEFAULT 0,
  error text,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  CONSTRAINT revert_run_pkey PRIMARY KEY (workspace_id, id),
  CONSTRAINT revert_run_status CHECK (status IN ('QUEUED', 'RUNNING', 'DONE', 'CANCELLED', 'FAILED'))
) WITH (fillfactor = 50);
CREATE INDEX revert_run_waiting_idx ON es.revert_run (workspace_id, requested_at) WHERE status IN ('QUEUED', 'RUNNING');

CREATE TABLE es.revert_skip (
  workspace_id uuid NOT NULL,
  run_id uuid NOT NULL,
  stream_id uuid NOT NULL,
  version int NOT NULL,
  by_stream_id uuid,
  by_version int,
  why text NOT NULL,
  CONSTRAINT revert_skip_pkey PRIMARY KEY (workspace_id, run_id, stream_id, version)
);

CREATE TABLE es.reverted_command (
  workspace_id uuid NOT NULL,
  command_id uuid NOT NULL,
  CONSTRAINT reverted_command_pkey PRIMARY KEY (workspace_id, command_id)
);

ALTER TABLE es.import_run ADD COLUMN reverted_at timestamptz;

GRANT SELECT, INSERT, UPDATE ON es.revert_run TO crm_app;
GRANT SELECT, INSERT ON es.revert_skip, es.reverted_command TO crm_app;
GRANT SELECT ON es.revert_run TO crm_projector;
ALTER TABLE es.revert_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE es.revert_skip ENABLE ROW LEVEL SECURITY;
ALTER TABLE es.reverted_command ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.revert_run TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON es.revert_run FOR SELECT TO crm_projector USING (true);
CREATE POLICY own_workspace ON es.revert_skip TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY own_workspace ON es.reverted_command TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
