"""A step's input, bound to the schema: each field of the mapping has a place in the mutation's input type, or is refused.

A bound input is a tree of nodes; `build` makes one row's input of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    get_named_type,
    get_nullable_type,
    is_required_input_field,
)
from graphql.utilities import validate_input_value

from crm_es.imports.cells import ABSENT, Cell, CellError, clears, convert, read_cell
from crm_es.imports.mapping import Mapping as Written
from crm_es.imports.mapping import Maps, RecordKey
from crm_es.imports.table import Problems, StrictTable, did_you_mean

EXPRESSIONS = frozenset({"column", "template", "record", "null"})
OURS = frozenset({"commandId", "expectedVersion"})
"""Input fields only the importer may set."""


class RowProblem(Exception):  # noqa: N818  # a finding about a row, not a failure of the program
    """One row cannot become this input: the field's path, and the reason."""

    def __init__(self, field: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordRef:
    """A record's id, known only when the steps before it have run."""

    record: str
    key: str


class Node(Protocol):
    """A place in the input. `build` answers ABSENT where the row has nothing to say."""

    def build(self, row: "RowView") -> Any: ...
    def columns(self) -> Iterator[str]: ...
    def records(self) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class RowView:
    """A row as the nodes see it."""

    cells: dict[str, str]
    zone: ZoneInfo
    records: Mapping[str, RecordKey]


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    value: Any

    def build(self, row: RowView) -> Any:  # noqa: ARG002  # as every node
        return self.value

    def columns(self) -> Iterator[str]:
        return iter(())

    def records(self) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """One cell, or one cell split into several values."""

    cell: Cell
    type: str
    path: tuple[str, ...]

    def build(self, row: RowView) -> Any:
        try:
            text = self.cell.text(row.cells)
            if self.cell.split is None:
                return convert(self.type, text, self.cell, row.zone) if text else self._nothing
            parts = [part.strip() for part in text.split(self.cell.split)]
            return [convert(self.type, part, self.cell, row.zone) for part in parts if part] or ABSENT
        except CellError as exc:
            raise RowProblem(self.path, f"{'/'.join(self.cell.columns)} {exc}.") from exc

    @property
    def _nothing(self) -> Any:
        return None if self.cell.clears else ABSENT

    def columns(self) -> Iterator[str]:
        return iter(self.cell.columns)

    def records(self) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True, kw_only=True, slots=True)
class Relation:
    """The id of a record named in the mapping; where the row names none, null or nothing."""

    record: RecordKey
    clears: bool = False

    def build(self, row: RowView) -> Any:
        if key := self.record.key(row.cells):
            return RecordRef(record=self.record.name, key=key)
        return None if self.clears else ABSENT

    def columns(self) -> Iterator[str]:
        return iter(self.record.value.columns)

    def records(self) -> Iterator[str]:
        return iter((self.record.name,))


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """A list written out in the mapping; elements with nothing to say are left out."""

    items: tuple[Node, ...]

    def build(self, row: RowView) -> Any:
        built = [value for item in self.items if (value := item.build(row)) is not ABSENT]
        flat = [part for value in built for part in (value if isinstance(value, list) else [value])]
        return flat or ABSENT

    def columns(self) -> Iterator[str]:
        return (name for item in self.items for name in item.columns())

    def records(self) -> Iterator[str]:
        return (name for item in self.items for name in item.records())


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """An input object. It is absent when every part of it that comes from the file is: an amount without its number
    is no amount, whatever its currency."""

    fields: Mapping[str, Node]
    required: tuple[str, ...]
    path: tuple[str, ...]

    def build(self, row: RowView) -> Any:
        built = {name: value for name, node in self.fields.items() if (value := node.build(row)) is not ABSENT}
        from_file = [name for name, node in self.fields.items() if not isinstance(node, Constant)]
        if self.path and from_file and not any(name in built for name in from_file):
            return ABSENT
        for name in self.required:
            if name not in built:
                columns = ", ".join(self.fields[name].columns())
                raise RowProblem((*self.path, name), f"The field is required and {columns or 'its list'} is empty.")
        return built

    def columns(self) -> Iterator[str]:
        return (name for node in self.fields.values() for name in node.columns())

    def records(self) -> Iterator[str]:
        return (name for node in self.fields.values() for name in node.records())


def bind_input(inputs: Any, type_: GraphQLInputObjectType, mapping: Written, path: str, problems: Problems) -> Fields:
    """The mapping's `input` table against the mutation's input type. What does not fit is noted in `problems`."""
    for name in OURS & inputs.keys():
        problems.note(f"{path}.{name}", "is set by the import itself; leave it out")
    given = {name: value for name, value in inputs.items() if name not in OURS}
    return _Binder(mapping.records, mapping.maps, problems).fields(given, type_, path, ())


