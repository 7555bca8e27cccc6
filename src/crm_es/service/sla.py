"""SLA clocks, worked out from what happened to a ticket and the policy version in force. Pure, one transition at a time.

A ticket opens, or enters a queue: the queue's newest policy is attached. Clocks that are neither met nor breached go over
to it and keep the time they have counted. A clock stops where its policy pauses for the hold reason, and while the ticket
is resolved, closed or merged. What was met or breached stays so; reopening begins a new RESOLUTION clock.
Moments are whole seconds since 1970, as in `calendar.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from crm_es.service.calendar import Calendar, business_time, seconds
from crm_es.service.enums import HoldReason, Priority, SlaKind, SlaState, TicketStatus

WORKING: Final = frozenset({TicketStatus.NEW, TicketStatus.OPEN, TicketStatus.PENDING, TicketStatus.ON_HOLD})
_SOLVED: Final = frozenset({TicketStatus.RESOLVED, TicketStatus.CLOSED})
_HELD: Final = frozenset({TicketStatus.PENDING, TicketStatus.ON_HOLD})


@dataclass(frozen=True, kw_only=True, slots=True)
class SlaTarget:
    """So many business seconds for one kind of clock on tickets of one priority."""

    kind: SlaKind
    priority: Priority
    seconds: int


class Policy:
    """One version of a policy, as clocks ask it."""

    __slots__ = ("_paused_by", "_targets", "id", "time")

    def __init__(
        self, id: UUID, *, targets: Iterable[SlaTarget], calendar: Calendar, paused_by: Iterable[HoldReason]
    ) -> None:
        self.id = id
        self.time = business_time(calendar)
        self._targets = {(each.kind, each.priority): each.seconds for each in targets}
        self._paused_by = frozenset(paused_by)

    def target(self, kind: SlaKind, priority: Priority) -> int | None:
        """None: it promises nothing of the kind for this priority."""
        return self._targets.get((kind, priority))

    def pauses(self, state: "Clocks") -> bool:
        waits = state.status in _HELD and state.hold_reason in self._paused_by
        return waits or state.merged or state.status not in WORKING


Policies = Callable[[UUID], Policy]
"""Finds a version by its id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Breach:
    """What the timer recorded: this clock had run out at `due`."""

    kind: SlaKind
    cycle: int
    due: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Transition:
    """What one event of a ticket means to its clocks; what is None did not change.

    `hold_reason` belongs to `status`. `merged`: absorbed by another ticket, or given back with the status it had. `policy`
    is the id of the version that is attached. `replied`: a public reply of ours; `asked`: the customer wrote.
    """

    at: datetime
    status: TicketStatus | None = None
    hold_reason: HoldReason | None = None
    merged: bool | None = None
    priority: Priority | None = None
    policy: UUID | None = None
    replied: bool = False
    asked: bool = False
    breach: Breach | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """One promise to the customer of a ticket. `cycle` counts the clocks of a kind from 1.

    `spent` had been counted by `since`; without `since` it stands still: paused since `paused`, or over since `done`. A
    clock without `target` is not shown: its policy promises nothing for the priority the ticket has now. `recorded`: an event
    tells of its breach.
    """

    kind: SlaKind
    cycle: int
    policy: UUID
    target: int | None
    spent: int = 0
    since: int | None = None
    paused: int | None = None
    due: int | None = None
    breached: int | None = None
    done: int | None = None
    recorded: bool = False

    @property
    def settled(self) -> bool:
        """Met or breached: no policy and no priority changes it any more."""
        return self.done is not None or self.breached is not None

    @property
    def to_record(self) -> int | None:
        """When a breach is to be recorded of it: once that moment is over, and nothing happens to it before."""
        if self.target is None or self.recorded:
            return None
        return self.breached if self.breached is not None or self.done is not None else self.due


@dataclass(frozen=True, kw_only=True, slots=True)
class Clocks:
    """A ticket's clocks and all that is to be known of it to go on. `waiting`: the customer wrote and has no answer yet."""

    at: int = 0
    status: TicketStatus = TicketStatus.NEW
    hold_reason: HoldReason | None = None
    merged: bool = False
    priority: Priority = Priority.NORMAL
    policy: UUID | None = None
    answered: bool = False
    waiting: bool = False
    clocks: tuple[Clock, ...] = ()


def advance(state: Clocks, transition: Transition, policies: Policies) -> Clocks:
    """The clocks after one more transition. Takes any history: one that goes back in time happens when the last one did."""
    if transition.breach is not None:
        return _breached(state, transition.breach)
    state = _changed(state, transition)
    if state.policy is None:
        return state
    clocks = tuple([_after(_overdue(clock, state.at), state, transition, policies) for clock in state.clocks])
    return replace(state, clocks=(*clocks, *_begun(state, clocks, policies(state.policy))))


def _changed(state: Clocks, transition: Transition) -> Clocks:
    """What the transition says of the ticket."""
    return Clocks(
        at=max(state.at, seconds(transition.at)),
        status=transition.status or state.status,
        hold_reason=state.hold_reason if transition.status is None else transition.hold_reason,
        merged=state.merged if transition.merged is None else transition.merged,
        priority=transition.priority or state.priority,
        policy=transition.policy or state.policy,
        answered=state.answered or transition.replied,
        waiting=(state.waiting or transition.asked) and not transition.replied,
        clocks=state.clocks,
    )


