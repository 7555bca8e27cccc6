"""Rows to answers: an expression in our own words for each selection, made into one function. Client text never enters it:
response keys go in as data (renamed struct fields), values as names of a namespace.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from graphql import (
    GraphQLEnumType,
    GraphQLLeafType,
    GraphQLNonNull,
    GraphQLOutputType,
    GraphQLScalarType,
    get_named_type,
)

from crm_es.reads.errors import NotCompilableError

DIRECT: frozenset[tuple[str, str]] = frozenset(
    {
        ("String", "text"), ("Int", "int"), ("Int", "integer"), ("Int", "smallint"), ("Boolean", "bool"),
        ("Boolean", "boolean"), ("DateTime", "timestamptz"), ("UUID", "uuid"), ("Date", "date"),
    }
)  # fmt: skip
"""(GraphQL type, column type) that msgspec writes as the scalar does."""


class NullFoundError(Exception):
    """A non-null field has no value: the generic executor says where."""


def required(value: Any) -> Any:
    """The value of a non-null field. Raises: NullFoundError."""
    if value is None:
        raise NullFoundError
    return value


class Builder:
    """The namespace of one plan's expressions. `r` is the row, `e` the environment of the request."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"required": required, "EMPTY": ()}
        self.size = 0

    def named(self, value: Any) -> str:
        name = f"n{len(self.names)}"
        self.names[name] = value
        return name

    def struct(self, keys: Sequence[str], expressions: Sequence[str]) -> str:
        """A call that makes an object with these keys, in this order."""
        self.size += 1 + len(keys)
        fields = [(f"f{number}", Any) for number in range(len(keys))]
        made = msgspec.defstruct(
            "Answer", fields, rename={f"f{n}": key for n, key in enumerate(keys)}, gc=False, array_like=False
        )
        return f"{self.named(made)}({', '.join(expressions)})"

    def function(self, arguments: str, expression: str) -> Callable[..., Any]:
        """Our own text, made of numbers and names above."""
        made: Callable[..., Any] = eval(f"lambda {arguments}: {expression}", self.names)  # noqa: S307
        return made


def leaf(builder: Builder, type_: GraphQLOutputType, expression: str, column_type: str | None) -> str:
    """A scalar or enum: the value itself where msgspec writes it alike, else what the type serializes."""
    named = get_named_type(type_)
    plain = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if named is plain and column_type is not None and (named.name, column_type) in DIRECT:
        return f"required({expression})" if isinstance(type_, GraphQLNonNull) else expression
    if column_type == "text[]" and named.name == "String":
        return f"required({expression})" if isinstance(type_, GraphQLNonNull) else expression
    return f"{builder.named(serializer(type_))}({expression})"


def serializer(type_: GraphQLOutputType) -> Callable[[Any], Any]:
    """Answers of this type as graphql-core completes them, for values without selections."""
    if isinstance(type_, GraphQLNonNull):
        inner = serializer(type_.of_type)
        return lambda value: inner(required(value))
    if isinstance(type_, GraphQLScalarType | GraphQLEnumType):
        return _leaf_serializer(type_)
    item = serializer(type_.of_type)  # type: ignore[union-attr]  # a list
    return lambda values: None if values is None else [item(value) for value in values]


def _leaf_serializer(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    if isinstance(type_, GraphQLEnumType):
        known: dict[Any, Any] = {None: None}

        def enum(value: Any) -> Any:
            found = known.get(value)
            if found is None and value is not None:
                found = known[value] = type_.serialize(value)
            return found

        return enum
    serialize = type_.serialize
    return lambda value: None if value is None else serialize(value)


__all__ = ["UUID", "Builder", "NotCompilableError", "NullFoundError", "datetime", "leaf", "required", "serializer"]
