"""Logs of invented events, appended in bulk; and the sealer over them."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import psycopg

from crm_es.eventstore.codec import HOLE, hole_of
from crm_es.ledger.log_events import LedgerHeadsSealed

NIL = UUID(int=0)


def heads(**values):
    given = {"size": 1, "root": "00" * 32, "leaves": 1, "streams": 1, "subjects": 0}
    return LedgerHeadsSealed(**given | values)


def state_of(workspace, stream, version, topic, data):
    body = {
        "actor": {"kind": "SYSTEM"},
        "data": data,
        "recorded_at": HOLE,
        "stream": str(stream),
        "type": topic,
        "version": version,
        "workspace": str(workspace),
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass
class Writer:
    """Appends as the application does, through its function."""

    url: str
    workspace: UUID
    versions: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))

    def append(self, *events):
        """Events of one command: (stream, topic, data)."""
        states, versions = [], []
        for stream, topic, data in events:
            self.versions[stream] += 1
            versions.append(self.versions[stream])
            states.append(state_of(self.workspace, stream, versions[-1], topic, data))
        count = len(events)
        with psycopg.connect(self.url) as connection:
            said = connection.execute(
                "SELECT status, last_position FROM es.append_events("
                "ARRAY[%s]::uuid[], ARRAY[%s]::uuid[], ARRAY['']::bytea[], ARRAY['{}'], ARRAY[NULL]::text[],"
                "ARRAY[NULL]::timestamptz[], ARRAY[%s], %s::int[], %s::uuid[], %s::bigint[], %s::text[], %s::bytea[], %s::int[],"
                "'{}','{}','{}','{}', '{}','{}','{}','{}', '{}','{}','{}','{}','{}', '{}','{}','{}')",
                [
                    self.workspace, uuid4(), count, [1] * count, [stream for stream, _, _ in events], versions,
                    [topic for _, topic, _ in events], states, [hole_of(state) for state in states],
                ],
            ).fetchone()  # fmt: skip
        assert said is not None
        assert said[0] == "OK", said
        return said[1]

    def fill(self, count, *, a_command=500):
        """That many events, each of a new stream."""
        last = 0
        for start in range(0, count, a_command):
            events = [(uuid4(), "person.added", {"n": n}) for n in range(start, min(count, start + a_command))]
            last = self.append(*events)
        return last
