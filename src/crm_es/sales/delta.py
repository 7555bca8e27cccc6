"""What changed in a pipeline between two recorded moments, in parts that add up exactly.

Both moments are pages of the deal table, compared deal by deal: what the log holds between them does not matter. "In it" is an
open deal that a list with the filter would hold at that moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Composed, Identifier
from strawberry import UNSET
from strawberry.annotation import StrawberryAnnotation

from crm_es.api.nodes import AsOf, Money
from crm_es.api.rules import PARENT, ruled
from crm_es.errors import CrmError, InvalidInputError
from crm_es.reads import connections, listing, records, resolve
from crm_es.reads.declare import batched
from crm_es.reads.errors import AsOfOutOfRangeError
from crm_es.reads.fields import ReadField
from crm_es.reads.later import Later
from crm_es.reads.model import Argument, Connection, Target, read_of
from crm_es.reads.session import Moment, Reads
from crm_es.reads.sql import Condition, Query
from crm_es.sales import charts
from crm_es.sales.sums import DealSummary, amounts_of

GAINS: Final = ("new", "reopened", "moved_in")
LOSSES: Final = ("won", "lost", "moved_out")
CHANGES: Final = ("grown", "shrunk")


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Two moments of some pipelines, with the arguments that choose deals."""

    since: Moment
    until: Moment
    given: Mapping[str, Any]

    async def sums(self, pipelines: Sequence[Any]) -> charts.Rows:
        """(pipeline, part, currency, how many deals, minor, weighted)."""
        return await self._rows(_SUMS, [records.raw(each, "id") for each in pipelines])

    async def among(self, part: str, pipeline: UUID) -> Condition:
        """To be one of the deals in this part. All parts of all pipelines are looked up together, once."""
        found = (await self.until.reads.loader(("delta", self), self._deals).load(pipeline)).get(part, [])
        return lambda query, alias: SQL("{} = ANY ({})").format(Identifier(alias, "id"), query.bind(found, "uuid[]"))

    async def _deals(self, pipelines: list[UUID]) -> list[dict[str, list[UUID]]]:
        parts: dict[UUID, dict[str, list[UUID]]] = {pipeline: {} for pipeline in pipelines}
        for pipeline, part, deals in await self._rows(_DEALS, pipelines):
            parts[pipeline][part] = deals
        return list(parts.values())

    async def _rows(self, asked: SQL, pipelines: Sequence[UUID]) -> charts.Rows:
        query = self.until.query()
        statement = asked.format(moved=self.moved(query, query.bind(pipelines, "uuid[]")))
        await self.since.require(query.models)
        return await self.until.rows(query, statement)

    def moved(self, query: Query, pipelines: Composable) -> Composed:
        """(pipeline, part, deal, currency, minor, weighted) of each deal in each part; `query` is of the later moment."""
        then = self.since.query()
        then.parameters = query.parameters
        return _MOVED.format(
            was=charts.every_deal(then, pipelines, _COLUMNS, self.given),
            now=charts.every_deal(query, pipelines, _COLUMNS, self.given),
            known=then.exists(
                read_of(charts.deal()).source,
                lambda row: [SQL("{} = {}").format(Identifier(row, "id"), Identifier("n", "id"))],
            ),
        )


