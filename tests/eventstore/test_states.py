"""What is kept in memory of streams: for a while, and not too many."""

from uuid import uuid4

from crm_es.eventstore import states
from crm_es.eventstore.states import States

HERE, STREAM = uuid4(), uuid4()


def test_the_nearest_before_a_version_is_found():
    kept = States(seconds=1e6)
    for version in (500, 1000, 1500):
        kept.note_passed(HERE, STREAM, version, f"at {version}")

    assert kept.passed(HERE, STREAM, 1499) == (1000, "at 1000")
    assert kept.passed(HERE, STREAM, 1500) == (1500, "at 1500")
    assert kept.passed(HERE, STREAM, 499) is None
    assert kept.passed(uuid4(), STREAM, 1500) is None


def test_it_is_forgotten_with_the_rest_and_after_a_while():
    kept, brief = States(seconds=1e6), States(seconds=0.0)
    for each in (kept, brief):
        each.note_passed(HERE, STREAM, 500, "a name")
    kept.forget()

    assert kept.passed(HERE, STREAM, 500) is None
    assert brief.passed(HERE, STREAM, 500) is None


def test_of_many_streams_the_newest_are_kept():
    kept, streams = States(seconds=1e6), [uuid4() for _ in range(2 * states.LONG)]
    for stream in streams:
        kept.note_passed(HERE, stream, 500, "a name")

    there = [kept.passed(HERE, stream, 500) is not None for stream in streams]
    assert there[-1]
    assert states.LONG // 2 < sum(there) <= states.LONG
