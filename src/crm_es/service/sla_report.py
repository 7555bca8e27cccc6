"""How promises were kept over a time: by policy, queue or member. What counts is when a clock was met, or ran out."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final, LiteralString
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.api import ids
from crm_es.api.rules import SIGNED_IN, ruled
from crm_es.api.scalars import TimeZone
from crm_es.context import Info
from crm_es.periods import span
from crm_es.reads import filters, records
from crm_es.reads.model import read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import AND, Query
from crm_es.service import counting
from crm_es.service.queue_graphql import Queue
from crm_es.service.sla_graphql import POLICIES, SlaPolicy
from crm_es.service.ticket_graphql import Ticket, TicketFilter
from crm_es.service.vocabulary import SlaGroup, SlaKind
from crm_es.workspaces.graphql import Member

TYPES: Final[dict[SlaGroup, type[Any]]] = {
    SlaGroup.POLICY: SlaPolicy,
    SlaGroup.QUEUE: Queue,
    SlaGroup.MEMBER: Member,
}


async def _policy(self: "SlaReportRow") -> SlaPolicy | None:
    return await _of(self, SlaGroup.POLICY)  # type: ignore[no-any-return]


async def _queue(self: "SlaReportRow") -> Queue | None:
    return await _of(self, SlaGroup.QUEUE)  # type: ignore[no-any-return]


async def _member(self: "SlaReportRow") -> Member | None:
    return await _of(self, SlaGroup.MEMBER)  # type: ignore[no-any-return]


async def _of(row: "SlaReportRow", by: SlaGroup) -> Any:
    if row.by is not by or row.id is None:
        return None
    return await records.load(row.moment, read_of(TYPES[by]), row.id)


@ruled(SIGNED_IN)
@strawberry.type(description="How promises of one kind were kept, of tickets that you may see.")
class SlaReportRow:
    key: str = strawberry.field(
        description="What it counts: the id of the policy's newest version, queue or member; empty: nobody."
    )
    policy: SlaPolicy | None = strawberry.field(resolver=_policy, description="The policy, as its newest version.")
    queue: Queue | None = strawberry.field(resolver=_queue, description="The queue that the ticket was in then.")
    member: Member | None = strawberry.field(resolver=_member, description="Who had the ticket then.")
    kind: SlaKind = strawberry.field(description="What was promised.")
    met: int = strawberry.field(description="How many were met in time.")
    breached: int = strawberry.field(description="How many ran out.")
    median_seconds: int | None = strawberry.field(
        description="Business seconds that half of those that came to an end took at most, late ones included."
    )
    by: strawberry.Private[SlaGroup]
    id: strawberry.Private[UUID | None]
    moment: strawberry.Private[Moment]


async def sla_report(  # noqa: PLR0917  # GraphQL arguments come by name
    info: Info,
    from_: Annotated[date, strawberry.argument(name="from", description="The first day.")],
    to: Annotated[date, strawberry.argument(description="The last day, itself included.")],
    by: Annotated[SlaGroup, strawberry.argument(description="What to count by.")],
    time_zone: Annotated[
        TimeZone | None, strawberry.argument(description="Whose days; the workspace's, if left out.")
    ] = strawberry.UNSET,
    filter: Annotated[TicketFilter | None, strawberry.argument(description="Of which tickets.")] = strawberry.UNSET,
) -> list[SlaReportRow]:
    """Raises: InvalidInputError `period.backwards`, `period.too_far`."""
    moment = info.context.reads.present
    query = moment.query()
    ends = span(from_, to, str(time_zone or info.context.identity.time_zone))
    period = [query.bind(end, "timestamptz") for end in ends]
    narrowed = [filters.condition(filter)] if filter else []
    rows = await moment.rows(query, _statement(query, by, period, narrowed))
    return [_row(moment, by, row) for row in rows]


def _row(moment: Moment, by: SlaGroup, row: Sequence[Any]) -> SlaReportRow:
    id_, kind, met, breached, median = row
    key = "" if id_ is None else ids.encode(read_of(TYPES[by]).name, id_)
    seconds = None if median is None else round(median)
    return SlaReportRow(
        key=key, kind=SlaKind(kind), met=met, breached=breached, median_seconds=seconds, by=by, id=id_, moment=moment
    )


def _statement(query: Query, by: SlaGroup, period: Sequence[Composable], narrowed: Sequence[Any]) -> Composed:
    read = read_of(Ticket)
    clocks, of_clocks = query.rows_of(counting.CLOCKS, "c")
    tickets, of_tickets = query.rows_of(read.source, "t")
    seen = [condition(query, "t") for condition in (*records.visible(read, query.viewer), *narrowed)]
    key, joined = _key(query, by)
    return _REPORT.format(
        broken_at=counting.broken_at(query), clocks=clocks, of_clocks=AND.join(of_clocks), tickets=tickets,
        of_tickets=AND.join([*of_tickets, *seen]), key=key, joined=joined, since=period[0], until=period[1],
    )  # fmt: skip


def _key(query: Query, by: SlaGroup) -> tuple[Composable, Composable]:
    """What to group by, and the join that brings it."""
    if by is SlaGroup.POLICY:
        own, of_own = query.rows_of(POLICIES, "v")
        newest, of_newest = query.rows_of(POLICIES, "n")
        conditions = [*of_own, *of_newest, SQL("v.id = o.version_id AND n.policy_id = v.policy_id AND n.newest")]
        return SQL("n.id"), SQL("JOIN {} ON true JOIN {} ON {}").format(own, newest, AND.join(conditions))
    column: LiteralString = "queue_id" if by is SlaGroup.QUEUE else "assignee_id"
    table, where = query.rows_of(counting.INTERVALS, "i")
    where.append(SQL("i.ticket_id = o.ticket_id AND date_trunc('second', i.from_at) <= o.at"))
    return Identifier("h", column), SQL(
        "JOIN LATERAL (SELECT i.queue_id, i.assignee_id FROM {} WHERE {} ORDER BY i.number DESC LIMIT 1) AS h ON true"
    ).format(table, AND.join(where))


# Clocks are in whole seconds, intervals are not: who had the ticket in that second is who had it last.
_REPORT: Final = SQL("""
SELECT {key}, o.kind, count(*) FILTER (WHERE o.broken_at IS NULL), count(*) FILTER (WHERE o.broken_at IS NOT NULL),
       percentile_cont(0.5) WITHIN GROUP (ORDER BY o.spent) FILTER (WHERE o.met_at < {until})
FROM (
  SELECT k.*, coalesce(k.broken_at, k.met_at) AS at
  FROM (
    SELECT c.ticket_id, c.kind, c.policy_id AS version_id, c.spent, c.met_at,
           {broken_at} AS broken_at
    FROM {clocks}
    WHERE {of_clocks} AND c.target IS NOT NULL
  ) k
) o
JOIN {tickets} ON t.id = o.ticket_id
{joined}
WHERE {of_tickets} AND o.at >= {since} AND o.at < {until}
GROUP BY 1, 2
ORDER BY 1, 2
""")
