"""Streams read and folded: on top of what was kept, the events that came since. All of it blocks, in the store's threads."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from eventsourcing.application import AggregateNotFoundError

from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.codec import Codec
from crm_es.eventstore.event import Fact, WorkspaceId
from crm_es.eventstore.log import Log
from crm_es.eventstore.recorder import Recorder, SeenCommand, StreamKey
from crm_es.eventstore.states import States, fold

Hash = Callable[[UUID, str, str], bytes]


class Reader:
    """`hashed` is how the value of a reservation is kept."""

    def __init__(self, recorder: Recorder, codec: Codec, log: Log, states: States, hashed: Hash) -> None:
        self._recorder = recorder
        self._codec = codec
        self._log = log
        self._states = states
        self._hashed = hashed

    def read(
        self, workspace: WorkspaceId, targets: Mapping[UUID, Aggregate[Any, Any]], command_id: UUID | None = None
    ) -> tuple[dict[UUID, Loaded[Any] | None], SeenCommand | None]:
        kept = {id_: self._states.get(workspace, aggregate, id_) for id_, aggregate in targets.items()}
        after = {id_: loaded.version if loaded else 0 for id_, loaded in kept.items()}
        rows, seen = self._recorder.read_streams(workspace, after, command_id=command_id)
        facts = iter(self._codec.decode_many(row for stream in rows.values() for _, row in stream))
        for id_, stream in rows.items():
            kept[id_] = fold(targets[id_], kept[id_], [next(facts) for _ in stream])
            if (loaded := kept[id_]) is not None:
                self._states.put(workspace, targets[id_], loaded)
        return kept, seen

    def load(
        self,
        aggregate: Aggregate[Any, Any],
        workspace: WorkspaceId,
        id: UUID,
        command_id: UUID | None = None,
        *,
        follow: bool = True,
    ) -> tuple[Loaded[Any] | None, SeenCommand | None]:
        found, seen = self.read(workspace, {id: aggregate}, command_id)
        loaded, keys = found[id], dict[UUID, UUID]()
        while follow and loaded is not None and (survivor := aggregate.merged_into(loaded.state)) is not None:
            keys |= loaded.keys
            loaded = self.read(workspace, {survivor: aggregate})[0][survivor]
        if loaded is not None and loaded.id != id:
            loaded = replace(loaded, via=id, other_keys={**keys, **loaded.other_keys})
        return loaded, seen

    def load_at(
        self, aggregate: Aggregate[Any, Any], workspace: WorkspaceId, id: UUID, version: int
    ) -> Loaded[Any] | None:
        def projected(initial: Loaded[Any] | None, facts: Iterable[Any]) -> Loaded[Any] | None:
            return fold(aggregate, initial, facts)

        try:
            loaded: Loaded[Any] = self._log.repository.get(
                StreamKey(workspace, id), version=version, projector_func=projected
            )
        except AggregateNotFoundError:
            return None
        return loaded

    def facts(self, workspace: WorkspaceId, stream: UUID, after: int, upto: int) -> list[Fact]:
        rows, _ = self._recorder.read_streams(workspace, {stream: after}, upto=upto)
        return self._codec.decode_many(row for _, row in rows.get(stream, ()))

    def histories(self, workspace: WorkspaceId, after: Mapping[UUID, int], upto: int) -> dict[UUID, list[Fact]]:
        rows, _ = self._recorder.read_streams(workspace, after, upto=upto)
        facts = iter(self._codec.decode_many(row for stream in rows.values() for _, row in stream))
        return {stream: [next(facts) for _ in found] for stream, found in rows.items()}

    def stored(self, workspace: WorkspaceId, stream: UUID, version: int) -> bytes | None:
        rows, _ = self._recorder.read_streams(workspace, {stream: version - 1}, upto=version)
        return next((bytes(row.state) for _, row in rows.get(stream, ())), None)

    def holders(self, workspace: WorkspaceId, values: Sequence[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
        hashed = {(kind, self._hashed(workspace, kind, value)): (kind, value) for kind, value in values}
        return {hashed[found]: stream for found, stream in self._recorder.holders(workspace, list(hashed)).items()}
