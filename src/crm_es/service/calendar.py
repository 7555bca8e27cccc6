"""Business time: the opening hours of a calendar, counted in whole seconds.

A moment is open when the wall clock of the calendar's zone then shows a time within the hours of an open day. So an hour
that the clocks skip is no business time, and one that they repeat is twice. Moments are seconds since 1970, UTC; nothing
before 1970 is business time.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final
from zoneinfo import ZoneInfo

from crm_es.errors import FieldPath, InvalidInputError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = 86_400
_ORDINAL: Final = EPOCH.toordinal()
_TIME: Final = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)", re.ASCII)
MOST_CLOSED: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class OpeningHours:
    """From `opens` up to `closes`, in minutes since midnight by the wall clock; 1440 is the midnight that ends the day.
    `weekday` counts from 1 = Monday."""

    weekday: int
    opens: int
    closes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """When an SLA counts. `holidays` names the public holidays (ISO 3166) that were known as `holiday_dates` at the time.

    The dates stand here, since a newer library may know other ones: what was promised would change with it.
    """

    time_zone: str
    hours: tuple[OpeningHours, ...]
    holidays: str | None = None
    holiday_dates: tuple[date, ...] = ()
    closed_on: tuple[date, ...] = ()


def weekly_seconds(calendar: Calendar) -> int:
    """How long it is open in a week without holidays."""
    return sum(each.closes - each.opens for each in calendar.hours) * 60


def check(calendar: Calendar, field: FieldPath = ()) -> None:
    """Raises: InvalidInputError `calendar.never_open`, `.no_weekday`, `.hours_backwards`, `.hours_overlap`, `.too_many_days`."""
    if not calendar.hours:
        raise InvalidInputError("Name the hours.", rule="calendar.never_open", field=(*field, "hours"))
    if len(calendar.closed_on) > MOST_CLOSED:
        message = f"At most {MOST_CLOSED:,} days."
        raise InvalidInputError(message, rule="calendar.too_many_days", field=(*field, "closedOn"))
    for index, each in enumerate(calendar.hours):
        try:
            _check_hours(each, calendar.hours[:index])
        except InvalidInputError as error:
            error.at(*field, "hours", str(index))
            raise


def _check_hours(given: OpeningHours, before: Sequence[OpeningHours]) -> None:
    if not 1 <= given.weekday <= 7:  # noqa: PLR2004  # days of a week
        message = "Write 1 for Monday to 7 for Sunday."
        raise InvalidInputError(message, rule="calendar.no_weekday", field=("weekday",))
    if not given.opens < given.closes:
        message = (
            "Close after opening, at 24:00 at the latest; what goes on after midnight belongs to the next weekday."
        )
        raise InvalidInputError(message, rule="calendar.hours_backwards", field=("closes",))
    for other in before:
        if other.weekday == given.weekday and other.opens < given.closes and given.opens < other.closes:
            message = "These hours overlap others of the same day."
            raise InvalidInputError(message, rule="calendar.hours_overlap")


def parse_time_of_day(raw: str, field: FieldPath = ()) -> int:
    """Minutes since midnight: "09:00" is 540, "24:00" the end of the day. Raises: InvalidInputError `calendar.no_time`."""
    found = _TIME.fullmatch(raw.strip())
    minutes = int(found[1]) * 60 + int(found[2]) if found else -1
    if not 0 <= minutes <= _DAY // 60:
        raise InvalidInputError("Write a time such as 09:00.", rule="calendar.no_time", field=field)
    return minutes


def time_of_day(minutes: int) -> str:
    """540 is "09:00"."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def seconds(moment: datetime) -> int:
    """The second a moment is in."""
    return (moment - EPOCH) // _SECOND


def moment(second: int) -> datetime:
    return EPOCH + timedelta(seconds=second)


@lru_cache(maxsize=512)
def business_time(calendar: Calendar) -> "BusinessTime":
    """The calendar, ready to count; what it works out of a year is kept."""
    return BusinessTime(calendar)


