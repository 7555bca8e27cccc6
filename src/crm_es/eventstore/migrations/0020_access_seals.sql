-- Why: hours of the access log are sealed one after the other; where the sealer goes on after a pause must be known.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- What is sealed stands in the log itself (ledger.access_sealed); this is only a bookmark, and may be lost.
CREATE TABLE access.sealed (
  one boolean NOT NULL DEFAULT true,
  until timestamptz NOT NULL,
  CONSTRAINT sealed_pkey PRIMARY KEY (one),
  CONSTRAINT sealed_one_row CHECK (one)
);
GRANT SELECT, INSERT, UPDATE ON access.sealed TO crm_sealer;

-- Returns once every row of the time before now is committed: writers hold the lock until they are.
CREATE FUNCTION access.settle()
RETURNS timestamptz
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '10s'
AS $$
DECLARE
  asked timestamptz := clock_timestamp();
BEGIN
  PERFORM pg_advisory_xact_lock(4711003);
  RETURN asked;
END $$;
REVOKE ALL ON FUNCTION access.settle FROM public;
GRANT EXECUTE ON FUNCTION access.settle TO crm_sealer;
