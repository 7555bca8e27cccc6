"""Business time by hand: hours, holidays, and the days on which the clocks are changed."""

from datetime import UTC, date, datetime

import pytest

from crm_es.errors import InvalidInputError
from crm_es.service.calendar import BusinessTime, Calendar, OpeningHours, moment, seconds
from crm_es.service.public_holidays import public_holidays

HOUR = 3_600


def calendar(zone="Europe/Berlin", weekdays=range(1, 6), spans=((9, 17),), **given):
    hours = tuple(
        OpeningHours(weekday=day, opens=int(a * 60), closes=int(b * 60)) for day in weekdays for a, b in spans
    )
    return BusinessTime(Calendar(time_zone=zone, hours=hours, **given))


def at(text):
    return seconds(datetime.fromisoformat(text))


def hours(time, start, end):
    return time.between(at(start), at(end)) / HOUR


def test_only_the_hours_of_open_days_count():
    office = calendar()

    assert hours(office, "2026-01-05T00:00+01:00", "2026-01-12T00:00+01:00") == 40
    assert hours(office, "2026-01-09T16:30+01:00", "2026-01-12T09:15+01:00") == 0.75
    assert hours(office, "2026-01-10T10:00+01:00", "2026-01-10T12:00+01:00") == 0


def test_a_day_can_have_several_spans():
    shop = calendar(spans=((8.5, 12), (13, 18)))

    assert hours(shop, "2026-01-05T00:00+01:00", "2026-01-06T00:00+01:00") == 8.5
    assert hours(shop, "2026-01-05T11:30+01:00", "2026-01-05T13:30+01:00") == 1


def test_nothing_goes_by_backwards():
    assert hours(calendar(), "2026-01-06T12:00+01:00", "2026-01-05T12:00+01:00") == 0


def test_holidays_and_closed_days_do_not_count():
    office = calendar(holiday_dates=(date(2026, 1, 6),), closed_on=(date(2026, 1, 7),))

    assert hours(office, "2026-01-05T00:00+01:00", "2026-01-09T00:00+01:00") == 16


def test_an_hour_that_the_clocks_skip_is_no_business_time_and_one_they_repeat_is_twice():
    always = calendar(weekdays=range(1, 8), spans=((0, 24),))
    nights = calendar(weekdays=range(1, 8), spans=((2, 3),))

    assert hours(always, "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00") == 23
    assert hours(always, "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00") == 25
    assert hours(nights, "2026-03-28T00:00+01:00", "2026-03-31T00:00+02:00") == 2
    assert hours(nights, "2026-10-24T00:00+02:00", "2026-10-27T00:00+01:00") == 4


def test_a_span_that_begins_in_a_repeated_hour_is_open_whenever_the_clock_says_so():
    early = calendar(weekdays=(7,), spans=((2.5, 3.5),))

    assert hours(early, "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00") == 1.5


def test_office_hours_stay_office_hours_when_the_clocks_change():
    office = calendar()

    due = moment(office.after(at("2026-03-27T16:00+01:00"), 2 * HOUR))

    assert due == datetime.fromisoformat("2026-03-30T10:00+02:00")


def test_a_day_that_a_zone_left_out_has_no_hours():
    samoa = calendar("Pacific/Apia", weekdays=range(1, 8))

    assert hours(samoa, "2011-12-29T09:00-10:00", "2011-12-31T17:00+14:00") == 16


def test_business_time_ends_with_the_day_rather_than_begin_with_the_next():
    office = calendar()

    friday = moment(office.after(at("2026-01-09T09:00+01:00"), 8 * HOUR))

    assert friday == datetime.fromisoformat("2026-01-09T17:00+01:00")


def test_what_needs_no_time_is_due_at_once_though_closed():
    sunday = at("2026-01-11T12:00+01:00")

    assert calendar().after(sunday, 0) == sunday


@pytest.mark.parametrize("wanted", [1, HOUR, 8 * HOUR, 400 * HOUR, 5_000 * HOUR])
@pytest.mark.parametrize("start", ["2026-03-28T03:00+01:00", "2025-12-31T16:59:59+01:00", "2026-10-25T02:30+01:00"])
def test_the_moment_after_so_much_business_time_is_the_first_by_which_it_has_gone_by(start, wanted):
    office = calendar(holiday_dates=(date(2026, 1, 1), date(2026, 12, 25)))

    due = office.after(at(start), wanted)

    assert office.between(at(start), due) == wanted
    assert office.between(at(start), due - 1) == wanted - 1


def test_years_add_up():
    office = calendar()
    first, last = at("2011-06-01T00:00Z"), at("2026-06-01T00:00Z")

    parts = [seconds(datetime(year, 6, 1, tzinfo=UTC)) for year in range(2011, 2027)]

    assert office.between(first, last) == sum(map(office.between, parts, parts[1:]))


def test_nothing_before_1970_is_business_time():
    office = calendar("UTC")

    assert hours(office, "0001-01-01T00:00Z", "1970-01-01T12:00Z") == 3
    assert moment(office.after(at("0001-01-01T00:00Z"), HOUR)) == datetime(1970, 1, 1, 10, tzinfo=UTC)


def test_public_holidays_go_by_country_and_part_of_it():
    bavaria, germany = public_holidays("DE-BY", 2026), public_holidays("DE", 2026)

    assert date(2026, 1, 6) in bavaria
    assert date(2026, 1, 6) not in germany
    assert {date(2012, 12, 25), date(2046, 12, 25)} <= set(germany)


@pytest.mark.parametrize("code", ["XX", "DE-ZZ", "Germany", "de", ""])
def test_an_unknown_code_is_refused(code):
    with pytest.raises(InvalidInputError) as refusal:
        public_holidays(code, 2026, ("calendar", "holidays"))

    assert refusal.value.rule == "calendar.unknown_holidays"
    assert refusal.value.field == ("calendar", "holidays")


def test_countries_of_which_few_years_are_known_are_taken_as_they_are():
    assert public_holidays("IR", 2026)