class BusinessTime:
    """Counts a calendar's business seconds."""

    __slots__ = ("_closed", "_hours", "_years", "_zone")

    def __init__(self, calendar: Calendar) -> None:
        self._zone = ZoneInfo(calendar.time_zone)
        self._closed = {day.toordinal() for day in (*calendar.holiday_dates, *calendar.closed_on)}
        self._hours = [
            [(each.opens * 60, each.closes * 60) for each in calendar.hours if each.weekday == weekday]
            for weekday in range(1, 8)
        ]
        self._years: dict[int, _Year] = {}

    def between(self, start: int, end: int) -> int:
        """The business seconds from `start` up to `end`; none where `end` is not later."""
        start = max(start, 0)
        if end <= start:
            return 0
        first, last = _year_of(start), _year_of(end)
        whole = sum(self._year(year).total for year in range(first, last))
        return whole - self._year(first).upto(start) + self._year(last).upto(end)

    def after(self, start: int, wanted: int) -> int:
        """The first moment, not before `start`, by which `wanted` business seconds have gone by since.

        The calendar must be open now and then, `wanted` be no lifetime: a policy's targets are checked for that.
        """
        if wanted <= 0:
            return start
        start = max(start, 0)
        number = _year_of(start)
        wanted += self._year(number).upto(start)
        while wanted > self._year(number).total:
            wanted -= self._year(number).total
            number += 1
        return self._year(number).reached(wanted)

    def _year(self, number: int) -> "_Year":
        found = self._years.get(number)
        if found is None:
            found = self._years[number] = _Year(sorted(self._open_in(number)))
        return found

    def _open_in(self, year: int) -> Iterator[tuple[int, int]]:
        """The open spans of a year (by UTC)."""
        start, end = seconds(datetime(year, 1, 1, tzinfo=UTC)), seconds(datetime(year + 1, 1, 1, tzinfo=UTC))
        stretches = list(_stretches(self._zone, start, end))
        for day in range(start // _DAY - 1, end // _DAY + 1):  # dates whose day, in some zone, touches the year
            for opens, closes in self._hours_of(day):
                for since, until, offset in stretches:
                    span = max(opens - offset, since), min(closes - offset, until)
                    if span[0] < span[1]:
                        yield span

    def _hours_of(self, day: int) -> Iterator[tuple[int, int]]:
        """The spans of a date, counted in days since 1970, as the wall clock shows them, in seconds since 1970 by that clock."""
        ordinal = day + _ORDINAL
        if ordinal not in self._closed:
            for opens, closes in self._hours[(ordinal - 1) % 7]:  # ordinal 1 was a Monday
                yield day * _DAY + opens, day * _DAY + closes


class _Year:
    """Open spans in order, and how many seconds were open before each."""

    __slots__ = ("_before", "_ends", "_starts", "total")

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]
        *self._before, self.total = accumulate((end - start for start, end in spans), initial=0)

    def upto(self, moment: int) -> int:
        """Open seconds from the year's start to a moment in it."""
        place = bisect_right(self._starts, moment) - 1
        if place < 0:
            return 0
        return self._before[place] + min(moment, self._ends[place]) - self._starts[place]

    def reached(self, wanted: int) -> int:
        """The moment by which so many seconds, one at least, have been open."""
        place = bisect_left(self._before, wanted) - 1
        return self._starts[place] + wanted - self._before[place]


def _year_of(second: int) -> int:
    return moment(second).year


def _stretches(zone: ZoneInfo, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(from, to, offset) of the times between which a zone's clocks were not changed, in order."""
    since = start
    for before, after in pairwise([*range(start, end, _DAY), end]):
        offset = _offset(zone, before)
        if _offset(zone, after) != offset:
            change = _change(zone, before, after)
            yield since, change, offset
            since = change
    yield since, end, _offset(zone, since)


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """The first second whose offset is not that of `before`."""
    offset = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(zone, middle) == offset else (before, middle)
    return after


def _offset(zone: ZoneInfo, second: int) -> int:
    """How many seconds the wall clock is ahead of UTC."""
    ahead = datetime.fromtimestamp(second, zone).utcoffset()
    return 0 if ahead is None else ahead // _SECOND