def _overdue(clock: Clock, at: int) -> Clock:
    """Whoever answers at the last second is in time."""
    late = clock.since is not None and clock.due is not None and not clock.settled and at > clock.due
    return replace(clock, breached=clock.due) if late else clock


def _after(clock: Clock, state: Clocks, transition: Transition, policies: Policies) -> Clock:
    if clock.done is not None:
        return clock
    if _fulfilled(clock.kind, state, transition):
        return replace(_stopped(clock, state.at, policies), done=state.at, paused=None)
    if (transition.policy or transition.priority) and not clock.settled:
        clock = _retargeted(_stopped(clock, state.at, policies), state, policies)
    return _set_going(clock, state, policies)


def _fulfilled(kind: SlaKind, state: Clocks, transition: Transition) -> bool:
    return state.status in _SOLVED if kind is SlaKind.RESOLUTION else transition.replied


def _stopped(clock: Clock, at: int, policies: Policies) -> Clock:
    """With the time counted that has gone by."""
    if clock.since is None:
        return clock
    spent = clock.spent + policies(clock.policy).time.between(clock.since, at)
    return replace(clock, spent=spent, since=None)


def _retargeted(clock: Clock, state: Clocks, policies: Policies) -> Clock:
    policy = state.policy or clock.policy
    return replace(clock, policy=policy, target=policies(policy).target(clock.kind, state.priority))


def _set_going(clock: Clock, state: Clocks, policies: Policies) -> Clock:
    """Running or paused, as its policy says of the ticket's status."""
    policy = policies(clock.policy)
    if policy.pauses(state):
        clock = _stopped(clock, state.at, policies)
        return replace(clock, paused=state.at if clock.paused is None else clock.paused, due=clock.breached)
    if clock.since is not None:
        return clock
    due = None if clock.target is None else policy.time.after(state.at, clock.target - clock.spent)
    return replace(clock, since=state.at, paused=None, due=clock.breached or due)


def _begun(state: Clocks, clocks: Sequence[Clock], policy: Policy) -> list[Clock]:
    """A new clock for each promise that nothing measures yet."""
    made = []
    for kind in _wanted(state, clocks):
        cycle = 1 + sum(clock.kind is kind for clock in clocks)
        clock = Clock(kind=kind, cycle=cycle, policy=policy.id, target=policy.target(kind, state.priority))
        made.append(_set_going(clock, state, lambda _id: policy))
    return made


def _wanted(state: Clocks, clocks: Sequence[Clock]) -> Iterable[SlaKind]:
    """The kinds that the ticket wants a clock of and has none of that is not over."""
    going = {clock.kind for clock in clocks if clock.done is None}
    if not state.answered and SlaKind.FIRST_RESPONSE not in going:
        yield SlaKind.FIRST_RESPONSE
    if state.answered and state.waiting and SlaKind.NEXT_RESPONSE not in going:
        yield SlaKind.NEXT_RESPONSE
    if state.status in WORKING and SlaKind.RESOLUTION not in going:
        yield SlaKind.RESOLUTION


def _breached(state: Clocks, breach: Breach) -> Clocks:
    """What was recorded stays, whatever is told of earlier moments afterwards."""
    clocks = tuple(
        _recorded(clock, seconds(breach.due)) if (clock.kind, clock.cycle) == (breach.kind, breach.cycle) else clock
        for clock in state.clocks
    )
    return replace(state, clocks=clocks)


def _recorded(clock: Clock, due: int) -> Clock:
    if clock.breached is not None:
        return replace(clock, recorded=True)
    return clock if clock.done is not None else replace(clock, breached=due, due=due, recorded=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a clock shows at a moment; `elapsed` and `remaining` are business seconds, negative where it is overdue.

    `due` is None while paused, but for a breached clock, whose moment it was. `met` is when it was answered or solved, be it
    late.
    """

    kind: SlaKind
    cycle: int
    policy: UUID
    state: SlaState
    target: int
    elapsed: int
    remaining: int
    due: int | None
    paused: int | None
    breached: int | None
    met: int | None


def read(state: Clocks, at: datetime, policies: Policies) -> list[Reading]:
    """What the clocks show at a moment that is not before their last transition, in the order they began."""
    return [shown for clock in state.clocks if (shown := reading(clock, at, policies)) is not None]


def reading(clock: Clock, at: datetime, policies: Policies) -> Reading | None:
    """None for one that is not shown."""
    target = clock.target
    if target is None:
        return None
    clock = _overdue(clock, seconds(at))
    elapsed = _stopped(clock, seconds(at), policies).spent
    return Reading(
        kind=clock.kind,
        cycle=clock.cycle,
        policy=clock.policy,
        state=_state(clock),
        target=target,
        elapsed=elapsed,
        remaining=target - elapsed,
        due=clock.due,
        paused=clock.paused,
        breached=clock.breached,
        met=clock.done,
    )


def _state(clock: Clock) -> SlaState:
    if clock.breached is not None:
        return SlaState.BREACHED
    if clock.done is not None:
        return SlaState.MET
    return SlaState.PAUSED if clock.since is None else SlaState.RUNNING


def next_due(state: Clocks) -> int | None:
    """The earliest moment at which a clock that runs is, or was, due: what to work on first."""
    running = (clock.due for clock in state.clocks if clock.since is not None and clock.target is not None)
    return min((due for due in running if due is not None), default=None)


def has_breached(state: Clocks) -> bool:
    """Whether a promise was broken, as far as the transitions tell; time alone may have broken more since."""
    return any(clock.breached is not None and clock.target is not None for clock in state.clocks)
