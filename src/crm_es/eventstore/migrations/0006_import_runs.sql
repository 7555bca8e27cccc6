-- Why: an import run is a job, not a fact. Its row says how far it is and what file it read; the facts say the rest.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- `last_line` is of the file, within `pass`. `counts` are by step and verdict. Nothing of the file's content is kept.
CREATE TABLE es.import_run (
  workspace_id uuid NOT NULL,
  id uuid NOT NULL,
  mapping text NOT NULL,
  mapping_hash text NOT NULL,
  file_name text NOT NULL,
  file_hash text NOT NULL,
  status text NOT NULL,
  pass int NOT NULL DEFAULT 1,
  last_line bigint NOT NULL DEFAULT 0,
  rows bigint NOT NULL DEFAULT 0,
  rejected bigint NOT NULL DEFAULT 0,
  counts jsonb NOT NULL DEFAULT '{}',
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  CONSTRAINT import_run_pkey PRIMARY KEY (workspace_id, id),
  CONSTRAINT import_run_status CHECK (status IN ('RUNNING', 'DONE', 'CANCELLED', 'FAILED'))
) WITH (fillfactor = 50);
CREATE INDEX import_run_workspace_id_started_at_idx ON es.import_run (workspace_id, started_at);

GRANT SELECT, INSERT, UPDATE ON es.import_run TO crm_app;
ALTER TABLE es.import_run ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.import_run TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