_COLUMNS: Final = ("id", "pipeline_id", "status", "amount_minor", "amount_currency", "weighted_minor")
# Whoever may see a deal at one of the moments only learns nothing of it at the other, but that it was there already.
_MOVED: Final = SQL("""
SELECT b.pipeline_id, p.part, b.id, p.currency, p.minor, p.weighted
FROM (
  SELECT coalesce(n.id, w.id) AS id, coalesce(n.pipeline_id, w.pipeline_id) AS pipeline_id,
         coalesce(w.counts AND w.status = 'OPEN', false) AS was_in, coalesce(n.counts AND n.status = 'OPEN', false) AS now_in,
         w.status AS was_status, n.status AS now_status, coalesce(n.counts, false) AS counts,
         w.amount_minor AS was_minor, w.amount_currency AS was_currency, w.weighted_minor AS was_weighted,
         n.amount_minor AS now_minor, n.amount_currency AS now_currency, n.weighted_minor AS now_weighted,
         w.id IS NULL AND NOT {known} AS fresh
  FROM ({was}) AS w
  FULL JOIN ({now}) AS n ON n.id = w.id
) AS b
CROSS JOIN LATERAL (
  SELECT 'start' AS part, b.was_currency AS currency, b.was_minor AS minor, b.was_weighted AS weighted
  WHERE b.was_in
  UNION ALL
  SELECT 'end', b.now_currency, b.now_minor, b.now_weighted
  WHERE b.now_in
  UNION ALL
  SELECT CASE WHEN b.fresh THEN 'new' WHEN b.was_status IN ('WON', 'LOST') THEN 'reopened' ELSE 'moved_in' END,
         b.now_currency, b.now_minor, NULL
  WHERE NOT b.was_in AND (b.now_in OR b.fresh AND b.counts)
  UNION ALL
  SELECT lower(b.now_status), b.now_currency, -b.now_minor, NULL
  WHERE b.now_status <> 'OPEN' AND (b.was_in OR b.fresh AND b.counts)
  UNION ALL
  SELECT 'moved_out', b.was_currency, -b.was_minor, NULL
  WHERE b.was_in AND NOT b.now_in AND coalesce(b.now_status = 'OPEN', true)
  UNION ALL
  SELECT CASE WHEN sum(c.minor) > 0 THEN 'grown' ELSE 'shrunk' END, c.currency, sum(c.minor)::bigint, NULL
  FROM (VALUES (b.was_currency, -b.was_minor), (b.now_currency, b.now_minor)) AS c(currency, minor)
  WHERE b.was_in AND (b.now_in OR b.now_status <> 'OPEN')
  GROUP BY c.currency
  HAVING sum(c.minor) <> 0
) AS p
""")
_SUMS: Final = SQL("""
SELECT m.pipeline_id, m.part, m.currency, count(*), sum(m.minor), sum(m.weighted)
FROM ({moved}) AS m
GROUP BY m.pipeline_id, m.part, m.currency
ORDER BY m.currency
""")
_DEALS: Final = SQL("""
SELECT m.pipeline_id, m.part, array_agg(m.id)
FROM ({moved}) AS m
WHERE m.part NOT IN ('start', 'end')
GROUP BY m.pipeline_id, m.part
""")


# The types


@dataclass(frozen=True, slots=True)
class _PartList:
    """The declaration of `DeltaPart.deals`."""

    target: Target


@resolve.answerer.register(_PartList)
def _of_part(declared: _PartList, _name: str, _read: Any) -> resolve.Answer:
    async def answer(part: "DeltaPart", info: Any, given: dict[str, Any]) -> Any:
        compared = part.compared
        moment, read = compared.until, read_of(declared.target())
        held = (*records.visible(read, moment.viewer), await compared.among(part.name, part.pipeline))
        field = f"DeltaPart.{part.name}.{part.pipeline}.{compared.since.at}"
        ask = listing.asked(moment, Connection(target=declared.target, via=None), field, given, holding=held)
        place = (field, moment, *(step for step in info.path.as_list() if isinstance(step, str)))
        return listing.Listing(moment, ask, place, None)

    return answer


def _deals() -> Any:
    made = ReadField(
        description="Which; those that you may see at the later moment, as they are then.",
        metadata={"read": _PartList(charts.deal)},
    )
    made.type_annotation = StrawberryAnnotation(Later(lambda: connections.connection_type(charts.deal())))
    made.arguments = connections.arguments(Connection(target=charts.deal, filter=False, order=False))
    made.init = False  # it is read, never given
    return made


@ruled(PARENT)
@strawberry.type(description="One of the reasons why a pipeline changed.")
class DeltaPart:
    count: int = strawberry.field(description="How many deals.")
    amount: list[Money] | None = strawberry.field(
        description="What it adds to the pipeline, or takes from it: signed. Null where amounts are masked for you."
    )
    deals = _deals()
    name: strawberry.Private[str]
    pipeline: strawberry.Private[UUID]
    compared: strawberry.Private[Compared]


