"""The operand types of filters, as in the contract, and what each operator is in SQL.

An operand's fields are ANDed; none may be null. eq is exact; contains and startsWith ignore case and accents.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, LiteralString, NamedTuple, NoReturn

import strawberry
from psycopg.sql import SQL, Composable, Identifier
from strawberry import ID, UNSET

from crm_es import text as text_forms
from crm_es.api import ids
from crm_es.api.scalars import Position
from crm_es.currencies import DIGITS
from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import camel
from crm_es.reads.model import ReadType
from crm_es.reads.sql import AND, FALSE, TRUE, Query, named


def _op(description: str, name: str | None = None) -> Any:
    return strawberry.field(name=name, default=UNSET, description=description)


@strawberry.input(description="By a global id, past or present.")
class IDFilter:
    eq: ID | None = _op("This one.")
    in_: list[ID] | None = _op("One of these; of none, nothing.", "in")
    is_null: bool | None = _op("Absent or not.")


@strawberry.input(description="By a member; isMe and inTeam keep shared views true for whoever opens them.")
class MemberIdFilter:
    eq: ID | None = _op("This member.")
    in_: list[ID] | None = _op("One of these; of none, nothing.", "in")
    is_null: bool | None = _op("Absent or not.")
    is_me: bool | None = _op("The viewer, or anybody else.")
    in_team: ID | None = _op("A member of this team.")


@strawberry.input(description="By a text. eq and in are exact; contains and startsWith ignore case and accents.")
class StringFilter:
    eq: str | None = _op("Exactly this.")
    in_: list[str] | None = _op("Exactly one of these; of none, nothing.", "in")
    contains: str | None = _op("Somewhere in it.")
    starts_with: str | None = _op("At its beginning.")
    is_null: bool | None = _op("Absent or not.")


@strawberry.input(description="By a whole number.")
class IntFilter:
    eq: int | None = _op("Equal.")
    in_: list[int] | None = _op("One of these; of none, nothing.", "in")
    gt: int | None = _op("Greater.")
    gte: int | None = _op("Greater or equal.")
    lt: int | None = _op("Less.")
    lte: int | None = _op("Less or equal.")
    is_null: bool | None = _op("Absent or not.")


@strawberry.input(description="By a moment.")
class DateTimeFilter:
    eq: datetime | None = _op("Exactly then.")
    gt: datetime | None = _op("After.")
    gte: datetime | None = _op("Then or after.")
    lt: datetime | None = _op("Before.")
    lte: datetime | None = _op("Then or before.")
    past: timedelta | None = _op("Within the last …")
    next: timedelta | None = _op("Within the coming …")
    is_null: bool | None = _op("Absent or not.")


@strawberry.input(description="By a day, in the workspace's time zone.")
class DateFilter:
    eq: date | None = _op("That day.")
    gt: date | None = _op("After.")
    gte: date | None = _op("That day or after.")
    lt: date | None = _op("Before.")
    lte: date | None = _op("That day or before.")
    past: timedelta | None = _op("Within the last … days, today included.")
    next: timedelta | None = _op("Within the coming … days, today included.")
    is_null: bool | None = _op("Absent or not.")


@strawberry.input(description="By a position in the log.")
class PositionFilter:
    eq: Position | None = _op("Exactly.")
    gt: Position | None = _op("After.")
    gte: Position | None = _op("From.")
    lt: Position | None = _op("Before.")
    lte: Position | None = _op("Up to.")


@strawberry.input(description="By an amount in one currency; other currencies never match.")
class MoneyFilter:
    currency: str = strawberry.field(description="ISO 4217.")
    gt: Decimal | None = _op("More.")
    gte: Decimal | None = _op("This or more.")
    lt: Decimal | None = _op("Less.")
    lte: Decimal | None = _op("This or less.")


@strawberry.input(description="An id that another system gave.")
class ExternalIdInput:
    system: str = strawberry.field(description="Which system.")
    value: str = strawberry.field(description="Its id there.")


@strawberry.input(description="By ids that other systems gave.")
class ExternalIdFilter:
    eq: ExternalIdInput | None = _op("This one.")
    in_: list[ExternalIdInput] | None = _op("One of these; of none, nothing.", "in")
    system: str | None = _op("Any of this system.")


@cache
def enum_filter(enum: type[Enum]) -> Any:
    """`LifecycleStageFilter {eq in}` of an enum of the schema."""
    name = enum.__strawberry_definition__.name  # type: ignore[attr-defined]  # a Strawberry enum
    fields = {
        "__annotations__": {"eq": enum | None, "in_": list[enum] | None},  # type: ignore[valid-type]
        "eq": _op("This one."),
        "in_": _op("One of these; of none, nothing.", "in"),
    }
    return strawberry.input(type(f"{name}Filter", (), fields), description=f"By {name}.")


def stored(value: Any) -> Any:
    """An enum as its column holds it."""
    return value.value if isinstance(value, Enum) else value


def refuse_null(*field: str) -> NoReturn:
    raise InvalidInputError("A filter takes no null; use isNull.", rule="filter.null", field=field)


def given(operand: Any) -> Iterable[tuple[str, Any]]:
    """The operators used. Raises: InvalidInputError for an explicit null."""
    for name, value in operand.__dict__.items():
        if value is None:
            refuse_null(camel(name.rstrip("_")))
        if value is not UNSET:
            yield name, value


_COMPARISONS: dict[str, SQL] = {
    "eq": SQL(" = "),
    "gt": SQL(" > "),
    "gte": SQL(" >= "),
    "lt": SQL(" < "),
    "lte": SQL(" <= "),
}
Convert = Callable[[Any], object] | None


class Kind(NamedTuple):
    """A column's type, and what turns an operand into one of its values."""

    type: LiteralString
    convert: Convert = None


