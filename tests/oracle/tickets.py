"""What the API must say of tickets and queues as of a position, beyond what their own streams fold to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import pairwise
from typing import Any
from uuid import UUID

from crm_es.api import ids
from crm_es.eventstore.event import Fact
from crm_es.interactions.interaction import INTERACTION, Interaction
from crm_es.service.calendar import moment
from crm_es.service.enums import TicketStatus
from crm_es.service.sla import Policy, next_due
from crm_es.service.ticket import Ticket, evolve
from crm_es.service.ticket_clocks import clocks
from crm_es.service.ticket_events import TicketMerged, TicketReleased, TicketReplied
from tests.oracle.history import START

DEPTH = START - timedelta(days=299)
"""A business moment of which queues are asked how deep they were."""
WORKING = (TicketStatus.NEW, TicketStatus.OPEN)
HELD = (TicketStatus.PENDING, TicketStatus.ON_HOLD)


@dataclass(frozen=True)
class Span:
    """How a ticket stood from one moment up to another."""

    status: TicketStatus
    hold_reason: Any
    queue: UUID
    assignee: UUID | None
    begins: datetime
    ends: datetime | None


@dataclass
class Tickets:
    """A workspace's facts and records by kind; the versions of its policies by their ids."""

    facts: Mapping[UUID, list[Fact]]
    streams: Mapping[str, list[UUID]]
    policies: Mapping[UUID, Policy]

    def shown(self, stream: UUID, at: int, contacts: Mapping[UUID, UUID]) -> dict[str, Any]:
        """`contacts`: whom each absorbed id means."""
        known, state = self._known(stream, at), self._state(stream, at)
        assert state is not None
        opened = [self.facts[one][0].position for one in self.streams["Ticket"]]
        due = next_due(clocks([fact.event for fact in known], self.policies.__getitem__))
        answers = [
            fact.event.occurred_at
            for fact in known
            if isinstance(fact.event, TicketReplied) and not fact.event.internal and not fact.event.inbound
        ]
        requester = state.requester_id and contacts.get(state.requester_id, state.requester_id)
        return {
            "number": sum(each <= known[0].position for each in opened), "requester": ref("Contact", requester, at),
            "firstRespondedAt": min(answers, default=None), "slaDueAt": None if due is None else moment(due),
            "statusIntervals": [_interval(span, at) for span in self._spans(stream, at) if span.begins != span.ends],
            "conversation": {"totalCount": sum(one == stream for one in self._texts(at))},
        }  # fmt: skip

    def counted(self, queue: UUID, at: int) -> dict[str, Any]:
        states = [
            state for one in self.streams["Ticket"] if (state := self._state(one, at)) and state.queue_id == queue
        ]
        working = [state for state in states if state.status in WORKING]
        held = [state for state in states if state.status in HELD]
        then = [
            span
            for one in self.streams["Ticket"]
            for span in self._spans(one, at)
            if span.queue == queue and span.begins <= DEPTH and (span.ends is None or span.ends > DEPTH)
        ]
        counts = {
            "open": len(working) + len(held), "onHold": len(held),
            "unassigned": sum(state.assignee_id is None for state in (*working, *held)),
            "inProgress": sum(state.assignee_id is not None for state in working),
        }  # fmt: skip
        depth = sum(span.status in (*WORKING, *HELD) for span in then)
        return {"counts": counts, "waiting": {"totalCount": len(working)}, "depth": depth}

    def ticket_of(self, text: Interaction, at: int) -> UUID | None:
        """The ticket that a text is on, or what that was merged into."""
        return self._means(at).get(text.ticket_id, text.ticket_id) if text.ticket_id else None

    def _means(self, at: int) -> dict[UUID, UUID]:
        means: dict[UUID, UUID] = {}
        merges = [fact for one in self.streams["Ticket"] for fact in self._known(one, at)]
        for fact in sorted(merges, key=lambda fact: fact.position):
            match fact.event:
                case TicketMerged(absorbed_ids=absorbed):
                    means |= dict.fromkeys(absorbed, fact.stream)
                case TicketReleased(absorbed_ids=absorbed, absorbed_id=target):
                    means |= dict.fromkeys(absorbed, target)
                case _:
                    pass
        return means

    def _texts(self, at: int) -> Iterator[UUID | None]:
        means = self._means(at)
        for one in self.streams["Interaction"]:
            text = reduce(INTERACTION.evolve, [fact.event for fact in self._known(one, at)], None)
            if text is not None and not text.retracted:
                yield means.get(text.ticket_id, text.ticket_id)

    def _spans(self, stream: UUID, at: int) -> list[Span]:
        """One begins wherever what it says changes."""
        state: Ticket | None = None
        found: list[tuple[Any, ...]] = []
        for fact in self._known(stream, at):
            state = evolve(state, fact.event)
            said = (state.status, state.hold_reason, state.queue_id, state.assignee_id)
            if not found or found[-1][:4] != said:
                found.append((*said, fact.event.occurred_at))
        ends = [after[4] for _, after in pairwise(found)]
        return [Span(*each, end) for each, end in zip(found, [*ends, None], strict=False)]

    def _state(self, stream: UUID, at: int) -> Ticket | None:
        return reduce(evolve, [fact.event for fact in self._known(stream, at)], None)

    def _known(self, stream: UUID, at: int) -> list[Fact]:
        return [fact for fact in self.facts[stream] if fact.position <= at]


def _interval(span: Span, at: int) -> dict[str, Any]:
    return {
        "status": span.status.value, "holdReason": span.hold_reason and span.hold_reason.value, "from": span.begins,
        "to": span.ends, "queue": ref("Queue", span.queue, at), "assignee": ref("Member", span.assignee, at),
    }  # fmt: skip


def ref(kind: str, id_: UUID | None, at: int) -> dict[str, str] | None:
    return {"id": ids.encode(kind, id_, at)} if id_ else None
