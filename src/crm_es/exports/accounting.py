"""An export is a read of all it holds: a row of the access log, durable before the export is there."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from crm_es.access.entry import LONGEST_PURPOSE, Kind, entry
from crm_es.access.trail import Trail
from crm_es.access.writer import AccessLog
from crm_es.api.finding import type_name
from crm_es.api.ids import NodeId
from crm_es.contacts.company_graphql import Company
from crm_es.contacts.contact_events import ContactMerged, ContactReleased
from crm_es.contacts.graphql import Contact
from crm_es.eventstore.event import Actor, Event, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.interactions.graphql import Interaction
from crm_es.reads.model import read_of
from crm_es.workspaces.export import ExportRequested, ExportScope

SHOWN = (Contact, Company, Interaction)
"""Whose sensitive fields stand in the views."""
PATIENCE_SECONDS: Final = 60.0
"""For the row in the access log: longer than an answer waits, since an export may have taken an hour to make."""


async def held_by(store: Store, workspace: WorkspaceId, asked: ExportRequested, position: int) -> Sequence[NodeId]:
    """The contact, with whom it had absorbed, or the record that it is of; the workspace, where it holds many."""
    match asked.scope:
        case ExportScope.SUBJECT if asked.id is not None:
            facts = await store.facts(workspace, asked.id)
            absorbed = _absorbed(fact.event for fact in facts if fact.position <= position)
            return [NodeId("Contact", one) for one in (asked.id, *sorted(absorbed))]
        case ExportScope.STREAM if asked.id is not None:
            facts = await store.facts(workspace, asked.id, upto=1)
            return [NodeId(type_name(facts[0].topic.partition(".")[0]), asked.id)]
        case _:
            return [NodeId("Workspace", workspace)]


def _absorbed(events: Iterable[Event]) -> set[UUID]:
    held = set[UUID]()
    for event in events:
        match event:
            case ContactMerged(absorbed_ids=ids):
                held.update(ids)
            case ContactReleased(absorbed_ids=ids):
                held.difference_update(ids)
            case _:
                pass
    return held


def trail_of(export: UUID, held: Sequence[NodeId]) -> Trail:
    """Which export, and what it holds: who asks who saw a record is told of it."""
    trail = Trail()
    trail.saw("Export", (export,))
    for one in held:
        trail.saw(one.type, (one.id,))
    return trail


async def account(
    url: str,
    workspace: UUID,
    export: UUID,
    *,
    actor: Actor,
    purpose: str,
    held: Sequence[NodeId],
    said: Mapping[str, Any],
) -> None:
    """`held`: what it is of, as `held_by` tells. Raises: UnavailableError."""
    trail = trail_of(export, held)
    trail.rows = said["events"]
    trail.fields |= {name for cls in SHOWN for name in read_of(cls).sensitive}
    row = entry(
        workspace=workspace, actor=actor, kind=Kind.EXPORT, operation=f"export {export}", trail=trail,
        purpose=purpose[:LONGEST_PURPOSE], position=said["position"],
    )  # fmt: skip
    async with AccessLog.running(url, patience=PATIENCE_SECONDS) as access:
        await access.record(row)
