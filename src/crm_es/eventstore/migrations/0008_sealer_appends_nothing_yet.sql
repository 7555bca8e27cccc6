-- Why: the sealer may append ledger.* events alone, and there are none yet; the ledger's own migration opens that door.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

REVOKE EXECUTE ON FUNCTION es.append_events FROM crm_sealer;
