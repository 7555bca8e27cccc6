"""The story before it becomes events: the same each time, in order, and possible."""

from collections import Counter
from datetime import UTC, date, datetime

import phonenumbers
import pytest

from crm_es.demo.life import Told
from crm_es.demo.people import TONGUES
from crm_es.demo.story import Archive, Edit, Merge, NewContact, NewInteraction, Restore, begin
from crm_es.demo.teller import Teller

END = date(2026, 1, 1)


@pytest.fixture(scope="module")
def sittings():
    return list(Teller(begin(END)).tell())


def test_it_is_told_the_same_each_time(sittings):
    assert list(Teller(begin(END)).tell()) == sittings


def test_it_has_what_was_promised(sittings):
    counts = Counter(type(deed).__name__ for sitting in sittings for _, deed in sitting.deeds)

    assert counts["NewContact"] == 2_000
    assert counts["NewCompany"] == 300
    assert 19_000 < counts["NewInteraction"] < 21_000
    assert min(counts[name] for name in ("Merge", "Archive", "Restore", "Edit")) >= 20


def test_it_sells_and_helps_and_is_late_at_times(sittings):
    events = [
        one.event for sitting in sittings for _, deed in sitting.deeds if isinstance(deed, Told) for one in deed.events
    ]
    counts = Counter(event.TOPIC for event in events)

    assert (counts["deal.opened"], counts["ticket.opened"], counts["sla_policy.published"]) == (320, 420, 1)
    assert 10 < counts["deal.opened"] + counts["deal.reopened"] - counts["deal.won"] - counts["deal.lost"] < 100
    assert min(counts["deal.won"], counts["deal.lost"], counts["ticket.sla_breached"], counts["ticket.reopened"]) >= 20


def test_what_comes_about_by_itself_is_nobodys(sittings):
    for sitting in sittings:
        late = {one.event.TOPIC for _, deed in sitting.deeds if isinstance(deed, Told) for one in deed.events}
        assert ("ticket.sla_breached" in late) == (sitting.actor is None)


def test_it_ends_before_its_end_and_goes_forward(sittings):
    times = [sitting.at for sitting in sittings]

    assert times == sorted(set(times))
    assert times[-1] < datetime(2026, 1, 1, tzinfo=UTC)
    assert (times[-1] - times[0]).days > 540


def test_nothing_happens_before_its_sitting_or_to_somebody_twice_in_one(sittings):
    for sitting in sittings:
        changed = [id_ for _, deed in sitting.deeds for id_ in touched(deed)]
        assert len(changed) == len(set(changed))
        assert all(when <= sitting.at for when, _ in sitting.deeds)


def touched(deed):
    match deed:
        case Merge(survivor_id=one, absorbed_id=other):
            return one, other
        case Told(id=id_) | Edit(id=id_) | Archive(id=id_) | Restore(id=id_) | NewContact(id=id_):
            return (id_,)
        case _:
            return ()


def test_nobody_acts_after_being_merged_away_and_everybody_was_registered_before(sittings):
    known, gone = set(), set()
    for sitting in sittings:
        before = set(known)
        for _, deed in sitting.deeds:
            if isinstance(deed, NewContact):
                known.add(deed.id)
            elif isinstance(deed, NewInteraction):
                assert deed.contact_id in before - gone
            elif isinstance(deed, Edit):
                assert deed.id in before - gone
        gone |= {deed.absorbed_id for _, deed in sitting.deeds if isinstance(deed, Merge)}


@pytest.mark.parametrize("tongue", TONGUES, ids=lambda tongue: tongue.countries[0])
def test_every_tongue_has_numbers_that_could_be_dialled(tongue):
    assert len(tongue.given) == len(tongue.latin)
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(tongue.dialling.format(n))) for n in (0, 500, 999))
