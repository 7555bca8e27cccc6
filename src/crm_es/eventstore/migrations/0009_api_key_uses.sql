-- Why: when a key was last used is wanted to the minute and is no fact to keep for ever: one row a key, written over.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

CREATE TABLE es.api_key_use (
  workspace_id uuid NOT NULL,
  api_key_id uuid NOT NULL,
  used_at timestamptz NOT NULL,
  CONSTRAINT api_key_use_pkey PRIMARY KEY (workspace_id, api_key_id)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE ON es.api_key_use TO crm_app;
ALTER TABLE es.api_key_use ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.api_key_use TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
