"""Events to the bytes that are stored and hashed, and back to Facts. The only place that seals and opens personal values.

A state is one JSON object with the envelope and `data`. Its bytes never change: older shapes are lifted by upcasters on reading.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET

from crm_es.errors import ErasedError, InvalidInputError
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.canonical import PersonalField, Shape, decoder, encode
from crm_es.eventstore.event import (
    ERASED,
    NO_KEYS,
    Actor,
    Change,
    Command,
    Erased,
    Event,
    Fact,
    ImportOrigin,
    Origin,
    StreamId,
    WorkspaceId,
    personal_fields,
)  # fmt: skip
from crm_es.privacy.keystore import KeyStore
from crm_es.privacy.sealing import Key, Sealed

LARGEST_STATE = 65_535  # C2SP entry bundles count in 16 bits
TOGETHER = 250  # rows whose keys are fetched by one query when facts are asked for one by one
HOLE = "0000-00-00T00:00:00.000000Z"  # the append function writes recorded_at here, under the lock
_MARK = b'"recorded_at":"'
_SEALED = b'{"$pii"'

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
# (topic, schema) → the function that lifts stored data to schema + 1. Pure; personal fields are sealed and keep their names.
UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}


class ImportBody(msgspec.Struct, frozen=True):
    id: UUID
    row: int


class OriginBody(msgspec.Struct, frozen=True):
    address: str | None
    client: str | None
    import_: ImportBody | None = msgspec.field(name="import")


class Envelope(msgspec.Struct, gc=False):
    """Fields in alphabetical order: they are written in this one."""

    actor: msgspec.Raw
    causation_id: UUID | None
    command_id: UUID
    correlation_id: UUID
    data: msgspec.Raw
    occurred_at: datetime | None
    origin: msgspec.Raw
    reason: msgspec.Raw
    recorded_at: str
    schema: int
    stream: UUID
    type: str
    version: int
    via: UUID | None
    workspace: UUID


class Stored(NamedTuple):
    """A row of the log: its two numbers and its bytes. The bytes say everything else."""

    log_id: int
    position: int
    state: bytes


class Opening(NamedTuple):
    """A state read, its personal values still sealed."""

    row: Stored
    envelope: Envelope
    shape: Shape
    data: Any
    sealed: list[tuple[PersonalField, Sealed, int | None]]  # with its place where each item is sealed
    cleared: list[str]


NO_OTHERS: Mapping[UUID, Key | Erased] = MappingProxyType({})
_NOTHING: frozenset[str] = frozenset()
_shape = cache(Shape)  # making one reads every type hint of its class
_read_reason = decoder(str | None)
_reason_field = PersonalField("$reason", ("reason",), b"|reason", decoder(str))
_read_envelope = msgspec.json.Decoder(Envelope)
_read_sealed = msgspec.json.Decoder(Sealed)
_read_actor = lru_cache(4096)(decoder(Actor).decode)
_read_origin_body = decoder(OriginBody)
_write_id = msgspec.json.Encoder().encode  # `str` of a UUID takes five times as long
_actor_bytes = lru_cache(4096)(lambda actor: msgspec.Raw(encode(actor, ("actor",))))


@lru_cache(4096)
def _read_origin(raw: bytes) -> Origin:
    body = _read_origin_body.decode(raw)
    source = body.import_
    return Origin(
        client=body.client, address=body.address, import_=ImportOrigin(id=source.id, row=source.row) if source else None
    )


@lru_cache(4096)
def _origin_bytes(origin: Origin) -> msgspec.Raw:
    source = origin.import_
    body = OriginBody(origin.address, origin.client, ImportBody(source.id, source.row) if source else None)
    return msgspec.Raw(encode(body, ("origin",)))


def hole_of(state: bytes) -> int:
    """Where recorded_at goes, from 0. What follows it in an envelope is never free text."""
    return state.rindex(_MARK) + len(_MARK)


class Codec:
    """Knows every event class of these aggregates, and the key store that opens their personal values."""

    def __init__(
        self,
        aggregates: Iterable[Aggregate[Any, Any]],
        keys: KeyStore,
        upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
    ) -> None:
        self.keys = keys
        self._upcasters = upcasters
        self._shapes: dict[str, Shape] = {}
        self._private: set[type[Event]] = set()
        for aggregate in aggregates:
            self._register(aggregate)

    def _register(self, aggregate: Aggregate[Any, Any]) -> None:
        classes: tuple[type[Event], ...] = aggregate.events
        for event_class in classes:
            if event_class.TOPIC in self._shapes:
                raise ValueError(f"two event classes have the topic {event_class.TOPIC}")
            self._shapes[event_class.TOPIC] = _shape(event_class)
        if any(personal_fields(event_class) for event_class in classes):
            self._private.update(classes)

    # -- writing

    def needs_key(self, event: Event, reason: str | None) -> bool:
        """Whether something of this event is sealed. A reason is, where the aggregate holds personal data at all."""
        if reason is not None and type(event) in self._private:
            return True
        return self._shapes[event.TOPIC].is_personal(event)

    def about_others(self, event: Event) -> bool:
        """Whether an event of this class can hold what is about other persons than its stream's."""
        return self._shapes[event.TOPIC].marked

    def persons(self, event: Event, reason: str | None, via: UUID | None) -> set[UUID | None]:
        """Whose keys an event takes; None is the stream's own."""
        found: set[UUID | None] = set()
        for field, _ in self._shapes[event.TOPIC].personal_values(event):
            persons: Any = via if field.subject is None else field.persons(event)
            found.update(persons if field.each else (persons,))
        return found | {via} if reason is not None and type(event) in self._private else found

    def encode(
        self,
        command: Command,
        change: Change,
        key: Key | Erased | None,
        others: Mapping[UUID, Key | Erased] = NO_OTHERS,
    ) -> bytes:
        """`key` is the stream's own, there where it is needed, `others` are by stream.

        Raises: InvalidInputError (text, length), ErasedError.
        """
        event, shape = change.event, self._shapes[change.event.TOPIC]
        place = _place(command.workspace, change.stream, change.version)
        data = shape.values_set(event)
        sealing = _Sealing(shape, change, place, key, others) if change.via or shape.marked else None
        for field, value in shape.personal_values(event):
            data[field.name] = (
                sealing.of(field, value)
                if sealing
                else _sealed(key, value, place + field.place, shape.encode(value, field.path))
            )
        state = encode(
            Envelope(
                actor=_actor_bytes(command.actor),
                causation_id=command.causation_id,
                command_id=command.command_id,
                correlation_id=command.correlation_id,
                data=msgspec.Raw(self._data(shape, event, data)),
                occurred_at=change.occurred_at or command.occurred_at,
                origin=_origin_bytes(command.origin),
                reason=self._reason(command, event, key if change.via is None else others.get(change.via, key), place),
                recorded_at=HOLE,
                schema=shape.schema,
                stream=change.stream,
                type=shape.topic,
                version=change.version,
                via=change.via,
                workspace=command.workspace,
            )
        )
        if len(state) > LARGEST_STATE:
            raise _too_long(shape, event)
        return state

    def _data(self, shape: Shape, event: Event, data: dict[str, object]) -> bytes:
        try:
            return shape.encode(data)
        except InvalidInputError as error:
            error.field = shape.unwritable_field(event)
            raise

    def _reason(self, command: Command, event: Event, key: Key | Erased | None, place: bytes) -> msgspec.Raw:
        if command.reason is None:
            return msgspec.Raw(b"null")
        plain = encode(command.reason, ("reason",))
        if type(event) not in self._private:
            return msgspec.Raw(plain)
        return msgspec.Raw(encode(_sealed(key, command.reason, place + _reason_field.place, plain)))

    # -- reading

    def decode(self, row: Stored) -> Fact:
        return self.decode_many((row,))[0]

    def decode_many(self, rows: Iterable[Stored]) -> list[Fact]:
        """Facts in the order of the rows; their keys are fetched in one query. Raises: KeyUnavailableError."""
        return list(self._opened([self._read(row) for row in rows]))

    def decode_each(self, rows: Sequence[Stored]) -> Iterator[Fact]:
        """The same, each when it is asked for; keys are fetched for some hundreds together."""
        for start in range(0, len(rows), TOGETHER):
            yield from self._opened([self._read(row) for row in rows[start : start + TOGETHER]])

    def _opened(self, openings: Sequence[Opening]) -> Iterator[Fact]:
        keys = self.keys.keys([sealed.k for opening in openings for _, sealed, _ in opening.sealed])
        return (_opened_fact(opening, keys) for opening in openings)

    def _read(self, row: Stored) -> Opening:
        envelope = _read_envelope.decode(row.state)
        shape = self._shapes[envelope.type]
        data = shape.stored.decode(envelope.data if envelope.schema == shape.schema else self._lifted(envelope, shape))
        sealed: list[tuple[PersonalField, Sealed, int | None]] = []
        cleared: list[str] = []
        for field in shape.personal:
            value = getattr(data, field.name)
            if value is UNSET:
                continue
            if value is None:
                cleared.append(field.name)
            elif field.each:
                sealed += ((field, one, index) for index, one in enumerate(value))
            else:
                sealed.append((field, value, None))
        if bytes(envelope.reason).startswith(_SEALED):
            sealed.append((_reason_field, _read_sealed.decode(envelope.reason), None))
        return Opening(row, envelope, shape, data, sealed, cleared)

    def _lifted(self, envelope: Envelope, shape: Shape) -> bytes:
        data: dict[str, Any] = msgspec.json.decode(envelope.data)
        for schema in range(envelope.schema, shape.schema):
            data = self._upcasters[(envelope.type, schema)](data)
        return encode(data)


