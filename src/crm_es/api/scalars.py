"""The contract's scalars, over plain Python values: datetime, date, timedelta, Decimal, UUID, and two NewTypes of our own.

A scalar refuses what it cannot take with one sentence that says what it wants. Values that depend on the workspace
(the digits of a currency) are the domain's to refuse.
"""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NewType, NoReturn
from uuid import UUID
from zoneinfo import ZoneInfo

from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

Position = NewType("Position", int)
TimeZone = NewType("TimeZone", str)

__all__ = ["JSON", "SCALARS", "Position", "TimeZone", "instant"]

_DATE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DURATION: Final = re.compile(
    r"(?P<sign>-?)P(?!$)((?P<weeks>\d{1,6})W)?((?P<days>\d{1,6})D)?"
    r"(T(?!$)((?P<hours>\d{1,8})H)?((?P<minutes>\d{1,9})M)?((?P<seconds>\d{1,11}(\.\d{1,6})?)S)?)?"
)
_DECIMAL: Final = re.compile(r"-?\d{1,30}(\.\d{1,20})?")
_POSITION: Final = re.compile(r"\d{1,19}")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_LONGEST: Final = 40
_MAX_POSITION: Final = 2**63 - 1
_MAX_DEPTH: Final = 32


def _refuse(wanted: str, value: object) -> NoReturn:
    shown = repr(value) if isinstance(value, str) else str(value)
    shown = shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "…"
    raise GraphQLError(f"Expected {wanted}, found {shown}.", extensions={"code": "BAD_USER_INPUT"})


def _text(value: object, shape: re.Pattern[str], wanted: str) -> str:
    if isinstance(value, str) and shape.fullmatch(value) and value.isascii():
        return value
    _refuse(wanted, value)


def _parser(parse: Callable[[str], Any], shape: re.Pattern[str], wanted: str) -> Callable[[object], Any]:
    def parse_value(value: object) -> Any:
        text = _text(value, shape, wanted)
        try:
            return parse(text)
        except (ValueError, OverflowError):
            _refuse(wanted, value)

    return parse_value


def _numeric(parse: Callable[[object], Any]) -> Callable[[object], Any]:
    """The same, also of a JSON integer; never of a float, whose digits are already lost."""

    def parse_value(value: object) -> Any:
        return parse(str(value) if isinstance(value, int) and not isinstance(value, bool) else value)

    return parse_value


def _parse_instant(text: str) -> datetime:
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def instant(value: datetime) -> str:
    """As the API writes a moment: `2026-11-21T19:00:00.123456Z`, no fraction when it is a whole second.

    The compiled reads write the same bytes.
    """
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(text)
    parts = {name: float(found) for name, found in match.groupdict().items() if name != "sign" and found}
    length = timedelta(**parts)
    return -length if match["sign"] else length


def _show_duration(value: timedelta) -> str:
    sign, value = ("-", -value) if value < timedelta() else ("", value)
    minutes, seconds = divmod(value.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    whole = f"{seconds}.{value.microseconds:06}".rstrip("0") if value.microseconds else f"{seconds}"
    time = "".join((f"{hours}H" * bool(hours), f"{minutes}M" * bool(minutes), f"{whole}S" * (whole != "0")))
    days = f"{value.days}D" * bool(value.days)
    return f"{sign}P{days}T{time}" if time else f"{sign}P{days or 'T0S'}"


def _parse_zone(value: object) -> str:
    """A name that `zoneinfo` knows. Keys with dots or a leading slash would be paths; ZoneInfo refuses them."""
    wanted = 'an IANA time zone such as "Europe/Berlin"'
    if not isinstance(value, str) or not value or len(value) > _LONGEST:
        _refuse(wanted, value)
    try:
        return ZoneInfo(value).key
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder of zones is an OSError
        _refuse(wanted, value)


def _parse_position(text: str) -> int:
    if int(text) > _MAX_POSITION:
        raise ValueError(text)
    return int(text)


def _parse_json(value: object) -> object:
    """Anything JSON, but not nested so deep that whoever walks it later runs out of stack."""
    layer, depth = [value], 0
    while layer:
        if depth > _MAX_DEPTH:
            _refuse(f"JSON nested at most {_MAX_DEPTH} deep", "deeper")
        layer = [child for item in layer for child in _children(item)]
        depth += 1
    return value


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _show_zone(value: object) -> str:
    return str(value)


def _scalar(
    name: str,
    description: str,
    show: Callable[[Any], Any],
    parse: Callable[[object], Any],
    specified_by: str | None = None,
) -> ScalarDefinition:
    return ScalarDefinition(
        name=name,
        description=description,
        specified_by_url=specified_by,
        serialize=show,
        parse_value=parse,
        parse_literal=None,
    )


_WANTED_TIME: Final = 'an RFC 3339 time with an offset, such as "2026-11-21T19:00:00Z"'
_WANTED_DURATION: Final = 'an ISO 8601 duration of weeks, days, hours, minutes or seconds, such as "P7D" or "PT1H"'

SCALARS: Final[dict[object, ScalarDefinition]] = {
    datetime: _scalar(
        "DateTime",
        "A moment, RFC 3339. Answered in UTC (`2026-11-21T19:00:00Z`, up to microseconds), taken in any offset.",
        instant,
        _parser(_parse_instant, _DATE_TIME, _WANTED_TIME),
        "https://scalars.graphql.org/andimarek/date-time",
    ),
    date: _scalar(
        "Date",
        "A day of the calendar: `2026-11-21`.",
        date.isoformat,
        _parser(date.fromisoformat, _DATE, 'a day such as "2026-11-21"'),
        "https://scalars.graphql.org/andimarek/local-date",
    ),
    timedelta: _scalar(
        "Duration",
        "A length of time, ISO 8601 in weeks, days, hours, minutes and seconds: `P7D`, `PT1H`.",
        _show_duration,
        _parser(_parse_duration, _DURATION, _WANTED_DURATION),
    ),
    TimeZone: _scalar("TimeZone", "An IANA time zone: `Europe/Berlin`.", _show_zone, _parse_zone),
    Decimal: _scalar(
        "Decimal",
        'A number of exact digits, as a string: `"1054.00"`.',
        lambda value: format(value, "f"),
        _numeric(_parser(Decimal, _DECIMAL, 'a decimal as a string, such as "1054.00"')),
    ),
    Position: _scalar(
        "Position",
        "A place in the workspace's log, from 1 and without holes; a string, to be compared as a big integer.",
        str,
        _numeric(_parser(_parse_position, _POSITION, 'a position such as "42"')),
    ),
    UUID: _scalar(
        "UUID",
        "A UUID in its usual form of 36 characters.",
        str,
        _parser(UUID, _UUID, 'a UUID such as "01966c4e-7b0f-7000-8000-000000000001"'),
        "https://www.rfc-editor.org/rfc/rfc9562",
    ),
    JSON: _scalar(
        "JSON", "Any JSON value, written as the API would answer the field.", lambda value: value, _parse_json
    ),
}
