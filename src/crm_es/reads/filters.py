"""Filters, declared: a GraphQL filter field → a condition on columns and child tables. The operand types are in `operands.py`.

contact_filter = filter_type(lambda: Contact, id=by_id("id", "Contact"), email=child(EMAILS, "contact_id", text("address")), …)
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, LiteralString

import strawberry
from psycopg.sql import SQL, Composable
from strawberry import UNSET

from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import camel
from crm_es.reads import operands, records
from crm_es.reads.later import Later
from crm_es.reads.model import Link, ReadType, Target, read_of
from crm_es.reads.sql import AND, TRUE, Condition, Query, Source, named

OR = SQL(" OR ")
Compile = Callable[[Query, LiteralString, Any], Composable]


@dataclass(frozen=True, slots=True)
class FilterField:
    """`type`: the operand's GraphQL type; `compile(query, alias, operand)`: its condition on the row under the alias.

    `fields` are the type's API fields it tells about: masked ones refuse the filter.
    """

    type: Any
    compile: Compile
    fields: tuple[str, ...] = ()
    columns: tuple[str, ...] = field(default=())
    description: str | None = None


def said(declared: FilterField, description: str) -> FilterField:
    """The same, where its name alone does not say what it finds."""
    return replace(declared, description=description)


def filter_type(name: str, target: Target, /, **fields: FilterField) -> Any:
    """The input type `name` with and, or, not; for `read_type(filter=…)`."""
    made: dict[str, Any] = {}
    itself = Later(lambda: made["type"])
    some: Any = list[itself]  # type: ignore[valid-type]
    annotations: dict[str, Any] = {
        "and_": _optional(some), "or_": _optional(some), "not_": _optional(itself),
        **{key: _optional(value.type) for key, value in fields.items()},
    }  # fmt: skip
    attributes: dict[str, Any] = {
        "and_": _input("and", "All of these."),
        "or_": _input("or", "At least one of these."),
        "not_": _input("not", "Not this; a record that lacks the value counts as not equal."),
        **{key: _input(camel(key), each.description or f"By {camel(key)}.") for key, each in fields.items()},
        "__annotations__": annotations,
        "__filter__": fields,
        "__target__": staticmethod(target),
    }
    made["type"] = strawberry.input(
        type(name, (), attributes), description="Which records; fields of one object are ANDed."
    )
    return made["type"]


def condition(given: Any) -> Condition:
    """What a filter object says, as a condition. Raises: InvalidInputError for nulls, an empty `or`, a masked field."""

    def compile_(query: Query, alias: LiteralString) -> Composable:
        try:
            return _all(query, alias, given)
        except InvalidInputError as exc:
            exc.at("filter")
            raise

    return compile_


def names_status(given: Any) -> bool:
    """Whether a filter decides itself which records are listed: by `recordStatus`, or the `state` of those that have one."""
    if given is None or given is UNSET:
        return False
    if any(getattr(given, name, UNSET) is not UNSET for name in ("record_status", "state")):
        return True
    inner = [*_listed(given.and_), *_listed(given.or_), *_listed([given.not_])]
    return any(names_status(item) for item in inner)


def _listed(items: Any) -> Iterable[Any]:
    return () if items in (None, UNSET) else (item for item in items if item is not UNSET)


def _optional(type_: Any) -> Any:
    return type_ | None


def _input(name: str, description: str) -> Any:
    return strawberry.field(name=name, default=UNSET, description=description)


def _all(query: Query, alias: LiteralString, given: Any) -> Composable:
    parts = [_part(query, alias, given, name, value) for name, value in given.__dict__.items() if value is not UNSET]
    return SQL("({})").format(AND.join(parts)) if parts else TRUE


def _part(query: Query, alias: LiteralString, given: Any, name: str, value: Any) -> Composable:
    try:
        match name:
            case _ if value is None:
                operands.refuse_null()
            case "not_":
                return SQL("({}) IS NOT TRUE").format(_all(query, alias, value))
            case "and_":
                return AND.join([TRUE, *(_all(query, alias, item) for item in value)])
            case "or_":
                return _some(query, alias, value)
            case _:
                return _asked(query, alias, given, name, value)
    except InvalidInputError as exc:
        exc.at(camel(name.rstrip("_")))
        raise


def _some(query: Query, alias: LiteralString, value: Any) -> Composable:
    if not value:
        raise InvalidInputError("`or` needs at least one alternative.", rule="filter.empty_or")
    return SQL("({})").format(OR.join(_all(query, alias, item) for item in value))


def _asked(query: Query, alias: LiteralString, given: Any, name: str, value: Any) -> Composable:
    declared: FilterField = given.__filter__[name]
    masked = query.viewer.masked(read_of(given.__target__()).entity)
    if masked.intersection(declared.fields or (camel(name),)):
        raise InvalidInputError("You cannot filter by a field you may not see.", rule="filter.masked")
    return declared.compile(query, alias, value)


# What a room declares


def by_id(column: str, type_: str, **options: Any) -> FilterField:
    """A uuid column asked by global ids of a `type_`."""
    return FilterField(operands.IDFilter, _on(column, operands.ids_in(type_)), columns=(column,), **options)


def by_member(column: str, member: Target, **options: Any) -> FilterField:
    """A uuid column of member ids; `isMe` and `inTeam` besides."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        return operands.member(query, named(alias, column), operand, read_of(member()))

    return FilterField(operands.MemberIdFilter, compile_, columns=(column,), **options)


