"""A domain value as the API would answer its field, for `JSON`: in changes, conflicts and merge previews."""

import dataclasses
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import singledispatch
from typing import Any
from uuid import UUID

from crm_es.api import ids
from crm_es.api.scalars import instant
from crm_es.eventstore.aggregate import Ref
from crm_es.eventstore.event import UNSET, Erased, camel
from crm_es.values import Money


@singledispatch
def as_json(value: object) -> Any:
    """Raises: TypeError for a value the API has no answer for."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        given = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return {camel(name): as_json(item) for name, item in given.items() if item is not UNSET}
    raise TypeError(f"{type(value).__name__} has no JSON answer")


def _same(value: Any) -> Any:
    return value


def _nothing(_value: Erased) -> None:
    """What was erased reads as null."""


def _name(value: Enum) -> str:
    return value.name


def _ref(value: Ref) -> str:
    return ids.encode(value.type, value.id)


def _items(value: Any) -> list[Any]:
    return [as_json(item) for item in value]


def _sorted(value: frozenset[Any]) -> list[Any]:
    return sorted((as_json(item) for item in value), key=str)


def _money(value: Money) -> dict[str, str]:
    return {"amount": format(value.amount, "f"), "currency": value.currency}


_ANSWERS: dict[type, Callable[[Any], Any]] = {
    str: _same,
    int: _same,
    float: _same,
    bool: _same,
    type(None): _same,
    UUID: str,
    Decimal: lambda value: format(value, "f"),
    date: date.isoformat,
    datetime: instant,
    Enum: _name,
    Erased: _nothing,
    Ref: _ref,
    Money: _money,
    list: _items,
    tuple: _items,
    frozenset: _sorted,
    dict: lambda value: {key: as_json(item) for key, item in value.items()},
}
for _type, _answer in _ANSWERS.items():
    as_json.register(_type)(_answer)
