"""What members have to do, and how they got on: in one queue, or across queues."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Composed, Identifier
from strawberry import ID

from crm_es.api import ids
from crm_es.api.rules import PARENT, ruled
from crm_es.context import Info
from crm_es.periods import check_order, upto
from crm_es.reads import records
from crm_es.reads.declare import Argument, batched
from crm_es.reads.model import read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import AND, Query
from crm_es.service import counting, ticket_graphql
from crm_es.workspaces.graphql import Member

MOST: Final = 1_000
USUAL: Final = timedelta(days=30)


async def _member(self: "AgentLoad") -> Member:
    return await records.load(self.moment, read_of(Member), self.member_id)  # type: ignore[return-value]  # we asked for him


@ruled(PARENT)
@strawberry.type(description="What a member has to do, and did, of the tickets that you may see.")
class AgentLoad:
    member: Member = strawberry.field(resolver=_member, description="Who.")
    open: int = strawberry.field(description="Tickets they have that are not resolved yet, held ones included.")
    on_hold: int = strawberry.field(description="Of the open: they wait for the customer or for others.")
    resolved: int = strawberry.field(
        description="Tickets resolved, or closed without, while they had them; one that was reopened counts each time."
    )
    median_handle_seconds: int | None = strawberry.field(
        description="Half of the resolved ones took them at most that long: what passed while they had the ticket and it "
        "waited for nobody, since it was opened or reopened."
    )
    moment: strawberry.Private[Moment]
    member_id: strawberry.Private[UUID]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which queues (None: all), each by itself or all together, whose members, resolved since when and until when."""

    queues: Sequence[UUID] | None
    apart: bool
    team: UUID | None
    since: datetime
    until: datetime


def of_queue() -> Any:
    return batched(
        _of_queues, list[AgentLoad], "What those who have tickets in it have to do, the busiest first.",
        arguments=(
            Argument(name="from_", type=datetime | None, description="Resolved since; 30 days before `to` if left out."),
            Argument(name="to", type=datetime | None, description="Resolved before; now, if left out."),
        ),
        columns=("id",),
    )  # fmt: skip


async def _of_queues(_reads: Any, queues: Sequence[Any], given: Mapping[str, Any]) -> list[list[AgentLoad]]:
    """One statement for all queues of a level."""
    moment = records.moment_of(queues[0])
    wanted = [records.raw(queue, "id") for queue in queues]
    since, until = _period(moment, counting.asked(given, "from_"), counting.asked(given, "to"))
    found = await _loads(moment, _Asked(queues=wanted, apart=True, team=None, since=since, until=until))
    return [found[queue] for queue in wanted]


async def workload(
    info: Info,
    queue_ids: Annotated[
        list[ID] | None, strawberry.argument(description="In these queues; in all, if left out.")
    ] = strawberry.UNSET,
    team_id: Annotated[ID | None, strawberry.argument(description="Of this team's members.")] = strawberry.UNSET,
    from_: Annotated[
        datetime | None,
        strawberry.argument(name="from", description="Resolved since; 30 days before `to` if left out."),
    ] = strawberry.UNSET,
    to: Annotated[
        datetime | None, strawberry.argument(description="Resolved before; now, if left out.")
    ] = strawberry.UNSET,
) -> list[AgentLoad]:
    moment = info.context.reads.present
    since, until = _period(moment, from_ or None, to or None)
    queues = [ids.live(one, "Queue", field=("queueIds", str(index))) for index, one in enumerate(queue_ids or ())]
    asked = _Asked(
        queues=queues if isinstance(queue_ids, list) else None, apart=False,
        team=ids.live(team_id, "Team", field=("teamId",)) if team_id else None, since=since, until=until,
    )  # fmt: skip
    return (await _loads(moment, asked))[None]