LONGEST = timedelta(days=365_250)
TEXT, MOMENTS, DAYS = Kind("text"), Kind("timestamptz"), Kind("date")


def compared(kind: Kind) -> Callable[[Query, Composable, Any], Composable]:
    """Eq in gt gte lt lte isNull on a column of this kind."""

    def compile_(query: Query, column: Composable, operand: Any) -> Composable:
        return _all(_compare(query, column, name, value, kind) for name, value in given(operand))

    return compile_


def _compare(query: Query, column: Composable, name: str, value: Any, kind: Kind) -> Composable:
    if name == "is_null":
        return column + SQL(" IS NULL" if value else " IS NOT NULL")
    if name == "in_":
        return _any(query, column, value, kind)
    return column + _COMPARISONS[name] + query.bind(value, kind.type, kind.convert)


def _any(query: Query, column: Composable, value: Any, kind: Kind) -> Composable:
    each = kind.convert or stored
    array: LiteralString = kind.type + "[]"
    return SQL("{} = ANY ({})").format(column, query.bind(value, array, lambda many: [each(item) for item in many]))


def _all(parts: Iterable[Composable]) -> Composable:
    found = list(parts)
    return SQL("({})").format(AND.join(found)) if found else TRUE


def ids_in(type_: str) -> Callable[[Query, Composable, Any], Composable]:
    """Ids of the past mean the record."""
    return compared(Kind("uuid", lambda id_: ids.expect(id_, type_).id))


chosen = compared(Kind("text", stored))
whole = compared(Kind("bigint"))


_MEMBER = Kind("uuid", lambda id_: ids.expect(id_, "Member").id)


def member(query: Query, column: Composable, operand: Any, members: ReadType) -> Composable:
    return _all(_member(query, column, name, value, members) for name, value in given(operand))


def _member(query: Query, column: Composable, name: str, value: Any, members: ReadType) -> Composable:
    if name == "is_me":
        mine = SQL("{} = {}").format(column, query.bind(query.viewer.member_id, "uuid"))
        return mine if value else SQL("({}) IS NOT TRUE").format(mine)
    if name == "in_team":
        team = query.bind(value, "uuid", lambda id_: ids.expect(id_, "Team").id)
        return in_team(query, column, members, team)
    return _compare(query, column, name, value, _MEMBER)


def in_team(query: Query, column: Composable, members: ReadType, team: Composable) -> Composable:
    """The column names a member of the team."""
    if members.team is None:
        return FALSE
    inside = members.team
    return query.exists(
        members.source,
        lambda row: [
            SQL("{} = {}").format(named(row, "id"), column),
            SQL("{} = {}").format(named(row, inside), team),
        ],
    )


def fold(value: Composable) -> Composable:
    """A text without case and accents, in SQL: for columns without a folded copy. No index serves it."""
    return SQL(r"lower(regexp_replace(normalize({}, NFKD), '[\u0300-\u036f]', '', 'g'))").format(value)


def text(query: Query, column: Composable, operand: Any, folded: Composable | None = None) -> Composable:
    return _all(_text(query, column, name, value, folded) for name, value in given(operand))


def _text(query: Query, column: Composable, name: str, value: Any, folded: Composable | None) -> Composable:
    if name not in {"contains", "starts_with"}:
        exact = _compare(query, column, name, value, TEXT)
        return exact if folded is None else _by_folded(query, exact, folded, name, value)
    if folded is None:
        inside, part = fold(column), fold(query.bind(value, "text"))
    else:
        inside, part = folded, query.bind(value, "text", text_forms.fold)
    if name == "contains":
        return SQL("position({} IN {}) > 0").format(part, inside)
    return SQL("starts_with({}, {})").format(inside, part)


