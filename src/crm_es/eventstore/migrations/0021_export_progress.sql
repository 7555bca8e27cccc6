-- Why: how far an export is while its bundle is made is no fact: whoever makes it says so here, for those who look on.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

CREATE TABLE es.export_progress (
  workspace_id uuid NOT NULL,
  id uuid NOT NULL,
  done bigint NOT NULL,
  CONSTRAINT export_progress_pkey PRIMARY KEY (workspace_id, id)
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON es.export_progress TO crm_app;
ALTER TABLE es.export_progress ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.export_progress TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
