"""What each scalar takes, answers and refuses."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from crm_es.api.scalars import JSON, SCALARS, Position, TimeZone


def parse(kind: object, value: object) -> object:
    parser = SCALARS[kind].parse_value
    assert parser is not None
    return parser(value)


def show(kind: object, value: object) -> object:
    serializer = SCALARS[kind].serialize
    assert serializer is not None
    return serializer(value)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (datetime, "2026-11-21T20:00:00+01:00", datetime(2026, 11, 21, 19, tzinfo=UTC)),
        (datetime, "2026-11-21t19:00:00.5z", datetime(2026, 11, 21, 19, 0, 0, 500_000, tzinfo=UTC)),
        (datetime, "2026-11-21T19:00:00.123456789Z", datetime(2026, 11, 21, 19, 0, 0, 123_456, tzinfo=UTC)),
        (date, "2026-02-28", date(2026, 2, 28)),
        (timedelta, "P7D", timedelta(days=7)),
        (timedelta, "P2W", timedelta(weeks=2)),
        (timedelta, "-PT1H30M", -timedelta(hours=1, minutes=30)),
        (timedelta, "PT0.5S", timedelta(milliseconds=500)),
        (TimeZone, "Europe/Berlin", "Europe/Berlin"),
        (Decimal, "1054.00", Decimal("1054.00")),
        (Decimal, 12, Decimal(12)),
        (Position, "42", 42),
        (Position, 0, 0),
        (UUID, "01966C4E-7B0F-7000-8000-000000000001", UUID("01966c4e-7b0f-7000-8000-000000000001")),
        (JSON, {"a": [1, None, "é"]}, {"a": [1, None, "é"]}),
    ],
)
def test_a_scalar_takes_its_spelling(kind, given, value):
    assert parse(kind, given) == value


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        (datetime, "2026-11-21T19:00:00"),
        (datetime, "2026-11-21"),
        (datetime, "2026-11-21 19:00:00Z"),
        (datetime, "2026-13-21T19:00:00Z"),
        (datetime, "0001-01-01T00:00:00+01:00"),
        (datetime, "\u0662\u0660\u0662\u0666-11-21T19:00:00Z"),
        (datetime, 1_763_750_000),
        (date, "2026-02-30"),
        (date, "20260228"),
        (date, "2026-02-28T00:00:00Z"),
        (timedelta, "P"),
        (timedelta, "PT"),
        (timedelta, "P1M"),
        (timedelta, "P1Y"),
        (timedelta, "1 day"),
        (TimeZone, "Berlin"),
        (TimeZone, "../../etc/passwd"),
        (TimeZone, "Europe"),
        (TimeZone, ""),
        (Decimal, "NaN"),
        (Decimal, "Infinity"),
        (Decimal, "1e9999999"),
        (Decimal, "1,000.00"),
        (Decimal, 10.5),
        (Decimal, True),
        (Position, "-1"),
        (Position, "1.0"),
        (Position, "9223372036854775808"),
        (UUID, "{01966c4e-7b0f-7000-8000-000000000001}"),
        (UUID, "01966c4e7b0f70008000000000000001"),
        (UUID, ["x"]),
    ],
)
def test_a_scalar_refuses_the_rest_with_a_code_and_what_it_wants(kind, bad):
    with pytest.raises(GraphQLError, match=r"^Expected ") as refused:
        parse(kind, bad)

    assert refused.value.extensions == {"code": "BAD_USER_INPUT"}


def test_json_nested_too_deep_is_refused():
    bomb: object = 1
    for _ in range(1_000):
        bomb = [bomb]

    with pytest.raises(GraphQLError, match="nested"):
        parse(JSON, bomb)


def test_a_long_bad_value_is_not_echoed_whole():
    with pytest.raises(GraphQLError) as refused:
        parse(datetime, "x" * 100_000)

    assert len(refused.value.message) < 200


@given(st.datetimes(timezones=st.timezones()))
def test_a_moment_is_answered_in_utc_and_read_back(moment):
    text = show(datetime, moment)

    assert str(text).endswith("Z")
    assert parse(datetime, text) == moment.astimezone(UTC)


@given(st.timedeltas(min_value=timedelta(days=-99_999), max_value=timedelta(days=99_999)))
def test_a_duration_is_read_back(length):
    assert parse(timedelta, show(timedelta, length)) == length


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12))
def test_a_decimal_keeps_its_digits(number):
    assert str(parse(Decimal, show(Decimal, number))) == str(number)


def test_a_position_is_a_string():
    assert show(Position, 2**53 + 1) == "9007199254740993"
