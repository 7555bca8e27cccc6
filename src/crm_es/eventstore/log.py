"""How the library is worn: its Application, repository and mapper over our codec and recorder.

Its word for our Fact is a domain event, for a StreamKey an originator id. Its cache, snapshots and tracking are not used.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    EventStore,
    InfrastructureFactory,
    JSONTranscoder,
    Mapper,
    NotSupportedError,
    ProcessRecorder,
    StoredEvent,
)
from eventsourcing.utils import Environment

from crm_es.eventstore.codec import NO_OTHERS, Codec, Stored
from crm_es.eventstore.event import Change, Command, Erased
from crm_es.eventstore.recorder import Recorder, StoredFact, StreamKey
from crm_es.privacy.sealing import Key


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A change about to be stored: the event, the command around it, its stream's key, and those of others it is about."""

    command: Command
    change: Change
    key: Key | Erased | None
    others: Mapping[UUID, Key | Erased] = field(default_factory=lambda: NO_OTHERS)

    @property
    def originator_id(self) -> StreamKey:
        return StreamKey(self.command.workspace, self.change.stream)

    @property
    def originator_version(self) -> int:
        return self.change.version


class SealingMapper(Mapper[Any]):
    def __init__(self, codec: Codec) -> None:
        super().__init__(JSONTranscoder())
        self._codec = codec

    def to_stored_event(self, domain_event: Any) -> StoredEvent:
        entry: Entry = domain_event
        change = entry.change
        state = self._codec.encode(entry.command, change, entry.key, entry.others)
        return StoredEvent(entry.originator_id, change.version, change.event.TOPIC, state)  # type: ignore[arg-type]

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        if not isinstance(stored_event, StoredFact):
            raise TypeError("only what the log itself answered is a fact")
        return self._codec.decode(Stored(stored_event.log_id, stored_event.position, stored_event.state))


class _Parts(InfrastructureFactory[Any]):
    """The library asks a factory for its parts; there is one of each here, and no others."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(Environment("crm_es"))
        self._recorder = recorder

    def application_recorder(self) -> ApplicationRecorder:
        return self._recorder

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:  # noqa: ARG002  # the library's signature
        raise NotSupportedError("the log has no snapshots")

    def tracking_recorder(self, tracking_recorder_class: Any = None) -> Any:  # noqa: ARG002
        raise NotSupportedError("read models keep bookmarks of their own")

    def process_recorder(self) -> ProcessRecorder:
        raise NotSupportedError("read models keep bookmarks of their own")


class Log(Application[Any]):
    """`save(*entries, append=...)` and `repository.get(StreamKey, projector_func=...)` work as the library says."""

    name = "crm_es"
    recorder: Recorder
    mapper: SealingMapper

    def __init__(self, recorder: Recorder, codec: Codec) -> None:
        self._parts = recorder, codec
        super().__init__()

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:  # noqa: ARG002
        return _Parts(self._parts[0])

    def construct_mapper(self) -> Mapper[Any]:
        return SealingMapper(self._parts[1])

    def construct_event_store(self) -> EventStore[Any]:
        return EventStore(mapper=self.mapper, recorder=self.recorder)

    def close(self) -> None:
        self.recorder.close()
        super().close()
