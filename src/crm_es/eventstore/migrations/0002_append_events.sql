-- Why: the one door through which facts enter. It never raises for one loser, so a batch of commands never has to be replayed.
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '5min';
SET LOCAL ROLE crm_owner;

-- One request = one command. The letter says what an array has one element for:
--   r_ a request · e_ an event (grouped by request, in order) · t_ a reservation taken · f_ one freed (no key = all of that
--   kind) · h_ a key's holder added or removed · d_ a doomed key. `*_req` counts requests from 1.
-- `r_ids` is a uuid[] as text, `r_events` how many events are the request's. Requests of a workspace should stand together.
-- `e_hole` is where the 27 bytes of recorded_at begin in the state, from 0. `r_clock` is the demo seeder's; owners only.
-- Answers one row a request, in any order: OK, REPLAYED, REUSED, CONFLICT, FOREIGN (a stream of another workspace) or TAKEN.
CREATE FUNCTION es.append_events(
  r_workspace uuid[], r_command uuid[], r_hash bytea[], r_ids text[], r_refusals text[], r_clock timestamptz[], r_events int[],
  e_req int[], e_stream uuid[], e_version bigint[], e_topic text[], e_state bytea[], e_hole int[],
  t_req int[], t_kind text[], t_key bytea[], t_stream uuid[],
  f_req int[], f_kind text[], f_key bytea[], f_stream uuid[],
  h_req int[], h_subject uuid[], h_key uuid[], h_stream uuid[], h_held boolean[],
  d_req int[], d_key uuid[], d_stream uuid[]
)
RETURNS TABLE (
  req int, status text, first_position bigint, last_position bigint, last_log_id bigint,
  holder uuid, kind text, key bytea, ids uuid[], refusals text
)
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
-- A session's plans are made once, perhaps when a table was empty: they must go by the keys all the same.
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  requests int := cardinality(r_workspace);
  lost int[] := '{}';                     -- requests that append nothing
  found record;
  workspace uuid;
  at timestamptz;
  reached bigint;
  firsts bigint[] := array_fill(NULL::bigint, ARRAY[requests]);
  offsets int[] := array_fill(NULL::int, ARRAY[requests]);
  times timestamptz[] := array_fill(NULL::timestamptz, ARRAY[requests]);
  stamps bytea[] := array_fill(NULL::bytea, ARRAY[requests]);
  lasts bigint[] := array_fill(NULL::bigint, ARRAY[requests]);
  seen int := 0;                          -- events of the requests before
  written int := 0;
  log_id bigint;
