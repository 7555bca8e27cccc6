-- Why: a revert is an append and a note for later imports. A process that dies in between left the note to chance: now the note is
-- promised before the append, and whoever carries reverts on keeps the promise.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

CREATE TABLE es.revert_to_note (
  workspace_id uuid NOT NULL,
  command_id uuid NOT NULL,
  target uuid NOT NULL,
  promised_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT revert_to_note_pkey PRIMARY KEY (workspace_id, command_id)
);
GRANT SELECT, INSERT, DELETE ON es.revert_to_note TO crm_app;
GRANT SELECT ON es.revert_to_note TO crm_projector;
ALTER TABLE es.revert_to_note ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON es.revert_to_note TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON es.revert_to_note FOR SELECT TO crm_projector USING (true);