def _opened_fact(opening: Opening, keys: Mapping[UUID, Key | Erased]) -> Fact:
    row, envelope, shape, data, sealed, cleared = opening
    opened, erased = _opened_values(envelope, sealed, keys)
    sealed_reason = _reason_field.name in opened
    reason = opened.pop(_reason_field.name) if sealed_reason else _read_reason.decode(envelope.reason)
    recorded_at = datetime.fromisoformat(envelope.recorded_at)
    event = _event(shape, data, opened, cleared) if shape.personal else data
    key_id, other_keys = _keys_of(envelope, shape, event, sealed)
    return Fact(
        workspace=WorkspaceId(envelope.workspace),
        stream=StreamId(envelope.stream),
        version=envelope.version,
        position=row.position,
        log_id=row.log_id,
        topic=envelope.type,
        event=event,
        recorded_at=recorded_at,
        occurred_at=envelope.occurred_at or recorded_at,
        actor=_read_actor(bytes(envelope.actor)),
        origin=_read_origin(bytes(envelope.origin)),
        via=envelope.via,
        command_id=envelope.command_id,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        reason=reason,
        key_id=key_id,
        other_keys=other_keys,
        erased=erased,
    )


def _keys_of(
    envelope: Envelope, shape: Shape, event: Event, sealed: Sequence[tuple[PersonalField, Sealed, int | None]]
) -> tuple[UUID | None, Mapping[UUID, UUID]]:
    """The key of what is the stream's own, and of each other person that something is about."""
    if envelope.via is None and not shape.marked:
        return sealed[0][1].k if sealed else None, NO_KEYS
    found: dict[UUID, UUID] = {}
    for field, value, index in sealed:
        persons: Any = envelope.via if field.subject is None else field.persons(event)
        found[(persons if index is None else persons[index]) or envelope.stream] = value.k
    return found.pop(envelope.stream, None), found


