"""What every aggregate must be able to tell of its events."""

import pytest

from crm_es.catalog import AGGREGATES
from crm_es.eventstore.event import changeable_fields
from tests.eventstore.one_of_each import one_of


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda one: one.name)
def test_every_field_that_an_event_may_change_can_be_told_before_and_after(aggregate):
    named = {name for event_class in aggregate.events for name in changeable_fields(event_class)}
    state = aggregate.evolve(None, one_of(aggregate.events[0]))

    told = aggregate.fields(state).keys() | aggregate.moments.keys()
    assert named <= told | aggregate.elsewhere
    assert aggregate.moments.keys() | aggregate.elsewhere <= named
    assert told.isdisjoint(aggregate.elsewhere)
    assert aggregate.within.keys() <= aggregate.fields(state).keys()
