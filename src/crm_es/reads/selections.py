"""What a selection set selects on a concrete type: fragments flattened, @skip and @include decided, fields merged by key."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DirectiveNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    InlineFragmentNode,
    SelectionSetNode,
    VariableNode,
)

from crm_es.reads.errors import NotCompilableError

Fragments = Mapping[str, FragmentDefinitionNode]


@dataclass(slots=True)
class Selection:
    """One response key of an object, with every node that asked for it."""

    key: str
    name: str
    nodes: list[FieldNode] = field(default_factory=list)

    @property
    def leaf(self) -> bool:
        return self.nodes[0].selection_set is None

    @property
    def sets(self) -> list[SelectionSetNode]:
        return [node.selection_set for node in self.nodes if node.selection_set is not None]


def collect(
    type_: GraphQLObjectType, sets: Iterable[SelectionSetNode], fragments: Fragments, variables: Mapping[str, Any]
) -> list[Selection]:
    """In the order of the document. Raises: NotCompilableError for directives we do not know."""
    found: dict[str, Selection] = {}
    types = {type_.name, *(interface.name for interface in type_.interfaces)}

    def walk(selections: Sequence[Any]) -> None:
        for node in selections:
            if not _included(node.directives or (), variables):
                continue
            if isinstance(node, FieldNode):
                key = (node.alias or node.name).value
                found.setdefault(key, Selection(key, node.name.value)).nodes.append(node)
                continue
            part = node if isinstance(node, InlineFragmentNode) else fragments[node.name.value]
            if part.type_condition is None or part.type_condition.name.value in types:
                walk(part.selection_set.selections)

    for selection_set in sets:
        walk(selection_set.selections)
    return list(found.values())


def _included(directives: Sequence[DirectiveNode], variables: Mapping[str, Any]) -> bool:
    for directive in directives:
        name = directive.name.value
        if name not in {"skip", "include"}:
            raise NotCompilableError(f"@{name}")
        condition = (directive.arguments or ())[0].value
        value = variables[condition.name.value] if isinstance(condition, VariableNode) else condition.value  # type: ignore[attr-defined]
        if value is (name == "skip"):
            return False
    return True
