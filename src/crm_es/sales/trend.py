"""How a pipeline went: what was open at the end of each interval, what was won and lost within it, by business time."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import strawberry
from psycopg.sql import SQL, Composed, Identifier

from crm_es.api.nodes import Money
from crm_es.api.rules import PARENT, ruled
from crm_es.periods import Piece
from crm_es.reads import records
from crm_es.reads.declare import batched
from crm_es.reads.sql import Query
from crm_es.sales import charts
from crm_es.sales.links import source
from crm_es.sales.sums import Totals
from projections.pipelines import tables


@ruled(PARENT)
@strawberry.type(description="An interval of a pipeline's past.")
class PipelinePoint:
    day: date = strawberry.field(name="date", description="The interval's first day.")
    at: datetime = strawberry.field(description="The moment it ends, with which the next one begins.")
    open_count: int = strawberry.field(description="Deals that were open when it ended.")
    open_amount: list[Money] | None = strawberry.field(
        description="What they were worth then; null where amounts are masked for you."
    )
    won_count: int = strawberry.field(
        description="Deals won within it; one that was reopened and won again counts each time."
    )
    won_amount: list[Money] | None = strawberry.field(
        description="What these were won for; null where amounts are masked for you."
    )
    lost_count: int = strawberry.field(description="Deals lost within it.")


def trend() -> Any:
    return batched(
        _load, list[PipelinePoint],
        "Open pipeline as it stood at the end of each hour, day, week, month or quarter, and what was won and lost within it,"
        " by business time. Intervals that have not begun are left out. Deals are chosen by how they are now.",
        arguments=(*charts.PERIOD, charts.EVERY, charts.CHOSEN), columns=("id",),
    )  # fmt: skip


async def _load(_reads: Any, found: Sequence[Any], given: Mapping[str, Any]) -> list[list[PipelinePoint]]:
    moment = records.moment_of(found[0])
    pieces = charts.pieces(moment, given)
    pieces = [piece for piece in pieces if piece.begins <= charts.now(moment)]
    if not pieces:
        return [[] for _ in found]
    query = moment.query()
    rows = await moment.rows(query, _statement(query, found, pieces, given))
    hidden = charts.hides(moment, *charts.AMOUNT)
    return [_points(pieces, each, hidden=hidden) for each in charts.by_pipeline(found, rows)]


def _statement(query: Query, pipelines: Sequence[Any], pieces: Sequence[Piece], given: Mapping[str, Any]) -> Composed:
    ids = charts.ids_of(query, pipelines)
    bounds = query.bind([*(piece.begins for piece in pieces), pieces[-1].ends], "timestamptz[]")
    intervals = query.select(
        source(tables.DEAL_INTERVAL), "i", _INTERVAL,
        lambda: [SQL("{} = ANY ({})").format(Identifier("i", "pipeline_id"), ids)],
    )  # fmt: skip
    deals = charts.deals(query, ids, ("id",), given)
    return _TREND.format(deals=deals, intervals=intervals, bounds=bounds)


_INTERVAL: Final = ("deal_id", "number", "pipeline_id", "status", "amount_minor", "amount_currency", "from_at", "to_at")
# Place 0 is before the period, n + 1 after it. What begins in a piece is open at its end, unless it ends there too.
_TREND: Final = SQL("""
WITH spell AS MATERIALIZED (
  SELECT i.pipeline_id, i.status, i.amount_currency, i.amount_minor, width_bucket(i.from_at, {bounds}) AS began,
         width_bucket(i.to_at, {bounds}) AS ended,
         i.status <> 'OPEN' AND lag(i.status) OVER (PARTITION BY i.deal_id ORDER BY i.number) IS DISTINCT FROM i.status AS closed
  FROM ({intervals}) AS i
  JOIN ({deals}) AS d ON d.id = i.deal_id
)
SELECT m.pipeline_id, m.place, m.amount_currency, sum(m.opened), sum(m.opened * m.amount_minor), sum(m.won),
       sum(m.won * m.amount_minor), sum(m.lost)
FROM (
  SELECT s.pipeline_id, s.began AS place, s.amount_currency, s.amount_minor, 1 AS opened, 0 AS won, 0 AS lost
  FROM spell s
  WHERE s.status = 'OPEN'
  UNION ALL
  SELECT s.pipeline_id, s.ended, s.amount_currency, s.amount_minor, -1, 0, 0
  FROM spell s
  WHERE s.status = 'OPEN' AND s.ended IS NOT NULL
  UNION ALL
  SELECT s.pipeline_id, s.began, s.amount_currency, s.amount_minor, 0, (s.status = 'WON')::int, (s.status = 'LOST')::int
  FROM spell s
  WHERE s.closed
) AS m
GROUP BY m.pipeline_id, m.place, m.amount_currency
ORDER BY m.place, m.amount_currency
""")


def _points(pieces: Sequence[Piece], rows: charts.Rows, *, hidden: bool) -> list[PipelinePoint]:
    moves: defaultdict[int, charts.Rows] = defaultdict(list)
    for place, *row in rows:
        moves[place].append(tuple(row))
    standing = Totals()
    for currency, opened, minor, *_ in moves[0]:
        standing.add(currency, opened, minor)
    return [_point(piece, moves[place], standing, hidden=hidden) for place, piece in enumerate(pieces, 1)]


def _point(piece: Piece, moves: charts.Rows, standing: Totals, *, hidden: bool) -> PipelinePoint:
    """The next one: `standing` is taken on to its end."""
    won, lost = Totals(), 0
    for currency, opened, minor, won_count, won_minor, lost_count in moves:
        standing.add(currency, opened, minor)
        won.add(currency, won_count, won_minor)
        lost += lost_count
    return PipelinePoint(
        day=piece.date, at=piece.ends, open_count=standing.count, open_amount=standing.amounts(hidden=hidden),
        won_count=won.count, won_amount=won.amounts(hidden=hidden), lost_count=lost,
    )  # fmt: skip


__all__ = ["PipelinePoint", "trend"]
