"""Canonical JSON: the bytes that are hashed. Sorted keys, UTF-8, no floats; decimals, money and large integers as strings."""

import dataclasses
import re
import typing
from collections.abc import Callable, Sequence
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from crm_es.errors import FieldPath, InvalidInputError
from crm_es.eventstore.event import Erased, Event, camel, person, personal_fields
from crm_es.privacy.sealing import Sealed
from crm_es.values import Money

LARGEST_NUMBER = 2**53 - 1  # what every JSON reader keeps exact
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
# Three patterns that each begin with one byte: a single one is ten times slower.
_LONG_NUMBERS = tuple(re.compile(before + rb"-?[0-9]{16}") for before in (rb":", rb",", rb"\["))


def _plain(value: object) -> object:
    if isinstance(value, Money):
        return {"currency": value.currency, "minor": str(value.minor)}
    raise TypeError(f"{type(value).__name__} has no place in an event")


def _typed(wanted: type, value: Any) -> object:
    if wanted is Money:
        return Money(int(value["minor"]), value["currency"])
    raise TypeError(f"{wanted.__name__} has no place in an event")


_encoder = msgspec.json.Encoder(order="sorted", enc_hook=_plain, decimal_format="string")


def encode(value: object, field: FieldPath = ()) -> bytes:
    """The canonical bytes. Raises: InvalidInputError naming `field` for U+0000 or a lone surrogate in a string or key."""
    try:
        data = _encoder.encode(value)
    except UnicodeEncodeError as exc:
        raise _unwritable("half a surrogate pair", field) from exc
    if b"\\u0000" in data and _NUL.search(data):
        raise _unwritable("the character U+0000", field)
    return data


def _unwritable(what: str, field: FieldPath) -> InvalidInputError:
    return InvalidInputError(f"The text holds {what}. Remove it.", rule="text.unwritable", field=field)


def exact(value: object) -> object:
    """Integers that JSON readers would round, as strings; refuses floats."""
    if isinstance(value, float):
        raise TypeError("a float has no place in an event; use Decimal or Money")
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -LARGEST_NUMBER <= value <= LARGEST_NUMBER else str(value)
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [exact(item) for item in value]
    return value


def encode_exact(value: object, field: FieldPath = ()) -> bytes:
    return encode(exact(msgspec.to_builtins(value, enc_hook=_plain, builtin_types=(Decimal,))), field)


def decoder(wanted: Any, *, lax: bool = False) -> msgspec.json.Decoder[Any]:
    """`lax` reads integers that stand as strings."""
    return msgspec.json.Decoder(wanted, strict=not lax, dec_hook=_typed)


class PersonalField(typing.NamedTuple):
    """`each`: a tuple whose items are sealed one by one, since each can be about another person."""

    name: str
    path: FieldPath
    place: bytes  # the end of the AAD
    decoder: msgspec.json.Decoder[Any]
    subject: str | None = None
    each: bool = False

    def item(self, index: int) -> bytes:
        """The place of one item."""
        return b"%s.%d" % (self.place, index)

    def persons(self, event: Event) -> Any:
        """Whose the value is, or each of its items; None: the stream's own."""
        named = getattr(event, self.subject or "")
        if self.each:
            return [person(one) for one in named]
        return person(named(self.name) if callable(named) else named)


class Numbers(Enum):
    """What numbers the types of an event admit, and so how carefully it is written."""

    NONE = "no numbers at all"
    INTEGERS = "integers, rarely large ones"
    ANY = "whatever a caller puts in"


