"""What became of the deals opened in a period, stage by stage: how many went on from each, and how long they stood in it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import strawberry
from psycopg.sql import SQL, Composed, Identifier

from crm_es.api.rules import PARENT, ruled
from crm_es.periods import span
from crm_es.reads import records
from crm_es.reads.declare import batched
from crm_es.reads.later import Later
from crm_es.reads.model import read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import Query
from crm_es.sales import charts
from crm_es.sales.links import source
from projections.pipelines import tables

_Stage: Any = Later(charts.stage)


@ruled(PARENT)
@strawberry.type(description="A stage as the deals of a funnel went through it.")
class FunnelStep:
    stage: _Stage = strawberry.field(description="Which.")
    entered: int = strawberry.field(description="Deals that ever stood in it.")
    left: int = strawberry.field(description="Those of them that do not stand in it any more.")
    converted: int = strawberry.field(
        description="Those that went on: they came to an open stage further on, or were won, at any time after."
    )
    conversion_rate: float | None = strawberry.field(
        description="How many of those that entered went on: 0 to 1. Null where none entered, and of stages that close deals."
    )
    median_days: float | None = strawberry.field(
        description="How many days those that left stood in it, all visits of a deal together: half of them no longer."
    )
    p90_days: float | None = strawberry.field(description="The same of nine in ten.")


def funnel() -> Any:
    return batched(
        _load, list[FunnelStep],
        "Stage-to-stage conversion and time in stage, for deals opened in the period: all stages in order, retired ones where"
        " such a deal stood in them. Deals are chosen by how they are now.",
        arguments=(*charts.PERIOD, charts.CHOSEN), columns=("id",),
    )  # fmt: skip


async def _load(_reads: Any, found: Sequence[Any], given: Mapping[str, Any]) -> list[list[FunnelStep]]:
    moment = records.moment_of(found[0])
    query = moment.query()
    rows = await moment.rows(query, _statement(query, found, moment, given))
    stages = await charts.known(moment, read_of(charts.stage()), [stage for _, stage, *_ in rows])
    return [[_step(stages[stage], tuple(row)) for stage, *row in each] for each in charts.by_pipeline(found, rows)]


def _step(stage: Any, row: tuple[Any, ...]) -> FunnelStep:
    is_open, entered, left, converted, days = row
    median, p90 = days or (None, None)
    return FunnelStep(
        stage=stage, entered=entered, left=left, converted=converted, median_days=median, p90_days=p90,
        conversion_rate=converted / entered if is_open and entered else None,
    )  # fmt: skip


def _statement(query: Query, pipelines: Sequence[Any], moment: Moment, given: Mapping[str, Any]) -> Composed:
    ids = charts.ids_of(query, pipelines)
    begins, ends = span(given["from_"], given["to"], charts.zone(moment, given))
    of_these = [SQL("{} = ANY ({})").format(Identifier("s", "pipeline_id"), ids)]
    return _FUNNEL.format(
        deals=charts.deals(query, ids, ("id", "opened_at"), given),
        begins=query.bind(begins, "timestamptz"), ends=query.bind(ends, "timestamptz"),
        stages=query.select(source(tables.STAGE), "s", _STAGE, lambda: of_these),
        visits=query.select(source(tables.STAGE_INTERVAL), "s", _VISIT, lambda: of_these),
    )  # fmt: skip


_STAGE: Final = ("id", "pipeline_id", "place", "type", "retired_at")
_VISIT: Final = ("deal_id", "number", "pipeline_id", "stage_id", "from_at", "to_at")
# `reached`: the furthest stage after a visit, of those that are a step forward.
_FUNNEL: Final = SQL("""
WITH stage AS ({stages}), visit AS (
  SELECT v.deal_id, v.stage_id, v.to_at, v.to_at - v.from_at AS took,
         max(CASE s.type WHEN 'WON' THEN 1000000 WHEN 'OPEN' THEN s.place END) OVER (
           PARTITION BY v.deal_id ORDER BY v.number ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
         ) AS reached
  FROM ({visits}) AS v
  JOIN ({deals}) AS d ON d.id = v.deal_id
  JOIN stage s ON s.id = v.stage_id
  WHERE d.opened_at >= {begins} AND d.opened_at < {ends}
), stood AS (
  SELECT v.deal_id, v.stage_id, bool_or(v.to_at IS NULL) AS stands, max(v.reached) AS reached,
         extract(epoch FROM sum(v.took))::double precision / 86400 AS days
  FROM visit v
  GROUP BY v.deal_id, v.stage_id
)
SELECT s.pipeline_id, s.id, s.type = 'OPEN', count(o.deal_id), count(o.deal_id) FILTER (WHERE NOT o.stands),
       count(o.deal_id) FILTER (WHERE s.type = 'OPEN' AND o.reached > s.place),
       percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY o.days) FILTER (WHERE NOT o.stands)
FROM stage s
LEFT JOIN stood o ON o.stage_id = s.id
WHERE s.retired_at IS NULL OR o.deal_id IS NOT NULL
GROUP BY s.pipeline_id, s.id, s.type, s.place, s.retired_at
ORDER BY s.place, s.retired_at NULLS FIRST, s.id
""")

__all__ = ["FunnelStep", "funnel"]
