"""Eighteen months of tickets under a promise: asked, answered, waited for, resolved, and some of them too late.

A ticket's whole life is made when it is opened, and told day by day; what lies behind the story's end has not happened yet.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from crm_es.demo.case import Case, Deed, by_day
from crm_es.demo.life import Life
from crm_es.demo.story import DEMO, HOURS, SEED, NewContact, Story, new_id, share
from crm_es.service import queue, sla_policy
from crm_es.service.calendar import Calendar, OpeningHours
from crm_es.service.enums import HoldReason, Priority, SlaKind
from crm_es.service.queue import QUEUE, QueueEdit
from crm_es.service.sla import Policy, SlaTarget
from crm_es.service.sla_policy import SLA_POLICY
from crm_es.service.ticket_aggregate import TICKET

TICKETS: Final = 420
QUEUES: Final = ("Support", "Billing", "Onboarding")
POLICY: Final = "Answered on working days"
FIRST: Final = {Priority.URGENT: 1, Priority.HIGH: 4, Priority.NORMAL: 8, Priority.LOW: 16}
RESOLVED: Final = {Priority.URGENT: 8, Priority.HIGH: 18, Priority.NORMAL: 45, Priority.LOW: 90}
"""In hours of business."""
PROMISED: Final = {SlaKind.FIRST_RESPONSE: FIRST, SlaKind.NEXT_RESPONSE: FIRST, SlaKind.RESOLUTION: RESOLVED}


@dataclass(slots=True)
class Helping:
    """`later` and `breaches`: what is already known to happen and to run out, by the day on which it is told."""

    story: Story
    rng: Random = field(default_factory=lambda: Random(SEED + 3))  # noqa: S311  # invented tickets need no secrets
    queues: list[UUID] = field(default_factory=list)
    agents: Sequence[UUID] = ()
    policy: Life = field(init=False)
    policies: dict[UUID, Policy] = field(default_factory=dict)
    later: defaultdict[int, list[Deed]] = field(default_factory=lambda: defaultdict(list))
    breaches: defaultdict[int, list[Deed]] = field(default_factory=lambda: defaultdict(list))

    def begin(self, at: datetime) -> Iterator[Deed]:
        """Who helps, in which queues, and what is promised there."""
        self.agents = [one.id for one in self.story.members if one.role == "service"]
        for name in QUEUES:
            life = Life(aggregate=QUEUE, id=new_id(self.rng, at))
            life.happen(queue.create(QueueEdit(name=name)), at)
            self.queues.append(life.id)
            yield at, life.told()
        self.policy = Life(aggregate=SLA_POLICY, id=sla_policy.stream_of(DEMO, POLICY))
        self.policy.happen(self._promise(), at)
        terms = sla_policy.terms(self.policy.id, 1, self.policy.state.published)
        self.policies[terms.id] = terms
        yield at, self.policy.told()

    def _promise(self) -> Sequence[Any]:
        targets = [
            SlaTarget(kind=kind, priority=priority, seconds=hours * 3_600)
            for kind, by_priority in PROMISED.items()
            for priority, hours in by_priority.items()
        ]
        hours = tuple(OpeningHours(weekday=day, opens=9 * 60, closes=18 * 60) for day in range(1, 6))
        return sla_policy.publish(
            None, name=POLICY, queue_ids=self.queues, targets=targets,
            calendar=Calendar(time_zone="Europe/Berlin", hours=hours), paused_by=[HoldReason.CUSTOMER],
        )  # fmt: skip

    def day(self, day: int, begins: datetime, people: Sequence[NewContact]) -> Iterator[Deed]:
        if people:
            for _ in range(share(TICKETS, day)):
                self._live(day, begins + self.rng.random() * HOURS, self.rng.choice(people))
        yield from self.later.pop(day, ())

    def ran_out(self, day: int) -> list[Deed]:
        """The breaches that are recorded at the end of the day, by nobody."""
        return self.breaches.pop(day, [])

    def _live(self, day: int, at: datetime, who: NewContact) -> None:
        """A ticket's life, put where it is told: on the day whose sitting ends next."""
        case = Case(
            rng=self.rng, story=self.story, who=who, agents=self.agents, policies=self.policies.__getitem__, at=at,
            life=Life(aggregate=TICKET, id=new_id(self.rng, at)),
        )  # fmt: skip
        case.live(queue_id=self.rng.choice(self.queues), policy_id=self.policy.id)
        for deeds, kept in ((case.deeds, self.later), (case.broken, self.breaches)):
            for told_on, deed in by_day(deeds, self._day):
                kept[max(day, told_on)].append(deed)

    def _day(self, at: datetime) -> int:
        first_ends = self.story.founded + timedelta(days=1) + HOURS
        return max(0, -((first_ends - at) // timedelta(days=1)))