class Shape:
    """How one event class is stored: its data as JSON, personal fields sealed; UNSET where they are absent."""

    __slots__ = (
        "_numbers", "_personal_values", "_values", "event_class", "marked", "names", "personal", "plain", "plain_values",
        "schema", "stored", "topic",
    )  # fmt: skip

    def __init__(self, event_class: type[Event]) -> None:
        hints = typing.get_type_hints(event_class)
        fields = dataclasses.fields(event_class)
        leaves = set[Any]().union(*(_leaves(hints[f.name]) for f in fields))
        if float in leaves:
            raise TypeError(f"{event_class.__name__}: a float has no place in an event; use Decimal or Money")
        self.event_class = event_class
        self.topic = event_class.TOPIC
        self.schema: int = getattr(event_class, "SCHEMA", 1)
        self._numbers = Numbers.ANY if leaves & {Any, object} else Numbers.INTEGERS if int in leaves else Numbers.NONE
        lax = self._numbers is not Numbers.NONE
        self.names = tuple(f.name for f in fields)
        sealed = personal_fields(event_class)
        self.plain = tuple(name for name in self.names if name not in sealed)
        self.plain_values = _getter(self.plain)
        self.personal = tuple(_personal(f, hints[f.name], lax=lax) for f in fields if f.name in sealed)
        self.marked = any(field.subject for field in self.personal)
        self._values = _getter(self.names)
        self._personal_values = _getter(sealed)
        self.stored = decoder(_stored(self, hints) if sealed else event_class, lax=lax)

    def encode(self, value: object, field: FieldPath = ()) -> bytes:
        if self._numbers is Numbers.ANY:
            return encode_exact(value, field)
        data = encode(value, field)
        if self._numbers is Numbers.INTEGERS and (isinstance(value, int) or any(p.search(data) for p in _LONG_NUMBERS)):
            return encode_exact(value, field)
        return data

    def values_set(self, event: Event) -> dict[str, object]:
        """Every field of this event that says something."""
        values = zip(self.names, self._values(event), strict=True)
        return {name: value for name, value in values if value is not UNSET}

    def personal_values(self, event: Event) -> list[tuple[PersonalField, object]]:
        """What of this event must be sealed; "cleared" and "unchanged" tell nothing."""
        values = zip(self.personal, self._personal_values(event), strict=True)
        return [(field, value) for field, value in values if value is not None and value is not UNSET]

    def is_personal(self, event: Event) -> bool:
        return any(value is not None and value is not UNSET for value in self._personal_values(event))

    def unwritable_field(self, event: Event) -> FieldPath:
        """Which plain field holds the text that JSON or PostgreSQL cannot keep."""
        for name in self.names:
            try:
                encode(getattr(event, name))
            except InvalidInputError:
                return (camel(name),)
            except TypeError:
                continue
        return ()

    def longest_field(self, event: Event) -> FieldPath:
        sizes = {name: len(encode(value)) for name in self.names if (value := getattr(event, name)) is not UNSET}
        return (camel(max(sizes, key=lambda name: sizes[name])),) if sizes else ()


def _getter(names: Sequence[str]) -> Callable[[Event], Sequence[object]]:
    """Reads these attributes of an event in one call: an append reads every field of every event."""
    match names:
        case []:
            return lambda _event: ()
        case [name]:
            return lambda event: (getattr(event, name),)
        case _:
            return attrgetter(*names)


def _personal(field: dataclasses.Field[Any], annotation: Any, *, lax: bool) -> PersonalField:
    wanted = _readable(annotation)
    each = get_origin(wanted) is tuple and Erased in get_args(get_args(wanted)[0])
    return PersonalField(
        name=field.name,
        path=(camel(field.name),),
        place=f"|data.{field.name}".encode(),
        decoder=decoder(_readable(get_args(wanted)[0]) if each else wanted, lax=lax),
        subject=field.metadata.get("subject"),
        each=each,
    )


def _leaves(annotation: Any, seen: frozenset[Any] = frozenset()) -> set[Any]:
    arguments = get_args(annotation)
    if arguments:
        return set().union(*(_leaves(argument, seen) for argument in arguments))
    if dataclasses.is_dataclass(annotation) and annotation not in seen:
        hints = typing.get_type_hints(annotation)
        own = seen | {annotation}
        return set().union(*(_leaves(hints[f.name], own) for f in dataclasses.fields(annotation)), {annotation})
    return {annotation}


def _readable(annotation: Any) -> Any:
    """A personal field's type without the marks that are not in its plaintext."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    return Union[tuple(part for part in get_args(annotation) if part not in (Erased, UnsetType))]  # noqa: UP007


def _stored(shape: Shape, hints: dict[str, Any]) -> type[msgspec.Struct]:
    sealed = {field.name: list[Sealed] if field.each else Sealed for field in shape.personal}
    fields: list[tuple[str, Any, Any]] = [
        (f.name, sealed[f.name] | UnsetType | None, UNSET) if f.name in sealed else (f.name, hints[f.name], _default(f))
        for f in dataclasses.fields(shape.event_class)
    ]
    return msgspec.defstruct(shape.event_class.__name__, fields, kw_only=True, gc=False)


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.NODEFAULT if field.default is dataclasses.MISSING else field.default
