"""Random but lawful histories of a service desk: queues, tickets, what is written on them, requesters merged and unmerged."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from msgspec import UNSET

from crm_es.contacts import contact_events as c
from crm_es.errors import CrmError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Dated
from crm_es.interactions import interaction as i
from crm_es.occasions import Occasion
from crm_es.service import queue as q
from crm_es.service import ticket as t
from crm_es.service import ticket_editing as editing
from crm_es.service import ticket_merging as merging
from crm_es.service.calendar import Calendar, OpeningHours
from crm_es.service.enums import HoldReason, Priority, SlaKind, TicketType
from crm_es.service.queue import QUEUE
from crm_es.service.sla import Clocks, Policy, SlaTarget
from crm_es.service.sla_policy import SLA_POLICY, SlaPolicyPublished, publish, stream_of, terms, version_id
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_clocks import clocks
from crm_es.values import ExternalId, Tag
from tests.projector.log import START, Log

MEMBERS = (UUID(int=5), UUID(int=6), UUID(int=7))
ARTICLES = (UUID(int=8), UUID(int=9))
FIRMS = (UUID(int=10), UUID(int=11), None)


@dataclass
class Desk:
    """One workspace. `step` does one more thing; what is refused is not done."""

    log: Log
    workspace: UUID
    random: Random
    states: dict[UUID, tuple[Aggregate[Any, Any], Any]] = field(default_factory=dict)
    absorbed: list[tuple[UUID, UUID]] = field(default_factory=list)
    persons: list[UUID] = field(default_factory=list)
    texts: list[UUID] = field(default_factory=list)
    published: dict[UUID, int] = field(default_factory=dict)
    now: datetime = START

    def steps(self, count: int) -> None:
        for _ in range(3):
            self.person()
        self.queue()
        self.open_ticket()
        for _ in range(count):
            self.now += timedelta(minutes=self.random.choice([0, 1, 50, 600]))
            try:
                self.random.choice(self.DEEDS)(self)
            except CrmError:
                continue

    @property
    def tickets(self) -> list[UUID]:
        return self.of(TICKET)

    def of(self, aggregate: Aggregate[Any, Any]) -> list[UUID]:
        return [id_ for id_, (kind, _) in self.states.items() if kind is aggregate]

    def new_id(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    def append(self, aggregate: Aggregate[Any, Any], changes: dict[UUID, Any], via: UUID | None = None) -> None:
        events = [(id_, getattr(one, "event", one)) for id_, each in changes.items() for one in each]
        self.log.append(self.workspace, *events, via=via)
        for id_, event in events:
            self.states[id_] = aggregate, aggregate.evolve(self.states.get(id_, (None, None))[1], event)

    def decide(self, decision: Any) -> None:
        """On some ticket; one that was merged leads to its survivor."""
        named = id_ = self.random.choice(self.tickets)
        while (survivor := self.states[id_][1].merged_into) is not None:
            id_ = survivor
        self.append(TICKET, {id_: decision(self.states[id_][1])}, via=None if id_ == named else named)

    def loaded(self, id_: UUID) -> Loaded[Any]:
        return Loaded(id=id_, version=self.log.versions[id_], state=self.states[id_][1])

    # Requesters

    def person(self) -> None:
        self.persons.append(id_ := self.new_id())
        self.log.append(self.workspace, (id_, c.ContactRegistered(lifecycle_stage=c.LifecycleStage.LEAD)))

    def merge_persons(self) -> None:
        survivor, absorbed = self.random.sample(self.persons, 2)
        if (survivor, absorbed) in self.absorbed or any(absorbed in pair for pair in self.absorbed):
            return
        self.absorbed.append((survivor, absorbed))
        merged = c.ContactMerged(absorbed_id=absorbed, absorbed_version=1, absorbed_ids=(absorbed,))
        self.log.append(self.workspace, (survivor, merged))

    def unmerge_persons(self) -> None:
        if self.absorbed:
            survivor, absorbed = self.absorbed.pop(self.random.randrange(len(self.absorbed)))
            released = c.ContactReleased(absorbed_id=absorbed, absorbed_ids=(absorbed,))
            self.log.append(self.workspace, (survivor, released))

    # Queues

    def queue(self) -> None:
        r = self.random
        form = q.QueueEdit(name=r.choice(["Hilfe", "Öffnung"]), auto_close_days=r.choice([None, 7]))
        self.append(QUEUE, {self.new_id(): q.create(form)})

    def change_queue(self) -> None:
        id_ = self.random.choice(self.of(QUEUE))
        form = q.QueueEdit(name=f"Q{self.random.randrange(9)}", reopen_days=self.random.randrange(9))
        deed = self.random.choice([lambda was: q.change(was, form), q.archive, q.restore])
        self.append(QUEUE, {id_: deed(self.states[id_][1])})

    def publish(self) -> None:
        """A policy, or its next version: hours and targets as they come."""
        r = self.random
        name, queues = r.choice(["Gold", "Silver"]), r.sample(self.of(QUEUE), 1)
        hours = tuple(OpeningHours(weekday=day, opens=r.choice([0, 540]), closes=1020) for day in range(1, 7))
        targets = [
            SlaTarget(kind=kind, priority=priority, seconds=r.choice([600, 7_200, 40_000]))
            for kind in SlaKind
            for priority in list(Priority)[: r.randrange(2, 5)]
        ]
        calendar = Calendar(time_zone=r.choice(["Europe/Berlin", "UTC"]), hours=hours, closed_on=(START.date(),))
        id_ = stream_of(self.workspace, name)
        events = publish(
            self.states.get(id_, (None, None))[1], name=name, queue_ids=r.choice([UNSET, queues, queues, queues]),
            targets=targets, calendar=calendar, paused_by=r.sample(list(HoldReason), 2),
        )  # fmt: skip
        self.append(SLA_POLICY, {id_: events})
        self.published[id_] = self.log.positions[self.workspace]

    def policy_of(self, queue: UUID) -> dict[str, Any]:
        """The newest of those that name the queue, as an event has it."""
        named = [id_ for id_ in self.published if queue in self.states[id_][1].queue_ids]
        if not named:
            return {"sla_policy_id": None, "sla_policy_version": None}
        id_ = max(named, key=self.published.__getitem__)
        return {"sla_policy_id": id_, "sla_policy_version": self.states[id_][1].version}

    def policies(self) -> dict[UUID, Policy]:
        """Every version there is, by its id."""
        said = [fact for fact in self.log.facts if isinstance(fact.event, SlaPolicyPublished)]
        return {version_id(f.stream, f.version): terms(f.stream, f.version, f.event) for f in said}

    def clocks(self, facts: Any) -> Clocks:
        """Of a ticket, by folding its events."""
        return clocks([fact.event for fact in facts], self.policies().__getitem__)

    # Tickets

    def open_ticket(self) -> None:
        r = self.random
        queue = r.choice(self.of(QUEUE))
        events = editing.open_ticket(
            title=r.choice(["It broke", "壊れた"]), queue_id=queue, type=r.choice(list(TicketType)),
            priority=r.choice(list(Priority)), requester_id=r.choice([None, *self.persons]), company_id=r.choice(FIRMS),
            tags=[Tag(name) for name in r.sample(["a", "Ä", "b"], 2)], on=Occasion(self.now),
            external_ids=[ExternalId(system="desk", value=str(r.randrange(10**9)))],
            **self.policy_of(queue),
        )  # fmt: skip
        self.append(TICKET, {self.new_id(): events})

    def edit(self) -> None:
        r = self.random
        form = editing.TicketEdit(
            title=r.choice(["Other", "It broke"]), type=r.choice(list(TicketType)), company_id=r.choice(FIRMS),
            requester_id=r.choice([None, *self.persons]), add_tags=[Tag(r.choice("abcd"))], remove_tags=[Tag(r.choice("abcd"))],
            add_article_ids=[r.choice(ARTICLES)], remove_article_ids=[r.choice(ARTICLES)],
        )  # fmt: skip
        self.decide(lambda was: editing.update(was, form))

    def assign(self) -> None:
        self.decide(lambda was: t.assign(was, self.random.choice([None, *MEMBERS]), on=Occasion(self.now)))

    def prioritize(self) -> None:
        self.decide(lambda was: t.prioritize(was, self.random.choice(list(Priority)), on=Occasion(self.now)))

    def move(self) -> None:
        queue = self.random.choice(self.of(QUEUE))
        self.decide(lambda was: t.move(was, queue, **self.policy_of(queue), on=Occasion(self.now)))

    def reply(self) -> None:
        internal = self.random.random() < 0.5
        self.decide(lambda was: t.reply(was, self.new_id(), internal=internal, on=Occasion(self.now)))

    def receive(self) -> None:
        early, inbound = self.now - timedelta(days=1), self.random.random() < 0.5
        self.decide(lambda _: t.receive(self.new_id(), inbound=inbound, at=early))

    def hold(self) -> None:
        self.decide(lambda was: t.hold(was, self.random.choice(list(HoldReason)), on=Occasion(self.now)))

    def resume(self) -> None:
        self.decide(lambda was: t.resume(was, on=Occasion(self.now)))

    def resolve(self) -> None:
        resolution, article = self.random.choice([None, "Mended"]), self.random.choice([None, *ARTICLES])
        self.decide(lambda was: t.resolve(was, resolution=resolution, article_id=article, on=Occasion(self.now)))

    def close(self) -> None:
        self.decide(lambda was: t.close(was, on=Occasion(self.now)))

    def reopen(self) -> None:
        self.decide(lambda was: t.reopen(was, on=Occasion(self.now), window=None))

    def rate(self) -> None:
        self.decide(lambda was: t.rate(was, self.random.randrange(1, 6), self.random.choice([None, "Fast"])))

    def breach(self) -> None:
        self.decide(lambda was: t.breach(was, SlaKind.RESOLUTION, self.random.randrange(3), self.now))

    def merge(self) -> None:
        survivor, absorbed = self.random.choice(self.tickets), self.random.choice(self.tickets)
        both = merging.merge(self.loaded(survivor), self.loaded(absorbed), on=Occasion(self.now))
        self.append(TICKET, {survivor: both.survivor, absorbed: both.absorbed})

    def unmerge(self) -> None:
        absorbed = self.random.choice(self.tickets)
        survivor = self.states[absorbed][1].merged_into or absorbed
        facts = [fact for fact in self.log.facts if fact.stream == survivor]
        changes = merging.unmerge(self.loaded(survivor), self.loaded(absorbed), facts, on=Occasion(self.now))
        assert all(isinstance(one, Dated) for one in changes[absorbed][1:])
        self.append(TICKET, changes)

    # What is written on them

    def write(self) -> None:
        self.texts.append(id_ := self.new_id())
        event = i.InteractionRecorded(
            type=i.InteractionType.NOTE, occurred_at=self.now, visibility=i.Visibility.SHARED, internal=True,
            ticket_id=self.random.choice(self.tickets),
        )  # fmt: skip
        self.log.append(self.workspace, (id_, event))

    def put_elsewhere(self) -> None:
        if self.texts:
            ticket = self.random.choice([None, *self.tickets])
            self.log.append(self.workspace, (self.random.choice(self.texts), i.InteractionCorrected(ticket_id=ticket)))

    DEEDS = (
        publish, publish, person, merge_persons, merge_persons, unmerge_persons, queue, change_queue, open_ticket, open_ticket,
        open_ticket, edit, edit, assign, assign, prioritize, move, reply, receive, hold, hold, resume, resolve, resolve, close,
        reopen, reopen, rate, breach, merge, merge, unmerge, unmerge, write, write, put_elsewhere,
    )  # fmt: skip
