"""The store: load a stream, decide, append. The only crossing between coroutines and the blocking log."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, Self, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import msgspec

from crm_es.errors import AlreadyExistsError, CommandReusedError, ConflictError, CrmError, NotFoundError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.codec import Codec
from crm_es.eventstore.commit import Verdict
from crm_es.eventstore.doomed import DoomedKeys
from crm_es.eventstore.drafting import Draft, Drafter, Prepared
from crm_es.eventstore.event import Command, Dated, Event, Fact, WorkspaceId
from crm_es.eventstore.log import Log
from crm_es.eventstore.merging import check_edits, unknown_version
from crm_es.eventstore.reading import Reader
from crm_es.eventstore.recorder import END, Recorder, SeenCommand
from crm_es.eventstore.states import States
from crm_es.privacy.keystore import KeyStore
from crm_es.privacy.sealing import Key

TRIES = 5
INLINE_EVENTS = 4  # appends this small are prepared in the event loop; larger ones would hold it up
READERS = 8

P = ParamSpec("P")
T = TypeVar("T")
Events = Sequence[Event | Dated]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a command. `position` is None when it changed nothing; `log_id` is what bookmarks count.

    `ids` are the streams it named (of a batch, in order of its rows), `refusals` what was remembered of refused rows.
    """

    position: int | None
    log_id: int | None
    replayed: bool = False
    ids: tuple[UUID, ...] = ()
    refusals: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """What a decision over several streams may answer instead of its events alone. `via`: the absorbed ids addressed."""

    events: Mapping[UUID, Events]
    ids: Sequence[UUID] | None = None
    refusals: Sequence[object] = ()
    via: Mapping[UUID, UUID] = field(default_factory=dict)


