"""What events can be asked for by. Topics and the fields they change are known beforehand, so a filter by either, however said,
becomes a list of topics: an index finds those, where row-level security would let none look into texts or arrays. A name that
is none is refused: no events found would say that nothing happened.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, Final, LiteralString

from psycopg.sql import SQL, Composable, Identifier

from crm_es.api import ids
from crm_es.catalog import AGGREGATES, EVENT_CLASSES
from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import camel, changeable_fields
from crm_es.reads import operands
from crm_es.reads.filters import FilterField
from crm_es.reads.operands import IDFilter, StringFilter
from crm_es.reads.sql import AND, TRUE, Query
from crm_es.text import fold

CHANGED_BY: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(each.TOPIC for each in EVENT_CLASSES if name in changeable_fields(each))
    for event in EVENT_CLASSES
    for name in changeable_fields(event)
}
"""Of each field that events change, as the API names it, the topics that may."""
SOURCES: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset({name}).union(*(one.derived.get(name, ()) for one in AGGREGATES))
    for name in CHANGED_BY.keys() | {name for one in AGGREGATES for name in one.derived}
}
"""Of each field, it and what it follows from."""
TOPICS: Final = tuple(event.TOPIC for event in EVENT_CLASSES)
NAMES: Final[Mapping[str, Sequence[str]]] = {"type": TOPICS, "field": tuple(SOURCES)}
"""By the filter that takes them."""
NEAR, LONGEST = 3, 60


def by_any_id(column: LiteralString) -> FilterField:
    """A uuid column asked by ids of any type."""
    compare = operands.compared(operands.Kind("uuid", lambda id_: ids.decode(id_).id))

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        return compare(query, Identifier(alias, column), operand)

    return FilterField(IDFilter, compile_, columns=(column,))


def by_topic(column: LiteralString) -> FilterField:
    """A column of topics."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        parts = [_topic(query, Identifier(alias, column), name, value) for name, value in operands.given(operand)]
        return SQL("({})").format(AND.join(parts)) if parts else TRUE

    return FilterField(StringFilter, compile_, columns=(column,))


def by_field(column: LiteralString, topic: LiteralString) -> FilterField:
    """A column of the fields an event changed, beside the one of its topic. A field is found by what it follows from, too."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        parts = [
            SQL("{} && {} AND {} = ANY ({})").format(
                Identifier(alias, column), query.bind(value, "text[]", _sources(name)),
                Identifier(alias, topic), query.bind(value, "text[]", _changing(name)),
            )
            if name != "is_null"
            else SQL("(cardinality({}) = 0) = {}").format(Identifier(alias, column), query.bind(value, "boolean"))
            for name, value in operands.given(operand)
        ]  # fmt: skip
        return SQL("({})").format(AND.join(parts)) if parts else TRUE

    return FilterField(StringFilter, compile_, columns=(column, topic))


def _topic(query: Query, column: Composable, name: str, value: Any) -> Composable:
    match name:
        case "is_null":
            return SQL("({} IS NULL) = {}").format(column, query.bind(value, "boolean"))
        case "eq":  # an index has events of one topic in the order of the log
            return SQL("{} = {}").format(column, query.bind(value, "text", lambda said: _meant("type", name, said)[0]))
        case _:
            return SQL("{} = ANY ({})").format(column, query.bind(value, "text[]", partial(_meant, "type", name)))


def _sources(operator: str) -> Callable[[Any], list[str]]:
    """The fields that the operand means, with what they follow from."""
    return lambda value: sorted({source for name in _meant("field", operator, value) for source in SOURCES[name]})


def _changing(operator: str) -> Callable[[Any], list[str]]:
    """The topics that may change these."""
    sources = _sources(operator)
    return lambda value: sorted({topic for name in sources(value) for topic in CHANGED_BY.get(name, ())})


def _meant(filter_: str, operator: str, value: Any) -> list[str]:
    """The topics, or fields, that an operand means. Raises: InvalidInputError, where it means none."""
    names = NAMES[filter_]
    match operator:
        case "contains":
            found = [name for name in names if fold(value) in fold(name)]
        case "starts_with":
            found = [name for name in names if fold(name).startswith(fold(value))]
        case "in_":
            return [_exactly(filter_, each, "in", str(place)) for place, each in enumerate(value)]
        case _:
            return [_exactly(filter_, value, operator)]
    if not found:
        raise _unknown(filter_, value, camel(operator))
    return found


def _exactly(filter_: str, value: str, *path: str) -> str:
    if value not in NAMES[filter_]:
        raise _unknown(filter_, value, *path)
    return value


def _unknown(filter_: str, value: str, *path: str) -> InvalidInputError:
    said, names = value[:LONGEST], NAMES[filter_]
    kinds = {f"{name.partition('.')[0]}." for name in names if "." in name}
    near = get_close_matches(said, [*kinds, *names], n=NEAR)
    what = "No event is of such a type" if filter_ == "type" else "No event changes such a field"
    guess = f"Near it: {', '.join(near)}." if near else "docs/events.md has them all."
    return InvalidInputError(f"{what}: {said}. {guess}", rule=f"event.unknown_{filter_}", field=path)


def check_names(said: Any) -> None:
    """Of a filter as JSON that is kept for later, however deep. Raises: InvalidInputError."""
    match said:
        case list():
            for each in said:
                check_names(each)
        case dict():
            for name in NAMES.keys() & said.keys():
                _check_operand(name, said[name])
            for inner in ("and", "or", "not"):
                check_names(said.get(inner))
        case _:
            pass


def _check_operand(name: str, said: Any) -> None:
    operators = {"eq": "eq", "in": "in_", "contains": "contains", "startsWith": "starts_with"}
    given = said.items() if isinstance(said, dict) else ()
    try:
        for operator, value in given:
            if operator in operators and value is not None:
                _meant(name, operators[operator], value)
    except InvalidInputError as exc:
        exc.at(name)
        raise
