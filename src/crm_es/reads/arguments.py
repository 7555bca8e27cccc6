"""A field's arguments out of a document, for plans: what shapes the statement stands there as it is, all else is a slot.

Shape is: which arguments and filter fields are given, nulls, booleans, orders, the number of objects in a list. Values are
parameters.
"""

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_named_type,
    value_from_ast,
)
from strawberry import UNSET

from crm_es.reads.errors import NotCompilableError
from crm_es.reads.sql import Slot

Variables = Mapping[str, Any]


def shape(type_: GraphQLInputType, value: Any) -> Any:
    """What of a variable's coerced value tells one plan from another; hashable."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(type_, GraphQLNonNull):
        return shape(type_.of_type, value)
    if isinstance(type_, GraphQLList):
        objects = isinstance(get_named_type(type_), GraphQLInputObjectType)
        return tuple(shape(type_.of_type, item) for item in value) if objects else "list"
    if isinstance(type_, GraphQLInputObjectType):
        return tuple((name, shape(type_.fields[name].type, item)) for name, item in sorted(value.items()))
    return value if isinstance(type_, GraphQLEnumType) else "value"


def taken(value: Any, environment: Any) -> Any:
    """What was given, its slots filled for one request."""
    if isinstance(value, Slot):
        return value.take(environment)
    if isinstance(value, list):
        return [taken(each, environment) for each in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return type(value)(**{name: taken(each, environment) for name, each in value.__dict__.items() if each is not UNSET})


def given(field: GraphQLField, node: FieldNode, variables: Variables) -> dict[str, Any]:
    """The arguments by their Python names, absent ones left out."""
    found = {}
    nodes = {argument.name.value: argument.value for argument in node.arguments or ()}
    for name, argument in field.args.items():
        value = nodes.get(name)
        made = Undefined if value is None else _read(argument.type, value, variables)
        if made is Undefined:
            made = argument.default_value
        if made is not Undefined:
            found[argument.extensions["strawberry-definition"].python_name] = made
    return found


def _read(type_: GraphQLInputType, node: ValueNode, variables: Variables) -> Any:
    if isinstance(node, VariableNode):
        name = node.name.value
        return _mirror(type_, variables[name], (name,)) if name in variables else Undefined
    if isinstance(type_, GraphQLNonNull):
        return _read(type_.of_type, node, variables)
    if isinstance(type_, GraphQLInputObjectType) and isinstance(node, ObjectValueNode):
        fields = {field.name.value: field.value for field in node.fields}
        read = {name: _read(type_.fields[name].type, value, variables) for name, value in fields.items()}
        return _object(type_, {name: value for name, value in read.items() if value is not Undefined})
    if isinstance(type_, GraphQLList):
        return _list(type_, node, variables)
    return value_from_ast(node, type_)


def _list(type_: GraphQLList[Any], node: ValueNode, variables: Variables) -> Any:
    """A list literal; slots among plain values would need an array of slots."""
    if isinstance(node, NullValueNode):
        return None
    nodes = node.values if isinstance(node, ListValueNode) else (node,)
    items = [_read(type_.of_type, item, variables) for item in nodes]
    if any(isinstance(item, Slot) or item is Undefined for item in items):
        raise NotCompilableError("a variable inside a list")
    return items


def _mirror(type_: GraphQLInputType, value: Any, path: tuple[str | int, ...]) -> Any:
    """A variable's value, its leaves replaced by slots that find them in the variables of each request."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(type_, GraphQLNonNull):
        return _mirror(type_.of_type, value, path)
    if isinstance(type_, GraphQLInputObjectType):
        return _object(
            type_, {name: _mirror(type_.fields[name].type, item, (*path, name)) for name, item in value.items()}
        )
    if isinstance(type_, GraphQLList) and isinstance(get_named_type(type_), GraphQLInputObjectType):
        return [_mirror(type_.of_type, item, (*path, number)) for number, item in enumerate(value)]
    return value if isinstance(type_, GraphQLEnumType) else Slot(_Finder(path))


class _Finder:
    """Finds a leaf in the coerced variables."""

    __slots__ = ("path",)

    def __init__(self, path: tuple[str | int, ...]) -> None:
        self.path = path

    def __call__(self, environment: Any) -> Any:
        value = environment.variables
        for step in self.path:
            value = value[step]
        return value


def _object(type_: GraphQLInputObjectType, values: Mapping[str, Any]) -> Any:
    """The Strawberry input object; fields not given have their default, or stay UNSET."""
    definition = type_.extensions["strawberry-definition"]
    python = {name: field.extensions["strawberry-definition"].python_name for name, field in type_.fields.items()}
    return definition.origin(**{python[name]: value for name, value in values.items()})
