"""Moves of a record follow one another by the time they happened."""

from datetime import UTC, datetime, timedelta

import pytest

from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import Dated
from crm_es.interactions.interaction import InteractionCorrected, InteractionLinked
from crm_es.occasions import Occasion, check_happened, dated

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


@pytest.mark.parametrize("last", [None, NOON - timedelta(days=1), NOON])
def test_what_is_said_stands_at_the_last_move_or_after(last):
    assert Occasion(NOON).following(last) == NOON


def test_what_is_said_to_lie_before_the_last_move_is_refused():
    with pytest.raises(InvalidInputError) as refusal:
        Occasion(NOON).following(LATER)

    assert (refusal.value.rule, refusal.value.field) == ("occurred_at.before_last", ("occurredAt",))
    assert "2026-03-01T13:00:00Z" in refusal.value.message


def test_what_nobody_dated_comes_after_the_last_move_whatever_the_clock_says():
    assert Occasion.of(None, NOON).following(LATER) == LATER
    assert Occasion.of(None, LATER).following(NOON) == LATER
    assert Occasion.of(NOON, LATER).following(None) == NOON


def test_what_has_not_happened_is_refused_but_for_what_clocks_differ():
    check_happened(None, NOON)
    check_happened(NOON + timedelta(minutes=5), NOON)
    with pytest.raises(InvalidInputError) as refusal:
        check_happened(NOON + timedelta(minutes=5, microseconds=1), NOON)

    assert (refusal.value.rule, refusal.value.field) == ("occurred_at.in_future", ("occurredAt",))
    assert "2026-03-01T12:00:00Z" in refusal.value.message


def test_the_envelope_says_what_the_event_does():
    corrected, linked = InteractionCorrected(occurred_at=NOON), InteractionLinked(contact_ids=())

    assert dated([corrected, linked, InteractionCorrected()]) == [
        Dated(corrected, NOON),
        linked,
        InteractionCorrected(),
    ]
