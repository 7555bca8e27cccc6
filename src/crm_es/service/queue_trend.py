"""How a queue went: what came into it and was resolved within each interval, what was open at its end, by business time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composed

from crm_es.api.enums import Interval
from crm_es.api.rules import PARENT, ruled
from crm_es.api.scalars import TimeZone
from crm_es.periods import Piece, between
from crm_es.reads import records
from crm_es.reads.declare import Argument, batched
from crm_es.reads.sql import Query
from crm_es.service import counting

_Sums = tuple[int, ...]


@ruled(PARENT)
@strawberry.type(description="An interval of a queue's past, of the tickets that you may see.")
class QueuePoint:
    at: datetime = strawberry.field(description="The moment it ends, with which the next one begins.")
    arrived: int = strawberry.field(
        description="Tickets that were opened in the queue, moved into it or reopened in it within the interval."
    )
    resolved: int = strawberry.field(
        description="Tickets that were resolved in it, or closed without; one that was reopened counts each time."
    )
    open: int = strawberry.field(description="Not resolved yet when the interval ended, held ones included.")
    breached: int = strawberry.field(description="Of the open: a promise was broken by then.")


def trend() -> Any:
    return batched(
        _load, list[QueuePoint],
        "Depth, arrivals and resolutions over business time. Intervals that have not begun are left out.",
        arguments=(
            Argument(name="from_", type=datetime, description="When it begins."),
            Argument(name="to", type=datetime, description="When it ends."),
            Argument(name="interval", type=Interval, description="What it is cut into: 1,000 pieces at most."),
            Argument(
                name="time_zone", type=TimeZone | None, description="Whose days these are; the workspace's unless given."
            ),
        ),
        columns=("id",),
    )  # fmt: skip


async def _load(_reads: Any, queues: Sequence[Any], given: Mapping[str, Any]) -> list[list[QueuePoint]]:
    """One statement for all queues of a level."""
    moment = records.moment_of(queues[0])
    zone = str(counting.asked(given, "time_zone") or moment.viewer.time_zone)
    pieces = between(given["from_"], given["to"], given["interval"], zone, week_starts_on=moment.viewer.week_starts_on)
    pieces = [piece for piece in pieces if piece.begins <= counting.now(moment)]
    if not pieces:
        return [[] for _ in queues]
    query = moment.query()
    found: dict[UUID, dict[int, _Sums]] = {records.raw(queue, "id"): {} for queue in queues}
    for queue, place, *sums in await moment.rows(query, _statement(query, queues, pieces)):
        found[queue][place] = tuple(sums)
    return [_points(pieces, found[records.raw(queue, "id")]) for queue in queues]


def _statement(query: Query, queues: Sequence[Any], pieces: Sequence[Piece]) -> Composed:
    ids = counting.ids_of(query, queues)
    touching = query.select(counting.INTERVALS, "q", ("ticket_id",), lambda: [SQL("q.queue_id = ANY ({})").format(ids)])
    columns = ("ticket_id", "number", "queue_id", "status", "from_at", "to_at")
    spells = counting.intervals(query, columns, SQL("i.ticket_id IN ({})").format(touching))
    clocks = ("ticket_id", "breached_at", "met_at", "since", "due_at")
    promises = query.select(counting.CLOCKS, "c", clocks, lambda: [SQL("c.target IS NOT NULL")])
    return _TREND.format(
        queues=ids, spells=spells, clocks=promises, bounds=query.bind(
            [*(piece.begins for piece in pieces), pieces[-1].ends], "timestamptz[]"
        ),
        broken_at=counting.broken_at(query),
        active=SQL(counting.ACTIVE), done=SQL(counting.DONE),
    )  # fmt: skip


# Place 0 is before the period, n + 1 after it. What begins in a piece is open at its end, unless it ends there too.
_TREND: Final = SQL("""
WITH spell AS (
  SELECT i.*, i.status IN {active} AS open,
         lag(i.status) OVER before IN {active} AND lag(i.queue_id) OVER before = i.queue_id AS was_open
  FROM ({spells}) AS i
  WINDOW before AS (PARTITION BY i.ticket_id ORDER BY i.number)
), broken AS (
  SELECT c.ticket_id, min({broken_at}) AS at
  FROM ({clocks}) AS c
  GROUP BY c.ticket_id
), placed AS MATERIALIZED (
  SELECT s.queue_id, s.status, s.open, coalesce(s.was_open, false) AS was_open,
         width_bucket(s.from_at, {bounds}) AS began, width_bucket(s.to_at, {bounds}) AS ended,
         CASE WHEN b.at < coalesce(s.to_at, 'infinity') THEN width_bucket(greatest(s.from_at, b.at), {bounds}) END AS broke
  FROM spell s
  LEFT JOIN broken b ON b.ticket_id = s.ticket_id
  WHERE s.queue_id = ANY ({queues})
)
SELECT m.queue_id, m.place, sum(m.arrived), sum(m.resolved), sum(m.open), sum(m.breached)
FROM (
  SELECT p.queue_id, p.began AS place, (NOT p.was_open)::int AS arrived, 0 AS resolved, 1 AS open, 0 AS breached
  FROM placed p
  WHERE p.open
  UNION ALL
  SELECT p.queue_id, p.ended, 0, 0, -1, CASE WHEN p.broke IS NULL THEN 0 ELSE -1 END
  FROM placed p
  WHERE p.open AND p.ended IS NOT NULL
  UNION ALL
  SELECT p.queue_id, p.broke, 0, 0, 0, 1
  FROM placed p
  WHERE p.open AND p.broke IS NOT NULL
  UNION ALL
  SELECT p.queue_id, p.began, 0, 1, 0, 0
  FROM placed p
  WHERE p.was_open AND p.status IN {done}
) AS m
GROUP BY m.queue_id, m.place
""")


def _points(pieces: Sequence[Piece], moves: Mapping[int, _Sums]) -> list[QueuePoint]:
    nothing = defaultdict(lambda: (0, 0, 0, 0), moves)
    _, _, standing, overdue = nothing[0]
    points = []
    for place, piece in enumerate(pieces, 1):
        arrived, resolved, opened, broke = nothing[place]
        standing, overdue = standing + opened, overdue + broke
        points.append(
            QueuePoint(at=piece.ends, arrived=arrived, resolved=resolved, open=standing, breached=overdue)
        )  # fmt: skip
    return points
