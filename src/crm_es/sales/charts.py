"""What the charts of a pipeline share: their arguments, and which deals they count.

Those are the deals that a list of the pipeline's would hold at the same moment: the ones the viewer may see, ACTIVE unless the
filter says, chosen by how they are at that moment and not by how they were along the chart.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from importlib import import_module
from typing import Any, Final
from uuid import UUID

from psycopg.sql import SQL, Composable, Composed, Identifier
from strawberry import UNSET

from crm_es.api.scalars import TimeZone
from crm_es.periods import Interval, Piece, cut
from crm_es.reads import listing, records
from crm_es.reads.later import Later
from crm_es.reads.model import Argument, Connection, ReadType, read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import AND, COMMA, TRUE, UNION, Condition, Query

Rows = list[tuple[Any, ...]]
PERIOD: Final = (
    Argument(name="from_", type=date, description="The first day."),
    Argument(name="to", type=date, description="The last day, which is in it."),
    Argument(name="time_zone", type=TimeZone | None, description="Whose days these are; the workspace's unless given."),
)
EVERY: Final = Argument(name="interval", type=Interval, description="What it is cut into: 1,000 pieces at most.")


def deal() -> Any:
    """Declared where the charts are fields, so they are looked up when the schema is made."""
    return import_module("crm_es.sales.graphql").Deal


def stage() -> Any:
    return import_module("crm_es.sales.graphql").Stage


AMOUNT: Final = ("amount_minor", "amount_currency")
WEIGHTED: Final = ("weighted_minor", "amount_currency")
_Filter: Any = Later(lambda: read_of(deal()).filter())  # type: ignore[misc]
CHOSEN: Final = Argument(name="filter", type=_Filter | None, description="Of which deals; ACTIVE ones unless it says.")


def zone(moment: Moment, given: Mapping[str, Any]) -> str:
    found = given.get("time_zone")
    return str(moment.viewer.time_zone if found is None or found is UNSET else found)


def pieces(moment: Moment, given: Mapping[str, Any]) -> list[Piece]:
    """What the period is cut into. Raises: as `cut`."""
    week = moment.viewer.week_starts_on
    return cut(given["from_"], given["to"], given["interval"], zone(moment, given), week_starts_on=week)


def now(moment: Moment) -> datetime:
    found = moment.viewer.now
    assert isinstance(found, datetime)  # noqa: S101  # charts are not compiled: there are no slots
    return found


def ids_of(query: Query, pipelines: Sequence[Any]) -> Composable:
    return query.bind([records.raw(each, "id") for each in pipelines], "uuid[]")


def deals(query: Query, pipelines: Composable, columns: Sequence[str], given: Mapping[str, Any]) -> Composed:
    """The columns of the deals that count, NULL in the place of what is masked."""
    read, counted = read_of(deal()), _counted(query, given)
    return _rows(query, read, pipelines, lambda: (_columns(query, read, columns), [counted(query, records.ROW)]))


def every_deal(query: Query, pipelines: Composable, columns: Sequence[str], given: Mapping[str, Any]) -> Composed:
    """The same of all deals that the viewer may see, with `counts` for whether they do."""
    read, counted = read_of(deal()), _counted(query, given)

    def chosen() -> tuple[list[Composable], list[Composable]]:
        counts = SQL("({}) IS TRUE AS counts").format(counted(query, records.ROW))
        seen = [condition(query, records.ROW) for condition in records.visible(read, query.viewer)]
        return [*_columns(query, read, columns), counts], seen

    return _rows(query, read, pipelines, chosen)


def _rows(
    query: Query,
    read: ReadType,
    pipelines: Composable,
    chosen: Callable[[], tuple[Sequence[Composable], Sequence[Composable]]],
) -> Composed:
    """What is chosen, where it holds, of the deals of these pipelines."""
    parts = []
    for twin in query.branches(read.source):
        table, where = query.rows_of(read.source, records.ROW, twin=twin)
        columns, also = chosen()
        where.append(SQL("{} = ANY ({})").format(Identifier(records.ROW, "pipeline_id"), pipelines))
        parts.append(SQL("SELECT {} FROM {} WHERE {}").format(COMMA.join(columns), table, AND.join([*where, *also])))
    return UNION.join(parts)


def _columns(query: Query, read: ReadType, columns: Sequence[str]) -> list[Composable]:
    return [records.shown(query, read, records.ROW, columns, columns)]


def _counted(query: Query, given: Mapping[str, Any]) -> Condition:
    """What a list of deals holds with this filter."""
    wanted = listing.conditions(read_of(deal()), Connection(target=deal), given, query.viewer)
    return lambda query, alias: AND.join([TRUE, *(condition(query, alias) for condition in wanted)])


def hides(moment: Moment, *columns: str) -> bool:
    """Whether one of these columns of deals is empty for the viewer, since a field read from it is masked."""
    read = read_of(deal())
    return not read.masked(moment.viewer.masked(read.entity)).isdisjoint(columns)


async def known(moment: Moment, read: ReadType, ids: Iterable[UUID]) -> dict[UUID, Any]:
    """The records with these ids, None where there is none that the viewer may see."""
    wanted = list(ids)
    return dict(zip(wanted, await asyncio.gather(*(records.load(moment, read, id_) for id_ in wanted)), strict=True))


def by_pipeline(pipelines: Sequence[Any], rows: Rows) -> list[Rows]:
    """Rows behind their pipeline's id, as one list a pipeline."""
    found: dict[Any, Rows] = {records.raw(each, "id"): [] for each in pipelines}
    for id_, *row in rows:
        found[id_].append(tuple(row))
    return list(found.values())