def _period(moment: Moment, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    """Raises: InvalidInputError `period.backwards`, `period.too_far`."""
    ends = until or counting.now(moment)
    begins = since or upto(ends, USUAL)
    check_order(begins, ends)
    return begins, ends


async def _loads(moment: Moment, asked: _Asked) -> dict[UUID | None, list[AgentLoad]]:
    """By queue, or all of them under None; the busiest first."""
    query = moment.query()
    found: dict[UUID | None, list[AgentLoad]] = defaultdict(list)
    for queue, member, open_, on_hold, resolved, median in await moment.rows(query, _statement(query, asked)):
        found[queue].append(
            AgentLoad(
                open=open_, on_hold=on_hold, resolved=resolved, moment=moment, member_id=member,
                median_handle_seconds=None if median is None else round(median),
            )
        )  # fmt: skip
    return found


def _statement(query: Query, asked: _Asked) -> Composed:
    read = read_of(ticket_graphql.Ticket)
    bound = None if asked.queues is None else query.bind(list(asked.queues), "uuid[]")

    def inside(alias: str) -> list[Composable]:
        return [] if bound is None else [SQL("{} = ANY ({})").format(Identifier(alias, "queue_id"), bound)]

    tickets = query.select(
        read.source, "t", ("queue_id", "assignee_id", "status"),
        lambda: [
            SQL("t.assignee_id IS NOT NULL AND t.status IN {}").format(SQL(counting.ACTIVE)), *inside("t"),
            *(condition(query, "t") for condition in records.visible(read, query.viewer)),
        ],
    )  # fmt: skip
    period = [query.bind(each, "timestamptz") for each in (asked.since, asked.until)]
    ended = [SQL("{0} >= {1} AND {0} < {2}").format(Identifier("e", "from_at"), *period), *inside("e")]
    over = query.select(
        counting.INTERVALS, "e", ("ticket_id",), lambda: [SQL("e.status IN {}").format(SQL(counting.DONE)), *ended]
    )
    columns = ("ticket_id", "number", "queue_id", "assignee_id", "status", "from_at", "to_at")
    return _LOADS.format(
        place=Identifier("l", "queue_id") if asked.apart else SQL("NULL::uuid"), tickets=tickets,
        spells=counting.intervals(query, columns, SQL("i.ticket_id IN ({})").format(over)),
        ended=AND.join(ended), member=_member_of(query, asked.team), most=query.bind(MOST, "integer"),
        active=SQL(counting.ACTIVE), done=SQL(counting.DONE),
    )  # fmt: skip


def _member_of(query: Query, team: UUID | None) -> Composable:
    """The member of `l` is one that the viewer may see, and of the team."""
    read = read_of(Member)

    def conditions(row: Any) -> list[Composable]:
        of_team = [] if team is None else [SQL("{} = {}").format(Identifier(row, "team_id"), query.bind(team, "uuid"))]
        own = SQL("{} = l.assignee_id").format(Identifier(row, "id"))
        return [own, *of_team, *(condition(query, row) for condition in records.visible(read, query.viewer))]

    return query.exists(read.source, conditions)


# A ticket's `turn` counts how often it was resolved before.
_LOADS: Final = SQL("""
WITH spell AS (
  SELECT s.*, count(*) FILTER (WHERE s.ends) OVER (PARTITION BY s.ticket_id ORDER BY s.number) AS turn
  FROM (
    SELECT i.*, i.status IN {done} AND lag(i.status) OVER (PARTITION BY i.ticket_id ORDER BY i.number) IN {active} AS ends
    FROM ({spells}) AS i
  ) AS s
), resolved AS (
  SELECT e.queue_id, e.assignee_id, coalesce(sum(extract(epoch FROM w.to_at - w.from_at)), 0) AS seconds
  FROM spell e
  LEFT JOIN spell w
    ON w.ticket_id = e.ticket_id AND w.turn = e.turn - 1 AND w.assignee_id = e.assignee_id AND w.status IN ('NEW', 'OPEN')
  WHERE e.ends AND e.assignee_id IS NOT NULL AND {ended}
  GROUP BY e.ticket_id, e.number, e.queue_id, e.assignee_id
), l AS (
  SELECT t.queue_id, t.assignee_id, 1 AS open, (t.status IN ('PENDING', 'ON_HOLD'))::int AS on_hold, NULL AS seconds
  FROM ({tickets}) AS t
  UNION ALL
  SELECT r.queue_id, r.assignee_id, 0, 0, r.seconds
  FROM resolved r
)
SELECT {place}, l.assignee_id, sum(l.open) AS open, sum(l.on_hold), count(l.seconds) AS resolved,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY l.seconds)
FROM l
WHERE {member}
GROUP BY 1, 2
ORDER BY open DESC, resolved DESC, l.assignee_id
LIMIT {most}
""")
