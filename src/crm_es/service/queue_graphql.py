"""Queues as the API shows them, and where to find them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

import strawberry
from psycopg.sql import SQL, Composable, Identifier

from crm_es.api.nodes import Entity
from crm_es.api.rules import PARENT, ruled
from crm_es.contacts.parts import ExternalId, external_ids
from crm_es.errors import InvalidInputError
from crm_es.reads import records
from crm_es.reads.declare import Argument, Orders, Source, State, batched, column, connection, lookup, read_type
from crm_es.reads.model import read_of
from crm_es.reads.sql import AND, Query
from crm_es.service import counting, queue_trend, ticket_graphql, workload
from crm_es.service.sla_graphql import SlaPolicy, broken, queue_policies
from crm_es.workspaces.actions import PUT_AWAY, Action
from projections import service_queues
from projections.service_queues import tables

LONGEST: Final = timedelta(days=3_650)


def _left(record_status: str) -> frozenset[Action] | None:
    """What the state of a queue leaves to do; None: everything."""
    return PUT_AWAY if record_status == "ARCHIVED" else None


def _waits(_query: Query, alias: LiteralString) -> Composable:
    return SQL("{} <> ''").format(Identifier(alias, "waiting_order"))


@ruled(PARENT)
@strawberry.type(
    description="How many tickets of a queue, of those you may see, stand how. Resolved ones count nowhere."
)
class QueueCounts:
    open: int = strawberry.field(description="Not resolved yet, held ones included.")
    unassigned: int = strawberry.field(description="Of the open: nobody has them.")
    in_progress: int = strawberry.field(description="Of the open: somebody has them, and they wait for nobody.")
    on_hold: int = strawberry.field(description="Of the open: they wait for the customer or for others.")
    breached: int = strawberry.field(description="Of the open: a promise was broken.")
    due_soon: int = strawberry.field(description="Of the open: a promise falls due within the time asked for.")


async def _counts(_reads: Any, queues: Sequence[Any], given: Mapping[str, Any]) -> list[QueueCounts]:
    """One statement for all queues of a level."""
    within: timedelta = given["due_within"]
    if not timedelta() <= within <= LONGEST:
        message = f"Ask for up to {LONGEST.days:,} days ahead."
        raise InvalidInputError(message, rule="queue.due_within", field=("dueWithin",))
    moment, read = records.moment_of(queues[0]), read_of(ticket_graphql.Ticket)
    query = moment.query()
    ids = counting.ids_of(query, queues)
    open_ones = query.select(
        read.source, "t", ("queue_id", "status", "assignee_id", "breached", "sla_due_at"),
        lambda: [
            SQL("t.queue_id = ANY ({})").format(ids), SQL("t.status IN {}").format(SQL(counting.ACTIVE)),
            *(condition(query, "t") for condition in records.visible(read, query.viewer)),
        ],
    )  # fmt: skip
    now = query.bind(query.viewer.now, "timestamptz")
    due = AND.join(
        [
            SQL("c.sla_due_at > {}").format(now),
            SQL("c.sla_due_at <= {} + {}").format(now, query.bind(within, "interval")),
        ]
    )
    rows = await moment.rows(query, _COUNT.format(due=due, broken=broken(query, "c"), tickets=open_ones))
    found = {queue: counts for queue, *counts in rows}
    return [_as_counts(found.get(records.raw(queue, "id"), [0] * 6)) for queue in queues]


def _as_counts(counts: Sequence[int]) -> QueueCounts:
    open_, unassigned, in_progress, on_hold, breached, due_soon = counts
    return QueueCounts(
        open=open_, unassigned=unassigned, in_progress=in_progress, on_hold=on_hold, breached=breached, due_soon=due_soon
    )  # fmt: skip


_COUNT: Final = SQL("""
SELECT c.queue_id, count(*), count(*) FILTER (WHERE c.assignee_id IS NULL),
       count(*) FILTER (WHERE c.assignee_id IS NOT NULL AND c.status IN ('NEW', 'OPEN')),
       count(*) FILTER (WHERE c.status IN ('PENDING', 'ON_HOLD')),
       count(*) FILTER (WHERE {broken}), count(*) FILTER (WHERE {due})
FROM ({tickets}) AS c
GROUP BY c.queue_id
""")


async def _depths(_reads: Any, queues: Sequence[Any], given: Mapping[str, Any]) -> list[int]:
    """By the intervals of tickets that hold the moment: [from, to)."""
    moment = records.moment_of(queues[0])
    query = moment.query()
    at = query.bind(given["at"], "timestamptz")
    held = counting.intervals(
        query, ("queue_id",), SQL("i.queue_id = ANY ({})").format(counting.ids_of(query, queues)),
        SQL("i.status IN {}").format(SQL(counting.ACTIVE)), SQL("i.from_at <= {}").format(at),
        SQL("(i.to_at > {} OR i.to_at IS NULL)").format(at),
    )  # fmt: skip
    found = dict(await moment.rows(query, SQL("SELECT c.queue_id, count(*) FROM ({}) AS c GROUP BY 1").format(held)))
    return [found.get(records.raw(queue, "id"), 0) for queue in queues]


@read_type(
    Source(service_queues.NAME, tables.QUEUE), entity="QUEUE", label="name",
    orders=Orders(columns={}, default=(("name_folded", "ASC"),)), listed=("record_status", "ACTIVE"),
    state=State(columns=("record_status",), leaves=_left),
)  # fmt: skip
class Queue(Entity):
    """An ordered set of waiting tickets."""

    name: str = column("name", "What it is called.")
    archived_at: datetime | None = column("archived_at", "Since when it is put away: no ticket enters it any more.")
    reopen_days: int = column("reopen_days", "For how many days after closing its tickets can be reopened.")
    auto_close_days: int | None = column(
        "auto_close_days",
        "After how many days its resolved tickets are closed by themselves, imported ones aside; null: never.",
    )
    external_ids: list[ExternalId] | None = external_ids(
        Source(service_queues.NAME, tables.QUEUE_EXTERNAL_ID), via="queue_id"
    )
    waiting = connection(
        lambda: ticket_graphql.Ticket, via="queue_id", order=False, default=(("waiting_order", "ASC"),), where=_waits,
        description="What to work on next: new and open tickets by SLA due time, then priority, then age.",
    )  # fmt: skip
    sla_policy: SlaPolicy | None = batched(
        queue_policies, SlaPolicy | None, "What tickets that enter it get promised.", columns=("id",)
    )
    counts: QueueCounts = batched(
        _counts, QueueCounts, "How many tickets stand how.", columns=("id",),
        arguments=(
            Argument(name="due_within", type=timedelta, default=timedelta(hours=1), description="How soon is soon."),
        ),
    )  # fmt: skip
    depth: int = batched(
        _depths, int, "How many tickets were open in this queue at that business moment.", columns=("id",),
        arguments=(Argument(name="at", type=datetime, description="When, in the world."),),
    )  # fmt: skip
    trend = queue_trend.trend()
    workload = workload.of_queue()


@strawberry.type
class QueueQueries:
    queue = lookup(lambda: Queue, "A queue by id.")
    queues = connection(lambda: Queue, filter=False, order=False, description="Queues in use, by name.")
