"""Places in a column keep their order, wherever the next one goes."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from crm_es.sales import ranks

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SALT = UUID("0190163d-8694-739b-aea5-966c26f8ad91")


def test_what_is_put_on_top_later_stands_higher():
    places = [ranks.on_top(NOON + timedelta(microseconds=n), SALT) for n in range(5)]

    assert places == sorted(places, reverse=True)


def test_a_slow_clock_still_puts_on_top():
    first = ranks.on_top(NOON, SALT)

    assert ranks.on_top(NOON - timedelta(days=1), SALT, first) < first


def test_two_at_the_same_moment_have_places_of_their_own():
    assert len({ranks.on_top(NOON, uuid5(SALT, str(n))) for n in range(100)}) == 100


@given(st.lists(st.tuples(st.integers(0, 50), st.uuids()), min_size=1, max_size=60))
def test_a_place_between_two_others_always_exists(moves):
    column = [ranks.on_top(NOON, SALT)]
    for at, salt in moves:
        index = at % (len(column) + 1)
        above = column[index - 1] if index else None
        below = column[index] if index < len(column) else None

        column.insert(index, ranks.between(above, below, salt))

        assert column == sorted(set(column))


def test_a_thousand_moves_into_one_gap_stay_short():
    above, below = ranks.on_top(NOON, SALT), ranks.on_top(NOON - timedelta(seconds=1), SALT)
    for n in range(1_000):
        below = ranks.between(above, below, uuid5(SALT, str(n)))

    assert above < below
    assert len(below) < 400


def test_dates_before_and_far_behind_the_epoch_have_places_too():
    old, new = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

    assert ranks.on_top(new, SALT) <= ranks.on_top(old, SALT)
