"""What a policy accepts and how its versions follow each other."""

from uuid import UUID

from msgspec import UNSET

from crm_es.service.calendar import Calendar, OpeningHours, parse_time_of_day, time_of_day
from crm_es.service.enums import HoldReason, Priority, SlaKind
from crm_es.service.sla import SlaTarget
from crm_es.service.sla_policy import SLA_POLICY, SlaPolicyPublished, publish, stream_of, version_id
from tests.deciding import given

OFFICE = Calendar(time_zone="UTC", hours=(OpeningHours(weekday=1, opens=540, closes=1020),))
TARGETS = [SlaTarget(kind=SlaKind.RESOLUTION, priority=Priority.LOW, seconds=60)]
GOLD = {"name": "Gold", "targets": TARGETS, "calendar": OFFICE}
FIRST = SlaPolicyPublished(name="Gold", queue_ids=(UUID(int=1),), targets=tuple(TARGETS), calendar=OFFICE)


def test_each_publishing_is_a_version_though_it_says_the_same():
    again = given(SLA_POLICY, FIRST).when(publish, **GOLD, queue_ids=[UUID(int=1)]).then(FIRST)

    assert again.version == 2


def test_queues_stay_unless_others_are_named():
    kept = given(SLA_POLICY, FIRST).when(
        publish, **GOLD, paused_by=[HoldReason.OTHER, HoldReason.VENDOR, HoldReason.OTHER]
    )
    none = given(SLA_POLICY, FIRST).when(publish, **GOLD, queue_ids=[])

    said = SlaPolicyPublished(
        name="Gold",
        queue_ids=UNSET,
        targets=tuple(TARGETS),
        calendar=OFFICE,
        paused_by=(HoldReason.VENDOR, HoldReason.OTHER),
    )
    assert kept.then(said).queue_ids == (UUID(int=1),)
    assert (
        none.then(SlaPolicyPublished(name="Gold", queue_ids=(), targets=tuple(TARGETS), calendar=OFFICE)).queue_ids
        == ()
    )


def test_a_policy_is_known_by_its_name_and_a_version_by_its_number():
    workspace, other = UUID(int=1), UUID(int=2)

    assert stream_of(workspace, "Gold") == stream_of(workspace, "GOLD") != stream_of(other, "Gold")
    assert version_id(workspace, 1) != version_id(workspace, 2)


def test_times_of_day_are_read_and_written():
    assert [parse_time_of_day(text) for text in ("9:05", "00:00", "24:00")] == [545, 0, 1440]
    assert [time_of_day(minutes) for minutes in (545, 0, 1440)] == ["09:05", "00:00", "24:00"]
