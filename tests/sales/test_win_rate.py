"""The share of deals won so far, with the bounds of Wilson's interval."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_es.sales.win_rate import part, win_rate


@pytest.mark.parametrize(
    ("won", "lost", "low", "high"),
    [(8, 2, "0.4902", "0.9433"), (0, 10, "0.0000", "0.2775"), (10, 0, "0.7225", "1.0000"), (4_238, 2_473, "0.6199", "0.6430")],
)  # fmt: skip
def test_the_bounds_are_those_of_tables(won, lost, low, high):
    found = win_rate(won, lost)

    assert (round(found.low, 4), round(found.high, 4)) == (Decimal(low), Decimal(high))
    assert found.mid == Decimal(won) / (won + lost)


def test_nothing_is_known_while_nothing_is_closed():
    assert win_rate(0, 0) is None


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_was_counted_lies_between_the_bounds(won, lost):
    found = win_rate(won, lost)

    assert found is None or 0 <= found.low <= found.mid <= found.high <= 1


def test_a_part_is_rounded_half_to_even_to_what_the_currency_has():
    half = Decimal("0.5")

    assert [part(minor, half, "USD") for minor in (1, 3)] == [Decimal("0.00"), Decimal("0.02")]
    assert part(3, half, "JPY") == Decimal(2)
