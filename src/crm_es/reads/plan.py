"""A document's plan: for each root field a tree of levels, each one statement whatever the page size, and one function that
makes the answers. What has no plan says why and is left to the generic executor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
    is_non_null_type,
)

from crm_es.reads import arguments, build, listing, resolve
from crm_es.reads.build import Builder
from crm_es.reads.errors import NotCompilableError
from crm_es.reads.levels import Joined, Level, ListLevel, ManyLevel, RecordLevel, Shape
from crm_es.reads.model import Connection, Lookup, Many, One, ReadType, Value, companion, is_sensitive, read_of
from crm_es.reads.selections import Selection, collect
from crm_es.reads.sql import Slot, Viewer


@dataclass(frozen=True, slots=True)
class Root:
    """One root field: `level.run` answers it."""

    level: Level
    as_of: Any


@dataclass(frozen=True, slots=True)
class Plan:
    """All root fields of an operation, in order, and what puts their answers together."""

    roots: tuple[Root, ...]
    together: Callable[..., Any]


@dataclass(slots=True)
class Place:
    """Where an expression stands: in a level's row, on the table under `alias` (None: the level's own)."""

    level: Shape
    read: ReadType
    joined: Joined | None = None

    def column(self, name: str) -> str:
        return self.level.own(name) if self.joined is None else self.level.of_join(self.joined, name)


class Compiler:
    """Compiles one operation for one shape of variables and one viewer's permissions."""

    def __init__(
        self, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any], viewer: Viewer
    ) -> None:
        self._fragments = fragments
        self._variables = variables
        self._viewer = viewer
        self._builder = Builder()
        self._levels = 0

    def plan(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> Plan:
        """Raises: NotCompilableError, and what a wrong argument raises."""
        query = schema.query_type
        if query is None:
            raise NotCompilableError("no queries")
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
        return Plan(tuple(roots), self._builder.function("a", self._builder.struct(keys, expressions)))

    def _collect(self, type_: GraphQLObjectType, sets: list[Any]) -> list[Selection]:
        return collect(type_, sets, self._fragments, self._variables)

    def _root(self, query: GraphQLObjectType, selection: Selection) -> Root:
        made = _field(query, selection)
        declared, given = _declared(made), arguments.given(made, selection.nodes[0], self._variables)
        as_of = given.get("as_of")
        past = as_of is not None
        if isinstance(declared, Lookup):
            return Root(self._record(declared, made, selection, given, past=past), as_of)
        if isinstance(declared, Connection):
            return Root(
                self._list(declared, f"Query.{selection.name}", made, selection, given, past=past, nested=False), as_of
            )
        raise NotCompilableError(f"{selection.name} is not declared as a lookup or a list")

    # Levels

    def _shape(self, read: ReadType, *, past: bool, nested: bool) -> Shape:
        self._levels += 1
        return Shape(number=self._levels, read=read, viewer=self._viewer, past=past, nested=nested)

    def _record(
        self, declared: Lookup, made: GraphQLField, selection: Selection, given: Mapping[str, Any], *, past: bool
    ) -> RecordLevel:
        read = read_of(declared.target())
        shape = self._shape(read, past=past, nested=False)
        expression = self._object(Place(shape, read), _object_type(made), selection)
        return RecordLevel(shape, given["id"], self._function(shape, "r, e", expression))

    def _list(
        self, declared: Connection, name: str, made: GraphQLField, selection: Selection, given: Mapping[str, Any],
        *, past: bool, nested: bool,
    ) -> ListLevel:  # fmt: skip
        read = read_of(declared.target())
        shape = self._shape(read, past=past, nested=nested)
        keys = listing.orders(read, declared, given.get("order_by"), self._viewer)
        level = ListLevel(
            shape, name=name, via=declared.via, keys=keys, given=given,
            conditions=listing.conditions(read, declared, given, self._viewer),
        )  # fmt: skip
        expression = self._connection(level, Place(shape, read), _object_type(made), selection)
        level.answer = self._function(shape, "rows, more, before, count, e", expression)
        return level

    def _many(self, declared: Many, made: GraphQLField, selection: Selection, *, past: bool) -> ManyLevel:
        read = read_of(declared.target())
        shape = self._shape(read, past=past, nested=True)
        listed = resolve.listed_of(declared, arguments.given(made, selection.nodes[0], self._variables), self._viewer)
        expression = f"[{self._object(Place(shape, read), _object_type(made), selection)} for r in rows]"
        shape.page = True
        level = ManyLevel(shape, listed, declared.limit)
        level.answer = self._function(shape, "rows, e", expression)
        return level

    def _function(self, shape: Shape, parameters: str, expression: str) -> Callable[..., Any]:
        return self._builder.function(parameters, shape.placed(expression))

    # Expressions

    def _connection(self, level: ListLevel, place: Place, type_: GraphQLObjectType, selection: Selection) -> str:
        keys, expressions = [], []
        for part in self._collect(type_, selection.sets):
            keys.append(part.key)
            match part.name:
                case "__typename":
                    expressions.append(self._builder.named(type_.name))
                case "nodes":
                    level.paged = True
                    node = self._object(place, _object_type(_field(type_, part)), part)
                    expressions.append(f"[{node} for r in rows]")
                case "edges":
                    level.paged = True
                    expressions.append(
                        f"[{self._edge(level, place, _object_type(_field(type_, part)), part)} for r in rows]"
                    )
                case "pageInfo":
                    level.paged = True
                    expressions.append(self._page_info(level, _object_type(_field(type_, part)), part))
                case "totalCount":
                    level.counted = True
                    expressions.append("count")
                case other:
                    raise NotCompilableError(f"{type_.name}.{other}")
        return self._builder.struct(keys, expressions)

    def _edge(self, level: ListLevel, place: Place, type_: GraphQLObjectType, selection: Selection) -> str:
        keys, expressions = [], []
        for part in self._collect(type_, selection.sets):
            keys.append(part.key)
            match part.name:
                case "__typename":
                    expressions.append(self._builder.named(type_.name))
                case "cursor":
                    expressions.append(level.cursor("r"))
                case "node":
                    expressions.append(self._object(place, _object_type(_field(type_, part)), part))
                case other:
                    raise NotCompilableError(f"{type_.name}.{other}")
        return self._builder.struct(keys, expressions)

    def _page_info(self, level: ListLevel, type_: GraphQLObjectType, selection: Selection) -> str:
        known = {
            "__typename": self._builder.named(type_.name),
            "hasNextPage": "before" if level.backwards else "more",
            "hasPreviousPage": "more" if level.backwards else "before",
            "startCursor": f"({level.cursor('rows[0]')} if rows else None)",
            "endCursor": f"({level.cursor('rows[-1]')} if rows else None)",
        }
        parts = self._collect(type_, selection.sets)
        return self._builder.struct([part.key for part in parts], [known[part.name] for part in parts])

    def _object(self, place: Place, type_: GraphQLObjectType, selection: Selection) -> str:
        if not isinstance(type_, GraphQLObjectType) or type_.name != place.read.name:
            raise NotCompilableError(f"{type_.name} is an interface or union")
        place.level.answers(place.read, place.column)
        keys, expressions = [], []
        for part in self._collect(type_, selection.sets):
            keys.append(part.key)
            if part.name == "__typename":
                expressions.append(self._builder.named(type_.name))
            else:
                expressions.append(self._answer(place, type_, part))
        return self._builder.struct(keys, expressions)

    def _answer(self, place: Place, type_: GraphQLObjectType, selection: Selection) -> str:
        made = _field(type_, selection)
        declared = _declared(made)
        if declared is not None and is_sensitive(declared) and not self._masked(place, selection):
            place.level.sensitive.add(selection.name)
        match declared:
            case Value():
                return self._value(place, declared, made, selection)
            case One():
                return self._one(place, declared, made, selection)
            case Many() | Connection():
                return self._below(place, declared, made, selection)
            case _:
                raise NotCompilableError(f"{type_.name}.{selection.name}")

    def _value(self, place: Place, declared: Value, made: GraphQLField, selection: Selection) -> str:
        columns = self._columns(place, declared, selection)
        if columns is None:
            return "required(None)" if is_non_null_type(made.type) else "None"
        if declared.build is None and selection.leaf:
            return build.leaf(
                self._builder,
                made.type,
                columns[0],
                (declared.beside or place.read.source).type_of(declared.columns[0]),
            )
        value = columns[0]
        if declared.build is not None:
            given = arguments.given(made, selection.nodes[0], self._variables)
            passed = [*(["e.moment"] if declared.contextual else []), *columns, *map(self._keyword, given.items())]
            value = f"{self._builder.named(declared.build)}({', '.join(passed)})"
            if not declared.nulls:
                value = f"(None if {columns[0]} is None else {value})"
        return f"{self._builder.named(self._finish(made.type, selection))}({value})"

    def _masked(self, place: Place, selection: Selection) -> bool:
        return bool(place.read.entity) and selection.name in self._viewer.masked(place.read.entity)

    def _columns(self, place: Place, declared: Value, selection: Selection) -> list[str] | None:
        """Where the value's columns stand; None for a masked value of a table beside the type's own."""
        if declared.beside is None:
            return [place.column(name) for name in declared.columns]
        if self._masked(place, selection):
            return None
        joined = place.level.join(place.joined, place.read.key or "id", companion(declared.beside))
        return [place.level.of_join(joined, name) for name in declared.columns]

    def _keyword(self, item: tuple[str, Any]) -> str:
        name, value = item
        if not name.isidentifier():
            raise NotCompilableError(f"argument {name}")
        taken = self._builder.named(value.take if isinstance(value, Slot) else value)
        return f"{name}={taken}(e)" if isinstance(value, Slot) else f"{name}={taken}"

    def _finish(self, type_: Any, selection: Selection) -> Callable[[Any], Any]:
        """What makes the JSON of a value already there: leaves, and plain objects such as Money."""
        if selection.leaf:
            return build.serializer(type_)
        if is_non_null_type(type_):
            inner = self._finish(type_.of_type, selection)
            return lambda value: inner(build.required(value))
        if not isinstance(type_, GraphQLObjectType):
            item = self._finish(type_.of_type, selection) if hasattr(type_, "of_type") else None
            if item is None:
                raise NotCompilableError(f"{type_} is an interface or union")
            return lambda values: None if values is None else [item(value) for value in values]
        return self._plain(type_, selection)

    def _plain(self, type_: GraphQLObjectType, selection: Selection) -> Callable[[Any], Any]:
        """An object of a Strawberry type that is no read type, by attribute."""
        keys, expressions = [], []
        for part in self._collect(type_, selection.sets):
            keys.append(part.key)
            if part.name == "__typename":
                expressions.append(self._builder.named(type_.name))
                continue
            made = _field(type_, part)
            definition = made.extensions["strawberry-definition"]
            if not definition.is_basic_field:
                raise NotCompilableError(f"{type_.name}.{part.name}")
            expressions.append(f"{self._builder.named(self._finish(made.type, part))}(v.{definition.python_name})")
        return self._builder.function("v", f"None if v is None else {self._builder.struct(keys, expressions)}")

    def _one(self, place: Place, declared: One, made: GraphQLField, selection: Selection) -> str:
        target = read_of(declared.target())
        joined = place.level.join(place.joined, declared.column, target)
        found = self._object(Place(place.level, target, joined), _object_type(made), selection)
        there = place.level.of_join(joined, target.key or "id")
        value = f"(None if {there} is None else {found})"
        return f"required({value})" if is_non_null_type(made.type) else value

    def _below(self, place: Place, declared: Many | Connection, made: GraphQLField, selection: Selection) -> str:
        if self._masked(place, selection):
            return "required(None)" if is_non_null_type(made.type) else "None"
        past = place.level.past
        if isinstance(declared, Many):
            level: Level = self._many(declared, made, selection, past=past)
        else:
            given = arguments.given(made, selection.nodes[0], self._variables)
            name = f"{place.read.name}.{selection.name}"
            level = self._list(declared, name, made, selection, given, past=past, nested=True)
        parent = place.column(place.read.key or "id")
        place.level.below(level, parent)
        return f"e.below[{level.shape.number}][{parent}]"


def _field(type_: GraphQLObjectType, selection: Selection) -> GraphQLField:
    found: GraphQLField | None = type_.fields.get(selection.name)
    if found is None:
        raise NotCompilableError(f"{type_.name}.{selection.name}")
    return found


def _declared(made: GraphQLField) -> Any:
    """A field with extensions (a guard, say) runs them in the generic executor alone: fail to the safe side."""
    definition = made.extensions.get("strawberry-definition")
    if definition is None:
        return None
    if definition.extensions:
        raise NotCompilableError(f"{definition.python_name} has extensions")
    return definition.metadata.get("read")


def _object_type(made: GraphQLField) -> Any:
    return get_named_type(made.type)
