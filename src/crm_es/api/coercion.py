"""Inputs as graphql-core makes them of JSON, by functions made once for each type: it asks each type again for each value,
which takes as long as all that a mutation then decides.

What does not fit is not explained here: graphql-core does that better.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLInputType, GraphQLList, GraphQLNonNull, Undefined
from graphql.type import GraphQLLeafType, is_required_input_field
from graphql.utilities.coerce_input_value import coerce_default_value
from strawberry.exceptions import StrawberryInputCoercionError

Coerce = Callable[[Any], Any]


class MisfitError(Exception):
    """The value may not fit its type, or fits in a way that is rare."""


@cache
def coercer(type_: GraphQLInputType) -> Coerce:
    """What `coerce_input_value` gives for values of this type. It raises MisfitError."""
    if isinstance(type_, GraphQLNonNull):
        return _never_null(coercer(type_.of_type))
    if isinstance(type_, GraphQLList):
        return _or_null(_each(coercer(type_.of_type)))
    return _or_null(_Object(type_).coerce if isinstance(type_, GraphQLInputObjectType) else _leaf(type_))


def _never_null(coerce: Coerce) -> Coerce:
    def coerced(value: Any) -> Any:
        if value is None:
            raise MisfitError
        return coerce(value)

    return coerced


def _or_null(coerce: Coerce) -> Coerce:
    return lambda value: None if value is None else coerce(value)


def _each(coerce: Coerce) -> Coerce:
    def coerced(value: Any) -> Any:
        if type(value) is not list:
            raise MisfitError
        return [coerce(item) for item in value]

    return coerced


def _leaf(type_: GraphQLLeafType) -> Coerce:
    coerce = type_.coerce_input_value

    def coerced(value: Any) -> Any:
        try:
            found = coerce(value)
        except Exception as exc:
            raise MisfitError from exc
        if found is Undefined:
            raise MisfitError
        return found

    return coerced


class _Object:
    """The fields are worked out with the first value: types may hold themselves."""

    def __init__(self, type_: GraphQLInputObjectType) -> None:
        self._type = type_
        self._fields: dict[str, tuple[str, Coerce]] = {}
        self._required: frozenset[str] = frozenset()
        self._defaults: dict[str, Any] = {}

    def coerce(self, value: Any) -> Any:
        fields = self._fields or self._work_out()
        if type(value) is not dict or not self._required <= value.keys():
            raise MisfitError
        found = dict(self._defaults)
        for given, one in value.items():
            if given not in fields:
                raise MisfitError
            name, coerce = fields[given]
            found[name] = coerce(one)
        try:
            return self._type.out_type(found)
        except StrawberryInputCoercionError as exc:  # a @oneOf with none or several
            raise MisfitError from exc

    def _work_out(self) -> dict[str, tuple[str, Coerce]]:
        fields = self._type.fields
        named = {name: field.out_name or name for name, field in fields.items()}
        defaults = {named[name]: coerce_default_value(field) for name, field in fields.items()}
        self._required = frozenset(name for name, field in fields.items() if is_required_input_field(field))
        self._defaults = {name: value for name, value in defaults.items() if value is not Undefined}
        self._fields = {name: (named[name], coercer(field.type)) for name, field in fields.items()}
        return self._fields
