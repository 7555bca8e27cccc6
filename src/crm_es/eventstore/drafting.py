"""From decided events to one append: versions, keys, reservations taken and freed, holders of keys. Pure but for taking keys."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.codec import NO_OTHERS, Codec
from crm_es.eventstore.commit import Append, Doomed, Freed, Holder, Taken
from crm_es.eventstore.event import NO_KEYS, Change, Command, Dated, Erased, Event, ImportOrigin, Reservation, StreamId
from crm_es.eventstore.log import Entry, SealingMapper
from crm_es.privacy.keystore import KeyStore
from crm_es.privacy.sealing import Key

HASHED = 16  # bytes of a reservation's HMAC that are kept


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What was decided for one stream. `loaded` is None for a new one."""

    aggregate: Aggregate[Any, Any]
    stream: UUID
    events: Sequence[Event | Dated]
    loaded: Loaded[Any] | None = None
    via: UUID | None = None


@dataclass(slots=True)
class _Written:
    """One stream's part of the append, as it grows event by event."""

    state: Any
    version: int
    key_id: UUID | None
    key: Key | Erased | None = None
    entries: list[Entry] = field(default_factory=list)
    doomed: list[Doomed] = field(default_factory=list)
    other_keys: dict[UUID, UUID] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An append, and the states that hold once it is accepted."""

    append: Append
    after: Sequence[tuple[Aggregate[Any, Any], Loaded[Any]]]


class Drafter:
    def __init__(self, codec: Codec, mapper: SealingMapper, keys: KeyStore) -> None:
        self._codec = codec
        self._mapper = mapper
        self._keys = keys

    def prepare(
        self,
        command: Command,
        drafts: Sequence[Draft],
        *,
        ids: Sequence[UUID] | None = None,
        refusals: Sequence[object] = (),
    ) -> Prepared:
        """Raises: InvalidInputError (text, length), ErasedError, KeyUnavailableError."""
        sources = _by_row(command, len(drafts))
        written = [(draft, self._write(source, draft, drafts)) for source, draft in zip(sources, drafts, strict=True)]
        before = _reserved((draft.aggregate, draft.stream, draft.loaded.state) for draft in drafts if draft.loaded)
        after = _reserved((draft.aggregate, draft.stream, done.state) for draft, done in written if done.version)
        append = Append(
            command=command,
            events=[self._mapper.to_stored_event(entry) for _, done in written for entry in done.entries],
            ids=[draft.stream for draft in drafts] if ids is None else ids,
            taken=[Taken(one.kind, self._hashed(command, one), one.holder) for one in _ordered(after - before)],
            freed=[Freed(one.kind, self._hashed(command, one), one.holder) for one in _ordered(before - after)],
            holders=[holder for draft, done in written for holder in _holders(draft, done)],
            doomed=[doomed for _, done in written for doomed in done.doomed],
            refusals=msgspec.json.encode(refusals).decode() if refusals else None,
        )
        return Prepared(
            append=append, after=[(draft.aggregate, _loaded(draft, done)) for draft, done in written if done.entries]
        )

    def hashed(self, workspace: UUID, kind: str, value: str) -> bytes:
        """How a reservation is kept: findable by who knows the value and this workspace's index key."""
        return self._keys.blind(workspace, "reservation", kind, value)[:HASHED]

    def _hashed(self, command: Command, reservation: Reservation) -> bytes:
        return self.hashed(command.workspace, reservation.kind, reservation.value)

    def _write(self, command: Command, draft: Draft, beside: Sequence[Draft]) -> _Written:
        loaded = draft.loaded
        done = _Written(loaded.state, loaded.version, loaded.key_id) if loaded else _Written(None, 0, None)
        for event, occurred_at in _events(draft):
            done.version += 1
            change = Change(
                stream=StreamId(draft.stream), version=done.version, event=event, via=draft.via, occurred_at=occurred_at
            )
            key, others = self._keys_for(command, draft, event, done, beside)
            done.entries.append(Entry(command=command, change=change, key=key, others=others))
            done.state = draft.aggregate.evolve(done.state, event)
        return done

    def _keys_for(
        self, command: Command, draft: Draft, event: Event, done: _Written, beside: Sequence[Draft]
    ) -> tuple[Key | Erased | None, Mapping[UUID, Key | Erased]]:
        """The stream's key, and those of the others that the event is about: these have theirs already."""
        if getattr(event, "NEW_KEY", False):
            if done.key_id is not None:
                done.doomed.append(Doomed(done.key_id, draft.stream))
            done.key_id = done.key = None
        if draft.via is None and not self._codec.about_others(event):
            return (self._key(command, done) if self._codec.needs_key(event, command.reason) else None), NO_OTHERS
        persons = self._codec.persons(event, command.reason, draft.via)
        own = self._key(command, done) if None in persons or draft.stream in persons else None
        known = {one: _known_key(one, draft, beside) for one in persons if one is not None and one != draft.stream}
        done.other_keys.update(known)
        return own, {one: self._keys.key(key_id) for one, key_id in known.items()}

    def _key(self, command: Command, done: _Written) -> Key | Erased:
        """The stream's key; a fresh one for the first event that needs one, or that asks for a new one."""
        if done.key is None:
            done.key = self._keys.take(command.workspace) if done.key_id is None else self._keys.key(done.key_id)
        if isinstance(done.key, Key):
            done.key_id = done.key.id
        return done.key


