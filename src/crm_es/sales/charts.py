"""What the charts of a pipeline share: their arguments, and which deals they count.

Those are the deals that a list of the pipeline's would hold at the same moment: the ones the viewer may see, ACTIVE unless the
filter says, chosen by how they are at that moment and not by how they were along the chart.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from psycopg.sql import SQL, Composable, Composed, Identifier
from strawberry import UNSET

from crm_es.api.scalars import TimeZone
from crm_es.periods import Interval
from crm_es.reads import listing, records
from crm_es.reads.later import Later
from crm_es.reads.model import Argument, Connection, ReadType, Target, read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import AND, COMMA, UNION, Query

Rows = list[tuple[Any, ...]]
PERIOD: Final = (
    Argument(name="from_", type=date, description="The first day."),
    Argument(name="to", type=date, description="The last day, which is in it."),
    Argument(name="time_zone", type=TimeZone | None, description="Whose days these are; the workspace's unless given."),
)
EVERY: Final = Argument(name="interval", type=Interval, description="What it is cut into: 1,000 pieces at most.")


def chosen(deal: Target) -> Argument:
    kind: Any = Later(lambda: read_of(deal()).filter())  # type: ignore[misc]
    return Argument(name="filter", type=kind | None, description="Of which deals; ACTIVE ones unless it says.")


def zone(moment: Moment, given: Mapping[str, Any]) -> str:
    found = given.get("time_zone")
    return str(moment.viewer.time_zone if found is None or found is UNSET else found)


def now(moment: Moment) -> datetime:
    found = moment.viewer.now
    assert isinstance(found, datetime)  # noqa: S101  # charts are not compiled: there are no slots
    return found


def ids_of(query: Query, pipelines: Sequence[Any]) -> Composable:
    return query.bind([records.raw(each, "id") for each in pipelines], "uuid[]")


def deals(query: Query, deal: ReadType, pipelines: Composable, columns: Sequence[str], filter: Any = UNSET) -> Composed:
    """The columns of the deals that count, NULL in the place of what is masked."""
    wanted = listing.conditions(deal, Connection(target=lambda: deal.cls), {"filter": filter}, query.viewer)
    parts = []
    for twin in query.branches(deal.source):
        table, where = query.rows_of(deal.source, records.ROW, twin=twin)
        where.append(SQL("{} = ANY ({})").format(Identifier(records.ROW, "pipeline_id"), pipelines))
        where += [condition(query, records.ROW) for condition in wanted]
        shown = zip(records.shown(query, deal, records.ROW, columns), columns, strict=True)
        named = COMMA.join(each + SQL(" AS ") + Identifier(name) for each, name in shown)
        parts.append(SQL("SELECT {} FROM {} WHERE {}").format(named, table, AND.join(where)))
    return UNION.join(parts)


def hides_amounts(moment: Moment, deal: ReadType) -> bool:
    return "amount" in moment.viewer.masked(deal.entity)


def by_pipeline(pipelines: Sequence[Any], rows: Rows) -> list[Rows]:
    """Rows behind their pipeline's id, as one list a pipeline."""
    found: dict[Any, Rows] = {records.raw(each, "id"): [] for each in pipelines}
    for id_, *row in rows:
        found[id_].append(tuple(row))
    return list(found.values())
