-- Why: an export of one stream or contact proved its few leaves of the heads map by reading every leaf. Of each map that was summed
-- up lately the roots of its parts are kept, so that only the parts are read in which those leaves stand.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- Parts are 256 leaves each but the last. `bounds` has the first and the last leaf of each, 17 bytes a leaf (its letter, its id);
-- `roots` the root of each, 32 bytes. They are derived: the sealer may forget them.
CREATE TABLE ledger.heads_parts (
  workspace_id uuid NOT NULL,
  size bigint NOT NULL,
  leaves bigint NOT NULL,
  bounds bytea NOT NULL,
  roots bytea NOT NULL,
  CONSTRAINT heads_parts_pkey PRIMARY KEY (workspace_id, size)
);
-- Hashes do not get shorter.
ALTER TABLE ledger.heads_parts ALTER bounds SET STORAGE EXTERNAL, ALTER roots SET STORAGE EXTERNAL;

GRANT SELECT ON ledger.heads_parts TO crm_app, crm_sealer;
GRANT INSERT, UPDATE, DELETE ON ledger.heads_parts TO crm_sealer;
ALTER TABLE ledger.heads_parts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_workspace ON ledger.heads_parts FOR SELECT TO crm_app
  USING (workspace_id = (SELECT current_setting('app.workspace')::uuid));
CREATE POLICY every_workspace ON ledger.heads_parts TO crm_sealer USING (true);