def _known_key(person: UUID, draft: Draft, beside: Sequence[Draft]) -> UUID:
    """The key of somebody that something in these streams is about: it has one, or there would be nothing to tell of them."""
    streams = (one.loaded for one in (draft, *beside) if one.loaded)
    return next(loaded.keys[person] for loaded in streams if person in loaded.keys)


def _events(draft: Draft) -> Iterator[tuple[Event, datetime | None]]:
    """What was decided, each with its own time if it has one; of an absorbed id, with whose it is noted."""
    events = [one.event if isinstance(one, Dated) else one for one in draft.events]
    if draft.via is not None and draft.loaded is not None:
        events = list(draft.aggregate.addressed(draft.loaded.state, events, draft.via))
    for one, event in zip(draft.events, events, strict=True):
        yield event, one.occurred_at if isinstance(one, Dated) else None


def _by_row(command: Command, drafts: int) -> Sequence[Command]:
    """The command for each draft: a batch of an import says of each stream which row of the file it came from.

    Streams behind these came from the batch as a whole.
    """
    source = command.origin.import_
    if source is None or len(source.rows) == 1 or not 0 < len(source.rows) <= drafts:
        return [command] * drafts
    origins = (replace(command.origin, import_=ImportOrigin(id=source.id, row=row)) for row in source.rows)
    return [*(replace(command, origin=origin) for origin in origins), *[command] * (drafts - len(source.rows))]


def _reserved(states: Iterable[tuple[Aggregate[Any, Any], UUID, Any]]) -> frozenset[Reservation]:
    return frozenset().union(*(aggregate.reservations(stream, state) for aggregate, stream, state in states))


def _ordered(reservations: frozenset[Reservation]) -> list[Reservation]:
    return sorted(reservations, key=lambda one: (one.kind, one.value))


def _holders(draft: Draft, done: _Written) -> list[Holder]:
    """Rows for a key whose subjects are others than its own stream; that one needs none, its facts name the key."""
    subjects, stream, loaded = draft.aggregate.subjects, draft.stream, draft.loaded
    old = set(subjects(stream, loaded.state)) if loaded and loaded.key_id else set[UUID]()
    new = set(subjects(stream, done.state)) if done.key_id else set[UUID]()
    rows: list[Holder] = []
    if loaded and loaded.key_id:
        gone = old if loaded.key_id != done.key_id else old - new
        rows += [Holder(subject, loaded.key_id, stream, held=False) for subject in sorted(gone) if subject != stream]
    if done.key_id:
        come = new if not loaded or loaded.key_id != done.key_id else new - old
        rows += [Holder(subject, done.key_id, stream, held=True) for subject in sorted(come) if subject != stream]
    return rows


def _loaded(draft: Draft, done: _Written) -> Loaded[Any]:
    others = {**draft.loaded.other_keys, **done.other_keys} if draft.loaded else done.other_keys
    return Loaded(
        id=draft.stream, version=done.version, state=done.state, key_id=done.key_id, other_keys=others or NO_KEYS
    )
