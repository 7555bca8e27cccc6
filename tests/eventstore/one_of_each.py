"""One event of each class, every field filled, made from its types: so a new event needs no sample of its own."""

import dataclasses
import typing
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import Any
from uuid import UUID

from msgspec import UnsetType

from crm_es.eventstore.event import ERASED, Erased, Event, personal_fields
from crm_es.values import Money

_ABSENT = (NoneType, UnsetType, Erased)
_VALUES: dict[Any, Any] = {
    str: r'"Zoë 王伟 محمد 🙂 with \\ and \n"',  # hard text, and JSON: a view's filter is that
    int: 7,
    bool: True,
    Decimal: Decimal("2.50"),
    UUID: UUID("0190163d-8694-739b-aea5-966c26f8ad91"),
    datetime: datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC),
    date: date(2026, 3, 1),
    Money: Money(2933, "USD"),
}


def one_of(event_class: type[Any]) -> Any:
    """An event with all its fields."""
    hints = typing.get_type_hints(event_class)
    return event_class(**{field.name: _value(hints[field.name]) for field in dataclasses.fields(event_class)})


def erased(event: Event) -> Any:
    """The same event as it reads once its key is gone."""
    return dataclasses.replace(typing.cast("Any", event), **dict.fromkeys(personal_fields(type(event)), ERASED))


def _value(wanted: Any) -> Any:
    if wanted in _VALUES:
        return _VALUES[wanted]
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, UnionType):
        return _value(next(one for one in arguments if one not in _ABSENT))
    if origin is tuple:
        return (_value(arguments[0]),)
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return next(iter(wanted))
    return one_of(wanted)
