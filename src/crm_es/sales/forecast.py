"""What a pipeline brings, by when: what was won, and what is open by its expected close, as sure as it is said to be."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composed

from crm_es.api.nodes import Money
from crm_es.api.rules import PARENT, ruled
from crm_es.periods import DAY, Piece
from crm_es.reads import records
from crm_es.reads.declare import batched
from crm_es.reads.model import Argument, read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import Query
from crm_es.sales import charts
from crm_es.sales.sums import Totals
from crm_es.sales.win_rate import WinRate, part, win_rate
from crm_es.workspaces import graphql as workspaces


@ruled(PARENT)
@strawberry.type(description="What open deals bring if as many of them are won as before.")
class Estimate:
    currency: str = strawberry.field(description="Of which: nothing is converted.")
    low: Decimal = strawberry.field(description="At the lower bound of the share of deals won so far: 95 %, by Wilson.")
    mid: Decimal = strawberry.field(description="At the share that was won so far.")
    high: Decimal = strawberry.field(description="At its upper bound.")


@ruled(PARENT)
@strawberry.type(
    description="An interval of a forecast. Amounts, one a currency, are null where they are masked for you."
)
class ForecastPoint:
    day: date = strawberry.field(name="date", description="The interval's first day.")
    owner: workspaces.Member | None = strawberry.field(
        description="Whose, where asked for by owner: who had a deal when it was won, and who has it while it is open. Null for"
        " deals that are nobody's, or of those whom you may not see."
    )
    closed: list[Money] | None = strawberry.field(description="What was won within it.")
    commit: list[Money] | None = strawberry.field(description="Open deals expected within it that will come.")
    best_case: list[Money] | None = strawberry.field(description="Those that come if all goes well.")
    pipeline: list[Money] | None = strawberry.field(description="Those that may come.")
    weighted: list[Money] | None = strawberry.field(
        description="Each of these three kinds times its probability, rounded."
    )
    estimate: list[Estimate] | None = strawberry.field(
        description="The three together times the share of deals won among those closed so far; empty while none is closed."
    )


def forecast() -> Any:
    return batched(
        _load, list[ForecastPoint],
        "By expected close, and by when it was won; owners are credited as at close. By owner, an interval has a point for each"
        " who has deals in it. Of an interval of hours, a day's last takes what is expected that day.",
        arguments=(
            *charts.PERIOD, charts.EVERY, charts.CHOSEN,
            Argument(name="by_owner", type=bool, default=False, description="Each owner's deals apart."),
        ),
        columns=("id",),
    )  # fmt: skip


async def _load(_reads: Any, found: Sequence[Any], given: Mapping[str, Any]) -> list[list[ForecastPoint]]:
    moment = records.moment_of(found[0])
    pieces = charts.pieces(moment, given)
    query = moment.query()
    rows = await moment.rows(query, _statement(query, found, pieces, given))
    members = await charts.known(moment, read_of(workspaces.Member), {row[3] for row in rows if row[3]})
    made = [_Forecast(moment, each, members) for each in charts.by_pipeline(found, rows)]
    return [list(each.by_owner(pieces) if given["by_owner"] else each.points(pieces)) for each in made]


def _statement(query: Query, pipelines: Sequence[Any], pieces: Sequence[Piece], given: Mapping[str, Any]) -> Composed:
    owners = given["by_owner"]
    days = [*(piece.date for piece in pieces), given["to"] + DAY]
    return _FORECAST.format(
        deals=charts.deals(query, charts.ids_of(query, pipelines), _COLUMNS, given),
        bounds=query.bind([*(piece.begins for piece in pieces), pieces[-1].ends], "timestamptz[]"),
        days=query.bind(days, "date[]"), pieces=query.bind(len(pieces), "int"),
        closing_owner=SQL("d.closing_owner_id" if owners else "NULL::uuid"),
        owner=SQL("d.owner_id" if owners else "NULL::uuid"),
    )  # fmt: skip


_COLUMNS: Final = (
    "id", "pipeline_id", "status", "forecast_category", "expected_close_date", "closed_at", "owner_id", "closing_owner_id",
    "amount_minor", "amount_currency", "weighted_minor",
)  # fmt: skip
# Of what is open or was won, the place among the pieces; of all that is closed, how many.
_FORECAST: Final = SQL("""
WITH deal AS MATERIALIZED ({deals})
SELECT f.pipeline_id, f.category, f.place, f.owner_id, f.currency, count(*), sum(f.minor), sum(f.weighted)
FROM (
  SELECT d.pipeline_id, d.forecast_category AS category, width_bucket(d.expected_close_date, {days}) AS place,
         {owner} AS owner_id, d.amount_currency AS currency, d.amount_minor AS minor, d.weighted_minor AS weighted
  FROM deal d
  WHERE d.status = 'OPEN' AND d.forecast_category IN ('COMMIT', 'BEST_CASE', 'PIPELINE')
  UNION ALL
  SELECT d.pipeline_id, d.forecast_category, width_bucket(d.closed_at, {bounds}), {closing_owner}, d.amount_currency,
         d.amount_minor, NULL
  FROM deal d
  WHERE d.status = 'WON'
) AS f
WHERE f.place BETWEEN 1 AND {pieces}
GROUP BY f.pipeline_id, f.category, f.place, f.owner_id, f.currency
UNION ALL
SELECT d.pipeline_id, d.status, NULL, NULL, NULL, count(*), NULL, NULL
FROM deal d
WHERE d.status <> 'OPEN'
GROUP BY d.pipeline_id, d.status
""")


class _Forecast:
    """The sums of one pipeline: by piece (from 1) and owner, by category."""

    def __init__(self, moment: Moment, rows: charts.Rows, members: Mapping[UUID, Any]) -> None:
        self._hidden, self._unweighted = charts.hides(moment, *charts.AMOUNT), charts.hides(moment, *charts.WEIGHTED)
        self._members, closed = members, dict[str, int]()
        self._sums: defaultdict[tuple[int, UUID | None], dict[str, Totals]] = defaultdict(_nothing)
        for category, place, owner, currency, count, minor, weighted in rows:
            if place is None:
                closed[category] = count
            else:
                sums = self._sums[place, owner if members.get(owner) else None]
                sums[category].add(currency, count, minor)
                sums["WEIGHTED"].add(currency, 0 if category == "CLOSED" else count, weighted)
        self._rate = win_rate(closed.get("WON", 0), closed.get("LOST", 0))

    def points(self, pieces: Sequence[Piece]) -> Iterator[ForecastPoint]:
        for place, piece in enumerate(pieces, 1):
            yield self._point(piece, None, self._sums[place, None])

    def by_owner(self, pieces: Sequence[Piece]) -> Iterator[ForecastPoint]:
        """In each piece by the owner's id, what is nobody's last."""
        for place, owner in sorted(self._sums, key=lambda key: (key[0], key[1] is None, key[1])):
            yield self._point(pieces[place - 1], owner, self._sums[place, owner])

    def _point(self, piece: Piece, owner: UUID | None, sums: Mapping[str, Totals]) -> ForecastPoint:
        hidden = self._hidden
        return ForecastPoint(
            day=piece.date, owner=self._members[owner] if owner else None,
            closed=sums["CLOSED"].amounts(hidden=hidden), commit=sums["COMMIT"].amounts(hidden=hidden),
            best_case=sums["BEST_CASE"].amounts(hidden=hidden), pipeline=sums["PIPELINE"].amounts(hidden=hidden),
            weighted=sums["WEIGHTED"].amounts(hidden=hidden or self._unweighted),
            estimate=None if hidden else self._estimates(sums),
        )  # fmt: skip

    def _estimates(self, sums: Mapping[str, Totals]) -> list[Estimate]:
        if self._rate is None:
            return []
        open_ = Totals()
        for category in ("COMMIT", "BEST_CASE", "PIPELINE"):
            for currency, minor in sums[category].by_currency():
                open_.add(currency, 1, minor)
        return [_estimate(self._rate, currency, minor) for currency, minor in open_.by_currency()]


def _nothing() -> dict[str, Totals]:
    return {category: Totals() for category in ("CLOSED", "COMMIT", "BEST_CASE", "PIPELINE", "WEIGHTED")}


def _estimate(rate: WinRate, currency: str, minor: int) -> Estimate:
    low, mid, high = (part(minor, each, currency) for each in (rate.low, rate.mid, rate.high))
    return Estimate(currency=currency, low=low, mid=mid, high=high)


__all__ = ["Estimate", "ForecastPoint", "forecast"]
