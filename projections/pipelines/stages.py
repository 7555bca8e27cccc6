"""From a pipeline's events to its rows and its stages'. What a stage says anew is said of the open deals in it too."""

from typing import Any, Final, assert_never

from msgspec import UNSET

from crm_es.eventstore.event import Fact
from crm_es.projector.contract import Batch
from crm_es.sales.pipeline import (
    PipelineArchived,
    PipelineChanged,
    PipelineCreated,
    PipelineEvent,
    PipelineRestored,
)
from crm_es.sales.stages import Stage
from crm_es.text import fold
from projections.pipelines.standing import Page, StageRule
from projections.pipelines.tables import PIPELINE, PIPELINE_EXTERNAL_ID, STAGE


def apply(batch: Batch, fact: Fact, page: Page) -> None:
    event: PipelineEvent = fact.event  # type: ignore[assignment]
    at = fact.recorded_at
    match event:
        case PipelineCreated(name=name, stages=stages, external_ids=external_ids):
            batch.insert(PIPELINE, fact, id=fact.stream, version=1, created_at=at, updated_at=at, **_named(name))
            for one in () if external_ids is UNSET else external_ids:
                batch.insert(PIPELINE_EXTERNAL_ID, fact, pipeline_id=fact.stream, system=one.system, value=one.value)
            for place, stage in enumerate(stages):
                _put(batch, fact, place, stage, page)
        case PipelineChanged():
            _change(batch, fact, event, page)
        case PipelineArchived():
            _touch(batch, fact, archived_at=at, record_status="ARCHIVED")
        case PipelineRestored():
            _touch(batch, fact, archived_at=None, record_status="ACTIVE")
        case _:
            assert_never(event)


def _touch(batch: Batch, fact: Fact, **values: Any) -> None:
    batch.update(PIPELINE, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)


def _named(name: str) -> dict[str, str]:
    return {"name": name, "name_folded": fold(name)}


def _change(batch: Batch, fact: Fact, event: PipelineChanged, page: Page) -> None:
    _touch(batch, fact, **({} if event.name is UNSET else _named(event.name)))
    for place, stage in enumerate(() if event.stages is UNSET else event.stages):
        _put(batch, fact, place, stage, page)
        batch.execute(
            fact, _TELL_DEALS, stage=stage.id, probability=stage.probability, rot_days=stage.rot_days,
        )  # fmt: skip
    for one in () if event.retired is UNSET else event.retired:
        batch.update(STAGE, fact, {"id": one.stage_id}, retired_at=fact.recorded_at)


def _put(batch: Batch, fact: Fact, place: int, stage: Stage, page: Page) -> None:
    page.rules[fact.workspace, stage.id] = StageRule(stage.probability, stage.rot_days)
    values: dict[str, Any] = {
        "pipeline_id": fact.stream, "place": place, "name": stage.name, "type": stage.type, "probability": stage.probability,
        "rot_days": stage.rot_days,
    }  # fmt: skip
    if fact.version == 1:
        batch.insert(STAGE, fact, id=stage.id, **values)
    else:
        batch.save(STAGE, fact, id=stage.id, **values)


# Rows of later events of the page know the stage as it is by then.
_TELL_DEALS: Final = """
UPDATE {schema}.deal d
SET probability = n.probability, weighted_minor = n.weighted_minor, rots_at = n.rots_at, position = %(position)s
FROM (
  SELECT o.id, c.probability, round(o.amount_minor * c.probability)::bigint AS weighted_minor,
         o.touched_at + make_interval(days => %(rot_days)s::int) AS rots_at
  FROM {schema}.deal o
  CROSS JOIN LATERAL (SELECT coalesce(o.probability_set, %(probability)s::numeric) AS probability) c
  WHERE o.workspace_id = %(workspace_id)s AND o.stage_id = %(stage)s AND o.status = 'OPEN' AND o.position <= %(position)s
) n
WHERE d.workspace_id = %(workspace_id)s AND d.id = n.id
  AND (d.probability, d.weighted_minor, d.rots_at) IS DISTINCT FROM (n.probability, n.weighted_minor, n.rots_at)
"""
