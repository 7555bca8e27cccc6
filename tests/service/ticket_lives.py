"""Generated lives of tickets, each step kept twice: as a transition, and as the slow calculator takes it."""

from datetime import timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

from crm_es.service.calendar import Calendar, OpeningHours
from crm_es.service.enums import HoldReason, Priority, SlaKind, TicketStatus
from crm_es.service.sla import Policy, SlaTarget, Transition
from tests.service.slow_clocks import SlowCalendar, SlowPolicy, utc

OFFICE = {day: [(9 * 60, 17 * 60)] for day in range(1, 6)}
SPLIT = {day: [(8 * 60 + 30, 12 * 60), (13 * 60, 18 * 60 + 15)] for day in range(1, 7)}
ALWAYS = {day: [(0, 24 * 60)] for day in range(1, 8)}
NIGHTS = {day: [(0, 4 * 60), (22 * 60, 24 * 60)] for day in range(1, 8)}
WORLDS = [
    ("Europe/Berlin", OFFICE, utc(2026, 3, 9)),
    ("America/New_York", SPLIT, utc(2026, 2, 20)),
    ("America/New_York", NIGHTS, utc(2026, 10, 12)),
    ("Europe/London", ALWAYS, utc(2026, 10, 5)),
    ("Australia/Lord_Howe", NIGHTS, utc(2026, 3, 16)),
    ("America/Santiago", NIGHTS, utc(2026, 8, 17)),
    ("Africa/Cairo", ALWAYS, utc(2026, 4, 1)),
    ("Asia/Kathmandu", SPLIT, utc(2025, 12, 10)),
]
"""Zones and hours, and a time around which most of them change their clocks."""
SPAN = timedelta(days=50)


def both(number, random, zone, hours, since):
    """One policy for us and for the slow calculator."""
    closed = {(since + timedelta(days=random.randrange(50))).date() for _ in range(6)}
    targets = {
        (kind, priority): random.choice([600, 3_600, 4 * 3_600, 16 * 3_600, 90 * 3_600]) + random.randrange(3_600)
        for kind in SlaKind
        for priority in Priority
        if random.random() < 0.9
    }
    paused_by = {reason for reason in HoldReason if random.random() < 0.6}
    spans = tuple(
        OpeningHours(weekday=day, opens=opens, closes=closes) for day, all_ in hours.items() for opens, closes in all_
    )
    half = len(closed) // 2
    days = sorted(closed)
    ours = Policy(
        UUID(int=number),
        targets=[SlaTarget(kind=kind, priority=p, seconds=n) for (kind, p), n in targets.items()],
        calendar=Calendar(
            time_zone=zone, hours=spans, holidays="DE", holiday_dates=tuple(days[:half]), closed_on=tuple(days[half:])
        ),
        paused_by=paused_by,
    )
    slow = SlowCalendar(ZoneInfo(zone), hours, closed, since - timedelta(days=2))
    return ours, SlowPolicy(UUID(int=number), targets, paused_by, slow)


class History:
    """A ticket's life. Every step is kept twice: as a transition, and as the slow calculator takes it."""

    def __init__(self, random, since, policies):
        self.random, self.policies = random, policies
        self.now, self.end = since + timedelta(seconds=random.randrange(20 * 86_400)), since + SPAN
        self.transitions, self.slow = [], []
        self.queue = random.choice(list(policies))
        self.merged = False
        first = self.queue if random.random() < 0.9 else None
        self.step(status=TicketStatus.NEW, priority=random.choice(list(Priority)), policy=first)

    def step(self, *, status=None, reason=None, merged=None, priority=None, policy=None, replied=False, asked=False):
        self.transitions.append(
            Transition(
                at=self.now, status=status, hold_reason=reason, merged=merged, priority=priority, policy=policy, replied=replied,
                asked=asked,
            )
        )  # fmt: skip
        slow = {"at": self.now, "status": status, "reason": reason, "merged": merged, "priority": priority}
        self.slow.append(slow | {"replied": replied, "asked": asked, "policy": policy and self.policies[policy][1]})

    def wait(self):
        r = self.random
        some = r.choice([0, 1, 59, 3_600, 8 * 3_600, 3 * 86_400])
        pause = timedelta(seconds=r.randrange(some + 1), microseconds=r.choice([0, 0, r.randrange(10**6)]))
        self.now = min(self.now + pause, self.end)

    def go_on(self):
        r = self.random
        if self.merged or r.random() < 0.04:  # what was absorbed takes nothing until it is given back
            self.merged = not self.merged
            return self.step(merged=self.merged)
        match r.randrange(10):
            case 0 | 1:
                reason = r.choice(list(HoldReason))
                held = TicketStatus.PENDING if reason is HoldReason.CUSTOMER else TicketStatus.ON_HOLD
                self.step(status=held, reason=reason)
            case 2 | 3:
                self.step(status=TicketStatus.OPEN)  # resumed, or reopened
            case 4:
                self.step(status=r.choice([TicketStatus.RESOLVED, TicketStatus.CLOSED]))
            case 5:
                self.step(priority=r.choice(list(Priority)))
            case 6:
                self.step(policy=r.choice(list(self.policies)))
            case 7 | 8:
                self.step(asked=True)
            case _:
                self.step(replied=True)
        return None


def lives(seed, count):
    """Histories in one world, with the policies of its queues: some of its own zone, some of others."""
    random = Random(seed)
    _, _, since = WORLDS[seed]
    others = [(zone, hours) for zone, hours, _ in random.sample(WORLDS, 2)]
    places = [WORLDS[seed][:2], WORLDS[seed][:2], *others]
    policies = {UUID(int=n): both(n, random, zone, hours, since) for n, (zone, hours) in enumerate(places, start=1)}
    for _ in range(count):
        history = History(random, since, policies)
        for _ in range(random.randrange(1, 16)):
            history.wait()
            history.go_on()
        history.wait()
        yield history, lambda id_: policies[id_][0]
