"""Stretches of business time as charts have them: days of a time zone, cut into hours, days, weeks, months or quarters. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from crm_es.errors import InvalidInputError

MOST: Final = 1_000
"""Pieces a chart may have."""
DAY: Final = timedelta(days=1)
HOUR: Final = timedelta(hours=1)
_FIRST, _LAST = date(2, 1, 1), date(9998, 12, 31)  # what every zone can turn into UTC


class Interval(StrEnum):
    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"


@dataclass(frozen=True, slots=True)
class Piece:
    """[begins, ends), of which `date` is the first day."""

    date: date
    begins: datetime
    ends: datetime


def span(first: date, last: date, zone: str) -> tuple[datetime, datetime]:
    """Both days in: [the first one's midnight, the midnight after the last one). Raises: InvalidInputError."""
    _check(first, last)
    return _midnight(first, zone), _midnight(last + DAY, zone)


def cut(first: date, last: date, interval: Interval, zone: str, *, week_starts_on: int = 1) -> list[Piece]:
    """Both days in. Weeks begin on that day (1 = Monday); what the period holds in part only is cut off there.

    Raises: InvalidInputError `period.backwards`, `period.too_far`, `period.too_many`.
    """
    _check(first, last)
    return _counted(_pieces(first, last, interval, zone, week_starts_on))


def between(begins: datetime, ends: datetime, interval: Interval, zone: str, *, week_starts_on: int = 1) -> list[Piece]:
    """[begins, ends), the first and the last piece cut off there. Raises: as `cut`."""
    check_order(begins, ends)
    first, last = (each.astimezone(ZoneInfo(zone)).date() for each in (begins, ends))
    return _counted(
        Piece(piece.date, max(piece.begins, begins), min(piece.ends, ends))
        for piece in _pieces(first, last, interval, zone, week_starts_on)
        if piece.begins < ends and piece.ends > begins
    )


def upto(ends: datetime, length: timedelta) -> datetime:
    """When a stretch of that length begins which ends there. Raises: InvalidInputError `period.too_far`."""
    _check_reach("to", ends.date())
    return ends - length


def check_order(begins: datetime, ends: datetime) -> None:
    """Raises: InvalidInputError `period.backwards`, `period.too_far`."""
    if ends <= begins:
        raise InvalidInputError("The period ends before it begins.", rule="period.backwards", field=("to",))
    _check(begins.date(), ends.date())


def _counted(made: Iterator[Piece]) -> list[Piece]:
    found = list(islice(made, MOST + 1))
    if len(found) > MOST:
        message = f"That is more than {MOST:,} points. Ask for a shorter period or longer intervals."
        raise InvalidInputError(message, rule="period.too_many", field=("interval",))
    return found


def _pieces(first: date, last: date, interval: Interval, zone: str, week: int) -> Iterator[Piece]:
    return _hours(first, last, zone) if interval is Interval.HOUR else _days(first, last, interval, zone, week)


def _check(first: date, last: date) -> None:
    if last < first:
        raise InvalidInputError("The period ends before it begins.", rule="period.backwards", field=("to",))
    _check_reach("from", first)
    _check_reach("to", last)


def _check_reach(field: str, day: date) -> None:
    if not _FIRST <= day <= _LAST:
        raise InvalidInputError("No calendar reaches that far.", rule="period.too_far", field=(field,))


def _midnight(day: date, zone: str) -> datetime:
    """Where a day has no midnight, the moment it begins."""
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def _hours(first: date, last: date, zone: str) -> Iterator[Piece]:
    """Counted from each midnight: days of 23 or 25 hours have as many."""
    day = first
    while day <= last:
        begins, end = _midnight(day, zone), _midnight(day + DAY, zone)
        while begins < end:
            yield Piece(day, begins, min(begins + HOUR, end))
            begins += HOUR
        day += DAY


def _days(first: date, last: date, interval: Interval, zone: str, week: int) -> Iterator[Piece]:
    day = first
    while day <= last:
        after = min(_next(day, interval, week), last + DAY)
        yield Piece(day, _midnight(day, zone), _midnight(after, zone))
        day = after


def _next(day: date, interval: Interval, week: int) -> date:
    """The first day of the interval after the one the day is in."""
    if interval is Interval.WEEK:
        return day + timedelta(days=7 - (day.isoweekday() - week) % 7)
    if interval is Interval.DAY:
        return day + DAY
    months = 3 if interval is Interval.QUARTER else 1
    return (day.replace(day=1) + timedelta(days=31 * (months - (day.month - 1) % months))).replace(day=1)
