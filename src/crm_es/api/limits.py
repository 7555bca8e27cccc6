"""How large a document may be: counted on its syntax tree before it is validated, each fragment once however often spread.

The numbers are the contract's; what the answer may cost is in `cost.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)

DOCUMENT_BYTES: Final = 64 * 1024
VARIABLES_BYTES: Final = 8 * 1024 * 1024
BODY_BYTES: Final = 6 * DOCUMENT_BYTES + VARIABLES_BYTES + 4_096  # a document may be all \u escapes
TOKENS: Final = 2_000
DEPTH: Final = 12
INTROSPECTION_DEPTH: Final = 15
ALIASES: Final = 30
DIRECTIVES: Final = 10
ROOT_FIELDS: Final = 10


def read(query: str) -> DocumentNode:
    """Parse within the limits of bytes and tokens. Raises: GraphQLError."""
    if len(query) > DOCUMENT_BYTES or len(query.encode()) > DOCUMENT_BYTES:
        raise _refusal(f"The document is longer than {DOCUMENT_BYTES:,} bytes; long values belong into variables.")
    return parse(query, max_tokens=TOKENS)


def check(document: DocumentNode) -> list[GraphQLError]:
    """Everything the document has too much of, per operation; empty when it is within bounds."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    counter = _Counter(fragments)
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    try:
        return [error for operation in operations for error in _faults(operation, counter)]
    except RecursionError:
        return [_refusal("The document is nested too deeply.")]


@dataclass(frozen=True, slots=True)
class Counts:
    """What a selection set holds with everything below it. `depth` is in levels of fields, leaves included."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0


@dataclass(slots=True)
class _Counter:
    fragments: Mapping[str, FragmentDefinitionNode]
    known: dict[str, Counts] = field(default_factory=dict)

    def inside(self, selections: SelectionSetNode | None) -> Counts:
        if selections is None:
            return Counts()
        parts = [self.one(node) for node in selections.selections]
        return Counts(
            max((part.depth for part in parts), default=0),
            sum(part.aliases for part in parts),
            sum(part.directives for part in parts),
        )

    def one(self, node: object) -> Counts:
        match node:
            case FieldNode():
                below, levels, aliases = self.inside(node.selection_set), 1, int(node.alias is not None)
            case InlineFragmentNode():
                below, levels, aliases = self.inside(node.selection_set), 0, 0
            case FragmentSpreadNode():
                below, levels, aliases = self.fragment(node.name.value), 0, 0
            case _:
                return Counts()
        directives = below.directives + len(node.directives or ())
        return Counts(below.depth + levels, below.aliases + aliases, directives)

    def fragment(self, name: str) -> Counts:
        """Zero while it is being counted: a cycle is the specified rules' to report, and so is an unknown name."""
        if name in self.known or name not in self.fragments:
            return self.known.get(name, Counts())
        self.known[name] = Counts()
        self.known[name] = self.inside(self.fragments[name].selection_set)
        return self.known[name]


def _faults(operation: OperationDefinitionNode, counter: _Counter) -> Iterator[GraphQLError]:
    counts = counter.inside(operation.selection_set)
    roots = [node for node in operation.selection_set.selections if isinstance(node, FieldNode)]
    asks_schema = bool(roots) and all(node.name.value.startswith("__") for node in roots)
    for what, found, most in (
        ("levels deep", counts.depth, INTROSPECTION_DEPTH if asks_schema else DEPTH),
        ("aliases", counts.aliases, ALIASES),
        ("directives", counts.directives + len(operation.directives or ()), DIRECTIVES),
        ("root fields", len(roots), ROOT_FIELDS),
    ):
        if found > most:
            yield _refusal(f"The operation has {found:,} {what}; {most:,} are allowed.", operation)


def _refusal(message: str, node: OperationDefinitionNode | None = None) -> GraphQLError:
    return GraphQLError(message, nodes=node, extensions={"code": "GRAPHQL_VALIDATION_FAILED"})
