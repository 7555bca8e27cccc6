"""SLA policies, one row a version; and the versions that the clocks of a page ask."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from crm_es.service.calendar import Calendar
from crm_es.service.enums import HoldReason
from crm_es.service.sla import Policy, SlaTarget
from crm_es.service.sla_policy import SlaPolicyPublished, terms, version_id
from crm_es.text import fold
from projections.service_queues.tables import POLICY


def apply(batch: Batch, fact: Fact) -> None:
    """Every event of the stream is a version."""
    event: SlaPolicyPublished = fact.event  # type: ignore[assignment]
    id_, before = version_id(fact.stream, fact.version), version_id(fact.stream, fact.version - 1)
    queues = list(event.queue_ids) if isinstance(event.queue_ids, tuple) else None
    batch.insert(
        POLICY, fact, id=id_, policy_id=fact.stream, version=fact.version, name=event.name, name_folded=fold(event.name),
        queue_ids=queues or [], targets=list(event.targets), calendar=event.calendar, paused_by=list(event.paused_by),
        published_at=fact.recorded_at,
    )  # fmt: skip
    if fact.version > 1:
        if queues is None:
            batch.execute(fact, _KEEP_QUEUES, id=id_, before=before)
        batch.update(POLICY, fact, {"id": before}, newest=False)


def known(batch: Batch, ids: Iterable[UUID], facts: Sequence[Fact]) -> dict[UUID, Policy]:
    """The versions of these ids, and those that the page itself publishes."""
    wanted = list(ids)
    rows = batch.select(_SELECT, workspaces=list({f.workspace for f in facts}), ids=wanted) if wanted else []
    stored = {row[0]: of_row(*row) for row in rows}
    return stored | {
        version_id(fact.stream, fact.version): terms(fact.stream, fact.version, fact.event)
        for fact in facts
        if isinstance(fact.event, SlaPolicyPublished)
    }


def of_row(id_: UUID, targets: Any, calendar: Any, paused_by: Iterable[str]) -> Policy:
    """A version as clocks ask it, out of its row."""
    return Policy(
        id_,
        targets=msgspec.convert(targets, list[SlaTarget]),
        calendar=msgspec.convert(calendar, Calendar),
        paused_by=map(HoldReason, paused_by),
    )


_SELECT: Final = """
SELECT p.id, p.targets, p.calendar, p.paused_by
FROM {schema}.sla_policy p
WHERE p.workspace_id = ANY (%(workspaces)s) AND p.id = ANY (%(ids)s)
"""
_KEEP_QUEUES: Final = """
UPDATE {schema}.sla_policy p
SET queue_ids = b.queue_ids, position = %(position)s
FROM {schema}.sla_policy b
WHERE p.workspace_id = %(workspace_id)s AND p.id = %(id)s AND b.workspace_id = p.workspace_id AND b.id = %(before)s
"""
