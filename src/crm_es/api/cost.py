"""What an operation may cost: a promise to clients, so it is simple enough to reckon by hand.

Every record that can be answered counts one, times the sizes of the lists around it (`first`, `last`, `ids`, a batch's
rows; 50 for a page without a size, 5 for a list without pages). A connection counts one more. Values inside a record are
free. A row of a mutation counts one. Each fragment is reckoned once however often it is spread.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
    value_from_ast_untyped,
)
from graphql.type import GraphQLNamedType, GraphQLOutputType

PAGE: Final = 50
LARGEST_PAGE: Final = 1_000
LIST: Final = 5
MEMBER_COST: Final = 5_000
EXPORT_COST: Final = 50_000


def cost_of(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: Mapping[str, Any]
) -> int:
    """The price of the operation with these variables. Raises: GraphQLError BAD_USER_INPUT for a page size out of bounds."""
    root = schema.get_root_type(operation.operation)
    if root is None:
        return 0
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    defaults = {
        node.variable.name.value: value_from_ast_untyped(node.default_value)
        for node in operation.variable_definitions or ()
        if node.default_value
    }
    return _Meter(schema, fragments, {**defaults, **variables}).inside(operation.selection_set, root).total(1)


@dataclass(frozen=True, slots=True)
class Price:
    """`once` whatever the page holds, `each` for every item of it (only connections have items)."""

    once: int = 0
    each: int = 0

    def __add__(self, other: "Price") -> "Price":
        return Price(self.once + other.once, self.each + other.each)

    def total(self, size: int) -> int:
        return self.once + self.each * size


FREE: Final = Price()


@dataclass(slots=True)
class _Meter:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]
    known: dict[str, Price] = field(default_factory=dict)
    rows: int = LIST

    def inside(self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None) -> Price:
        price = FREE
        for node in selections.selections if selections else ():
            if not isinstance(node, FieldNode) or node.selection_set:  # most are values
                price += self.one(node, parent)
        return price

    def one(self, node: object, parent: GraphQLNamedType | None) -> Price:
        match node:
            case FieldNode():
                return self.field(node, parent)
            case InlineFragmentNode():
                named = self.schema.get_type(node.type_condition.name.value) if node.type_condition else parent
                return self.inside(node.selection_set, named)
            case FragmentSpreadNode():
                return self.fragment(node.name.value)
            case _:
                return FREE

    def fragment(self, name: str) -> Price:
        if name not in self.known and name in self.fragments:
            self.known[name] = FREE  # a cycle costs nothing here: validation refuses it
            fragment = self.fragments[name]
            named = self.schema.get_type(fragment.type_condition.name.value)
            self.known[name] = self.inside(fragment.selection_set, named)
        return self.known.get(name, FREE)

    def field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Price:
        """Unknown fields are free: validation refuses them."""
        if not isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) or node.name.value not in parent.fields:
            return FREE
        type_ = (found := parent.fields[node.name.value]).type
        arguments = dict(self.arguments(node))
        if parent is self.schema.mutation_type:
            self.rows = _rows(found, arguments.get("input"))
            return Price(self.rows + self.below(node, type_).once)
        if _is_connection(get_named_type(type_)):
            return Price(1 + self.below(node, type_).total(_page(node, arguments)))
        if _is_connection(parent) and node.name.value in {"edges", "nodes"}:
            return Price(each=self.below(node, type_).once)
        return Price(self.below(node, type_).once * self.size(node, type_, arguments))

    def below(self, node: FieldNode, type_: GraphQLOutputType) -> Price:
        named = get_named_type(type_)
        return self.inside(node.selection_set, named) + Price(int(_is_record(named)))

    def size(self, node: FieldNode, type_: GraphQLOutputType, arguments: Mapping[str, Any]) -> int:
        if not is_list_type(type_.of_type if is_non_null_type(type_) else type_):
            return 1
        if isinstance(ids := arguments.get("ids"), list):
            return len(ids)
        return self.rows if node.name.value == "rows" else LIST

    def arguments(self, node: FieldNode) -> Iterator[tuple[str, Any]]:
        for argument in node.arguments or ():
            yield argument.name.value, value_from_ast_untyped(argument.value, dict(self.variables))


def _is_record(named: GraphQLNamedType) -> bool:
    """A Node: something of its own, that rows must be read for."""
    if isinstance(named, GraphQLInterfaceType):
        return "id" in named.fields
    return isinstance(named, GraphQLObjectType) and any(each.name == "Node" for each in named.interfaces)


def _is_connection(named: GraphQLNamedType | None) -> bool:
    return isinstance(named, GraphQLObjectType) and named.name.endswith("Connection") and "pageInfo" in named.fields


def _page(node: FieldNode, arguments: Mapping[str, Any]) -> int:
    sizes = [arguments[name] for name in ("first", "last") if type(arguments.get(name)) is int]
    for size in sizes:
        if not 0 <= size <= LARGEST_PAGE:
            raise GraphQLError(
                f"A page holds 0 to {LARGEST_PAGE:,} records; {size:,} were asked for.",
                nodes=node,
                extensions={"code": "BAD_USER_INPUT"},
            )
    return max(sizes, default=PAGE)


def _rows(field_: GraphQLField, batch: object) -> int:
    """Rows of a mutation's batch: its longest list. One where the input is not a batch."""
    argument = field_.args.get("input")
    named = get_named_type(argument.type) if argument else None
    if (
        not isinstance(named, GraphQLInputObjectType)
        or "allOrNone" not in named.fields
        or not isinstance(batch, Mapping)
    ):
        return 1
    return max((len(value) for value in batch.values() if isinstance(value, list)), default=1)
