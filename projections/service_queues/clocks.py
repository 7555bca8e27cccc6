"""The SLA clocks of tickets: read once a page with all they depend on, moved on by each event, one row a clock."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from crm_es.service import ticket_events as t
from crm_es.service.calendar import moment, seconds
from crm_es.service.enums import HoldReason, Priority, SlaKind, TicketStatus
from crm_es.service.sla import Clock, Clocks, Policy, advance, has_breached, next_due
from crm_es.service.ticket_clocks import attached, transition
from projections.service_queues import policies
from projections.service_queues.tables import CLOCK, CLOCKS

Key = tuple[UUID, UUID]
"""(workspace, ticket)."""


@dataclass(slots=True)
class Page:
    """How the clocks of a page's tickets stand, and the policies they go by."""

    states: dict[Key, Clocks]
    policies: dict[UUID, Policy]

    @classmethod
    def read(cls, batch: Batch, facts: Sequence[Fact]) -> Self:
        mine = [fact for fact in facts if fact.topic.startswith("ticket.")]
        opened = {fact.stream for fact in mine if isinstance(fact.event, t.TicketOpened)}
        states = _states(batch, [fact for fact in mine if fact.stream not in opened])
        wanted = {clock.policy for state in states.values() for clock in state.clocks}
        wanted |= {state.policy for state in states.values() if state.policy}
        wanted |= {
            id_ for f in mine if isinstance(f.event, t.TicketOpened | t.TicketMoved) if (id_ := attached(f.event))
        }
        return cls(states, policies.known(batch, wanted, facts))

    def apply(self, batch: Batch, fact: Fact) -> dict[str, Any]:
        """Writes the rows of the ticket's clocks; answers what changes of its own row."""
        event: t.TicketEvent = fact.event  # type: ignore[assignment]
        step = transition(event)
        if step is None:
            return {}
        key = fact.workspace, fact.stream
        was = self.states.get(key, _NEW)
        now = self.states[key] = advance(was, step, self.policies.__getitem__)
        _write(batch, fact, was, now)
        shown = {"sla_due_at": _moment(next_due(now)), "breached": has_breached(now)}
        before = {"sla_due_at": _moment(next_due(was)), "breached": has_breached(was)}
        return {name: value for name, value in shown.items() if value != before[name]}


_NEW: Final = Clocks()


def _write(batch: Batch, fact: Fact, was: Clocks, now: Clocks) -> None:
    batch.put(
        CLOCKS, fact, ticket_id=fact.stream, at=moment(now.at), status=now.status, hold_reason=now.hold_reason,
        merged=now.merged, priority=now.priority, policy_id=now.policy, answered=now.answered, waiting=now.waiting,
    )  # fmt: skip
    for number, clock in enumerate(now.clocks):
        if number >= len(was.clocks):
            batch.insert(CLOCK, fact, ticket_id=fact.stream, number=number, **_columns(clock))
        elif clock != was.clocks[number]:
            batch.update(CLOCK, fact, {"ticket_id": fact.stream, "number": number}, **_columns(clock))


def _columns(clock: Clock) -> dict[str, Any]:
    return {
        "kind": clock.kind, "cycle": clock.cycle, "policy_id": clock.policy, "target": clock.target, "spent": clock.spent,
        "since": _moment(clock.since), "paused_at": _moment(clock.paused), "due_at": _moment(clock.due),
        "breached_at": _moment(clock.breached), "met_at": _moment(clock.done), "recorded": clock.recorded,
        "to_record_at": _moment(clock.to_record),
    }  # fmt: skip


COLUMNS: Final = (
    "kind", "cycle", "policy_id", "target", "spent", "since", "paused_at", "due_at", "breached_at", "met_at", "recorded",
)  # fmt: skip


def of_row(row: Sequence[Any]) -> Clock:
    """A clock out of `COLUMNS` of its row."""
    kind, cycle, policy, target, spent, *moments, recorded = row
    since, paused, due, breached, met = map(_second, moments)
    return Clock(
        kind=SlaKind(kind), cycle=cycle, policy=policy, target=target, spent=spent, since=since, paused=paused, due=due,
        breached=breached, done=met, recorded=recorded,
    )  # fmt: skip


def _moment(second: int | None) -> datetime | None:
    return None if second is None else moment(second)


def _second(at: datetime | None) -> int | None:
    return None if at is None else seconds(at)


def _states(batch: Batch, facts: Sequence[Fact]) -> dict[Key, Clocks]:
    if not facts:
        return {}
    asked = {
        "workspaces": list({fact.workspace for fact in facts}),
        "tickets": list({fact.stream for fact in facts}),
    }
    found = {(row[0], row[1]): _state(row[2:]) for row in batch.select(_SELECT_STATES, **asked)}
    for workspace, ticket, *row in batch.select(_SELECT_CLOCKS, **asked):
        state = found[workspace, ticket]
        found[workspace, ticket] = replace(state, clocks=(*state.clocks, of_row(row)))
    return found


def _state(row: Sequence[Any]) -> Clocks:
    at, status, hold_reason, merged, priority, policy, answered, waiting = row
    return Clocks(
        at=seconds(at), status=TicketStatus(status), hold_reason=HoldReason(hold_reason) if hold_reason else None,
        merged=merged, priority=Priority(priority), policy=policy, answered=answered, waiting=waiting,
    )  # fmt: skip


_SELECT_STATES: Final = """
SELECT workspace_id, ticket_id, at, status, hold_reason, merged, priority, policy_id, answered, waiting
FROM {schema}.ticket_clocks
WHERE workspace_id = ANY (%(workspaces)s) AND ticket_id = ANY (%(tickets)s)
"""
_SELECT_CLOCKS: Final = """
SELECT workspace_id, ticket_id, kind, cycle, policy_id, target, spent, since, paused_at, due_at, breached_at, met_at, recorded
FROM {schema}.ticket_clock
WHERE workspace_id = ANY (%(workspaces)s) AND ticket_id = ANY (%(tickets)s)
ORDER BY workspace_id, ticket_id, number
"""
