"""From a queue's events to its row."""

from typing import Any, assert_never

from msgspec import UNSET

from crm_es.eventstore.event import Fact, values_set
from crm_es.projector.contract import Batch
from crm_es.service import queue as q
from crm_es.text import fold
from projections.service_queues.tables import QUEUE, QUEUE_EXTERNAL_ID


def apply(batch: Batch, fact: Fact) -> None:
    event: q.QueueEvent = fact.event  # type: ignore[assignment]
    match event:
        case q.QueueCreated():
            days = {"reopen_days": q.REOPEN_DAYS} | values_set(event, ("reopen_days", "auto_close_days"))
            at = fact.recorded_at
            batch.insert(
                QUEUE, fact, id=fact.stream, version=fact.version, name=event.name, name_folded=fold(event.name),
                created_at=at, updated_at=at, **days,
            )  # fmt: skip
            for one in () if event.external_ids is UNSET else event.external_ids:
                batch.insert(QUEUE_EXTERNAL_ID, fact, queue_id=fact.stream, system=one.system, value=one.value)
        case q.QueueChanged(name=name):
            folded = {} if name is UNSET else {"name_folded": fold(str(name))}
            _touch(batch, fact, **values_set(event, ("name", "reopen_days", "auto_close_days")), **folded)
        case q.QueueArchived():
            _touch(batch, fact, archived_at=fact.recorded_at, record_status="ARCHIVED")
        case q.QueueRestored():
            _touch(batch, fact, archived_at=None, record_status="ACTIVE")
        case _:
            assert_never(event)


def _touch(batch: Batch, fact: Fact, **values: Any) -> None:
    batch.update(QUEUE, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)
