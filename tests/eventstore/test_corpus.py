"""What was stored once is read for ever; what is stored today comes back as it was."""

import shutil
from uuid import UUID

import pytest

from crm_es.catalog import AGGREGATES, EVENT_CLASSES
from crm_es.eventstore.codec import Codec, Stored
from crm_es.eventstore.event import personal_fields
from crm_es.privacy.keystore import KeyStore
from tests.eventstore.freeze import KEYS, ROOT, lines, missing, name, opened, stored
from tests.eventstore.one_of_each import erased, one_of

FROZEN = [
    pytest.param(aggregate, line, id="{} {}".format(*name(line["state"])))
    for aggregate in AGGREGATES
    for line in lines(aggregate.name)
]
EACH = [pytest.param(one, event, id=event.TOPIC) for one in AGGREGATES for event in one.events]


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    copy = tmp_path_factory.mktemp("corpus") / "keys.sqlite"
    shutil.copyfile(KEYS, copy)
    keys = KeyStore.open(copy, ROOT)
    yield Codec(AGGREGATES, keys)
    keys.close()


def test_every_event_is_frozen():
    assert [event_class.TOPIC for _, event_class in missing()] == [], "run python -m tests.eventstore.freeze"


@pytest.mark.parametrize(("aggregate", "line"), FROZEN)
def test_what_was_stored_once_opens_and_folds(codec, aggregate, line):
    fact = codec.decode(Stored(1, 1, line["state"].encode()))

    assert opened(fact.event) == line["opened"]
    assert fact.reason == "for the corpus"
    assert not fact.erased
    aggregate.fields(aggregate.evolve(None, fact.event))


@pytest.mark.parametrize(("aggregate", "event_class"), EACH)
def test_every_event_comes_back_as_it_was_stored(codec, aggregate, event_class):
    event = one_of(event_class)

    fact = codec.decode(Stored(1, 1, stored(codec, event)))

    assert fact.event == event
    state = aggregate.evolve(None, event)
    aggregate.reservations(UUID(int=1), state)
    assert all(isinstance(name, str) for name, _ in aggregate.touches(event))


@pytest.mark.parametrize(("aggregate", "event_class"), EACH)
def test_every_erased_event_folds_and_answers_nothing_personal(aggregate, event_class):
    whole = one_of(event_class)

    state = aggregate.evolve(aggregate.evolve(None, erased(whole)), erased(whole))

    aggregate.reservations(UUID(int=1), state)
    answered = str(aggregate.fields(state))
    for field in personal_fields(event_class):
        assert str(getattr(whole, field)) not in answered


def test_no_topic_is_used_twice_and_each_begins_with_its_aggregate():
    topics = [event_class.TOPIC for event_class in EVENT_CLASSES]

    assert len(topics) == len(set(topics))
    for aggregate in AGGREGATES:
        assert all(event_class.TOPIC.startswith(f"{aggregate.name}.") for event_class in aggregate.events)
