-- Why: what reads the log finds events by their columns, and only their bytes are signed. Who has the application's login could append an
-- event whose bytes say that it stands elsewhere; verifiers named it, the database took it. The end of the bytes, which the codec
-- writes from the very values of the columns, is compared with them: 2 us an event, as it needs no reading of JSON.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- The rare ones: addressed to an absorbed id, or of a later schema; and those to be refused.
CREATE FUNCTION es.refuse_misfiled() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  mark text := ',"recorded_at":"';
  said text := convert_from(NEW.state, 'UTF8');
  ending text := substr(said, length(said) - strpos(reverse(said), reverse(mark)) - length(mark) + 2);
  begins text := mark || to_char(NEW.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","schema":';
  schema text := substring(substr(ending, length(begins) + 1) FROM '^[1-9][0-9]{0,3}');
  middle text := ',"stream":"' || NEW.originator_id || '","type":"' || NEW.topic || '","version":' || NEW.originator_version || ',"via":';
  ends text := ',"workspace":"' || NEW.workspace_id || '"}';
  before text := begins || schema || middle;
  via text := substr(ending, length(before) + 1, greatest(0, length(ending) - length(before) - length(ends)));
BEGIN
  IF (ending = before || via || ends AND via ~ '^(null|"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")$') IS NOT TRUE THEN
    RAISE EXCEPTION 'the bytes of an event do not say what its columns do' USING ERRCODE = '22023';
  END IF;
  RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION es.refuse_misfiled FROM public;

-- 187: the characters of such an end but for its type and its version.
CREATE TRIGGER events_misfiled BEFORE INSERT ON es.events
FOR EACH ROW WHEN (
  (
    substr(NEW.state, octet_length(NEW.state) - (186 + length(NEW.topic) + length(NEW.originator_version::text)))
    = convert_to(
      ',"recorded_at":"' || to_char(NEW.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '","schema":1,"stream":"'
      || NEW.originator_id || '","type":"' || NEW.topic || '","version":' || NEW.originator_version || ',"via":null,"workspace":"'
      || NEW.workspace_id || '"}',
      'UTF8'
    )
  ) IS NOT TRUE
) EXECUTE FUNCTION es.refuse_misfiled();
