-- Why: what read models need that only the owner may make: text search operators, and the mark that hands a rebuilt read
-- model to the leader for its swap.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';

CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA public;

SET LOCAL ROLE crm_owner;

ALTER TABLE es.bookmark ADD COLUMN ready boolean NOT NULL DEFAULT false;
