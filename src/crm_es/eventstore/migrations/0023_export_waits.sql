-- Why: an export may have to wait for a sealer that does not run: whoever looks on shall know what for.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

ALTER TABLE es.export_progress ADD COLUMN waits_for text;
