"""A document's plan: for each root field a tree of levels, each one statement whatever the page size, and one function that
makes the answers. What has no plan says why and is left to the generic executor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final

from graphql import (
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    is_non_null_type,
)

from crm_es.reads import arguments, listing, resolve
from crm_es.reads.build import Builder
from crm_es.reads.environment import Level
from crm_es.reads.errors import NotCompilableError
from crm_es.reads.expressions import Expressions, Place, declared_of
from crm_es.reads.levels import AnyLevel, ListLevel, ManyLevel, NamedLevel, RecordLevel, Single
from crm_es.reads.merging import KEYS, PART, Part, Several
from crm_es.reads.model import Anything, Connection, Lookup, Many, Merged, ReadType, Summed, Target, read_of
from crm_es.reads.objects import Nowhere, Objects, flat
from crm_es.reads.pages import Listed
from crm_es.reads.paging import Paging, field_of, object_type
from crm_es.reads.selections import Selection, collect
from crm_es.reads.shapes import Shape
from crm_es.reads.sql import Viewer

_LISTED: Final = "rows, more, before, count, e, parent"


@dataclass(frozen=True, slots=True)
class Root:
    """One root field: `level.run` answers it."""

    level: Level
    as_of: Any
    selection: Selection
    required: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """All root fields of an operation, in order, and what puts their answers together. `size` counts objects and fields."""

    roots: tuple[Root, ...]
    together: Callable[..., Any]
    size: int


class Compiler:
    """Compiles one operation for one shape of variables and one viewer's permissions."""

    def __init__(
        self, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any], viewer: Viewer
    ) -> None:
        self._fragments = fragments
        self._variables = variables
        self._viewer = viewer
        self._builder = Builder()
        self._numbers = count(1)

    def plan(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> Plan:
        """Raises: NotCompilableError, and what a wrong argument raises."""
        query = schema.query_type
        if query is None:
            raise NotCompilableError("no queries")
        self._types = schema.type_map
        self._expressions = Expressions(self._builder, self._collect, self._types, self._variables, self._viewer, self)
        roots: list[Root] = []
        expressions, keys = [], []
        for selection in self._collect(query, [operation.selection_set]):
            keys.append(selection.key)
            if selection.name == "__typename":
                expressions.append(self._builder.named(query.name))
                continue
            root = self._root(query, selection)
            expressions.append(f"a[{len(roots)}]")
            roots.append(root)
        together = self._builder.function("a", self._builder.struct(keys, expressions))
        return Plan(tuple(roots), together, self._builder.size)

    def _collect(self, type_: GraphQLObjectType, sets: list[Any]) -> list[Selection]:
        return collect(type_, sets, self._fragments, self._variables)

    def _root(self, query: GraphQLObjectType, selection: Selection) -> Root:
        made = field_of(query, selection)
        given = arguments.given(made, selection.nodes[0], self._variables)
        level = self._root_level(made, selection, given)
        return Root(level, given.get("as_of"), selection, required=is_non_null_type(made.type))

    def _root_level(self, made: GraphQLField, selection: Selection, given: Mapping[str, Any]) -> Level:
        declared, past = declared_of(made), given.get("as_of") is not None
        if isinstance(declared, Lookup):
            return self._record(read_of(declared.target()), selection, given["id"], past=past)
        if isinstance(declared, Connection):
            return self._list(declared, f"Query.{selection.name}", made, selection, given, past=past, nested=False)
        if isinstance(declared, Anything):
            return self._anything(declared, selection, given)
        raise NotCompilableError(f"{selection.name} is not declared as a lookup or a list")

    # Levels

    def number(self) -> int:
        return next(self._numbers)

    def below(
        self, place: Place, declared: Many | Connection | Merged, made: GraphQLField, selection: Selection
    ) -> Level:
        past, name = place.level.past, f"{place.read.name}.{selection.name}"
        if isinstance(declared, Many):
            return self._many(declared, made, selection, past=past)
        given = arguments.given(made, selection.nodes[0], self._variables)
        if isinstance(declared, Merged):
            return self._merged(declared, name, made, selection, given, past=past)
        return self._list(declared, name, made, selection, given, past=past, nested=True)

    def named(self, target: Target, type_: Any, selection: Selection, *, past: bool) -> NamedLevel:
        shape = self._shape(read_of(target()), past=past, nested=False)
        shape.own(shape.read.key or "id")
        expression = self._expressions.object(Place(shape, shape.read), type_, selection)
        return NamedLevel(shape, self._function(shape, "r, e", expression))

    def named_column(self, target: Target, column: str, *, past: bool) -> NamedLevel:
        shape = self._shape(read_of(target()), past=past, nested=False)
        shape.own(shape.read.key or "id")
        return NamedLevel(shape, self._function(shape, "r, e", f"({shape.own(column)},)"))

    def _shape(self, read: ReadType, *, past: bool, nested: bool) -> Shape:
        return Shape(number=self.number(), read=read, viewer=self._viewer, past=past, nested=nested)

    def _record(self, read: ReadType, selection: Selection, id_: Any, *, past: bool) -> RecordLevel:
        shape = self._shape(read, past=past, nested=False)
        expression = self._expressions.object(Place(shape, read), self._types[read.name], selection)
        return RecordLevel(shape, id_, self._function(shape, "r, e", expression))

    def _anything(self, declared: Anything, selection: Selection, given: Mapping[str, Any]) -> AnyLevel:
        def make(read: ReadType, *, past: bool) -> RecordLevel:
            return self._record(read, selection, given["id"], past=past)

        return AnyLevel(self.number(), given["id"], declared.types(), make)

    def _list(
        self, declared: Connection, name: str, made: GraphQLField, selection: Selection, given: Mapping[str, Any],
        *, past: bool, nested: bool,
    ) -> ListLevel:  # fmt: skip
        shape = self._shape(read_of(declared.target()), past=past, nested=nested)
        level = ListLevel(Single(shape, self._listed(declared, given)), name=name, given=given)
        place = Place(shape, shape.read)
        expression = self._paged(level, made, selection, partial(self._expressions.object, place))
        level.answer = self._function(shape, _LISTED, expression)
        return level

    def _paged(self, level: ListLevel, made: GraphQLField, selection: Selection, node: Callable[..., str]) -> str:
        paging = Paging(self._builder, self._collect, level, node, self._summary)
        return paging.connection(object_type(made), selection)

    def _summary(self, level: ListLevel, declared: Summed, made: GraphQLField, selection: Selection) -> str:
        finish = Objects(self._builder, self._collect, Nowhere(), flat).finish(made.type, selection)
        return f"{self._builder.named(finish)}({level.summary(self.number(), declared)}, e)"

    def _listed(self, declared: Connection, given: Mapping[str, Any]) -> Listed:
        read = read_of(declared.target())
        return Listed(
            read=read, via=declared.via, keys=listing.orders(read, declared, given.get("order_by"), self._viewer),
            conditions=listing.conditions(read, declared, given, self._viewer),
        )  # fmt: skip

    def _merged(
        self, declared: Merged, name: str, made: GraphQLField, selection: Selection, given: Mapping[str, Any], *, past: bool
    ) -> ListLevel:  # fmt: skip
        """Every part has its own expression of a node; rows tell which to take."""
        number = self.number()
        parts = [
            Part(
                Shape(
                    number=number, read=read_of(part.target()), viewer=self._viewer, past=past, nested=True,
                    prefix=f"p{place}_",
                ),
                self._listed(part, given),
            )
            for place, part in enumerate(declared.parts[each] for each in declared.among(given))
        ]  # fmt: skip
        rows, asked = Several(number, parts), dict[str, list[str]]()
        level = ListLevel(rows, name=name, given=given)

        def node(_interface: Any, selection: Selection) -> str:
            later = self._builder.named(())
            asked[later] = [
                self._expressions.object(
                    Place(part.shape, part.shape.read), self._types[part.shape.read.name], selection
                )
                for part in parts
            ]
            return f"{later}[r[{PART}]](r, e)"

        expression = self._paged(level, made, selection, node)
        rows.complete()
        for later, expressions in asked.items():
            self._builder.names[later] = tuple(
                self._function(part.shape, "r, e", each) for part, each in zip(parts, expressions, strict=True)
            )
        level.answer = self._builder.function(_LISTED, expression.replace("[K:L]", KEYS))
        return level

    def _many(self, declared: Many, made: GraphQLField, selection: Selection, *, past: bool) -> ManyLevel:
        read = read_of(declared.target())
        shape = self._shape(read, past=past, nested=True)
        listed = resolve.listed_of(declared, arguments.given(made, selection.nodes[0], self._variables), self._viewer)
        expression = f"[{self._expressions.object(Place(shape, read), object_type(made), selection)} for r in rows]"
        shape.page = True
        level = ManyLevel(shape, listed, declared.limit)
        level.answer = self._function(shape, "rows, e", expression)
        return level

    def _function(self, shape: Shape, parameters: str, expression: str) -> Callable[..., Any]:
        """The level is complete: all columns have their places."""
        for child in shape.children:
            child.given = child.given or self._builder.function("rows, e", shape.placed(child.parents))
        return self._builder.function(parameters, shape.placed(expression))
