"""Somebody reads many people at once: an event for the auditor, once an hour and reader. `watching.py` notices it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, assert_never
from uuid import UUID, uuid5

from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId

WINDOW: Final = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessMassReadNoticed:
    """The reader was answered at least so many different contacts (`nodes`) between `since` and `until`."""

    TOPIC: ClassVar[str] = "access.mass_read_noticed"
    FIELDS: ClassVar[tuple[str, ...]] = ()
    actor_kind: ActorKind
    actor_id: UUID
    nodes: int
    since: datetime
    until: datetime


AccessEvent = AccessMassReadNoticed


@dataclass(frozen=True, kw_only=True, slots=True)
class MassRead:
    """`nodes` is how many contacts were counted when it was noticed."""

    nodes: int = 0


def evolve(state: MassRead | None, event: AccessEvent) -> MassRead:
    del state
    match event:
        case AccessMassReadNoticed(nodes=nodes):
            return MassRead(nodes=nodes)
        case _:
            assert_never(event)


def _fields(state: MassRead) -> Mapping[str, object]:
    return {"nodes": state.nodes}


ACCESS: Final[Aggregate[MassRead, Any]] = Aggregate(
    name="access", events=(AccessMassReadNoticed,), evolve=evolve, fields=_fields, subjects=no_subject
)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who, and in which hour."""

    workspace: UUID
    kind: ActorKind
    id: UUID
    since: datetime

    @property
    def until(self) -> datetime:
        return self.since + WINDOW

    def noticed(self, nodes: int) -> tuple[Command, UUID, AccessMassReadNoticed]:
        """What is appended, once by all processes together: the command, the stream, the event."""
        name = f"mass read {self.id} {self.since.isoformat()}"
        command = Command(
            workspace=WorkspaceId(self.workspace), command_id=uuid5(self.workspace, f"command {name}"), request_hash=bytes(32),
            actor=Actor(kind=ActorKind.SYSTEM, auth="access log"), correlation_id=uuid5(self.workspace, name),
        )  # fmt: skip
        event = AccessMassReadNoticed(
            actor_kind=self.kind, actor_id=self.id, nodes=nodes, since=self.since, until=self.until
        )
        return command, uuid5(self.workspace, f"stream {name}"), event
