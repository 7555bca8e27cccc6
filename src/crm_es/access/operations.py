"""What an operation is called in the access log: its name, and a hash of its document, whatever its layout and literals."""

import hashlib
from collections import OrderedDict
from typing import Any, Final, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FloatValueNode,
    IntValueNode,
    OperationDefinitionNode,
    StringValueNode,
    Visitor,
    print_ast,
    visit,
)

from crm_es.access.entry import LONGEST_OPERATION, Kind

_REMEMBERED: Final = 1_000


class Operation(NamedTuple):
    kind: Kind
    name: str
    hash: bytes


class _Nameless(Visitor):
    """Literals may be somebody's data: only their place stays."""

    def enter(self, node: Any, *_: Any) -> Any:
        match node:
            case StringValueNode():
                return StringValueNode(value="", block=False)
            case IntValueNode():
                return IntValueNode(value="0")
            case FloatValueNode():
                return FloatValueNode(value="0")
            case _:
                return None


def normalised(document: DocumentNode) -> str:
    """The document as graphql-js prints it, strings empty and numbers 0."""
    return print_ast(visit(document, _Nameless()))


class Operations:
    """Remembers those seen last, by text: hashing a document costs more than answering it."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str | None], Operation] = OrderedDict()

    def of(self, text: str, document: DocumentNode, chosen: OperationDefinitionNode) -> Operation:
        key = text, chosen.name.value if chosen.name else None
        known = self._known.get(key)
        if known is None:
            known = Operation(Kind(chosen.operation.value.upper()), _name(chosen), _hash(document))
            self._known[key] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return known


def _hash(document: DocumentNode) -> bytes:
    return hashlib.sha256(normalised(document).encode()).digest()


def _name(chosen: OperationDefinitionNode) -> str:
    """Of an anonymous one, its root fields: `{contact viewer}`."""
    if chosen.name:
        return chosen.name.value[:LONGEST_OPERATION]
    fields = [node.name.value for node in chosen.selection_set.selections if isinstance(node, FieldNode)]
    return f"{{{' '.join(fields)}}}"[:LONGEST_OPERATION]
