"""A log that listens to appends and keeps them to itself: what a dry run writes to.

Reads see the real log with the rehearsed appends on top, so every later row meets what the earlier ones would have left. The
store above it is the real one, up to the statement that would write. Holds about 1 KB an event.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from crm_es.eventstore.codec import Stored, hole_of
from crm_es.eventstore.commit import Answer, Append, Verdict
from crm_es.eventstore.event import WorkspaceId
from crm_es.eventstore.recorder import END, Recorder, SeenCommand
from crm_es.privacy.key_rows import KeyRow, KeyRows

STAMP = 27  # bytes of a recorded_at


class RehearsalRecorder(Recorder):
    """The recorder whose appends go nowhere."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._streams: dict[UUID, list[tuple[int, Stored]]] = {}
        self._topics: dict[UUID, str] = {}
        self._commands: dict[UUID, SeenCommand] = {}
        self._holders: dict[tuple[str, bytes], UUID | None] = {}
        self._written = 0

    @property
    def events(self) -> int:
        """How many events it was given."""
        return self._written

    def read_streams(
        self, workspace: WorkspaceId, after: Mapping[UUID, int], *, upto: int = END, command_id: UUID | None = None
    ) -> tuple[dict[UUID, list[tuple[int, Stored]]], SeenCommand | None]:
        found, seen = super().read_streams(workspace, after, upto=upto, command_id=command_id)
        for stream, version in after.items():
            ours = [row for row in self._streams.get(stream, ()) if version < row[0] <= upto]
            if ours:
                found[stream] = [*found.get(stream, ()), *ours]
        return found, seen or (self._commands.get(command_id) if command_id else None)

    def holders(self, workspace: WorkspaceId, wanted: Sequence[tuple[str, bytes]]) -> dict[tuple[str, bytes], UUID]:
        found: dict[tuple[str, bytes], UUID | None] = dict(super().holders(workspace, wanted))
        found |= {value: self._holders[value] for value in wanted if value in self._holders}
        return {value: holder for value, holder in found.items() if holder is not None}

    def existing(self, workspace: WorkspaceId, aggregate: str, streams: Sequence[UUID]) -> set[UUID]:
        ours = {one for one in streams if self._topics.get(one, "").startswith(f"{aggregate}.")}
        return super().existing(workspace, aggregate, streams) | ours

    def _write(self, appends: Sequence[Append]) -> Sequence[Answer]:
        return [self._heard(append) for append in appends]

    def _heard(self, append: Append) -> Verdict:
        """The verdict of `es.append_events`, in its order: command, versions, reservations."""
        command = append.command
        _, seen = self.read_streams(command.workspace, {}, command_id=command.command_id)
        if seen is not None:
            same = seen.request_hash == command.request_hash
            return Verdict("REPLAYED", last_position=seen.position, ids=seen.ids) if same else Verdict("REUSED")
        if not self._follows(append):
            return Verdict("CONFLICT")
        return self._taken(append) or self._kept(append)

    def _follows(self, append: Append) -> bool:
        """Versions follow those rehearsed; those of the log itself were read a moment ago."""
        first: dict[UUID, int] = {}
        for event in append.events:
            first.setdefault(_stream(event), event.originator_version)
        return all(v == self._streams[s][-1][0] + 1 for s, v in first.items() if s in self._streams)

    def _taken(self, append: Append) -> Verdict | None:
        freed = {(one.kind, one.key) for one in append.freed}
        held = self.holders(append.command.workspace, [(one.kind, one.key) for one in append.taken])
        for one in append.taken:
            holder = held.get((one.kind, one.key))
            if holder not in (None, one.holder) and (one.kind, one.key) not in freed:
                return Verdict("TAKEN", holder=holder, kind=one.kind, key=one.key)
        return None

    def _kept(self, append: Append) -> Verdict:
        first = self._written + 1
        stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()
        for event in append.events:
            self._written += 1
            hole, stream = hole_of(event.state), _stream(event)
            state = event.state[:hole] + stamp + event.state[hole + STAMP :]
            row = event.originator_version, Stored(self._written, self._written, state)
            self._streams.setdefault(stream, []).append(row)
            self._topics.setdefault(stream, event.topic)
        self._holders |= {(one.kind, one.key): None for one in append.freed if one.key is not None}
        self._holders |= {(one.kind, one.key): one.holder for one in append.taken}
        last = self._written if append.events else None
        command, ids = append.command, tuple(append.ids)
        self._commands[command.command_id] = SeenCommand(command.request_hash, ids, last, append.refusals, last)
        return Verdict("OK", first_position=first if last else None, last_position=last, last_log_id=last, ids=ids)


def _stream(event: object) -> UUID:
    stream: UUID = event.originator_id.stream  # type: ignore[attr-defined]  # a StreamKey; the library says Any
    return stream


class RehearsalKeys:
    """Key rows of which the new ones are kept in memory: a rehearsed subject needs a key nobody will miss."""

    def __init__(self, rows: KeyRows) -> None:
        self._rows = rows
        self._new: dict[UUID, KeyRow] = {}

    def add_keys(self, rows: Sequence[KeyRow]) -> None:
        self._new |= {row.key_id: row for row in rows}

    def keys(self, ids: Sequence[UUID]) -> list[KeyRow]:
        ours = [self._new[one] for one in ids if one in self._new]
        rest = [one for one in ids if one not in self._new]
        return ours + (self._rows.keys(rest) if rest else [])

    def drop_spares(self, ids: Sequence[UUID]) -> None:
        for one in ids:
            self._new.pop(one, None)

    def shred(self, ids: Sequence[UUID], erasure: UUID | None) -> int:  # noqa: ARG002  # as every store of keys
        """Nothing real is destroyed."""
        return len([self._new.pop(one) for one in ids if one in self._new])

    def secret(self, name: str) -> bytes | None:
        return self._rows.secret(name)

    def add_secret(self, name: str, wrapped: bytes) -> bytes:
        return self._rows.add_secret(name, wrapped)

    def close(self) -> None:
        self._rows.close()
