"""Input objects, each made by a plan of its type: Strawberry would look up every name and type again for every object,
which is most of the time a batch of 1,000 rows takes.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING
from typing import Any

from strawberry import Schema
from strawberry.types.base import StrawberryList, StrawberryObjectDefinition, StrawberryOptional
from strawberry.types.lazy_type import LazyType

Make = Callable[[Any], Any]


def plan_inputs(schema: Schema) -> None:
    """Give every input type of the schema its plan."""
    for known in schema.schema_converter.type_map.values():
        definition = known.definition
        if isinstance(definition, StrawberryObjectDefinition) and definition.is_input:
            definition.from_input = _Plan(schema, definition)


class _Plan:
    """How objects of one input type are made; worked out when the first one comes."""

    def __init__(self, schema: Schema, definition: StrawberryObjectDefinition) -> None:
        self._schema = schema
        self._definition = definition
        self._absent: dict[str, None] = {}
        self._fields: dict[str, tuple[str, Make | None]] | None = None

    def __call__(self, cls: type[Any], value: Mapping[str, Any], _context: object) -> Any:
        return self.make(cls, value)

    def make(self, cls: type[Any], value: Mapping[str, Any]) -> Any:
        fields = self._fields or self._work_out()
        given: dict[str, Any] = dict(self._absent)
        for graphql_name, one in value.items():
            name, make = fields[graphql_name]
            given[name] = one if make is None else make(one)
        return cls(**given)

    def _work_out(self) -> dict[str, tuple[str, Make | None]]:
        naming = self._schema.config.name_converter
        found: dict[str, tuple[str, Make | None]] = {}
        for field in self._definition.fields:
            type_ = field.resolve_type(type_definition=self._definition)
            found[naming.from_field(field)] = field.python_name, self._maker(type_)
            if field.default_value is MISSING and field.default_factory is MISSING:
                self._absent[field.python_name] = None
        self._fields = found
        return found

    def _maker(self, type_: Any) -> Make | None:
        """What makes a value of this type out of what graphql-core coerced; None where it is that already."""
        if isinstance(type_, LazyType):
            return self._maker(type_.resolve_type())
        if isinstance(type_, StrawberryOptional):
            return _or_null(self._maker(type_.of_type))
        if isinstance(type_, StrawberryList):
            return _each(self._maker(type_.of_type))
        definition = getattr(type_, "__strawberry_definition__", None)
        plan = getattr(definition, "from_input", None)
        return (lambda value: plan.make(type_, value)) if isinstance(plan, _Plan) else None


def _or_null(make: Make | None) -> Make | None:
    return None if make is None else lambda value: None if value is None else make(value)


def _each(make: Make | None) -> Make:
    """Lists are copied, since graphql-core gives one default to every request."""
    return list if make is None else lambda values: [make(value) for value in values]
