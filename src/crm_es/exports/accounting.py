"""An export is a read of all it holds: a row of the access log, durable before the export is there."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from crm_es.access.entry import LONGEST_PURPOSE, Kind, entry
from crm_es.access.trail import Trail
from crm_es.access.writer import AccessLog
from crm_es.contacts.company_graphql import Company
from crm_es.contacts.graphql import Contact
from crm_es.eventstore.event import Actor
from crm_es.interactions.graphql import Interaction
from crm_es.reads.model import read_of

SHOWN = (Contact, Company, Interaction)
"""Whose sensitive fields stand in the views."""


async def account(
    url: str,
    workspace: UUID,
    export: UUID,
    *,
    actor: Actor,
    purpose: str,
    subject: UUID | None,
    said: Mapping[str, Any],
) -> None:
    """`subject`: the contact it is about, if it is about one. Raises: UnavailableError."""
    trail = Trail()
    trail.rows = said["events"]
    trail.fields |= {name for cls in SHOWN for name in read_of(cls).sensitive}
    if subject is not None:
        trail.saw("Contact", (subject,))
    row = entry(
        workspace=workspace, actor=actor, kind=Kind.EXPORT, operation=f"export {export}", trail=trail,
        purpose=purpose[:LONGEST_PURPOSE], position=said["position"],
    )  # fmt: skip
    async with AccessLog.running(url) as access:
        await access.record(row)
