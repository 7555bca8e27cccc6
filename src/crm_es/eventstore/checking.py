"""Do the reservations say what the streams say? Folds a whole workspace and compares; `rebuild --check` asks."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID

from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import WorkspaceId
from crm_es.eventstore.store import Store

PAGE = 500
Rows = dict[tuple[str, bytes], UUID]


@dataclass(frozen=True, slots=True)
class ReservationFault:
    """A value of this kind is `held` by one stream in the table, and by another (`due`) by the fold; None: by nobody."""

    kind: str
    key: bytes
    held: UUID | None
    due: UUID | None


async def reservation_faults(
    store: Store, aggregates: Iterable[Aggregate[Any, Any]], workspace: WorkspaceId
) -> frozenset[ReservationFault]:
    """Empty when all agree. What was appended while we looked is looked at again before it is called a fault."""
    by_name = {aggregate.name: aggregate for aggregate in aggregates}
    faults = await _compare(store, by_name, workspace)
    return faults and faults & await _compare(store, by_name, workspace)


async def _compare(
    store: Store, by_name: dict[str, Aggregate[Any, Any]], workspace: WorkspaceId
) -> frozenset[ReservationFault]:
    held = await store.reserved(workspace)
    due = await _due(store, by_name, workspace)
    return frozenset(
        ReservationFault(*value, held.get(value), due.get(value))
        for value in held.keys() | due.keys()
        if held.get(value) != due.get(value)
    )


async def _due(store: Store, by_name: dict[str, Aggregate[Any, Any]], workspace: WorkspaceId) -> Rows:
    due: Rows = {}
    async for name, ids in _streams(store, workspace):
        if (aggregate := by_name.get(name)) is None:
            continue
        for loaded in (await store.load_many(aggregate, workspace, ids)).values():
            for one in aggregate.reservations(loaded.id, loaded.state):
                due[one.kind, store.hashed(workspace, one.kind, one.value)] = one.holder
    return due


async def _streams(store: Store, workspace: WorkspaceId) -> AsyncIterator[tuple[str, list[UUID]]]:
    """All streams of the workspace in the order they began, by aggregate name."""
    after = 0
    while page := await store.begun(workspace, after=after, at_most=PAGE):
        for name, rows in groupby(sorted(page), key=lambda row: row[0]):
            yield name, [stream for _, stream, _ in rows]
        after = max(position for _, _, position in page)
