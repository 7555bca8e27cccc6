"""A log to project from, written straight into `es.events`: events stay in memory, so no codec and no keys are needed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg

from crm_es.eventstore.codec import Stored
from crm_es.eventstore.event import Actor, ActorKind, Event, Fact, Origin, StreamId, WorkspaceId

START = datetime(2026, 1, 1, tzinfo=UTC)
_INSERT = """
INSERT INTO es.events (
  originator_id, originator_version, topic, state, workspace_id, sequence, recorded_at, command_id
) VALUES (%s, %s, %s, '', %s, %s, %s, %s)
RETURNING notification_id
"""


@dataclass
class Log:
    """`append` takes one append's events; `decode` is what a projector wants."""

    url: str
    by_id: dict[int, Fact] = field(default_factory=dict)
    versions: dict[UUID, int] = field(default_factory=dict)
    positions: dict[UUID, int] = field(default_factory=dict)

    def append(
        self, workspace: UUID, *events: tuple[UUID, Event], via: UUID | None = None, by: ActorKind = ActorKind.MEMBER
    ) -> int:
        """Answers the position of the last."""
        command = uuid4()
        at = START + timedelta(minutes=len(self.by_id))
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.execute("SET session_replication_role = replica")  # the log's own triggers would look at the bytes
            for stream, event in events:
                version = self.versions[stream] = self.versions.get(stream, 0) + 1
                position = self.positions[workspace] = self.positions.get(workspace, 0) + 1
                cursor.execute(_INSERT, (stream, version, event.TOPIC, workspace, position, at, command))
                (log_id,) = cursor.fetchone()
                self.by_id[log_id] = Fact(
                    workspace=WorkspaceId(workspace),
                    stream=StreamId(stream),
                    version=version,
                    position=position,
                    log_id=log_id,
                    topic=event.TOPIC,
                    event=event,
                    recorded_at=at,
                    occurred_at=at,
                    actor=Actor(kind=by, id=UUID(int=7)),
                    origin=Origin(),
                    via=via,
                    command_id=command,
                    correlation_id=command,
                    causation_id=None,
                    reason=None,
                )
            cursor.execute("NOTIFY crm_events")
        return self.positions[workspace]

    @property
    def facts(self) -> list[Fact]:
        return list(self.by_id.values())

    @property
    def end(self) -> int:
        return max(self.by_id)

    def decode(self, rows: Sequence[Stored]) -> list[Fact]:
        return [self.by_id[row.log_id] for row in rows]
