"""What events can be asked for by. Topics and the fields they change are known beforehand, so a filter by either, however said,
becomes a list of topics: an index finds those, where row-level security would let none look into texts or arrays.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, LiteralString

from psycopg.sql import SQL, Composable, Identifier

from crm_es.api import ids
from crm_es.catalog import AGGREGATES, EVENT_CLASSES
from crm_es.eventstore.event import changeable_fields
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
        case "eq":
            return SQL("{} = {}").format(column, query.bind(value, "text"))
        case _:
            return SQL("{} = ANY ({})").format(column, query.bind(value, "text[]", _meant(name, TOPICS)))


def _sources(operator: str) -> Callable[[Any], list[str]]:
    """The fields that the operand means, with what they follow from."""
    meant = _meant(operator, tuple(SOURCES))
    return lambda value: sorted({source for name in meant(value) for source in SOURCES.get(name, ())})


def _changing(operator: str) -> Callable[[Any], list[str]]:
    """The topics that may change these."""
    sources = _sources(operator)
    return lambda value: sorted({topic for name in sources(value) for topic in CHANGED_BY.get(name, ())})


def _meant(operator: str, names: Sequence[str]) -> Callable[[Any], list[str]]:
    """Those of the names that the operand means."""
    match operator:
        case "contains":
            return lambda value: [name for name in names if fold(value) in fold(name)]
        case "starts_with":
            return lambda value: [name for name in names if fold(name).startswith(fold(value))]
        case "eq":
            return lambda value: [value]
        case _:
            return _as_said


def _as_said(values: Iterable[str]) -> list[str]:
    return list(values)
