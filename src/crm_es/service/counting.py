"""What counts of tickets share: which ones there are to count for a viewer, and when a promise was broken."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.sql import SQL, Composable, Composed, Identifier
from strawberry import UNSET

from crm_es.reads import records
from crm_es.reads.declare import Source
from crm_es.reads.model import read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import Query
from crm_es.service import ticket_graphql
from projections.service_queues import tables

INTERVALS: Final = Source("service_queues", tables.INTERVAL)
CLOCKS: Final = Source("service_queues", tables.CLOCK)
ACTIVE: Final[LiteralString] = "('NEW', 'OPEN', 'PENDING', 'ON_HOLD')"
DONE: Final[LiteralString] = "('RESOLVED', 'CLOSED')"
_BROKEN_AT: Final = SQL("""coalesce(c.breached_at,
             CASE WHEN c.met_at IS NULL AND c.since IS NOT NULL AND c.due_at < {now} THEN c.due_at END)""")


def now(moment: Moment) -> datetime:
    found = moment.viewer.now
    assert isinstance(found, datetime)  # noqa: S101  # counts are not compiled: there are no slots
    return found


def asked(given: Mapping[str, Any], name: str) -> Any:
    """An argument, None where it was left out."""
    found = given.get(name)
    return None if found is UNSET else found


def ids_of(query: Query, found: Sequence[Any]) -> Composable:
    return query.bind([records.raw(each, "id") for each in found], "uuid[]")


def broken_at(query: Query) -> Composed:
    """When the clock `c` ran out, recorded or not; null where it did not."""
    return _BROKEN_AT.format(now=query.bind(query.viewer.now, "timestamptz"))


def intervals(query: Query, columns: Sequence[str], *conditions: Composable) -> Composed:
    """Intervals `i` that meet the conditions, of tickets that the viewer may see."""
    return query.select(INTERVALS, "i", columns, lambda: [*conditions, *seen(query)])


def seen(query: Query) -> list[Composable]:
    """The ticket of `i` is one that the viewer may see; nothing to ask where he sees all."""
    read = read_of(ticket_graphql.Ticket)
    conditions = records.visible(read, query.viewer)
    if not conditions:
        return []
    return [
        query.exists(
            read.source,
            lambda row: [
                SQL("{} = i.ticket_id").format(Identifier(row, "id")),
                *(condition(query, row) for condition in conditions),
            ],
        )
    ]
