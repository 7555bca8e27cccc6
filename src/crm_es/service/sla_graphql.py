"""SLA policies and clocks as the API shows them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final, LiteralString
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Identifier
from strawberry import ID

from crm_es.api import ids
from crm_es.api.nodes import AsOf, Node
from crm_es.api.rules import PARENT, ruled
from crm_es.api.scalars import TimeZone
from crm_es.context import Info
from crm_es.reads import listing, pages, records
from crm_es.reads.declare import Source, column, computed, read_type, values
from crm_es.reads.model import read_of
from crm_es.reads.pages import Listed, Window
from crm_es.reads.session import Moment
from crm_es.reads.sql import Query
from crm_es.service.calendar import moment as moment_of_second
from crm_es.service.calendar import time_of_day
from crm_es.service.sla import Policy, Reading, reading
from crm_es.service.vocabulary import HoldReason, Priority, SlaKind, SlaState
from projections.service_queues import policies, tables
from projections.service_queues.clocks import COLUMNS, of_row

POLICIES: Final = Source("service_queues", tables.POLICY)
CLOCKS: Final = Source("service_queues", tables.CLOCK)
MOST: Final = 1_000


@ruled(PARENT)
@strawberry.type(description="So much business time for one kind of promise to tickets of one priority.")
class SlaTarget:
    kind: SlaKind = strawberry.field(description="What is promised.")
    priority: Priority = strawberry.field(description="To tickets of this priority.")
    seconds: int = strawberry.field(description="Business seconds.")


@ruled(PARENT)
@strawberry.type(description="When a weekday is open; a day can have several.")
class OpeningHours:
    weekday: int = strawberry.field(description="1 = Monday.")
    opens: str = strawberry.field(description="By the wall clock, as 09:00.")
    closes: str = strawberry.field(description="By the wall clock, as 17:00; 24:00 ends the day.")


def _target(given: Mapping[str, Any]) -> SlaTarget:
    return SlaTarget(kind=SlaKind(given["kind"]), priority=Priority(given["priority"]), seconds=given["seconds"])


def _hours(calendar: Mapping[str, Any]) -> list[OpeningHours]:
    return [
        OpeningHours(weekday=each["weekday"], opens=time_of_day(each["opens"]), closes=time_of_day(each["closes"]))
        for each in calendar["hours"]
    ]


def _closed_on(calendar: Mapping[str, Any]) -> list[date]:
    return [date.fromisoformat(each) for each in calendar["closed_on"]]


def _id(id_: UUID) -> str:
    """A version never changes: past or present, it has one id."""
    return ids.encode("SlaPolicy", id_)


@read_type(POLICIES)
class SlaPolicy(Node):
    """A version of what is promised to those who write. Tickets keep the version that they got."""

    id: ID = column("id", "Of this version.", render=_id)
    name: str = column("name", "What it is called; all versions share it.")
    version: int = column("version", "Counts what was published under its name.")
    time_zone: TimeZone = computed(lambda calendar: calendar["time_zone"], ("calendar",), "Where its hours are.")
    hours: list[OpeningHours] = computed(_hours, ("calendar",), "When time counts.")
    holidays: str | None = computed(
        lambda calendar: calendar["holidays"], ("calendar",), "Whose public holidays do not count, by ISO 3166."
    )
    closed_on: list[date] = computed(_closed_on, ("calendar",), "Further days that do not count.")
    targets: list[SlaTarget] = values("targets", _target, "What is promised.")
    paused_by: list[HoldReason] = values("paused_by", HoldReason, "What a ticket can wait for without time going by.")
    published_at: datetime = column("published_at", "Since when tickets get it.")


async def sla_policies(
    info: Info,
    as_of: Annotated[AsOf | None, strawberry.argument(description="As it was recorded then.")] = strawberry.UNSET,
) -> list[SlaPolicy]:
    moment, read = await info.context.reads.moment(as_of), read_of(SlaPolicy)
    query, key = moment.query(), listing.key_of(read, None, "name_folded", descending=False)
    listed = Listed(read=read, via=None, keys=(key,), conditions=(_newest,))
    rows = await moment.rows(query, pages.page(query, listed, Window(limit=MOST), read.columns, None))
    return [records.made(read, row, moment) for row in rows]


def _newest(_query: Query, alias: LiteralString) -> Composable:
    return Identifier(alias, "newest")


async def queue_policies(_reads: Any, queues: Sequence[Any], _given: Mapping[str, Any]) -> list[SlaPolicy | None]:
    """What tickets that enter these queues get."""
    moment = records.moment_of(queues[0])
    known = await newest_policies(moment, [records.raw(queue, "id") for queue in queues])
    ids_ = [known.get(records.raw(queue, "id"), (None,))[0] for queue in queues]
    wanted = [id_ for id_ in dict.fromkeys(ids_) if id_ is not None]
    policies = await asyncio.gather(*(records.load(moment, read_of(SlaPolicy), id_) for id_ in wanted))
    found = dict(zip(wanted, policies, strict=True))
    return [None if id_ is None else found[id_] for id_ in ids_]


async def newest_policies(
    moment: Moment, queues: Sequence[UUID], *, without: Collection[UUID] = ()
) -> dict[UUID, tuple[UUID, UUID, int]]:
    """(version's id, policy, version) of each queue that has one: the last that was published and names it."""
    query = moment.query()
    named = query.select(
        POLICIES, "p", ("published_at", "queue_ids", "id", "policy_id", "version"),
        lambda: [_newest(query, "p"), SQL("p.queue_ids && {}").format(query.bind(queues, "uuid[]"))],
    )  # fmt: skip
    rows = sorted(await moment.rows(query, named), key=lambda row: row[0])
    return {
        queue: (id_, policy, version) for _, its, id_, policy, version in rows if policy not in without for queue in its
    }


# Clocks


def broken(query: Query, alias: LiteralString) -> Composable:
    """Of a ticket's row: a promise was broken. Time alone does that, before anybody records it."""
    return SQL("({} OR {} < {})").format(
        Identifier(alias, "breached"), Identifier(alias, "sla_due_at"), query.bind(query.viewer.now, "timestamptz")
    )


async def _policy(self: "SlaClock") -> SlaPolicy:
    found: Any = await records.load(self.moment, read_of(SlaPolicy), self.policy_id)
    return found  # type: ignore[no-any-return]  # a clock's version is there


@ruled(PARENT)
@strawberry.type(
    description="Count down to `dueAt`, a wall-clock moment found by the calendar; null while paused. "
    "Seconds are business seconds, true at `measuredAt`."
)
class SlaClock:
    kind: SlaKind = strawberry.field(description="What it measures.")
    cycle: int = strawberry.field(description="Counts the ticket's clocks of this kind, from 1.")
    state: SlaState = strawberry.field(description="How it stands.")
    policy: SlaPolicy = strawberry.field(resolver=_policy, description="The version of the policy that it goes by.")
    target_seconds: int = strawberry.field(description="What was promised.")
    due_at: datetime | None = strawberry.field(description="When it runs out, or did; null while paused.")
    paused_at: datetime | None = strawberry.field(description="Since when it stands still.")
    breached_at: datetime | None = strawberry.field(description="When the promise was broken.")
    met_at: datetime | None = strawberry.field(description="When we answered, or solved it, be it late.")
    elapsed_seconds: int = strawberry.field(description="What has gone by.")
    remaining_seconds: int = strawberry.field(description="What is left; negative when overdue.")
    measured_at: datetime = strawberry.field(description="When the seconds were true; under `asOf` that moment.")
    moment: strawberry.Private[Moment]
    policy_id: strawberry.Private[UUID]


async def sla_clocks(_reads: Any, tickets: Sequence[Any], _given: Mapping[str, Any]) -> list[list[SlaClock]]:
    """Of each ticket, in the order they began."""
    moment = records.moment_of(tickets[0])
    rows = await _rows(
        moment, CLOCKS, ("ticket_id", "number", *COLUMNS), "ticket_id", {records.raw(t, "id") for t in tickets}
    )
    clocks = [(row[0], of_row(row[2:])) for row in sorted(rows, key=lambda row: row[:2])]
    known = await _policies(moment, {clock.policy for _, clock in clocks})
    found: dict[UUID, list[SlaClock]] = {}
    for ticket, clock in clocks:
        if (shown := reading(clock, moment.viewer.now, known.__getitem__)) is not None:  # type: ignore[arg-type]
            found.setdefault(ticket, []).append(_clock(moment, shown))
    return [found.get(records.raw(ticket, "id"), []) for ticket in tickets]


async def _policies(moment: Moment, wanted: set[UUID]) -> dict[UUID, Policy]:
    rows = await _rows(moment, POLICIES, ("id", "targets", "calendar", "paused_by"), "id", wanted) if wanted else []
    return {row[0]: policies.of_row(*row) for row in rows}


async def _rows(
    moment: Moment, source: Source, columns: Sequence[str], key: LiteralString, wanted: set[UUID]
) -> list[tuple[Any, ...]]:
    query = moment.query()
    bound = query.bind(list(wanted), "uuid[]")
    where = lambda: [SQL("{} = ANY ({})").format(Identifier("t", key), bound)]  # noqa: E731
    return await moment.rows(query, query.select(source, "t", columns, where))


def _clock(moment: Moment, shown: Reading) -> SlaClock:
    def at(second: int | None) -> datetime | None:
        return None if second is None else moment_of_second(second)

    return SlaClock(
        kind=shown.kind, cycle=shown.cycle, state=shown.state, target_seconds=shown.target, due_at=at(shown.due),
        paused_at=at(shown.paused), breached_at=at(shown.breached), met_at=at(shown.met), elapsed_seconds=shown.elapsed,
        remaining_seconds=shown.remaining, measured_at=moment.viewer.now, moment=moment, policy_id=shown.policy,  # type: ignore[arg-type]
    )  # fmt: skip
