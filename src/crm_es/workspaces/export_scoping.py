"""What is proved complete around what somebody asked for: the least of stream, range, subject and workspace that holds it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from crm_es.api import ids
from crm_es.errors import InvalidInputError
from crm_es.workspaces.event_filters import check_names
from crm_es.workspaces.export import ExportScope, Wanted

_IDS: Final = ("entityId", "actorId")
_INNER: Final = ("and", "or", "not")
_BOUNDS: Final = {"gte": ("first", 0), "gt": ("first", 1), "lte": ("last", 0), "lt": ("last", -1)}


def widened(wanted: Wanted) -> Wanted:
    """The stream, or the positions, that the filter asks for, if it does. Raises: InvalidInputError."""
    said = read_filter(wanted.filter) if wanted.filter else {}
    if wanted.scope is not ExportScope.WORKSPACE:
        return wanted
    match said.get("entityId"), said.get("position"):
        case {"eq": str(id_)}, _:
            return replace(wanted, scope=ExportScope.STREAM, id=ids.decode(id_, ("filter", "entityId", "eq")).id)
        case _, dict(position):
            return _ranged(wanted, position)
        case _:
            return wanted


def check(said: Mapping[str, Any]) -> None:
    """Whether events are of the types and change the fields that a filter names. Raises: InvalidInputError."""
    try:
        check_names(said)
    except InvalidInputError as exc:
        exc.at("filter")
        raise


def read_filter(text: str) -> dict[str, Any]:
    """Raises: InvalidInputError."""
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.MsgspecError as exc:
        raise malformed() from exc


def named_ids(said: Any) -> set[str]:
    """The ids that a filter names, however deep."""
    match said:
        case list():
            return {id_ for each in said for id_ in named_ids(each)}
        case dict():
            own = [each for name in _IDS if isinstance(each := said.get(name), dict)]
            found = {id_ for each in own for id_ in [each.get("eq"), *(each.get("in") or ())] if id_ is not None}
            return found | {id_ for name in _INNER for id_ in named_ids(said.get(name))}
        case _:
            return set()


def malformed() -> InvalidInputError:
    message = "The filter is no EventFilter as JSON."
    return InvalidInputError(message, rule="export.filter_malformed", field=("filter",))


def _ranged(wanted: Wanted, position: Mapping[str, Any]) -> Wanted:
    ends: dict[str, Any] = {}
    if position.get("eq") is not None:
        ends = {"first": int(position["eq"]), "last": int(position["eq"])}
    for operator, (end, step) in _BOUNDS.items():
        if position.get(operator) is not None:
            ends[end] = int(position[operator]) + step
    return replace(wanted, scope=ExportScope.RANGE, **ends) if ends else wanted
