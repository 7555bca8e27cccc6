"""Logs of invented events, appended in bulk; and the sealer over them."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from crm_es.eventstore.codec import HOLE, hole_of
from crm_es.ledger.checkpoint import parse, verify
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.log_events import LedgerHeadsSealed
from crm_es.ledger.merkle import Growing, leaf_hash
from crm_es.ledger.proofs import inclusion_proof
from crm_es.ledger.running import Sealing
from crm_es.ledger.sealer import origin_of
from tests.ledger.rfc6962 import included

NIL = UUID(int=0)
ORIGIN = "crm.test"


def heads(**values):
    given = {"size": 1, "root": "00" * 32, "leaves": 1, "streams": 1, "subjects": 0}
    return LedgerHeadsSealed(**given | values)


def state_of(workspace, stream, version, topic, data):
    body = {
        "actor": {"kind": "SYSTEM"},
        "data": data,
        "recorded_at": HOLE,
        "schema": 1,
        "stream": str(stream),
        "type": topic,
        "version": version,
        "via": None,
        "workspace": str(workspace),
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass
class Writer:
    """Appends as the application does, through its function."""

    url: str
    workspace: UUID
    versions: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))

    def append(self, *events, written=lambda state: state, hole=hole_of):
        """Events of one command: (stream, topic, data). `written`: what becomes of their bytes on the way.
        `hole`: where they say that the time goes."""
        states, versions = [], []
        for stream, topic, data in events:
            self.versions[stream] += 1
            versions.append(self.versions[stream])
            states.append(written(state_of(self.workspace, stream, versions[-1], topic, data)))
        count = len(events)
        with psycopg.connect(self.url) as connection:
            said = connection.execute(
                "SELECT status, last_position FROM es.append_events("
                "ARRAY[%s]::uuid[], ARRAY[%s]::uuid[], ARRAY['']::bytea[], ARRAY['{}'], ARRAY[NULL]::text[],"
                "ARRAY[NULL]::timestamptz[], ARRAY[%s], %s::int[], %s::uuid[], %s::bigint[], %s::text[], %s::bytea[], %s::int[],"
                "'{}','{}','{}','{}', '{}','{}','{}','{}', '{}','{}','{}','{}','{}', '{}','{}','{}')",
                [
                    self.workspace, uuid4(), count, [1] * count, [stream for stream, _, _ in events], versions,
                    [topic for _, topic, _ in events], states, [hole(state) for state in states],
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


@dataclass
class Installation:
    """A database and a sealer's files; `again` is what a restarted process would be."""

    url: str
    owner: str
    folder: Path

    @property
    def keys(self):
        return KeyFile(self.folder / "sealer.key")

    def sealing(self):
        """Heads are sealed when they are asked for, not by the clock of a slow machine."""
        memory = self.folder / "sealer.sqlite"
        return Sealing(self.url, keys=self.keys, memory_file=memory, origin=ORIGIN, poll=0.05, heads_interval=1e6)

    def seal(self):
        self.sealing().drain()

    def rows(self, query, *values):
        with psycopg.connect(self.owner, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def tamper(self, *statements):
        """As a superuser who switches triggers off."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement)

    def checkpoints(self, workspace, epoch=1):
        """(size, root, kind, note), in order."""
        return self.rows(
            "SELECT size, root, kind, note FROM ledger.checkpoint WHERE workspace_id = %s AND epoch = %s ORDER BY size",
            workspace, epoch,
        )  # fmt: skip

    def states(self, workspace):
        return [
            row[0]
            for row in self.rows("SELECT state FROM es.events WHERE workspace_id = %s ORDER BY sequence", workspace)
        ]

    def ledger_events(self, workspace):
        rows = self.rows(
            "SELECT sequence, topic, convert_from(state, 'UTF8')::jsonb -> 'data' FROM es.events"
            " WHERE workspace_id = %s AND starts_with(topic, 'ledger.') ORDER BY sequence",
            workspace,
        )
        return [(topic, position, data) for position, topic, data in rows]

    def reader(self, workspace, epoch=1):
        tiles = {
            (level, number): hashes
            for level, number, hashes in self.rows(
                "SELECT level, number, hashes FROM ledger.tile WHERE workspace_id = %s AND epoch = %s", workspace, epoch
            )
        }
        return lambda tile: tiles[tile.level, tile.number][: tile.width * 32]

    def agrees(self, workspace, epoch=1, states=None):
        """The newest checkpoint is signed, and is that of these events; tiles prove the first and the last of them."""
        states = self.states(workspace) if states is None else states
        size, root, _, note = self.checkpoints(workspace, epoch)[-1]
        name = origin_of(ORIGIN, workspace, epoch)
        signed = verify(note, origin=name, public=self.keys.newest)
        assert (signed.size, signed.root) == (size, root)
        assert size == len(states)
        tree = Growing()
        tree.add(leaf_hash(state) for state in states)
        assert root == tree.root()
        read = self.reader(workspace, epoch)
        for index in {0, size - 1}:
            assert included(leaf_hash(states[index]), index, size, inclusion_proof(read, index, size), root)
        return size

    def epoch_of(self, workspace, number=2):
        """The position of the event that opened it, and what it says."""
        (event,) = [one for one in self.ledger_events(workspace) if one[2].get("epoch") == number]
        assert event[0] == "ledger.epoch_opened"
        return event[1], event[2]

    def all_signed(self):
        for (note,) in self.rows("SELECT note FROM ledger.checkpoint"):
            checkpoint, _ = parse(note)
            yield checkpoint.origin, checkpoint.size, checkpoint.root


def snapshot(here):
    tables = ("es.events", "es.head", "es.command", "ledger.tile", "ledger.checkpoint", "ledger.log", "ledger.note")
    columns = "originator_id, originator_version, topic, state, workspace_id, sequence, recorded_at, command_id"
    return {table: here.rows(f"SELECT {columns if table == 'es.events' else '*'} FROM {table}") for table in tables}


def restore(here, saved):
    """The database as it was, from a backup: the ledger's tables with the events."""
    with psycopg.connect(here.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        for table, rows in saved.items():
            connection.execute(f"DELETE FROM {table}")
            named = (
                " (originator_id, originator_version, topic, state, workspace_id, sequence, recorded_at, command_id)"
            )
            for row in rows:
                places = ", ".join(["%s"] * len(row))
                connection.execute(
                    f"INSERT INTO {table}{named if table == 'es.events' else ''} VALUES ({places})",
                    row,
                )
