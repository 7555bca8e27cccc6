"""The contract as far as it is built: tests/contract.graphql less the types of tests/contract_later.txt and what names them."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSchema, build_ast_schema, parse, print_ast, validate
from graphql.language import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode, NamedTypeNode
from graphql.utilities import find_breaking_changes, find_dangerous_changes, separate_operations

TESTS = Path(__file__).parent.parent
DANGERS = {"ARG_DEFAULT_VALUE_CHANGE"}


def later() -> set[str]:
    lines = (TESTS / "contract_later.txt").read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def whole() -> DocumentNode:
    return parse((TESTS / "contract.graphql").read_text())


def built(left_out: set[str]) -> DocumentNode:
    """The contract without these types, their fields and arguments, and types that then have none."""
    definitions = [node for node in whole().definitions if name(node) not in left_out]
    for node in definitions:
        if hasattr(node, "interfaces"):
            put(node, "interfaces", [each for each in node.interfaces or () if named(each) not in left_out])
        if getattr(node, "fields", None):
            put(node, "fields", list(_kept(node.fields, left_out)))
    empty = {name(node) for node in definitions if hasattr(node, "fields") and not node.fields}
    return built(left_out | empty) if empty else DocumentNode(definitions=tuple(definitions))


def _kept(fields: Iterable[Any], left_out: set[str]) -> Iterator[FieldDefinitionNode | InputValueDefinitionNode]:
    for field in fields:
        if named(field.type) not in left_out:
            if getattr(field, "arguments", None):
                put(field, "arguments", [each for each in field.arguments if named(each.type) not in left_out])
            yield field


@cache
def so_far() -> GraphQLSchema:
    return build_ast_schema(built(later()))


def breaks(schema: GraphQLSchema) -> list[str]:
    """What a client of the contract would miss in the schema."""
    old = so_far()
    changes = [f"{change.type.name}: {change.description}" for change in find_breaking_changes(old, schema)]
    dangers = find_dangerous_changes(old, schema)
    return changes + [f"{change.type.name}: {change.description}" for change in dangers if change.type.name in DANGERS]


def operations() -> dict[str, DocumentNode]:
    """The operations real pages need, each with the fragments it uses."""
    return dict(separate_operations(parse((TESTS / "operations.graphql").read_text())))


@cache
def possible() -> dict[str, str]:
    """Those that name no type of a later issue, as texts: they validate against the contract as far as it is built."""
    return {title: print_ast(document) for title, document in operations().items() if not validate(so_far(), document)}


def faults(schema: GraphQLSchema, text: str) -> list[GraphQLError]:
    return validate(schema, parse(text))


def name(node: DefinitionNode) -> str:
    return node.name.value  # type: ignore[attr-defined]


def named(node: Any) -> str:
    while not isinstance(node, NamedTypeNode):
        node = node.type
    return node.name.value


def put(node: Any, field: str, value: Iterable[Any]) -> None:
    """Nodes are frozen since graphql-core 3.3."""
    object.__setattr__(node, field, tuple(value))