BEGIN
  IF array_remove(r_clock, NULL) <> '{}' THEN
    IF NOT pg_has_role(session_user, 'crm_owner', 'MEMBER') THEN
      RAISE EXCEPTION 'only the owner may set the clock' USING ERRCODE = '42501';
    END IF;
    -- An invented time stands only where the workspace's own first event says, for ever, that it is a demo.
    IF EXISTS (
      SELECT
      FROM unnest(r_workspace, r_clock) WITH ORDINALITY AS asked (workspace, clock, i)
      LEFT JOIN es.events first ON first.workspace_id = asked.workspace AND first.sequence = 1
      LEFT JOIN unnest(e_req, e_topic, e_state) AS own (q, topic, state)
        ON own.q = asked.i AND own.topic = 'workspace.created' AND first.sequence IS NULL
      WHERE asked.clock IS NOT NULL
        AND (
          coalesce(first.topic, own.topic) = 'workspace.created'
          AND convert_from(coalesce(first.state, own.state), 'UTF8')::jsonb #> '{data,demo}' = 'true'
        ) IS NOT TRUE
    ) THEN
      RAISE EXCEPTION 'a clock is set only in a demo workspace' USING ERRCODE = '42501';
    END IF;
  END IF;
  PERFORM pg_advisory_xact_lock(4711001);

  -- A command that was seen is answered before anything else is looked at.
  FOR found IN
    SELECT asked.i::int AS i, c.request_hash = asked.hash AS same, c.workspace_id, c.position, c.changed, c.ids, c.refusals
    FROM unnest(r_workspace, r_command, r_hash) WITH ORDINALITY AS asked (workspace, command, hash, i)
    JOIN es.command c ON c.workspace_id = asked.workspace AND c.command_id = asked.command
  LOOP
    lost := lost || found.i;
    req := found.i;
    status := CASE WHEN found.same THEN 'REPLAYED' ELSE 'REUSED' END;
    IF found.same AND found.changed THEN
      last_position := found.position;
      SELECT e.notification_id INTO last_log_id
      FROM es.events e
      WHERE e.workspace_id = found.workspace_id AND e.sequence = found.position;
    END IF;
    IF found.same THEN
      ids := found.ids;
      refusals := found.refusals;
    END IF;
    RETURN NEXT;
    last_position := NULL; last_log_id := NULL; ids := NULL; refusals := NULL;
  END LOOP;

  -- Every stream is new, or of this workspace and exactly one version behind.
  FOR found IN
    SELECT mine.q, newest.workspace_id <> r_workspace[mine.q] AS is_foreign
    FROM (
      SELECT q, s, min(v) AS low, max(v) - min(v) + 1 - count(*) AS gaps
      FROM unnest(e_req, e_stream, e_version) AS e (q, s, v)
      GROUP BY q, s
    ) AS mine
    LEFT JOIN LATERAL (
      SELECT t.workspace_id, t.originator_version
      FROM es.events t
      WHERE t.originator_id = mine.s
      ORDER BY t.originator_version DESC
      LIMIT 1
    ) AS newest ON true
    WHERE mine.low <> 1 + coalesce(newest.originator_version, 0) OR mine.gaps <> 0
       OR newest.workspace_id <> r_workspace[mine.q]
  LOOP
    CONTINUE WHEN found.q = ANY (lost);
    lost := lost || found.q;
    req := found.q;
    status := CASE WHEN found.is_foreign THEN 'FOREIGN' ELSE 'CONFLICT' END;
    RETURN NEXT;
  END LOOP;

  IF t_req <> '{}' THEN
    FOR found IN
      SELECT DISTINCT ON (taken.q) taken.q, r.kind, r.key, r.stream_id
      FROM unnest(t_req, t_kind, t_key, t_stream) WITH ORDINALITY AS taken (q, k, y, s, i)
      JOIN es.reservation r ON r.workspace_id = r_workspace[taken.q] AND r.kind = taken.k AND r.key = taken.y
      WHERE r.stream_id <> taken.s
        AND NOT EXISTS (
          SELECT FROM unnest(f_req, f_kind, f_key, f_stream) AS freed (q, k, y, s)
          WHERE freed.q = taken.q AND freed.k = r.kind AND freed.s = r.stream_id AND coalesce(freed.y = r.key, true)
        )
      ORDER BY taken.q, taken.i
    LOOP
      CONTINUE WHEN found.q = ANY (lost);
      lost := lost || found.q;
      req := found.q; status := 'TAKEN'; holder := found.stream_id; kind := found.kind; key := found.key;
      RETURN NEXT;
      holder := NULL; kind := NULL; key := NULL;
    END LOOP;
  END IF;

  IF cardinality(lost) = requests THEN
    RETURN;
  END IF;

  -- Positions and times, in the order of the requests. Each is later than the one before, if only by a microsecond.
  FOR i IN 1 .. requests LOOP
    offsets[i] := seen;
    seen := seen + r_events[i];
    CONTINUE WHEN i = ANY (lost);
    IF workspace IS DISTINCT FROM r_workspace[i] THEN
      IF workspace IS NOT NULL AND at IS NOT NULL THEN
        INSERT INTO es.head (workspace_id, sequence, recorded_at)
        VALUES (workspace, reached, at)
        ON CONFLICT (workspace_id) DO UPDATE SET sequence = excluded.sequence, recorded_at = excluded.recorded_at;
      END IF;
      workspace := r_workspace[i];
      SELECT h.sequence, h.recorded_at INTO reached, at FROM es.head h WHERE h.workspace_id = workspace;
      reached := coalesce(reached, 0);
    END IF;
    IF r_events[i] > 0 THEN
      at := greatest(coalesce(r_clock[i], clock_timestamp()), at + interval '1 microsecond');
      times[i] := at;
      stamps[i] := convert_to(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'UTF8');
      firsts[i] := reached + 1;
      reached := reached + r_events[i];
      written := written + r_events[i];
    END IF;
    lasts[i] := reached;
  END LOOP;
  IF at IS NOT NULL THEN
    INSERT INTO es.head (workspace_id, sequence, recorded_at)
    VALUES (workspace, reached, at)
    ON CONFLICT (workspace_id) DO UPDATE SET sequence = excluded.sequence, recorded_at = excluded.recorded_at;
  END IF;

  IF written > 0 THEN
    INSERT INTO es.events (
      originator_id, originator_version, topic, state, workspace_id, sequence, recorded_at, command_id
    )
    SELECT e.s, e.v, e.t, overlay(e.b PLACING stamps[e.q] FROM e.o + 1 FOR 27), r_workspace[e.q],
           firsts[e.q] + e.i - offsets[e.q] - 1, times[e.q], r_command[e.q]
    FROM unnest(e_req, e_stream, e_version, e_topic, e_state, e_hole) WITH ORDINALITY AS e (q, s, v, t, b, o, i)
    WHERE NOT e.q = ANY (lost);           -- in the order of the arrays: a function's rows keep theirs
    log_id := currval('es.events_notification_id_seq') - written;  -- the lock makes ours contiguous
    NOTIFY crm_events;
  END IF;

  INSERT INTO es.command (workspace_id, command_id, request_hash, ids, position, changed, refusals)
  SELECT asked.w, asked.c, asked.h, asked.ids::uuid[], lasts[asked.i], asked.n > 0, asked.refused
  FROM unnest(r_workspace, r_command, r_hash, r_ids, r_refusals, r_events)
    WITH ORDINALITY AS asked (w, c, h, ids, refused, n, i)
  WHERE NOT asked.i = ANY (lost);

  IF f_req <> '{}' THEN
    DELETE FROM es.reservation r
    USING unnest(f_req, f_kind, f_key, f_stream) AS freed (q, k, y, s)
    WHERE r.workspace_id = r_workspace[freed.q] AND r.stream_id = freed.s AND r.kind = freed.k
      AND coalesce(r.key = freed.y, true) AND NOT freed.q = ANY (lost);
  END IF;
  IF t_req <> '{}' THEN
    INSERT INTO es.reservation (workspace_id, kind, key, stream_id)
    SELECT r_workspace[taken.q], taken.k, taken.y, taken.s
    FROM unnest(t_req, t_kind, t_key, t_stream) AS taken (q, k, y, s)
    WHERE NOT taken.q = ANY (lost)
    ON CONFLICT DO NOTHING;  -- held by the same stream already
  END IF;
  IF false = ANY (h_held) THEN
    DELETE FROM es.key_holder k
    USING unnest(h_req, h_subject, h_key, h_held) AS gone (q, subject, key, held)
    WHERE k.workspace_id = r_workspace[gone.q] AND k.subject_id = gone.subject AND k.key_id = gone.key
      AND NOT gone.held AND NOT gone.q = ANY (lost);
  END IF;
  IF true = ANY (h_held) THEN
    INSERT INTO es.key_holder (workspace_id, subject_id, key_id, stream_id)
    SELECT r_workspace[added.q], added.subject, added.key, added.s
    FROM unnest(h_req, h_subject, h_key, h_stream, h_held) AS added (q, subject, key, s, held)
    WHERE added.held AND NOT added.q = ANY (lost)
    ON CONFLICT DO NOTHING;
  END IF;
  IF d_req <> '{}' THEN
    INSERT INTO es.doomed_key (workspace_id, key_id, stream_id)
    SELECT r_workspace[doomed.q], doomed.key, doomed.s
    FROM unnest(d_req, d_key, d_stream) AS doomed (q, key, s)
    WHERE NOT doomed.q = ANY (lost)
    ON CONFLICT DO NOTHING;
  END IF;

  -- Events were inserted in the order of the arrays, so log ids follow the requests.
  FOR i IN 1 .. requests LOOP
    CONTINUE WHEN i = ANY (lost);
    log_id := log_id + r_events[i];
    req := i;
    status := 'OK';
    first_position := firsts[i];
    last_position := CASE WHEN r_events[i] > 0 THEN lasts[i] END;
    last_log_id := CASE WHEN r_events[i] > 0 THEN log_id END;
    RETURN NEXT;
  END LOOP;
END $$;
