"""Whether the unique values the database holds are those the streams say: what `rebuild --check` asks beside the rows."""

import asyncio
from typing import Any

import psycopg

from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.eventstore.checking import ReservationFault, reservation_faults
from crm_es.eventstore.event import WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.serving.projecting import opened_keys

Found = dict[WorkspaceId, frozenset[ReservationFault]]


def compare(settings: Settings, url: str) -> Found:
    """The faults of each workspace, none where all agree. `url` is the projector's, who reads every workspace."""
    return asyncio.run(_compare(settings, url))


async def _compare(settings: Settings, url: str) -> Found:
    with opened_keys(settings) as keys:
        store = Store(url, AGGREGATES, keys)
        try:
            return {one: await reservation_faults(store, AGGREGATES, one) for one in _workspaces(url)}
        finally:
            await store.close()


def _workspaces(url: str) -> list[WorkspaceId]:
    with psycopg.connect(url) as connection:
        rows: list[tuple[Any, ...]] = connection.execute("SELECT workspace_id FROM es.head").fetchall()
    return [WorkspaceId(row[0]) for row in rows]


def told(found: Found) -> str:
    lines = [f"reservations: {len(found)} workspaces, {'DIFFER' if any(found.values()) else 'equal'}"]
    for workspace, faults in found.items():
        lines += [
            f"  workspace {workspace}: {fault.kind} held by {fault.held or 'nobody'}, due to {fault.due or 'nobody'}"
            for fault in sorted(faults, key=lambda fault: (fault.kind, fault.key))
        ]
    return "\n".join(lines)