class Store:
    """One a process. Open it in the event loop that uses it."""

    def __init__(
        self,
        url: str,
        aggregates: Iterable[Aggregate[Any, Any]],
        keys: KeyStore,
        *,
        readers: int = READERS,
        recorder: Recorder | None = None,
    ) -> None:
        self.keys = keys
        self.codec = Codec(aggregates, keys)
        self.recorder = recorder or Recorder(url, readers=readers)  # an import's dry run brings one that keeps nothing
        self._log = Log(self.recorder, self.codec)
        self._drafter = Drafter(self.codec, self._log.mapper, keys)
        self._states = States()
        self._reader = Reader(self.recorder, self.codec, self._log, self._states, self._drafter.hashed)
        self._doomed = DoomedKeys(self.recorder, keys)
        self._threads = ThreadPoolExecutor(readers, thread_name_prefix="crm-store")
        self._turns: WeakValueDictionary[tuple[UUID, UUID], asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def open(
        cls, url: str, aggregates: Iterable[Aggregate[Any, Any]], keys: KeyStore, *, readers: int = READERS
    ) -> Self:
        """Connect as the application role, and destroy what keys an earlier process was told to and could not."""
        store = cls(url, aggregates, keys, readers=readers)
        await store._run(store._doomed.sweep)  # its own
        store._doomed.keep_sweeping(store._run)
        return store

    async def close(self) -> None:
        """Finish what was begun. The key store is the caller's to close."""
        self._doomed.stop()
        await self._run(self._log.close)
        self._threads.shutdown()

    def forget_cached(self) -> None:
        """Drop every opened key and folded state now: a subject was erased, here or by another process."""
        self.keys.forget_cached()
        self._states.forget()

    # -- reading

    async def load(
        self,
        aggregate: Aggregate[Any, Any],
        workspace: WorkspaceId,
        id: UUID,
        *,
        at_version: int | None = None,
        follow: bool = True,
    ) -> Loaded[Any] | None:
        """The folded stream, now or at a version; `follow` goes on to the survivor where it was merged."""
        if at_version is not None:
            return await self._run(self._reader.load_at, aggregate, workspace, id, at_version)
        loaded, _ = await self._run(self._reader.load, aggregate, workspace, id, follow=follow)
        return loaded

    async def recent(self, aggregate: Aggregate[Any, Any], workspace: WorkspaceId, id: UUID) -> Loaded[Any] | None:
        """As it was last seen here, if that was a moment ago; else as it is."""
        return self._states.get(workspace, aggregate, id) or await self.load(aggregate, workspace, id)

    async def load_many(
        self, aggregate: Aggregate[Any, Any], workspace: WorkspaceId, ids: Iterable[UUID]
    ) -> dict[UUID, Loaded[Any]]:
        """Those that exist, in one statement; merged ones as they stand."""
        found, _ = await self._run(self._reader.read, workspace, dict.fromkeys(ids, aggregate))
        return {id_: loaded for id_, loaded in found.items() if loaded is not None}

    def at_hand(self, workspace: WorkspaceId, aggregate: Aggregate[Any, Any], ids: Iterable[UUID]) -> set[UUID]:
        """Those whose state is in memory; it may be old."""
        return {id_ for id_ in ids if self._states.get(workspace, aggregate, id_) is not None}

    async def facts(
        self, workspace: WorkspaceId, stream: UUID, *, after: int = 0, upto: int | None = None
    ) -> list[Fact]:
        """A stream's events with their envelopes, oldest first; `after` and `upto` are versions."""
        return await self._run(self._reader.facts, workspace, stream, after, END if upto is None else upto)

    async def histories(
        self, workspace: WorkspaceId, streams: Iterable[UUID] | Mapping[UUID, int], *, upto: int | None = None
    ) -> dict[UUID, list[Fact]]:
        """Several streams' events with their envelopes, read together: all, or those after a version of each."""
        after = streams if isinstance(streams, Mapping) else dict.fromkeys(streams, 0)
        return await self._run(self._reader.histories, workspace, after, END if upto is None else upto)

    def passed(self, workspace: WorkspaceId, stream: UUID, version: int) -> tuple[int, Any] | None:
        """What who folds long streams noted a while ago, at that version or nearest before it."""
        return self._states.passed(workspace, stream, version)

    def note_passed(self, workspace: WorkspaceId, stream: UUID, version: int, value: Any) -> None:
        """It is forgotten with the cached states."""
        self._states.note_passed(workspace, stream, version, value)

    async def stored(self, workspace: WorkspaceId, stream: UUID, version: int) -> bytes | None:
        """The very bytes of an event, as recorded."""
        return await self._run(self._reader.stored, workspace, stream, version)

    async def holder(self, workspace: WorkspaceId, kind: str, value: str) -> UUID | None:
        """The stream whose event took this value; `load` follows it to the survivor."""
        return (await self.holders(workspace, [(kind, value)])).get((kind, value))

    async def holders(self, workspace: WorkspaceId, values: Iterable[tuple[str, str]]) -> dict[tuple[str, str], UUID]:
        """The holder of each (kind, normal form) that has one."""
        return await self._run(self._reader.holders, workspace, list(values))

    async def exists(self, workspace: WorkspaceId, aggregate: Aggregate[Any, Any], ids: Iterable[UUID]) -> set[UUID]:
        """Which of these are streams of this aggregate in this workspace."""
        wanted = set(ids)
        there = self._states.known(workspace, aggregate, wanted)
        if wanted - there:
            found = await self._run(self.recorder.existing, workspace, aggregate.name, list(wanted - there))
            self._states.note(workspace, aggregate, found)
            there |= found
        return there

    async def begun(self, workspace: WorkspaceId, *, after: int, at_most: int) -> list[tuple[str, UUID, int]]:
        """(aggregate name, stream, position) of streams in the order they began, from a position on."""
        return await self._run(self.recorder.begun, workspace, after, at_most)

    async def reserved(self, workspace: WorkspaceId) -> dict[tuple[str, bytes], UUID]:
        """Every reservation of the workspace: (kind, HMAC) to the stream that holds it."""
        return await self._run(self.recorder.reserved, workspace)

    def hashed(self, workspace: WorkspaceId, kind: str, value: str) -> bytes:
        """How a reservation of this value is kept."""
        return self._drafter.hashed(workspace, kind, value)

    async def seen(self, command: Command) -> Outcome | None:
        """The outcome of this command if it was accepted before. Raises: CommandReusedError."""
        _, seen = await self._run(self._reader.read, command.workspace, {}, command.command_id)
        return None if seen is None else _seen(command, seen)

    # -- writing

    async def decide(
        self,
        command: Command,
        aggregate: Aggregate[Any, Any],
        id: UUID,
        decision: Callable[[Any], Events],
        *,
        expected_version: int | None = None,
    ) -> Outcome:
        """Load, decide, append; decided again where somebody was faster. An absorbed id is decided on its survivor.

        Raises: NotFoundError, VersionConflictError, AlreadyExistsError, CommandReusedError, and what `decision` raises.
        """
        async with self._turn(command.workspace, id):
            guess = self._guess(command, aggregate, id, decision, expected_version)
            if guess is not None and (outcome := await self._append(guess)) is not None:
                return outcome
            for _ in range(TRIES):
                prepared = await self._run(self._decide, command, aggregate, id, decision, expected_version)
                if isinstance(prepared, Outcome):
                    return prepared
                outcome = await self._append(prepared)
                if outcome is not None:
                    return outcome
        raise ConflictError("This record is being changed too fast. Try again.", rule="record.busy")

    async def transact(
        self,
        command: Command,
        targets: Sequence[tuple[Aggregate[Any, Any], UUID]],
        decision: Callable[[Mapping[UUID, Loaded[Any] | None]], Mapping[UUID, Events] | Decided],
    ) -> Outcome:
        """Decide over several streams and append to all or none. Streams are taken as they stand, merged or not; one that
        does not exist yet is None and may be begun."""
        for _ in range(TRIES):
            prepared = await self._run(self._transact, command, targets, decision)
            if isinstance(prepared, Outcome):
                return prepared
            outcome = await self._append(prepared)
            if outcome is not None:
                return outcome
        raise ConflictError("These records are being changed too fast. Try again.", rule="record.busy")

    async def create(self, command: Command, aggregate: Aggregate[Any, Any], id: UUID, events: Events) -> Outcome:
        """Begin a stream under an id nobody has used."""
        return await self.create_many(command, [(aggregate, id, events)])

    async def create_many(
        self,
        command: Command,
        streams: Sequence[tuple[Aggregate[Any, Any], UUID, Events]],
        *,
        ids: Sequence[UUID] | None = None,
        refusals: Sequence[object] = (),
    ) -> Outcome:
        """Begin several streams at once, all or none. `ids` is what the command answers for its rows, where that differs."""
        drafts = [Draft(aggregate=aggregate, stream=id_, events=events) for aggregate, id_, events in streams]
        small = sum(len(draft.events) for draft in drafts) <= INLINE_EVENTS
        if small and self.keys.ready(command.workspace, len(drafts)):
            prepared = self._drafter.prepare(command, drafts, ids=ids, refusals=refusals)
        else:
            prepared = await self._run(self._drafter.prepare, command, drafts, ids=ids, refusals=refusals)
        outcome = await self._append(prepared)
        if outcome is None:
            raise ConflictError("A record with this id exists already.", rule="record.id_taken")
        return outcome

    # -- in the store's threads

    async def _run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def _guess(
        self,
        command: Command,
        aggregate: Aggregate[Any, Any],
        id: UUID,
        decision: Callable[[Any], Events],
        expected_version: int | None,
    ) -> Prepared | None:
        """What is decided on the state as it was last seen, the log not asked: it refuses what is old.

        Only a new command's, since only the log knows an old one; and only what appends: nothing is refused, nor found done,
        on a state that may be old.
        """
        loaded = self._states.get(command.workspace, aggregate, id) if command.fresh else None
        if loaded is None or expected_version not in (None, loaded.version) or not self._at_hand(command, loaded):
            return None
        try:
            events = [] if aggregate.merged_into(loaded.state) else decision(loaded.state)
        except CrmError:
            return None
        if not 0 < len(events) <= INLINE_EVENTS:
            return None
        return self._drafter.prepare(command, [Draft(aggregate=aggregate, stream=id, events=events, loaded=loaded)])

    def _at_hand(self, command: Command, loaded: Loaded[Any]) -> bool:
        """Whether every key that an event of this stream may take is in memory."""
        key = None if loaded.key_id is None else self.keys.cached(loaded.key_id)
        own = loaded.key_id is None or isinstance(key, Key)
        return own and not loaded.other_keys and self.keys.ready(command.workspace, INLINE_EVENTS)

    def _decide(
        self,
        command: Command,
        aggregate: Aggregate[Any, Any],
        id: UUID,
        decision: Callable[[Any], Events],
        expected_version: int | None,
    ) -> Prepared | Outcome:
        loaded, seen = self._reader.load(aggregate, command.workspace, id, command.command_id)
        if seen is not None:
            return _seen(command, seen)
        if loaded is None:
            raise NotFoundError("There is no such record.")
        if expected_version is not None and not 1 <= expected_version <= loaded.version:
            raise unknown_version(expected_version)
        events = decision(loaded.state)
        if expected_version is not None and expected_version < loaded.version and events:
            facts = self._reader.facts(command.workspace, loaded.id, 0, loaded.version)
            check_edits(aggregate, facts, expected_version, [_event(one) for one in events])
        draft = Draft(aggregate=aggregate, stream=loaded.id, events=events, loaded=loaded, via=loaded.via)
        return self._drafter.prepare(command, [draft])

    def _transact(
        self,
        command: Command,
        targets: Sequence[tuple[Aggregate[Any, Any], UUID]],
        decision: Callable[[Mapping[UUID, Loaded[Any] | None]], Mapping[UUID, Events] | Decided],
    ) -> Prepared | Outcome:
        aggregates = {id_: aggregate for aggregate, id_ in targets}
        loaded, seen = self._reader.read(command.workspace, aggregates, command.command_id)
        if seen is not None:
            return _seen(command, seen)
        decided = decision(loaded)
        if not isinstance(decided, Decided):
            decided = Decided(events=decided)
        drafts = [
            Draft(aggregate=aggregates[id_], stream=id_, events=events, loaded=loaded[id_], via=decided.via.get(id_))
            for id_, events in decided.events.items()
        ]
        return self._drafter.prepare(command, drafts, ids=decided.ids, refusals=decided.refusals)

    # -- the end of an append

    def _turn(self, workspace: UUID, id: UUID) -> asyncio.Lock:
        """Deciders of one stream in this process go one after the other: they would only conflict."""
        return self._turns.setdefault((workspace, id), asyncio.Lock())

    async def _append(self, prepared: Prepared) -> Outcome | None:
        """None for CONFLICT: decide again. What it dooms is destroyed though nobody waits any more."""
        settled = self._settled(prepared)
        return await (asyncio.shield(settled) if prepared.append.doomed else settled)

    async def _settled(self, prepared: Prepared) -> Outcome | None:
        append = prepared.append
        verdict = await self.recorder.commits.append(append)
        if verdict.status == "CONFLICT":
            for aggregate, loaded in prepared.after:
                self._states.drop(append.command.workspace, aggregate, loaded.id)
            return None
        if verdict.status != "OK":
            return _refused(verdict)
        if verdict.first_position is not None:  # None: a sending whose reply was lost stored it, whichever that was
            for aggregate, loaded in prepared.after:
                self._states.put(append.command.workspace, aggregate, loaded)
        if append.doomed:
            keys = [doomed.key for doomed in append.doomed]
            await self._run(self._doomed.destroy, append.command.workspace, keys)
        refusals = tuple(msgspec.json.decode(append.refusals)) if append.refusals else ()
        return Outcome(
            position=verdict.last_position, log_id=verdict.last_log_id, ids=tuple(append.ids), refusals=refusals
        )


def _event(one: Event | Dated) -> Event:
    return one.event if isinstance(one, Dated) else one


def _seen(command: Command, seen: SeenCommand) -> Outcome:
    if seen.request_hash != command.request_hash:
        raise CommandReusedError
    return _replayed(seen.position, seen.log_id, seen.ids, seen.refusals)


def _refused(verdict: Verdict) -> Outcome:
    match verdict.status:
        case "REPLAYED":
            return _replayed(verdict.last_position, verdict.last_log_id, verdict.ids, verdict.refusals)
        case "REUSED":
            raise CommandReusedError
        case "TAKEN" if verdict.kind is not None and verdict.holder is not None:
            raise AlreadyExistsError(kind=verdict.kind, holder=verdict.holder)
        case "FOREIGN":
            raise NotFoundError("There is no such record.")
        case status:
            raise CrmError(f"The log answered {status}, which nobody understands.")


def _replayed(position: int | None, log_id: int | None, ids: Sequence[UUID], refusals: str | None) -> Outcome:
    remembered = tuple(msgspec.json.decode(refusals)) if refusals else ()
    return Outcome(position=position, log_id=log_id, replayed=True, ids=tuple(ids), refusals=remembered)
