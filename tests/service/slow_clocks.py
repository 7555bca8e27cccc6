"""SLA clocks the slow way: a wall clock looked at every minute, and a whole history gone through again for every clock.

Shares no line with `crm_es/service/sla.py` and `calendar.py`, so that the two can be wrong only differently.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

WORKING = {"NEW", "OPEN", "PENDING", "ON_HOLD"}
HELD = {"PENDING", "ON_HOLD"}
SOLVED = {"RESOLVED", "CLOSED"}
MINUTE = timedelta(minutes=1)


@dataclass
class SlowCalendar:
    """Looks at the wall clock once a minute, from `since` on: all zones of today change at whole minutes."""

    zone: ZoneInfo
    hours: dict[int, list[tuple[int, int]]]
    closed: set[date]
    since: datetime
    opened: list[bool] = field(default_factory=list)
    counted: list[int] = field(default_factory=lambda: [0])

    def look(self, minute: int) -> bool:
        while len(self.opened) <= minute:
            local = (self.since + len(self.opened) * MINUTE).astimezone(self.zone)
            of_day = local.hour * 60 + local.minute
            spans = [] if local.date() in self.closed else self.hours.get(local.isoweekday(), [])
            self.opened.append(any(opens <= of_day < closes for opens, closes in spans))
            self.counted.append(self.counted[-1] + 60 * self.opened[-1])
        return self.opened[minute]

    def upto(self, moment: datetime) -> int:
        minute, second = divmod(int((moment - self.since).total_seconds()), 60)
        return second * self.look(minute) + self.counted[minute]

    def between(self, start: datetime, end: datetime) -> int:
        return self.upto(end) - self.upto(start)

    def reached(self, start: datetime, wanted: int) -> datetime:
        """The first moment from `start` on by which so many seconds were open: its minute, then second by second."""
        if wanted == 0:
            return start
        goal = self.upto(start) + wanted
        while self.counted[-1] < goal:
            self.look(len(self.opened))
        moment = max(start, self.since + (bisect_left(self.counted, goal) - 1) * MINUTE)
        while self.upto(moment) < goal:
            moment += timedelta(seconds=1)
        return moment


@dataclass
class SlowPolicy:
    id: Any
    targets: dict[tuple[str, str], int]
    paused_by: set[str]
    calendar: SlowCalendar


@dataclass
class Piece:
    """A stretch of a ticket's life in which nothing happened."""

    start: datetime
    end: datetime | None
    status: str = "NEW"
    reason: str | None = None
    merged: bool = False
    priority: str = "NORMAL"
    policy: SlowPolicy | None = None
    answered: bool = False
    waiting: bool = False
    replied: bool = False


def pieces(steps: list[dict[str, Any]]) -> list[Piece]:
    """`steps`: at, and of status, reason, merged, priority, policy, replied, asked what the step tells."""
    made: list[Piece] = []
    for number in range(len(steps)):
        so_far = steps[: number + 1]
        told = {name: [s[name] for s in so_far if s.get(name)] for name in ("status", "priority", "policy")}
        begins = next(s for s in reversed(so_far) if s.get("status"))
        replies = [n for n, s in enumerate(so_far) if s.get("replied")]
        merged = [s["merged"] for s in so_far if s.get("merged") is not None]
        asks = [n for n, s in enumerate(so_far) if s.get("asked")]
        made.append(
            Piece(
                start=steps[number]["at"].replace(microsecond=0),
                end=steps[number + 1]["at"].replace(microsecond=0) if number + 1 < len(steps) else None,
                status=told["status"][-1],
                reason=begins.get("reason"),
                merged=bool(merged and merged[-1]),
                priority=told["priority"][-1] if told["priority"] else "NORMAL",
                policy=told["policy"][-1] if told["policy"] else None,
                answered=bool(replies),
                waiting=bool(asks) and (not replies or asks[-1] > replies[-1]),
                replied=bool(steps[number].get("replied")),
            )
        )
    return made


def wants(kind: str, piece: Piece) -> bool:
    if piece.policy is None:
        return False
    if kind == "RESOLUTION":
        return piece.status in WORKING
    return not piece.answered if kind == "FIRST_RESPONSE" else piece.answered and piece.waiting


def ends(kind: str, piece: Piece) -> bool:
    return piece.status in SOLVED if kind == "RESOLUTION" else piece.replied


def read(steps: list[dict[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """What every clock shows at `now`."""
    lived = pieces(steps)
    lived[-1].end = now.replace(microsecond=0)
    found = []
    for kind in ("FIRST_RESPONSE", "NEXT_RESPONSE", "RESOLUTION"):
        place, cycle = 0, 0
        while (begin := next((n for n in range(place, len(lived)) if wants(kind, lived[n])), None)) is not None:
            cycle += 1
            end = next((n for n in range(begin + 1, len(lived)) if ends(kind, lived[n])), None)
            found.append({"kind": kind, "cycle": cycle} | clock(kind, lived[begin:end], end and lived[end].start))
            if end is None:
                break
            place = end
    return [one for one in found if one["target"] is not None]


def clock(kind: str, lived: list[Piece], done: datetime | None) -> dict[str, Any]:
    """One clock over the pieces of its life."""
    elapsed, breached, paused, due, kept = 0, None, None, None, None
    for piece in lived:
        policy, target = kept or (piece.policy, piece.policy.targets.get((kind, piece.priority)))
        if piece.merged or piece.status not in WORKING or (piece.status in HELD and piece.reason in policy.paused_by):
            paused, due = paused or piece.start, breached
            continue
        paused = None
        if breached is None and target is not None:
            due = policy.calendar.reached(piece.start, max(0, target - elapsed))
            if due < piece.end:
                breached, kept = due, (policy, target)
        elif target is None:
            due = None
        elapsed += policy.calendar.between(piece.start, piece.end)
    if done is None:
        state = "BREACHED" if breached else "PAUSED" if paused else "RUNNING"
    else:
        state, paused = "BREACHED" if breached else "MET", None
    return {
        "policy": policy.id, "target": target, "elapsed": elapsed, "state": state, "breached": breached, "met": done,
        "paused": paused, "due": due,
        "remaining": None if target is None else target - elapsed,
    }  # fmt: skip


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)
