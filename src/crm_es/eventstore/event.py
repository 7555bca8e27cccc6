"""What a fact is: the marks on event fields, and the envelope around every event.

Events themselves stand in the aggregates' files; they are frozen dataclasses with a `TOPIC`. Nothing here does I/O.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, NewType, Protocol
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

WorkspaceId = NewType("WorkspaceId", UUID)
StreamId = NewType("StreamId", UUID)


class Erased(Enum):
    """What a sealed field reads as once its key was destroyed: a tombstone was read, nothing else means this."""

    ERASED = "erased"

    def __bool__(self) -> bool:
        return False


ERASED: Final = Erased.ERASED
NO_KEYS: Final[Mapping[UUID, UUID]] = MappingProxyType({})


class Event(Protocol):
    """A frozen, keyword-only, slotted dataclass with a `TOPIC`.

    Fields hold new values only: `UNSET` = unchanged, `None` = cleared. Optional class variables:
    `SCHEMA` (int, default 1) counts its stored shape; `NEW_KEY` (redactions) seals it with a fresh key of the stream and
    has the old one destroyed; `FIELDS` names the API fields it always changes, when they are not simply its own set fields in
    camelCase; of its own fields then only those count that `changes` names.
    """

    TOPIC: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


def pii(*, subject: str | None = None, api: str | None = None, **field: Any) -> Any:
    """Mark an event field as personal: it is sealed with the key of the person it is about before it is stored.

    That is the person of the id that a command was addressed to (`via`), else of the stream. `subject` names an attribute of
    the event that says better: a stream's id, something that has a `person`, a tuple of such (then the field is a tuple too, and
    each of its values is sealed on its own), or a method that is given the field's name. None there is the stream's own.
    Its type must admit `Erased`; a tuple's items must, where each is sealed. `api` is the API field it changes, where that
    is not its own name.
    """
    named = {} if api is None else {"api": api}
    return dataclasses.field(**field, metadata={"pii": True, "subject": subject, **named})


def person(named: Any) -> UUID | None:
    """Whose key it takes, of what a `subject` names."""
    if named is None or named is UNSET or isinstance(named, UUID):
        return named or None
    found: UUID | None = named.person
    return found


def changes(api_field: str | None, **field: Any) -> Any:
    """Name the API field that an event field changes, where it is not its own name in camelCase; `None`: it changes none.

    Beside `FIELDS` it counts where it is set and not False.
    """
    return dataclasses.field(**field, metadata={"api": api_field})


@cache
def personal_fields(event_class: type[Event]) -> tuple[str, ...]:
    """Names of the fields marked `pii`, in order."""
    return tuple(f.name for f in dataclasses.fields(event_class) if f.metadata.get("pii"))


def values_set(event: object, names: Iterable[str]) -> dict[str, Any]:
    """The attributes among `names` that are not UNSET: what a fold puts into the state, what a form asks for."""
    return {name: value for name in names if (value := getattr(event, name, UNSET)) is not UNSET}


@cache
def camel(name: str) -> str:
    """`display_name` → `displayName`."""
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


def changed_fields(event: Event) -> tuple[str, ...]:
    """Names, as in the API, of the fields this event changes. Needs no state, so the projector can use it."""
    always, own = _api_names(type(event))
    if not own:
        return always
    held = [api for name, api in own if (v := getattr(event, name)) is not UNSET and not (always and v is False)]
    return tuple(dict.fromkeys((*always, *held)))


def changeable_fields(event_class: type[Event]) -> tuple[str, ...]:
    """Names, as in the API, of all the fields that events of this class may change."""
    always, own = _api_names(event_class)
    return tuple(dict.fromkeys((*always, *(api for _, api in own))))


@cache
def _api_names(event_class: type[Event]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The API fields an event class always changes, and (field, API field it changes) of its own."""
    always: tuple[str, ...] | None = getattr(event_class, "FIELDS", None)
    fields = dataclasses.fields(event_class)
    named = [(f.name, f.metadata.get("api", camel(f.name) if always is None else None)) for f in fields]
    return always or (), tuple((name, api) for name, api in named if api)


class ActorKind(StrEnum):
    MEMBER = "MEMBER"
    API_KEY = "API_KEY"
    AUTOMATION = "AUTOMATION"
    IMPORT = "IMPORT"
    SYSTEM = "SYSTEM"


@dataclass(frozen=True, kw_only=True, slots=True)
class Actor:
    """Who caused an event. `id` is a member, API key or import run; `auth` how they proved it; `session` the token's id."""

    kind: ActorKind
    id: UUID | None = None
    on_behalf_of: UUID | None = None
    auth: str | None = None
    session: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportOrigin:
    """The import run and the row (1 = first data line) an event came from.

    `rows` is for commands alone: of a batch, the row of each stream it writes to, in order.
    """

    id: UUID
    row: int
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where from: client name, truncated network address (/24 or /48), import."""

    client: str | None = None
    address: str | None = None
    import_: ImportOrigin | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What one request says about everything it appends; the envelope less the event.

    `request_hash` is the HMAC over mutation, actor and input without commandId. `recorded_at` is for the demo seeder alone:
    only the owner role may pass a clock. `fresh`: its id was made just now, so the log cannot know it.
    """

    workspace: WorkspaceId
    command_id: UUID
    request_hash: bytes
    actor: Actor
    correlation_id: UUID
    origin: Origin = Origin()
    causation_id: UUID | None = None
    occurred_at: datetime | None = None
    reason: str | None = None
    recorded_at: datetime | None = None
    fresh: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An event about to be appended at `version` of `stream`.

    `subjects` are those whose keys must be able to open its personal fields: the stream itself for contacts and members,
    the linked contacts for an interaction, none where nothing is personal.
    """

    stream: StreamId
    version: int
    event: Event
    via: UUID | None = None
    occurred_at: datetime | None = None
    subjects: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Dated:
    """An event that happened at another time than its command says: a row of a batch."""

    event: Event
    occurred_at: datetime


class Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stored event with its envelope, opened: what folds, projections and audit read. Made by the million: a dataclass of
    this size would take five times as long.

    `position` is the workspace's dense sequence; `log_id` the library's global notification id, for bookmarks only.
    `erased` names personal fields whose key was destroyed (they hold `ERASED`, one of their items does). `key_id` sealed what
    is the stream's own, `other_keys` what is about others, by their streams.
    """

    workspace: WorkspaceId
    stream: StreamId
    version: int
    position: int
    log_id: int
    topic: str
    event: Event
    recorded_at: datetime
    occurred_at: datetime
    actor: Actor
    origin: Origin
    via: UUID | None
    command_id: UUID
    correlation_id: UUID
    causation_id: UUID | None
    reason: str | Erased | None
    key_id: UUID | None = None
    other_keys: Mapping[UUID, UUID] = msgspec.field(default_factory=lambda: NO_KEYS)
    erased: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """A value that may stand once in a workspace: (kind, normal form), and the stream whose event took it."""

    kind: Literal["email", "identity", "external_id", "domain", "interaction", "team", "role", "member_email"]
    value: str
    holder: UUID


__all__ = [
    "ERASED", "NO_KEYS", "UNSET", "Actor", "ActorKind", "Change", "Command", "Dated", "Erased", "Event", "Fact", "ImportOrigin",
    "Origin", "Reservation", "StreamId", "UnsetType", "WorkspaceId", "camel", "changeable_fields", "changed_fields", "changes",
    "person", "personal_fields", "pii", "values_set",
]  # fmt: skip

Evolve = Callable[[Any, Any], Any]
Facts = Iterable[Fact]