def _event(shape: Shape, data: Any, opened: Mapping[str, object], cleared: Iterable[str]) -> Event:
    """Fields that are absent take the class's own default: newer classes read older events."""
    values = dict(zip(shape.plain, shape.plain_values(data), strict=True))
    values.update(opened)
    for name in cleared:
        values[name] = None
    return shape.event_class(**values)


def _opened_values(
    envelope: Envelope,
    sealed: Iterable[tuple[PersonalField, Sealed, int | None]],
    keys: Mapping[UUID, Key | Erased],
) -> tuple[dict[str, Any], frozenset[str]]:
    """The values by field, and which fields are erased, all or an item of theirs."""
    place = b""
    opened: dict[str, Any] = {}
    erased = _NOTHING
    for field, value, index in sealed:
        key, found = keys[value.k], ERASED
        if not isinstance(key, Erased):
            place = place or _place(envelope.workspace, envelope.stream, envelope.version)
            found = field.decoder.decode(key.open(value, place + (field.place if index is None else field.item(index))))
        elif field is not _reason_field:
            erased |= {field.name}
        opened[field.name] = found if index is None else (*opened.get(field.name, ()), found)
    return opened, erased


def _place(workspace: UUID, stream: UUID, version: int) -> bytes:
    return b"%s|%s|%d" % (_write_id(workspace)[1:-1], _write_id(stream)[1:-1], version)


class _Sealing(NamedTuple):
    """What sealing one event takes, where its values can be about several persons."""

    shape: Shape
    change: Change
    place: bytes
    key: Key | Erased | None
    others: Mapping[UUID, Key | Erased]

    def of(self, field: PersonalField, value: Any) -> Sealed | list[Sealed]:
        persons: Any = self.change.via if field.subject is None else field.persons(self.change.event)
        if not field.each:
            return self._one(persons, field, field.place, value)
        items = enumerate(zip(persons, value, strict=True))
        return [self._one(person, field, field.item(index), one) for index, (person, one) in items]

    def _one(self, person: UUID | None, field: PersonalField, at: bytes, value: object) -> Sealed:
        own = person is None or person == self.change.stream
        key = self.key if own else self.others.get(person)  # type: ignore[arg-type]  # None is own
        return _sealed(key, value, self.place + at, self.shape.encode(value, field.path))


def _sealed(key: Key | Erased | None, value: object, place: bytes, plain: bytes) -> Sealed:
    if value is ERASED or isinstance(key, Erased):
        raise ErasedError("The person behind this record was erased; nothing personal can be added to it.")
    if key is None:
        raise ValueError("an event with personal values needs its stream's key")
    return key.seal(plain, place)


def _too_long(shape: Shape, event: Event) -> InvalidInputError:
    return InvalidInputError(
        f"Too long: one change may hold {LARGEST_STATE:,} bytes with everything around it.",
        rule="event.too_long",
        field=shape.longest_field(event),
    )
