"""The filter of an export, an `EventFilter` as JSON: what the views show, and the least around it that is proved complete."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import msgspec
from graphql import GraphQLInputObjectType

from crm_es.api import ids
from crm_es.api.coercion import MisfitError, coercer
from crm_es.errors import InvalidInputError
from crm_es.reads import filters
from crm_es.reads.sql import Condition
from crm_es.schema import schema
from crm_es.workspaces.export import ExportScope, Wanted

NAME: Final = "EventFilter"
_BOUNDS: Final = {"gte": ("first", 0), "gt": ("first", 1), "lte": ("last", 0), "lt": ("last", -1)}


def condition(text: str) -> Condition:
    """Raises: InvalidInputError."""
    named = schema._schema.type_map[NAME]  # noqa: SLF001  # Strawberry has no public name for it
    type_: Any = schema.schema_converter.type_map[NAME].definition
    assert isinstance(named, GraphQLInputObjectType)  # noqa: S101  # the contract's
    try:
        given = type_.from_input(type_.origin, coercer(named)(_read(text)), None)
    except (MisfitError, TypeError, ValueError) as exc:
        raise _malformed() from exc
    return filters.condition(given)


def widened(wanted: Wanted) -> Wanted:
    """The scope that completeness is proved for: the stream, or the positions, that the filter asks for, if it does."""
    said = _read(wanted.filter) if wanted.filter else {}
    if wanted.scope is not ExportScope.WORKSPACE:
        return wanted
    match said.get("entityId"), said.get("position"):
        case {"eq": str(id_)}, _:
            return replace(wanted, scope=ExportScope.STREAM, id=_uuid(id_))
        case _, dict(position):
            return _ranged(wanted, position)
        case _:
            return wanted


def _ranged(wanted: Wanted, position: Mapping[str, Any]) -> Wanted:
    ends: dict[str, Any] = {}
    if position.get("eq") is not None:
        ends = {"first": int(position["eq"]), "last": int(position["eq"])}
    for operator, (end, step) in _BOUNDS.items():
        if position.get(operator) is not None:
            ends[end] = int(position[operator]) + step
    return replace(wanted, scope=ExportScope.RANGE, **ends) if ends else wanted


def _uuid(id_: str) -> UUID:
    return ids.decode(id_, ("filter", "entityId", "eq")).id


def _read(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as exc:
        raise _malformed() from exc


def _malformed() -> InvalidInputError:
    message = "The filter is no EventFilter as JSON."
    return InvalidInputError(message, rule="export.filter_malformed", field=("filter",))