def _by_folded(query: Query, exact: Composable, folded: Composable, name: str, value: Any) -> Composable:
    """What is equal is so without case and accents: the folded copy's index finds it, and the text needs none of its own."""
    if name == "eq":
        return SQL("({} AND {} = {})").format(exact, folded, query.bind(value, "text", text_forms.fold))
    if name == "in_":
        return SQL("({} AND {} = ANY ({}))").format(exact, folded, query.bind(value, "text[]", _folds))
    return exact


def _folds(texts: Iterable[str]) -> list[str]:
    return [text_forms.fold(text) for text in texts]


def some_item(query: Query, column: Composable, operand: Any) -> Composable:
    """Some item of a text[]; eq goes by containment, which a GIN index serves."""
    return _all(_item(query, column, name, value) for name, value in given(operand))


def _item(query: Query, column: Composable, name: str, value: Any) -> Composable:
    if name == "is_null":
        return SQL("coalesce(cardinality({}), 0) {} 0").format(column, SQL("=" if value else ">"))
    if name == "eq":
        return SQL("{} @> ARRAY[{}]").format(column, query.bind(value, "text"))
    if name == "in_":
        return SQL("{} && {}").format(column, query.bind(value, "text[]"))
    item = Identifier("item")
    return SQL("EXISTS (SELECT FROM unnest({}) AS item WHERE {})").format(column, _text(query, item, name, value, None))


def moment(query: Query, column: Composable, operand: Any) -> Composable:
    return _all(_moment(query, column, name, value) for name, value in given(operand))


def _moment(query: Query, column: Composable, name: str, value: Any) -> Composable:
    if name not in {"past", "next"}:
        return _compare(query, column, name, value, MOMENTS)
    now, length = query.bind(query.viewer.now, "timestamptz"), query.bind(value, "interval", _length)
    if name == "past":
        return SQL("({} BETWEEN {} - {} AND {})").format(column, now, length, now)
    return SQL("({} BETWEEN {} AND {} + {})").format(column, now, now, length)


def _length(length: timedelta) -> timedelta:
    """Raises: InvalidInputError, for what no calendar reaches."""
    if abs(length) > LONGEST:
        raise InvalidInputError(f"Ask for {LONGEST.days:,} days at most.", rule="filter.too_long")
    return length


def day(query: Query, column: Composable, operand: Any) -> Composable:
    return _all(_day(query, column, name, value) for name, value in given(operand))


def _day(query: Query, column: Composable, name: str, value: Any) -> Composable:
    if name not in {"past", "next"}:
        return _compare(query, column, name, value, DAYS)
    zone, length = query.bind(query.viewer.time_zone, "text"), query.bind(value, "interval", _length)
    today = SQL("({} AT TIME ZONE {})::date").format(query.bind(query.viewer.now, "timestamptz"), zone)
    if name == "past":
        return SQL("({} BETWEEN {} - {} AND {})").format(column, today, length, today)
    return SQL("({} BETWEEN {} AND {} + {})").format(column, today, today, length)


def money(query: Query, minor: Composable, currency: Composable, operand: Any) -> Composable:
    code = operand.currency
    parts = [SQL("{} = {}").format(currency, query.bind(code, "text"))]
    for name, value in given(operand):
        if name != "currency":
            parts.append(
                minor + _COMPARISONS[name] + query.bind(value, "numeric", lambda amount: minor_units(amount, code))
            )
    return _all(parts)


def minor_units(amount: Decimal, currency: str) -> Decimal:
    """An amount in the currency's minor units; fractions of one stay, since nothing is rounded in a comparison."""
    return amount.scaleb(DIGITS.get(currency, 2))


def external(query: Query, system: Composable, value: Composable, operand: Any) -> Composable:
    return _all(_external(query, system, value, name, wanted) for name, wanted in given(operand))


def _external(query: Query, system: Composable, value: Composable, name: str, wanted: Any) -> Composable:
    if name == "system":
        return SQL("{} = {}").format(system, query.bind(wanted, "text"))
    pairs = [wanted] if name == "eq" else wanted
    parts = [
        SQL("({} = {} AND {} = {})").format(
            system, query.bind(pair.system, "text"), value, query.bind(pair.value, "text")
        )
        for pair in pairs
    ]
    return SQL("({})").format(SQL(" OR ").join(parts)) if parts else FALSE
