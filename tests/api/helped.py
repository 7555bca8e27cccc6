"""Tickets with histories of their own times, for tests of what queues and members went through."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID, uuid4

from crm_es.errors import CrmError
from crm_es.occasions import Occasion, dated
from crm_es.service import ticket as standing
from crm_es.service.enums import HoldReason, TicketStatus
from crm_es.service.ticket import Ticket, evolve
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_editing import open_ticket

START = datetime(2025, 1, 6, tzinfo=UTC)
WORKING = (TicketStatus.NEW, TicketStatus.OPEN)
ACTIVE = (*WORKING, TicketStatus.PENDING, TicketStatus.ON_HOLD)


@dataclass
class Help:
    """A ticket as it is to be recorded. `moments` are (since when, the state), oldest first."""

    id: UUID
    events: list[Any]
    moments: list[tuple[datetime, Ticket]] = field(default_factory=list)

    @property
    def state(self) -> Ticket:
        return self.moments[-1][1]

    def at(self, end: datetime) -> Ticket | None:
        """How it stood after all that happened before."""
        return next((state for since, state in reversed(self.moments) if since < end), None)

    def steps(self) -> list[tuple[datetime, Ticket | None, Ticket]]:
        """(when, how it stood before, how after) of each thing that happened."""
        first, before = self.moments[0], pairwise(self.moments)
        return [(first[0], None, first[1]), *((at, was, now) for (_, was), (at, now) in before)]


def is_active(state: Ticket | None, queue: UUID | None = None) -> bool:
    return state is not None and state.status in ACTIVE and queue in (None, state.queue_id)


class Desk:
    """Tickets of these queues and members, none of them recorded until `record`."""

    def __init__(self, api: Any, queues: Sequence[UUID], members: Sequence[UUID]) -> None:
        self.api, self.queues, self.members = api, queues, members
        self.tickets: list[Help] = []

    def open(self, at: datetime, queue: UUID | None = None, **promised: Any) -> Help:
        opened = open_ticket(title="Help", queue_id=queue or self.queues[0], on=Occasion(at), **promised)
        made = Help(uuid4(), list(opened), [(at, evolve(None, opened[0]))])
        self.tickets.append(made)
        return made

    def go_on(self, ticket: Help, at: datetime, decide: Callable[..., Sequence[Any]], *given: Any, **more: Any) -> Help:
        events = decide(ticket.state, *given, **more, on=Occasion(at))
        state = ticket.state
        for event in events:
            state = evolve(state, event)
        ticket.events += events
        ticket.moments.append((at, state))
        return ticket

    async def record(self) -> None:
        streams = [(TICKET, ticket.id, dated(ticket.events)) for ticket in self.tickets]
        outcome = await self.api.engine.store.create_many(self.api.command(), streams)
        self.api.newest = outcome.log_id
        await self.api.projected()

    def fill(self, count: int, random: Random) -> None:
        """By chance."""
        for _ in range(count):
            at = START + timedelta(hours=random.randrange(24 * 40))
            ticket = self.open(at, random.choice(self.queues))
            for _ in range(random.randrange(9)):
                at += timedelta(minutes=random.choice([0, 7, 60, 60 * random.randrange(200)]))
                self.any(ticket, at, random)

    def any(self, ticket: Help, at: datetime, random: Random) -> None:
        decide, given, more = random.choice(
            [
                (standing.assign, [random.choice([*self.members, None])], {}),
                (standing.assign, [random.choice(self.members)], {}),
                (standing.hold, [random.choice(list(HoldReason))], {}),
                (standing.resume, [], {}),
                (standing.resolve, [], {}),
                (standing.resolve, [], {}),
                (standing.close, [], {}),
                (standing.reopen, [], {"window": None}),
                (standing.move, [random.choice(self.queues)], {"sla_policy_id": None, "sla_policy_version": None}),
            ]
        )
        try:
            self.go_on(ticket, at, decide, *given, **more)
        except CrmError:
            return  # not now
