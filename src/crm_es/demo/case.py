"""One ticket of the story, from the question to its closing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from crm_es.demo.life import Life, Told
from crm_es.demo.story import NewContact, Story, new_id
from crm_es.eventstore.event import Dated
from crm_es.interactions import recording
from crm_es.interactions.interaction import INTERACTION, Direction, InteractionType
from crm_es.occasions import Occasion
from crm_es.service import ticket, ticket_editing
from crm_es.service.calendar import moment, seconds
from crm_es.service.enums import HoldReason, Priority, TicketType
from crm_es.service.sla import Clock, Clocks, Policies, advance
from crm_es.service.ticket_clocks import transition
from crm_es.service.ticket_events import TicketEvent

Deed = tuple[datetime, Told]
DAY: Final = timedelta(days=1)
OPENS, CLOSES = 8, 17
"""When somebody is there, by UTC."""
WEEKEND: Final = 6
PRIORITIES: Final = (Priority.NORMAL,) * 5 + (Priority.HIGH,) * 2 + (Priority.LOW,) * 2 + (Priority.URGENT,)
TITLES: Final = (
    ("The sensor shows nothing", TicketType.INCIDENT), ("Invoice has the wrong address", TicketType.REQUEST),
    ("How do I invite a colleague?", TicketType.QUESTION), ("Delivered one too few", TicketType.INCIDENT),
    ("Cannot sign in since Monday", TicketType.INCIDENT), ("发票抬头需要修改", TicketType.REQUEST),
    ("Der Monteur kam nicht", TicketType.INCIDENT), ("متى تصل الشحنة؟", TicketType.QUESTION),
    ("Export stops half way", TicketType.PROBLEM), ("Change our delivery day", TicketType.REQUEST),
)  # fmt: skip
ASKED: Final = (
    "It worked last week. Could you have a look?", "We need this before the end of the month.", "请尽快回复,谢谢。",
    "Bitte um Rückruf.", "هل يمكنكم المساعدة؟",
)  # fmt: skip
ANSWERED: Final = (
    "Thanks for writing. We are looking into it.", "Please send us the number on the label.", "已为您处理,请确认。",
    "It is on its way and should be with you on Thursday.", "Das haben wir gerade behoben.",
)  # fmt: skip
NOTES: Final = ("Same as last month, see the log.", "Asked the vendor.", "They are a key account: hurry.")


@dataclass(kw_only=True, slots=True)
class Case:
    """`at` goes forward while its life is made: `deeds` by those who did them, `broken` what ran out meanwhile."""

    rng: Random
    story: Story
    who: NewContact
    agents: Sequence[UUID]
    policies: Policies
    at: datetime
    life: Life
    clocks: Clocks = field(default_factory=Clocks)
    deeds: list[Deed] = field(default_factory=list)
    broken: list[Deed] = field(default_factory=list)

    def live(self, *, queue_id: UUID, policy_id: UUID) -> None:
        """Asked, taken by somebody, answered, sometimes held, resolved, sometimes reopened, rated and closed."""
        title, type_ = self.rng.choice(TITLES)
        opened = ticket_editing.open_ticket(
            title=title, queue_id=queue_id, on=self._now, type=type_, priority=self.rng.choice(PRIORITIES),
            requester_id=self.who.id, company_id=self.who.company_id, sla_policy_id=policy_id, sla_policy_version=1,
        )  # fmt: skip
        self._happen(opened)
        self._ask()
        agent = self._taken()
        self._answer(agent)
        if self.rng.random() < 0.4:  # noqa: PLR2004
            self._held(agent)
        self._resolved(agent)
        if self.rng.random() < 0.08:  # noqa: PLR2004
            self._reopened(agent)
        if self.rng.random() < 0.35:  # noqa: PLR2004
            self._after(1, 20)
            self._happen(ticket.rate(self.life.state, self.rng.choice((1, 3, 4, 4, 5, 5, 5))))
        self.at += 3 * DAY
        self._happen(ticket.close(self.life.state, on=self._now))
        self._run_out(self.story.end)

    @property
    def _now(self) -> Occasion:
        return Occasion(self.at)

    def _taken(self) -> UUID:
        """Most are taken within hours, some lie for days."""
        self._after(*self.rng.choice(((0.1, 2), (0.1, 2), (0.1, 3), (2, 8), (8, 60))))
        agent = self.rng.choice(self.agents)
        self._happen(ticket.assign(self.life.state, agent, on=self._now))
        return agent

    def _held(self, agent: UUID) -> None:
        reason = self.rng.choice(
            (HoldReason.CUSTOMER, HoldReason.CUSTOMER, HoldReason.VENDOR, HoldReason.IMPLEMENTATION)
        )
        self._after(0.1, 1)
        self._happen(ticket.hold(self.life.state, reason, on=self._now))
        self._note(agent)
        self._after(2, 70)
        if reason is HoldReason.CUSTOMER:
            self._ask()
        self._happen(ticket.resume(self.life.state, on=self._now))
        self._after(0.2, 6)
        self._answer(agent)

    def _resolved(self, agent: UUID) -> None:
        self._after(0.2, 30)
        said = self.rng.choice(ANSWERED)
        self._happen(ticket.resolve(self.life.state, resolution=said, on=self._now))
        self._note(agent)

    def _reopened(self, agent: UUID) -> None:
        self._after(4, 40)
        self._ask()
        self._happen(ticket.reopen(self.life.state, on=self._now, window=30 * DAY))
        self._after(0.5, 10)
        self._answer(agent)
        self._resolved(agent)

    # What is written

    def _ask(self) -> None:
        asked = self._wrote(Direction.INBOUND, self.rng.choice(ASKED), None)
        self._happen(ticket.receive(asked, inbound=True, at=self.at))

    def _answer(self, agent: UUID) -> None:
        self._after(0.05, 0.5)
        answer = self._wrote(Direction.OUTBOUND, self.rng.choice(ANSWERED), agent)
        self._happen(ticket.reply(self.life.state, answer, internal=False, on=self._now))

    def _note(self, agent: UUID) -> None:
        if self.rng.random() < 0.5:  # noqa: PLR2004
            note = self._wrote(Direction.INTERNAL, self.rng.choice(NOTES), agent)
            self._happen(ticket.reply(self.life.state, note, internal=True, on=self._now))

    def _wrote(self, direction: Direction, body: str, member_id: UUID | None) -> UUID:
        internal = direction is Direction.INTERNAL
        message = Life(aggregate=INTERACTION, id=new_id(self.rng, self.at))
        recorded = recording.record(
            type=InteractionType.NOTE if internal else InteractionType.EMAIL, occurred_at=self.at, direction=direction,
            body=body, contact_ids=() if internal else (self.who.id,), company_id=self.who.company_id,
            ticket_id=self.life.id, member_id=member_id, internal=internal,
        )  # fmt: skip
        message.happen(recorded, self.at)
        self.deeds.append((self.at, message.told()))
        return message.id

    # Time

    def _after(self, least: float, most: float) -> None:
        """So many hours later, when somebody is there."""
        self.at += timedelta(hours=self.rng.uniform(least, most))
        if self.at.hour >= CLOSES:
            self.at = _opening(self.at + DAY, self.rng)
        elif self.at.hour < OPENS:
            self.at = _opening(self.at, self.rng)
        while self.at.isoweekday() >= WEEKEND:
            self.at = _opening(self.at + DAY, self.rng)

    def _happen(self, events: Sequence[Any]) -> None:
        self._run_out(self.at)
        self.life.happen(events, self.at)
        for event in events:
            self._advance(event)
        self.deeds.append((self.at, self.life.told()))

    def _run_out(self, before: datetime) -> None:
        """The breaches of what runs out by then, if nothing else happens."""
        while (clock := self._next_to_run_out()) and (due := clock.to_record) and due < seconds(before):
            at = moment(due)
            [event] = ticket.breach(self.life.state, clock.kind, clock.cycle, at)
            self.life.happen([Dated(event, at)], at)
            self.broken.append((at, self.life.told()))
            self._advance(event)

    def _next_to_run_out(self) -> Clock | None:
        running = [clock for clock in self.clocks.clocks if clock.to_record is not None]
        return min(running, key=lambda clock: clock.to_record or 0, default=None)

    def _advance(self, event: TicketEvent) -> None:
        if (step := transition(event)) is not None:
            self.clocks = advance(self.clocks, step, self.policies)


def _opening(day: datetime, rng: Random) -> datetime:
    return day.replace(hour=OPENS, minute=rng.randrange(5, 59), second=rng.randrange(60))


def by_day(deeds: Sequence[Deed], told_on: Callable[[datetime], int]) -> Iterator[tuple[int, Deed]]:
    """Deeds of the same record that are told on the same day, as one: a sitting writes to a record once."""
    found: dict[tuple[int, UUID], Deed] = {}
    for at, told in deeds:
        key = told_on(at), told.id
        before = found.get(key)
        events = (*before[1].events, *told.events) if before else told.events
        found[key] = before[0] if before else at, Told(aggregate=told.aggregate, id=told.id, events=events)
    yield from ((day, deed) for (day, _), deed in found.items())