@dataclass(frozen=True, slots=True)
class _Binder:
    records: Mapping[str, RecordKey]
    maps: Maps
    problems: Problems

    def fields(self, data: Any, type_: GraphQLInputObjectType, at: str, path: tuple[str, ...]) -> Fields:
        known = {name: value for name, value in data.items() if name in type_.fields}
        for name in data.keys() - known.keys():
            self.problems.note(f"{at}.{name}", f"is no field of {type_.name}{did_you_mean(name, type_.fields)}")
        required = tuple(name for name, field in type_.fields.items() if is_required_input_field(field))
        for name in required:
            if name not in data:
                self.problems.note(f"{at}.{name}", f"is missing: {type_.name} requires it")
        nodes = {n: self.node(v, type_.fields[n].type, f"{at}.{n}", (*path, n)) for n, v in known.items()}
        return Fields(fields=nodes, required=tuple(n for n in required if n in nodes), path=path)

    def node(self, data: Any, type_: GraphQLInputType, at: str, path: tuple[str, ...]) -> Node:
        plain, named = get_nullable_type(type_), get_named_type(type_)
        if isinstance(data, dict) and data.keys() & EXPRESSIONS and not _has_field(named, data):
            return self.expression(data, type_, at, path)
        if isinstance(plain, GraphQLList):
            items = data if isinstance(data, list) else [data]
            nodes = [self.node(item, plain.of_type, f"{at}[{n}]", (*path, str(n))) for n, item in enumerate(items)]
            return Items(items=tuple(nodes))
        if isinstance(plain, GraphQLInputObjectType):
            return self.object(data, plain, at, path)
        return self.constant(data, type_, at)

    def object(self, data: Any, type_: GraphQLInputObjectType, at: str, path: tuple[str, ...]) -> Node:
        if isinstance(data, dict):
            return self.fields(data, type_, at, path)
        self.problems.note(at, f"must be a table with fields of {type_.name}")
        return Constant(value=None)

    def constant(self, data: Any, type_: GraphQLInputType, at: str) -> Node:
        def note(error: GraphQLError, _path: object) -> None:
            self.problems.note(at, error.message + _choices(type_))

        validate_input_value(data, type_, note)
        return Constant(value=data)

    def expression(self, data: dict[str, Any], type_: GraphQLInputType, at: str, path: tuple[str, ...]) -> Node:
        named = get_named_type(type_)
        table = StrictTable(data, at, self.problems)
        if "null" in data:
            return self.null(table, type_)
        if "record" in data:
            return self.relation(table, type_)
        cell = read_cell(table, self.maps)
        if cell.clears:
            self.may_be_null(table, "empty", type_)
        if isinstance(named, GraphQLInputObjectType):
            table.note("", f"needs a table with fields of {named.name}, not one cell")
        if cell.split is not None and not isinstance(get_nullable_type(type_), GraphQLList):
            table.note("split", "gives several values, and this field takes one")
        if isinstance(named, GraphQLEnumType):
            self.enum_words(cell, named, table)
        value = Value(cell=cell, type=named.name, path=path)
        return Items(items=(value,)) if isinstance(get_nullable_type(type_), GraphQLList) else value

    def enum_words(self, cell: Cell, type_: GraphQLEnumType, table: StrictTable) -> None:
        for word in sorted({*cell.words.values(), *([cell.default] if cell.default else [])}):
            if word and word not in type_.values:
                table.note("map", f'"{word}" is no {type_.name}{did_you_mean(word, type_.values)}')

    def null(self, table: StrictTable, type_: GraphQLInputType) -> Node:
        if not table.flag("null", default=False):
            table.note("null", "is true, or left out")
        self.may_be_null(table, "null", type_)
        table.done()
        return Constant(value=None)

    def may_be_null(self, table: StrictTable, key: str, type_: GraphQLInputType) -> None:
        if isinstance(type_, GraphQLNonNull | GraphQLList):
            table.note(key, f"does not go with {type_}")

    def relation(self, table: StrictTable, type_: GraphQLInputType) -> Node:
        named: GraphQLNamedType = get_named_type(type_)
        name, null = table.text("record") or "", clears(table)
        if null:
            self.may_be_null(table, "empty", type_)
        table.done()
        if name not in self.records:
            table.note("record", f"no [record.{name}] in this mapping{did_you_mean(name, self.records)}")
            return Constant(value=None)
        if named.name != "ID":
            table.note("record", f"gives an id, and this field takes {named.name}")
        return Relation(record=self.records[name], clears=null)


def _has_field(named: GraphQLNamedType, data: dict[str, Any]) -> bool:
    return isinstance(named, GraphQLInputObjectType) and bool(data.keys() & EXPRESSIONS & named.fields.keys())


def _choices(type_: GraphQLInputType) -> str:
    named = get_named_type(type_)
    return f" One of {', '.join(named.values)}." if isinstance(named, GraphQLEnumType) else ""
