"""Periods of charts: both days in, cut where the calendar cuts, in anybody's zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_es.errors import InvalidInputError
from crm_es.periods import MOST, Interval, between, cut, span, upto

ZONES = ("UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Pacific/Apia", "Australia/Lord_Howe")


def days(first, last, interval):
    return [str(piece.date) for piece in cut(date(*first), date(*last), interval, "UTC")]


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval.DAY, ["2026-03-30", "2026-03-31", "2026-04-01"]),
        (Interval.WEEK, ["2026-03-30"]),
        (Interval.MONTH, ["2026-03-30", "2026-04-01"]),
        (Interval.QUARTER, ["2026-03-30", "2026-04-01"]),
    ],
)
def test_a_period_is_cut_where_the_calendar_is(interval, expected):
    assert days((2026, 3, 30), (2026, 4, 1), interval) == expected


def test_months_and_quarters_of_a_year():
    assert len(days((2026, 1, 1), (2026, 12, 31), Interval.MONTH)) == 12
    assert days((2026, 1, 1), (2026, 12, 31), Interval.QUARTER) == [
        "2026-01-01",
        "2026-04-01",
        "2026-07-01",
        "2026-10-01",
    ]
    assert days((2026, 1, 1), (2026, 1, 12), Interval.WEEK) == ["2026-01-01", "2026-01-05", "2026-01-12"]


def test_weeks_begin_on_the_day_that_is_said():
    found = cut(date(2026, 1, 1), date(2026, 1, 12), Interval.WEEK, "UTC", week_starts_on=7)

    assert [str(piece.date) for piece in found] == ["2026-01-01", "2026-01-04", "2026-01-11"]


def test_days_are_as_long_as_their_clocks_make_them():
    spring, autumn = date(2026, 3, 29), date(2026, 10, 25)

    assert [len(cut(day, day, Interval.HOUR, "Europe/Berlin")) for day in (spring, autumn)] == [23, 25]
    begins, ends = span(spring, spring, "Europe/Berlin")
    assert (begins.isoformat(), ends - begins) == ("2026-03-28T23:00:00+00:00", timedelta(hours=23))


@given(
    st.dates(date(1970, 1, 1), date(2037, 1, 1)), st.integers(0, 40), st.sampled_from(Interval), st.sampled_from(ZONES)
)
def test_the_pieces_make_up_the_period_without_gap_or_overlap(first, length, interval, zone):
    last = first + timedelta(days=length)

    found = cut(first, last, interval, zone)

    assert (found[0].begins, found[-1].ends) == span(first, last, zone)
    assert [piece.ends for piece in found[:-1]] == [piece.begins for piece in found[1:]]
    assert all(piece.begins <= piece.ends for piece in found)
    assert all(first <= piece.date <= last for piece in found)


@pytest.mark.parametrize(
    ("first", "last", "refusal"),
    [
        (date(2026, 1, 2), date(2026, 1, 1), ("period.backwards", ("to",))),
        (date(1, 1, 1), date(2026, 1, 1), ("period.too_far", ("from",))),
        (date(2026, 1, 1), date(9999, 12, 31), ("period.too_far", ("to",))),
        (date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=MOST), ("period.too_many", ("interval",))),
    ],
)
def test_what_no_chart_can_show_is_refused(first, last, refusal):
    with pytest.raises(InvalidInputError) as caught:
        cut(first, last, Interval.DAY, "UTC")

    assert (caught.value.rule, caught.value.field) == refusal


@given(
    st.integers(0, 2_100_000_000).map(lambda second: datetime.fromtimestamp(second, UTC)),
    st.timedeltas(timedelta(seconds=1), timedelta(days=40)),
    st.sampled_from(Interval),
    st.sampled_from(ZONES),
)
def test_a_stretch_is_cut_where_its_whole_days_would_be(begins, length, interval, zone):
    ends = begins + length

    found = between(begins, ends, interval, zone)

    assert (found[0].begins, found[-1].ends) == (begins, ends)
    assert [piece.ends for piece in found[:-1]] == [piece.begins for piece in found[1:]]
    first, last = (each.astimezone(ZoneInfo(zone)).date() for each in (begins, ends))
    at = {piece.begins for piece in cut(first, last, interval, zone)}
    assert {piece.begins for piece in found[1:]} == {each for each in at if begins < each < ends}


def test_hours_of_a_stretch_begin_at_full_hours():
    found = between(datetime(2026, 3, 1, 9, 30, tzinfo=UTC), datetime(2026, 3, 1, 11, tzinfo=UTC), Interval.HOUR, "UTC")

    assert [(piece.begins.time().isoformat(), piece.ends.time().isoformat()) for piece in found] == [
        ("09:30:00", "10:00:00"), ("10:00:00", "11:00:00"),
    ]  # fmt: skip


def test_as_many_points_as_there_may_be_are_counted_from_where_a_stretch_begins():
    begins = datetime(2026, 1, 1, 23, tzinfo=UTC)

    assert len(between(begins, begins + timedelta(hours=MOST), Interval.HOUR, "UTC")) == MOST
    with pytest.raises(InvalidInputError) as refused:
        between(begins, begins + timedelta(hours=MOST, seconds=1), Interval.HOUR, "UTC")
    assert refused.value.rule == "period.too_many"


def test_no_stretch_begins_before_calendars_do():
    with pytest.raises(InvalidInputError) as refused:
        upto(datetime(1, 1, 9, tzinfo=UTC), timedelta(days=30))

    assert (refused.value.rule, refused.value.field) == ("period.too_far", ("to",))
    assert upto(datetime(2026, 3, 31, tzinfo=UTC), timedelta(days=30)) == datetime(2026, 3, 1, tzinfo=UTC)
