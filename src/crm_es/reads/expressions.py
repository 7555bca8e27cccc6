"""What a plan makes of the fields of a record: expressions of a row `r` and the environment `e`, and levels below."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from graphql import GraphQLField, GraphQLObjectType, is_non_null_type

from crm_es.api.rules import Guard
from crm_es.reads import arguments, build, objects
from crm_es.reads.build import Builder
from crm_es.reads.environment import Level
from crm_es.reads.errors import NotCompilableError
from crm_es.reads.levels import BatchedLevel
from crm_es.reads.model import (
    Batched,
    Connection,
    Either,
    Many,
    Merged,
    Named,
    One,
    ReadType,
    Target,
    Value,
    companion,
    is_sensitive,
    read_of,
)
from crm_es.reads.objects import Ids, Objects
from crm_es.reads.paging import field_of, object_type
from crm_es.reads.selections import Selection
from crm_es.reads.shapes import Joined, Shape
from crm_es.reads.sql import Slot, Viewer


@dataclass(slots=True)
class Place:
    """Where an expression stands: in a level's row, on the table under `alias` (None: the level's own)."""

    level: Shape
    read: ReadType
    joined: Joined | None = None

    def column(self, name: str) -> str:
        return self.level.own(name) if self.joined is None else self.level.of_join(self.joined, name)

    @property
    def key(self) -> str:
        return self.column(self.read.key or "id")


class Levels(Protocol):
    """Who makes the levels below."""

    def number(self) -> int: ...

    def below(
        self, place: Place, declared: Many | Connection | Merged, made: GraphQLField, selection: Selection
    ) -> Level: ...

    def named(self, target: Target, type_: Any, selection: Selection, *, past: bool) -> Level: ...

    def named_column(self, target: Target, column: str, *, past: bool) -> Level: ...


@dataclass(frozen=True, slots=True)
class Expressions:
    """Of one operation."""

    builder: Builder
    collect: Callable[[GraphQLObjectType, list[Any]], Sequence[Selection]]
    types: Mapping[str, Any]
    variables: Mapping[str, Any]
    viewer: Viewer
    levels: Levels

    def object(self, place: Place, type_: Any, selection: Selection) -> str:
        """Raises: NotCompilableError."""
        if not isinstance(type_, GraphQLObjectType) or type_.name != place.read.name:
            raise NotCompilableError(f"{type_.name} is an interface or union")
        place.level.answers(place.read, place.column)
        keys, expressions = [], []
        for part in self.collect(type_, selection.sets):
            keys.append(part.key)
            if part.name == "__typename":
                expressions.append(self.builder.named(type_.name))
            else:
                expressions.append(self._answer(place, type_, part))
        return self.builder.struct(keys, expressions)

    def _answer(self, place: Place, type_: GraphQLObjectType, selection: Selection) -> str:
        made = field_of(type_, selection)
        declared = declared_of(made)
        if declared is not None and is_sensitive(declared) and not self._masked(place, selection):
            place.level.sensitive[selection.name, None if place.joined is None else place.key] = None
        match declared:
            case Value():
                return self._value(place, declared, made, selection)
            case One():
                return _as(made, self._one(place, declared, object_type(made), selection))
            case Either():
                return _as(made, self._either(place, declared, selection))
            case Batched():
                return self._batched(place, declared, made, selection)
            case Many() | Connection() | Merged():
                return self._below(place, declared, made, selection)
            case _:
                raise NotCompilableError(f"{type_.name}.{selection.name}")

    def _masked(self, place: Place, selection: Selection) -> bool:
        return bool(place.read.entity) and selection.name in self.viewer.masked(place.read.entity)

    def _given(self, made: GraphQLField, selection: Selection) -> dict[str, Any]:
        return arguments.given(made, selection.nodes[0], self.variables)

    # Values

    def _value(self, place: Place, declared: Value, made: GraphQLField, selection: Selection) -> str:
        if declared.present and place.level.past:
            raise NotCompilableError(f"{place.read.name}.{selection.name} of the past")
        columns = self._columns(place, declared, selection)
        if columns is None:
            return _as(made, "None")
        if declared.build is None and selection.leaf:
            kind = (declared.beside or place.read.source).type_of(declared.columns[0])
            return build.leaf(self.builder, made.type, columns[0], kind)
        value = columns[0]
        if declared.build is not None:
            given = self._given(made, selection)
            passed = [*(["e.moment"] if declared.contextual else []), *columns, *map(self._keyword, given.items())]
            value = f"{self.builder.named(declared.build)}({', '.join(passed)})"
            if not declared.nulls:
                value = f"(None if {columns[0]} is None else {value})"
        return self._finished(place, value, made, selection)

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
        taken = self.builder.named(value.take if isinstance(value, Slot) else value)
        return f"{name}={taken}(e)" if isinstance(value, Slot) else f"{name}={taken}"

    def _finished(self, place: Place, value: str, made: GraphQLField, selection: Selection) -> str:
        if selection.leaf:
            return f"{self.builder.named(build.serializer(made.type))}({value})"
        found = Objects(self.builder, self.collect, _Hook(self, place, value), objects.flat)
        return f"{self.builder.named(found.finish(made.type, selection))}({value}, e)"

    # Records

    def _one(
        self, place: Place, declared: One, type_: Any, selection: Selection, when: tuple[str, str] | None = None
    ) -> str:
        target = read_of(declared.target())
        joined = place.level.join(place.joined, declared.column, target, when)
        found = self.object(Place(place.level, target, joined), type_, selection)
        return f"(None if {place.level.of_join(joined, target.key or 'id')} is None else {found})"

    def _either(self, place: Place, declared: Either, selection: Selection) -> str:
        """At most one of the joins has found its record."""
        found = []
        for kind, target in declared.targets.items():
            one = One(column=declared.column, target=target)
            found.append(self._one(place, one, self.types[read_of(target()).name], selection, (declared.kind, kind)))
        return f"({' or '.join(found)})"

    def _below(
        self, place: Place, declared: Many | Connection | Merged, made: GraphQLField, selection: Selection
    ) -> str:
        if self._masked(place, selection):
            return _as(made, "None")
        level = self.levels.below(place, declared, made, selection)
        place.level.below(level, f"list(dict.fromkeys({place.key} for r in rows if {place.key} is not None))")
        return f"e.below[{level.number}][{place.key}]"

    def _batched(self, place: Place, declared: Batched, made: GraphQLField, selection: Selection) -> str:
        if self._masked(place, selection):
            return _as(made, "None")
        names = list(dict.fromkeys([place.read.key or "id", *declared.columns]))
        level = BatchedLevel(self.levels.number(), place.read, names, declared.load, self._given(made, selection))
        row = ", ".join(place.column(name) for name in names)
        there = f"for r in rows if {place.key} is not None"
        place.level.below(level, f"list({{{place.key}: ({row},) {there}}}.values())")
        return self._finished(place, f"e.below[{level.number}].get({place.key})", made, selection)


@dataclass(frozen=True, slots=True)
class _Hook:
    """Where a value of objects stands, and what it is in the row."""

    expressions: Expressions
    place: Place
    value: str

    def named(self, declared: Named, type_: Any, selection: Selection) -> Level:
        return self.expressions.levels.named(declared.target, type_, selection, past=self.place.level.past)

    def named_column(self, declared: Named, column: str) -> Level:
        return self.expressions.levels.named_column(declared.target, column, past=self.place.level.past)

    def hang(self, level: Level, ids: Ids) -> None:
        found = self.expressions.builder.named(ids)
        self.place.level.below(level, f"list(dict.fromkeys(i for r in rows for i in {found}({self.value}, e)))")


def declared_of(made: GraphQLField) -> Any:
    """A field with extensions (a guard, say) runs them in the generic executor alone: fail to the safe side."""
    definition = made.extensions.get("strawberry-definition")
    if definition is None:
        return None
    if any(not isinstance(each, Guard) or each.rule.needs is not None for each in definition.extensions):
        raise NotCompilableError(f"{definition.python_name} has extensions")
    return definition.metadata.get("read")


def _as(made: GraphQLField, expression: str) -> str:
    return f"required({expression})" if is_non_null_type(made.type) else expression
