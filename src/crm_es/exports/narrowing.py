"""The filter of an export, an `EventFilter` as JSON, as a condition on the events that the views are of."""

from typing import Any, Final

from graphql import GraphQLInputObjectType

from crm_es.api.coercion import MisfitError, coercer
from crm_es.reads import filters
from crm_es.reads.sql import Condition
from crm_es.schema import schema
from crm_es.workspaces.export_scoping import check, malformed, read_filter

NAME: Final = "EventFilter"


def condition(text: str) -> Condition:
    """Raises: InvalidInputError."""
    named = schema._schema.type_map[NAME]  # noqa: SLF001  # Strawberry has no public name for it
    type_: Any = schema.schema_converter.type_map[NAME].definition
    assert isinstance(named, GraphQLInputObjectType)  # noqa: S101  # the contract's
    said = read_filter(text)
    try:
        given = type_.from_input(type_.origin, coercer(named)(said), None)
    except (MisfitError, TypeError, ValueError) as exc:
        raise malformed() from exc
    check(said)
    return filters.condition(given)
