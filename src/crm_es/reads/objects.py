"""Answers of values that are objects, or lists of them: plain ones by attribute, records of a read type by their row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from graphql import GraphQLField, GraphQLObjectType, is_non_null_type

from crm_es.reads import build, records, resolve
from crm_es.reads.build import Builder
from crm_es.reads.environment import Environment, Level
from crm_es.reads.errors import NotCompilableError
from crm_es.reads.model import Named, NamedValue, ReadType, Value
from crm_es.reads.paging import field_of, object_type
from crm_es.reads.selections import Selection

Finish = Callable[[Any, Environment], Any]
Ids = Callable[[Any, Environment], list[Any]]


class Place(Protocol):
    """Where a value stands in its level."""

    def named(self, declared: Named, type_: Any, selection: Selection) -> Level:
        """The level of records that objects name."""
        ...

    def named_column(self, declared: Named, column: str) -> Level: ...

    def hang(self, level: Level, ids: Ids) -> None:
        """The level goes below this one; `ids` are those that the value names."""
        ...


class Nowhere:
    """The place of a value that is in no row: its objects name no records."""

    def named(self, declared: Named, _type: Any, _selection: Selection) -> Level:
        raise NotCompilableError(f"a {declared.target().__name__} that no row names")

    def named_column(self, declared: Named, _column: str) -> Level:
        raise NotCompilableError(f"a {declared.target().__name__} that no row names")

    def hang(self, level: Level, ids: Ids) -> None:
        """Nothing: there is no level to hang."""


@dataclass(frozen=True, slots=True)
class Objects:
    """`reached` finds the objects that are made here in the value as a whole."""

    builder: Builder
    collect: Callable[[GraphQLObjectType, list[Any]], Sequence[Selection]]
    place: Place
    reached: Callable[[Any], list[Any]]

    def finish(self, type_: Any, selection: Selection) -> Finish:
        """What makes the JSON of a value already there. Raises: NotCompilableError."""
        if selection.leaf:
            serialize = build.serializer(type_)
            return lambda value, _e: serialize(value)
        if is_non_null_type(type_):
            inner = self.finish(type_.of_type, selection)
            return lambda value, e: inner(build.required(value), e)
        if isinstance(type_, GraphQLObjectType):
            return self._object(type_, selection)
        if not hasattr(type_, "of_type"):
            raise NotCompilableError(f"{type_} is an interface or union")
        item = self.finish(type_.of_type, selection)
        return lambda values, e: None if values is None else [item(value, e) for value in values]

    def _object(self, type_: GraphQLObjectType, selection: Selection) -> Finish:
        keys, expressions = [], []
        for part in self.collect(type_, selection.sets):
            keys.append(part.key)
            if part.name == "__typename":
                expressions.append(self.builder.named(type_.name))
            else:
                expressions.append(self._field(type_, part))
        answer = self.builder.function("v, e", f"None if v is None else {self.builder.struct(keys, expressions)}")
        return _noting(answer) if _read_of(type_) is not None else answer

    def _field(self, type_: GraphQLObjectType, part: Selection) -> str:
        made = field_of(type_, part)
        definition = made.extensions["strawberry-definition"]
        match definition.metadata.get("read"):
            case Named() as declared:
                level = self.place.named(declared, object_type(made), part)
                return _as(made, self._found(declared, level))
            case NamedValue() as declared:
                levels = [self.place.named_column(each, declared.column) for each in declared.of]
                found = ", ".join(map(self._found, declared.of, levels))
                return f"{self._finisher(made, part, definition)}({self.builder.named(_first)}({found}), e)"
            case Value() as declared:
                return self._of_row(type_, declared, made, part)
        if not definition.is_basic_field:
            raise NotCompilableError(f"{type_.name}.{part.name}")
        return f"{self._finisher(made, part, definition)}(v.{definition.python_name}, e)"

    def _finisher(self, made: GraphQLField, part: Selection, definition: Any) -> str:
        """Objects further in are found by way of these."""
        within = Objects(self.builder, self.collect, self.place, partial(_within, self.reached, definition.python_name))
        return self.builder.named(within.finish(made.type, part))

    def _found(self, declared: Named, level: Level) -> str:
        """The answer for the record that `v` names; None where it names none, or none is there."""
        self.place.hang(level, partial(_ids, declared, self.reached))
        return f"e.below[{level.number}].get({self.builder.named(partial(_id, declared))}(v))"

    def _of_row(self, type_: GraphQLObjectType, declared: Value, made: GraphQLField, part: Selection) -> str:
        read = _read_of(type_)
        if read is None or declared.lazy or declared.beside is not None or declared.arguments:
            raise NotCompilableError(f"{type_.name}.{part.name}")
        answer = resolve.answering(declared, part.name, read)
        finish = self.builder.named(self.finish(made.type, part))
        return f"{finish}({self.builder.named(answer)}(v, None, {{}}), e)"


def flat(value: Any) -> list[Any]:
    """The objects in a value: none, one, or those of its lists."""
    if value is None:
        return []
    return [each for item in value for each in flat(item)] if isinstance(value, list) else [value]


def _within(reached: Callable[[Any], list[Any]], name: str, value: Any) -> list[Any]:
    return [each for one in reached(value) for each in flat(getattr(one, name))]


def _ids(declared: Named, reached: Callable[[Any], list[Any]], value: Any, environment: Environment) -> list[Any]:
    """Raises: NotCompilableError where a record is shown at another moment than the list it is in."""
    found = [named for one in reached(value) if (named := declared.of(one)) is not None]
    if any(moment is not environment.moment for moment, _ in found):
        raise NotCompilableError("a record of another moment")
    return [id_ for _, id_ in found]


def _id(declared: Named, one: Any) -> Any:
    named = declared.of(one)
    return None if named is None else named[1]


def _first(*found: Any) -> Any:
    """The column of the first record that there is."""
    return next((row[0] for row in found if row is not None), None)


def _as(made: GraphQLField, expression: str) -> str:
    return f"required({expression})" if is_non_null_type(made.type) else expression


def _read_of(type_: GraphQLObjectType) -> ReadType | None:
    definition = type_.extensions.get("strawberry-definition")
    return getattr(getattr(definition, "origin", None), "__read__", None)


def _noting(answer: Finish) -> Finish:
    """A record goes out."""

    def noted(value: Any, environment: Environment) -> Any:
        if value is not None:
            records.answered(value)
        return answer(value, environment)

    return noted
