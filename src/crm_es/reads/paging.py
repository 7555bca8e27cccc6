"""What a plan makes of a connection: expressions for edges, nodes, pageInfo and totalCount over `rows`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, get_named_type

from crm_es.reads.build import Builder
from crm_es.reads.errors import NotCompilableError
from crm_es.reads.levels import ListLevel
from crm_es.reads.model import Summed
from crm_es.reads.selections import Selection


@dataclass(frozen=True, slots=True)
class Paging:
    """`node` makes the expression of a row `r`, of the type and selection given."""

    builder: Builder
    collect: Callable[[GraphQLObjectType, list[Any]], Sequence[Selection]]
    level: ListLevel
    node: Callable[[Any, Selection], str]
    summary: Callable[[ListLevel, Any, GraphQLField, Selection], str]

    def connection(self, type_: GraphQLObjectType, selection: Selection) -> str:
        parts = self.collect(type_, selection.sets)
        return self.builder.struct([part.key for part in parts], [self._part(type_, part) for part in parts])

    def _part(self, type_: GraphQLObjectType, part: Selection) -> str:
        if part.name == "__typename":
            return self.builder.named(type_.name)
        if part.name == "totalCount":
            self.level.counted = True
            return "count"
        field = field_of(type_, part)
        declared, made = field.extensions["strawberry-definition"].metadata.get("read"), object_type(field)
        if isinstance(declared, Summed):
            return self.summary(self.level, declared, field, part)
        match part.name:
            case "nodes":
                found = f"[{self.node(made, part)} for r in rows]"
            case "edges":
                found = f"[{self._edge(made, part)} for r in rows]"
            case "pageInfo":
                found = self._page_info(made, part)
            case other:
                raise NotCompilableError(f"{type_.name}.{other}")
        self.level.paged = True
        return found

    def _edge(self, type_: GraphQLObjectType, selection: Selection) -> str:
        keys, expressions = [], []
        for part in self.collect(type_, selection.sets):
            keys.append(part.key)
            match part.name:
                case "__typename":
                    expressions.append(self.builder.named(type_.name))
                case "cursor":
                    expressions.append(self.level.cursor("r"))
                case "node":
                    expressions.append(self.node(object_type(field_of(type_, part)), part))
                case other:
                    raise NotCompilableError(f"{type_.name}.{other}")
        return self.builder.struct(keys, expressions)

    def _page_info(self, type_: GraphQLObjectType, selection: Selection) -> str:
        level = self.level
        known = {
            "__typename": self.builder.named(type_.name),
            "hasNextPage": "before" if level.backwards else "more",
            "hasPreviousPage": "more" if level.backwards else "before",
            "startCursor": f"({level.cursor('rows[0]')} if rows else None)",
            "endCursor": f"({level.cursor('rows[-1]')} if rows else None)",
        }
        parts = self.collect(type_, selection.sets)
        return self.builder.struct([part.key for part in parts], [known[part.name] for part in parts])


def field_of(type_: GraphQLObjectType, selection: Selection) -> GraphQLField:
    """Raises: NotCompilableError."""
    found: GraphQLField | None = type_.fields.get(selection.name)
    if found is None:
        raise NotCompilableError(f"{type_.name}.{selection.name}")
    return found


def object_type(made: GraphQLField) -> Any:
    return get_named_type(made.type)
