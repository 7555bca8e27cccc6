"""Who a ticket's requester is by now: contacts are merged and unmerged."""

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from crm_es.contacts import contact_events as c
from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from projections.service_queues.tables import MEANING

Meanings = dict[tuple[UUID, UUID], UUID]
"""(workspace, contact as recorded) → whom that means, where it is not itself."""


def meanings(batch: Batch, facts: Sequence[Fact]) -> Meanings:
    """Whom the requesters named on this page mean before it begins."""
    named = {
        (fact.workspace, requester)
        for fact in facts
        if isinstance(requester := getattr(fact.event, "requester_id", None), UUID)
    }
    if not named:
        return {}
    rows = batch.select(_SELECT, workspaces=list({w for w, _ in named}), contacts=list({one for _, one in named}))
    return {(workspace, contact): means for workspace, contact, means in rows}


def rekey(batch: Batch, fact: Fact, known: Meanings) -> None:
    """From this position on, the absorbed ids mean the survivor, or the one that was given back."""
    match fact.event:
        case c.ContactMerged(absorbed_ids=absorbed):
            _rekey(batch, fact, absorbed, fact.stream, known)
        case c.ContactReleased(absorbed_ids=absorbed, absorbed_id=target):
            _rekey(batch, fact, absorbed, target, known)
        case _:
            raise TypeError(fact.topic)


def _rekey(batch: Batch, fact: Fact, absorbed: Iterable[UUID], target: UUID, known: Meanings) -> None:
    ids = list(absorbed)
    for contact in ids:
        known[fact.workspace, contact] = target
        batch.put(MEANING, fact, id=contact, means_id=target)
    batch.execute(fact, _REKEY, absorbed=ids, target=target)


_SELECT: Final = """
SELECT workspace_id, id, means_id
FROM {schema}.contact_meaning
WHERE workspace_id = ANY (%(workspaces)s) AND id = ANY (%(contacts)s)
"""
_REKEY: Final = """
UPDATE {schema}.ticket
SET requester_means_id = %(target)s, position = %(position)s
WHERE workspace_id = %(workspace_id)s AND requester_id = ANY (%(absorbed)s) AND position <= %(position)s
  AND requester_means_id IS DISTINCT FROM %(target)s
"""