def text(column: str, *, folded: str | None = None, **options: Any) -> FilterField:
    """A text column; `folded` names its copy by `crm_es.text.fold`, which contains and startsWith compare."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        plain = None if folded is None else named(alias, folded)
        return operands.text(query, named(alias, column), operand, plain)

    return FilterField(operands.StringFilter, compile_, columns=(column,), **options)


def number(column: str, **options: Any) -> FilterField:
    return FilterField(operands.IntFilter, _on(column, operands.whole), columns=(column,), **options)


def moment(column: str, **options: Any) -> FilterField:
    """A timestamptz column."""
    return FilterField(operands.DateTimeFilter, _on(column, operands.moment), columns=(column,), **options)


def day(column: str, **options: Any) -> FilterField:
    """A date column."""
    return FilterField(operands.DateFilter, _on(column, operands.day), columns=(column,), **options)


def position(column: str, **options: Any) -> FilterField:
    return FilterField(operands.PositionFilter, _on(column, operands.whole), columns=(column,), **options)


def amount(minor: str, currency: str, **options: Any) -> FilterField:
    """Two columns of money; only amounts of the same currency compare."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        return operands.money(query, named(alias, minor), named(alias, currency), operand)

    return FilterField(operands.MoneyFilter, compile_, columns=(minor, currency), **options)


def choice(column: str, enum: Any, **options: Any) -> FilterField:
    """A text column holding names of an enum, as `{eq in}`."""
    return FilterField(operands.enum_filter(enum), _on(column, operands.chosen), columns=(column,), **options)


def equals(column: str, type_: Any, pg: LiteralString, **options: Any) -> FilterField:
    """A bare operand: `direction: INBOUND`, `internal: true`."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        return SQL("{} = {}").format(named(alias, column), query.bind(operand, pg, operands.stored))

    return FilterField(type_, compile_, columns=(column,), **options)


def items(column: str, **options: Any) -> FilterField:
    """A text[] column, as `tag`: some item meets the operand."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        return operands.some_item(query, named(alias, column), operand)

    return FilterField(operands.StringFilter, compile_, columns=(column,), **options)


def child(source: Source, via: str, inner: FilterField, *, own: str = "id", **options: Any) -> FilterField:
    """Some row of a child table, whose `via` is the record's `own`, meets `inner`. `isNull: true` means there is none."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        if not any(operands.given(operand)):
            return TRUE

        def joined(row: LiteralString) -> Composable:
            return SQL("{} = {}").format(named(row, via), named(alias, own))

        wanted = getattr(operand, "is_null", UNSET)
        if wanted is UNSET or wanted is None:
            return query.exists(source, lambda row: [joined(row), inner.compile(query, row, operand)])
        rest = _without_null(operand)
        some = query.exists(source, lambda row: [joined(row)])
        return AND.join([SQL("NOT {}").format(some) if wanted else some, *_rest(query, source, joined, inner, rest)])

    return FilterField(inner.type, compile_, columns=(own,), **options)


def _without_null(operand: Any) -> Mapping[str, Any]:
    return {key: value for key, value in operand.__dict__.items() if key != "is_null" and value is not UNSET}


def _rest(
    query: Query,
    source: Source,
    joined: Callable[[LiteralString], Composable],
    inner: FilterField,
    rest: Mapping[str, Any],
) -> Iterable[Composable]:
    if rest:
        operand = inner.type(**rest)
        yield query.exists(source, lambda row: [joined(row), inner.compile(query, row, operand)])


def external_id(
    source: Source, via: str, *, system: str = "system", value: str = "value", own: str = "id"
) -> FilterField:
    """A child table of (system, value) pairs."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        if not any(operands.given(operand)):
            return TRUE
        return query.exists(
            source,
            lambda row: [
                SQL("{} = {}").format(named(row, via), named(alias, own)),
                operands.external(query, named(row, system), named(row, value), operand),
            ],
        )

    return FilterField(operands.ExternalIdFilter, compile_, fields=("externalIds",), columns=(own,))


