"""The start-up check: do the declared reads fit the tables? Column there, type maps, NOT NULL under non-null fields, an index
for every order and its like on the twin. What `projector/catalogue.py` says of tables and database is not said again.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from graphql import (
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_leaf_type,
)

from crm_es.projector.contract import Index, Table
from crm_es.reads.errors import DeclarationError
from crm_es.reads.model import Beside, Connection, Either, Link, Many, Merged, NamedValue, One, ReadType, Value, read_of
from crm_es.reads.sql import Source

MAPS: dict[str, frozenset[str]] = {
    "String": frozenset({"text"}),
    "Int": frozenset({"int", "integer", "smallint", "bigint"}),
    "Float": frozenset({"numeric", "double precision"}),
    "Boolean": frozenset({"bool", "boolean"}),
    "DateTime": frozenset({"timestamptz", "timestamp with time zone"}),
    "Date": frozenset({"date"}),
    "Decimal": frozenset({"numeric"}),
    "UUID": frozenset({"uuid"}),
    "Position": frozenset({"bigint"}),
    "JSON": frozenset({"jsonb"}),
}
"""Column types a scalar can be answered from as they are."""


def check(schema: GraphQLSchema) -> None:
    """Every read type of the schema. Raises: DeclarationError, naming all faults."""
    found = tuple(fault for type_ in schema.type_map.values() for fault in _type(type_))
    if found:
        raise DeclarationError(found)


def _type(type_: GraphQLNamedType) -> Iterator[str]:
    if not isinstance(type_, GraphQLObjectType):
        return
    definition = type_.extensions.get("strawberry-definition")
    read = getattr(getattr(definition, "origin", None), "__read__", None)
    for name, made in type_.fields.items():
        field = made.extensions.get("strawberry-definition")
        declared = getattr(field, "metadata", {}).get("read")
        if declared is None:
            continue
        for fault in _field(read, declared, made.type):
            yield f"{type_.name}.{name}: {fault}"
    if read is not None:
        yield from (f"{type_.name}: {fault}" for fault in (*_orders(read), *_filters(read)))


def _field(read: ReadType | None, declared: Any, type_: Any) -> Iterator[str]:
    match declared:
        case Value() if read is not None:
            yield from _value(declared.beside or read.source, declared, type_)
        case One() if read is not None:
            yield from _columns(read.source, [declared.column])
        case Either() if read is not None:
            yield from _columns(read.source, declared.columns)
        case NamedValue():
            for each in declared.of:
                yield from _columns(read_of(each.target()).source, [declared.column])
        case Many() | Connection():
            target = read_of(declared.target())
            yield from _via(target, declared.via)
            if isinstance(declared, Many):
                yield from _columns(target.source, [name.removeprefix("-") for name in declared.order])
        case Merged():
            for part in declared.parts:
                yield from _field(read, part, type_)
            yield from _together(declared)
        case _:
            return


def _value(source: Source, declared: Value, type_: Any) -> Iterator[str]:
    missing = list(_columns(source, declared.columns))
    yield from missing
    if missing or declared.build is not None:
        return
    column = declared.columns[0]
    if isinstance(type_, GraphQLNonNull) and source.nullable(column) and not declared.promised:
        yield f"is never null, but {_named(source, column)} may be"
    named, bare = get_named_type(type_), type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if not is_leaf_type(named) or named.name not in MAPS:
        return
    kind = source.type_of(column)
    element = kind.removesuffix("[]") if isinstance(bare, GraphQLList) else kind
    if element not in MAPS[named.name] or (isinstance(bare, GraphQLList) and element == kind):
        yield f"is {type_}, but {_named(source, column)} is {kind}"


def _via(target: ReadType, via: str | Link | None) -> Iterator[str]:
    if isinstance(via, Link):
        yield from _columns(via.source, [via.parent, via.child, *via.orders.values()])
        if not _starts(via.source.table, via.parent):
            yield f"no index or key of {via.source.table.name} starts with {via.parent}"
    elif via is not None:
        yield from _columns(target.source, [via])
        if not _starts(target.source.table, via):
            yield f"no index or key of {target.source.table.name} starts with {via}"


def _together(declared: Merged) -> Iterator[str]:
    """Parts merge by what they are ordered by: the same, there in every row, and then the id."""
    orders = [_order(part) for part in declared.parts]
    if any(order != orders[0] for order in orders):
        yield "its parts are ordered differently"
    for part, order in zip(declared.parts, orders, strict=True):
        target = read_of(part.target())
        if len(order) != 1 or any(isinstance(name, Beside) or target.source.nullable(name) for name, _ in order):
            yield f"{target.name} is not ordered by one column of its own that is never null"


def _order(part: Connection) -> list[tuple[str | Beside, str]]:
    """The list's own order: columns with their directions."""
    orders = read_of(part.target()).orders
    named = orders.columns if orders is not None else {}
    return [(named.get(name, name), way) for name, way in part.default or (orders.default if orders else ())]


def _orders(read: ReadType) -> Iterator[str]:
    """An order of the whole list must be one walk of an index."""
    for name, column in (read.orders.columns if read.orders is not None else {}).items():
        source = column.source if isinstance(column, Beside) else read.source
        wanted = column.column if isinstance(column, Beside) else column
        missing = list(_columns(source, [wanted]))
        yield from missing
        if not missing and not _walks(source.table, wanted):
            yield f"order {name} has no index on {_named(source, wanted)} marked `order`"


def _filters(read: ReadType) -> Iterator[str]:
    for name, declared in (read.filter().__filter__ if read.filter is not None else {}).items():
        for column in declared.columns:
            if column not in read.source.names:
                yield f"filter {name} asks for {_named(read.source, column)}, which is no column"


def _walks(table: Table, column: str) -> bool:
    indexes: Iterable[Index] = table.indexes
    return table.key[0] == column or any(index.order and index.columns == (column,) for index in indexes)


def _starts(table: Table, column: str) -> bool:
    return table.key[0] == column or any(index.columns[0] == column for index in table.indexes)


def _columns(source: Source, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name not in source.names:
            yield f"there is no column {_named(source, name)}"


def _named(source: Source, column: str) -> str:
    return f"{source.model}.{source.table.name}.{column}"