@ruled(PARENT)
@strawberry.type(
    description="What changed in a pipeline between two recorded moments. By currency, the start and all parts add up to the end."
)
class PipelineDelta:
    start: DealSummary = strawberry.field(description="What was open at the first moment.")
    new: DeltaPart = strawberry.field(
        description="Deals nobody had opened by the first moment, those already closed again included."
    )
    won: DeltaPart = strawberry.field(description="Deals that are won, at what they were won for.")
    lost: DeltaPart = strawberry.field(description="Deals that are lost, at what they were worth last.")
    reopened: DeltaPart = strawberry.field(description="Deals that were closed and are open.")
    moved_in: DeltaPart = strawberry.field(
        description="Open deals that the filter did not choose, that were archived, or that you could not see, and now are in it."
    )
    moved_out: DeltaPart = strawberry.field(description="Open deals that were in it and are not any more.")
    grown: DeltaPart = strawberry.field(
        description="Deals whose amount rose; one whose currency changed grew in the one and shrank in the other."
    )
    shrunk: DeltaPart = strawberry.field(description="Deals whose amount fell.")
    end: DealSummary = strawberry.field(description="What is open at the second moment.")


def delta() -> Any:
    return batched(
        _load, PipelineDelta,
        "What changed between two recorded moments: how they differ, deal by deal, whatever happened between them.",
        arguments=(
            Argument(name="from_", type=AsOf, description="The first moment."),
            Argument(name="to", type=AsOf | None, description="The second one; the moment that is read unless given."),
            charts.CHOSEN,
        ),
        columns=("id",),
    )  # fmt: skip


async def _load(reads: Reads, found: Sequence[Any], given: Mapping[str, Any]) -> list[PipelineDelta]:
    compared = await _compared(reads, records.moment_of(found[0]), given)
    rows = charts.by_pipeline(found, await compared.sums(found))
    return [_delta(compared, pipeline, each) for pipeline, each in zip(found, rows, strict=True)]


async def _compared(reads: Reads, shown: Moment, given: Mapping[str, Any]) -> Compared:
    """Raises: AsOfOutOfRangeError, at the argument, for what is later than the moment shown; InvalidInputError."""
    since = await _moment(reads, shown, "from", given["from_"])
    later = given.get("to")
    until = shown if later is None or later is UNSET else await _moment(reads, shown, "to", later)
    if until.at is not None and since.at is not None and since.at > until.at:
        raise InvalidInputError("The first moment is after the second.", rule="delta.backwards", field=("to",))
    return Compared(since, until, given)


async def _moment(reads: Reads, shown: Moment, name: str, as_of: Any) -> Moment:
    try:
        found = await reads.moment(as_of)
    except CrmError as exc:
        exc.field = (name, *exc.field[1:])
        raise
    if shown.at is not None and found.at is not None and found.at > shown.at:
        raise AsOfOutOfRangeError(f"This is read as of position {shown.at}, and nothing later is known.", field=(name,))
    return found


def _delta(compared: Compared, pipeline: Any, rows: charts.Rows) -> PipelineDelta:
    summary = partial(_summary, compared.until, rows)
    parts = {name: _part(compared, pipeline, name, rows) for name in (*GAINS, *LOSSES, *CHANGES)}
    return PipelineDelta(start=summary("start"), end=summary("end"), **parts)


def _part(compared: Compared, pipeline: Any, name: str, rows: charts.Rows) -> DeltaPart:
    mine = [row for row in rows if row[0] == name]
    amounts = amounts_of((minor, currency) for _, currency, _, minor, _ in mine)
    return DeltaPart(
        count=sum(count for _, _, count, *_ in mine),
        amount=None if charts.hides(compared.until, *charts.AMOUNT) else amounts,
        name=name, pipeline=records.raw(pipeline, "id"), compared=compared,
    )  # fmt: skip


def _summary(moment: Moment, rows: charts.Rows, name: str) -> DealSummary:
    mine = [row for row in rows if row[0] == name]
    return DealSummary(
        count=sum(count for _, _, count, *_ in mine),
        amount=None
        if charts.hides(moment, *charts.AMOUNT)
        else amounts_of((minor, currency) for _, currency, _, minor, _ in mine),
        weighted_amount=None
        if charts.hides(moment, *charts.AMOUNT, *charts.WEIGHTED)
        else amounts_of((minor, currency) for _, currency, *_, minor in mine),
    )
