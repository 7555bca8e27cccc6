"""Writes docs/events.md from the event classes; a test compares the two.

python -m tests.events_page
"""

import dataclasses
import inspect
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final

from msgspec import UnsetType

from crm_es.catalog import AGGREGATES
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import Erased, camel
from crm_es.values import Money

PAGE: Final = Path(__file__).parent.parent / "docs" / "events.md"
SUBJECTS: Final = {
    "contact": "the contact itself",
    "member": "the member",
    "saved_view": "the view itself (filters hold names)",
    "interaction": "every linked contact; the content key dies with the last of them, or with a redaction",
    "ticket": "the requester; a ticket without one is about nobody",
    "deal": "its contacts, for its free texts (names, descriptions and reasons can name them); stages, amounts and dates stay",
}
PLAIN: Final = {
    "str": "text",
    "int": "integer",
    "bool": "boolean",
    "Decimal": "decimal",
    "UUID": "id",
    "date": "date",
    "datetime": "moment",
}
HEAD: Final = """# Every event

Made by `python -m tests.events_page`; a test compares it with the code. How to add one: `adding-an-event.md`.

An event holds new values only. A field marked *may be absent* is unchanged (or, in the first event of a stream, not given)
where it is absent; `null` clears it. **Sealed** fields are encrypted with the key of the stream's subject before the event is
hashed, and read as `ERASED` once that key is destroyed; *by `x`* says which part of the event names another person whose key it
is, *one by one* that each item has its own. What an absorbed contact's id was given is that contact's.
What the envelope says of every event is in `eventstore/event.py`.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, *(line for aggregate in AGGREGATES for line in _aggregate(aggregate)), *_values()]
    return "\n".join(parts) + "\n"


def _aggregate(aggregate: Aggregate[Any, Any]) -> Iterator[str]:
    yield f"## {aggregate.name}\n"
    yield f"Subject: {SUBJECTS.get(aggregate.name, 'none, nothing in it is personal')}.\n"
    for event_class in aggregate.events:
        yield f"### {event_class.TOPIC}\n"
        yield f"`{event_class.__name__}`, schema {getattr(event_class, 'SCHEMA', 1)}.{_about(event_class)}\n"
        yield from _table(event_class)


def _about(documented: type[Any]) -> str:
    """The docstring on one line; dataclasses without one have a signature instead, which says nothing new."""
    text = inspect.cleandoc(documented.__doc__ or "")
    return "" if text.startswith(f"{documented.__name__}(") else f" {' '.join(text.split())}"


def _table(event_class: type[Any]) -> Iterator[str]:
    fields = dataclasses.fields(event_class)
    if not fields:
        yield "No fields.\n"
        return
    yield "| Field | Type | Absent? | Sealed? | Field of the API |\n| - | - | - | - | - |"
    hints, named = typing.get_type_hints(event_class), getattr(event_class, "FIELDS", None)
    for field in fields:
        required = field.default is dataclasses.MISSING
        api = field.metadata.get("api", camel(field.name) if named is None else None) or ""
        sealed = _sealed(field, hints[field.name])
        absent = "" if required or UnsetType not in typing.get_args(hints[field.name]) else "may be absent"
        yield f"| {field.name} | {_type(hints[field.name])} | {absent} | {sealed} | {api} |"
    if named:
        yield f"\nChanges of the API's fields: {', '.join(named)}."
    yield ""


def _sealed(field: dataclasses.Field[Any], wanted: Any) -> str:
    """Whose key it takes, where the event says so."""
    if not field.metadata.get("pii"):
        return ""
    subject = field.metadata.get("subject")
    each = any(Erased in typing.get_args(one) for part in typing.get_args(wanted) for one in typing.get_args(part))
    return "sealed" if subject is None else f"sealed, by `{subject}`" + (", one by one" if each else "")


def _type(wanted: Any) -> str:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, UnionType):
        null = " or null" if NoneType in arguments else ""
        return " or ".join(_type(one) for one in arguments if one not in (NoneType, UnsetType, Erased)) + null
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if wanted.__name__ in PLAIN:
        return PLAIN[wanted.__name__]
    return f"[{wanted.__name__}](#{wanted.__name__.lower()})"


def _values() -> Iterator[str]:
    """The values that events hold, each once."""
    yield "## Values\n"
    seen: dict[str, type[Any]] = {}
    for aggregate in AGGREGATES:
        for event_class in aggregate.events:
            _collect(event_class, seen)
    yield '### Money\n\nAn amount in minor units, as text, of an ISO 4217 currency: `{minor: "2933", currency: "USD"}`.\n'
    for value in sorted(seen.values(), key=lambda one: one.__name__):
        yield f"### {value.__name__}\n"
        if issubclass(value, Enum):
            yield f"{_enum_about(value)}{', '.join(member.value for member in value)}.\n"
        else:
            yield f"{_about(value).strip()}\n".lstrip()
            hints = typing.get_type_hints(value)
            yield "\n".join(f"- {name}: {_type(hints[name])}" for name in hints if name in _names(value)) + "\n"


def _enum_about(value: type[Enum]) -> str:
    own = value.__dict__.get("__doc__")
    return f"{' '.join(own.split())} " if own else ""


def _names(value: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(value)}


def _collect(holder: type[Any], seen: dict[str, type[Any]]) -> None:
    hints = typing.get_type_hints(holder)
    for name in _names(holder):
        for leaf in _leaves(hints[name]):
            known = dataclasses.is_dataclass(leaf) or issubclass(leaf, Enum)
            if known and leaf is not Erased and leaf is not Money and leaf.__name__ not in seen:
                seen[leaf.__name__] = leaf
                if dataclasses.is_dataclass(leaf):
                    _collect(leaf, seen)


def _leaves(wanted: Any) -> Iterator[type[Any]]:
    arguments = [one for one in typing.get_args(wanted) if one is not Ellipsis]
    if not arguments:
        yield wanted
    for one in arguments:
        yield from _leaves(one)


if __name__ == "__main__":
    PAGE.write_text(page())