def related(column: str, target: Target, **options: Any) -> FilterField:
    """The record in `column`, if the viewer may see it, meets its own type's filter."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        read = read_of(target())
        return query.exists(
            read.source,
            lambda row: [
                SQL("{} = {}").format(named(row, "id"), named(alias, column)),
                *_seen(query, row, read),
                _all(query, row, operand),
            ],
        )

    return FilterField(Later(lambda: read_of(target()).filter()), compile_, columns=(column,), **options)  # type: ignore[misc]


def _seen(query: Query, row: LiteralString, read: ReadType) -> list[Composable]:
    return [each(query, row) for each in records.visible(read, query.viewer)]


def listed(name: str, target: Target, via: str | Link, **options: Any) -> FilterField:
    """The records below this one, as a connection has them, in an input type `name` of {some, none}: those the viewer may see."""
    wanted = Later(lambda: read_of(target()).filter())  # type: ignore[misc]

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        parts: list[Composable] = []
        for quantity, given in operands.given(operand):
            try:
                found = _below(query, alias, target, via, given)
            except InvalidInputError as exc:
                exc.at(quantity)
                raise
            parts.append(found if quantity == "some" else SQL("NOT {}").format(found))
        return SQL("({})").format(AND.join(parts)) if parts else TRUE

    fields = {
        "__annotations__": {"some": wanted | None, "none": wanted | None},
        "some": _input("some", "At least one such record."),
        "none": _input("none", "No such record."),
    }
    made = strawberry.input(type(name, (), fields), description="By the records below it that you may see.")
    return FilterField(made, compile_, columns=("id",), **options)


def _below(query: Query, alias: LiteralString, target: Target, via: str | Link, given: Any) -> Composable:
    """Whether one of them meets the filter."""
    read, own = read_of(target()), named(alias, "id")

    def meets(row: LiteralString, on: Composable) -> list[Composable]:
        seen = _seen(query, row, read)
        if read.listed is not None and not names_status(given):
            seen.append(records.equal(*read.listed)(query, row))
        return [on, *seen, _all(query, row, given)]

    def direct(column: str, value: Composable) -> Composable:
        return query.exists(read.source, lambda row: meets(row, SQL("{} = {}").format(named(row, column), value)))

    if not isinstance(via, Link):
        return direct(via, own)
    parent, child = via.parent, via.child
    return query.exists(
        via.source,
        lambda link: [
            SQL("{} = {}").format(named(link, parent), own),
            direct("id", named(link, child)),
        ],
    )


def beside(source: Source, inner: FilterField, **options: Any) -> FilterField:
    """A column of another table, in the row with the record's id."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        def same(row: LiteralString) -> Composable:
            return SQL("{} = {}").format(named(row, "id"), named(alias, "id"))

        return query.exists(source, lambda row: [same(row), inner.compile(query, row, operand)])

    return FilterField(inner.type, compile_, **options)


def always(condition: Condition) -> FilterField:
    """A Boolean operand: the condition, or its negation."""

    def compile_(query: Query, alias: LiteralString, operand: Any) -> Composable:
        found = condition(query, alias)
        return found if operand else SQL("({}) IS NOT TRUE").format(found)

    return FilterField(bool, compile_)


def _on(column: str, compile_: Callable[[Query, Composable, Any], Composable]) -> Compile:
    return lambda query, alias, operand: compile_(query, named(alias, column), operand)


__all__ = [
    "FilterField", "always", "amount", "beside", "by_id", "by_member", "child", "choice", "condition", "day", "equals",
    "external_id", "filter_type", "items", "listed", "moment", "names_status", "number", "position", "related", "text",
]  # fmt: skip
