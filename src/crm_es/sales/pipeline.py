"""A pipeline: the ordered stages that deals go through. Nothing in its stream is personal.

Stages live inside it, each with an id of its own. One that is retired is closed at once; its deals are moved by the mutation.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import FieldPath, InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, Ref, no_subject
from crm_es.eventstore.event import Reservation, values_set
from crm_es.sales.stages import Stage, StageType
from crm_es.values import ExternalId, joint_key

MOST_STAGES: Final = 100
MOST_EXTERNAL_IDS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Retirement:
    """A stage that is closed, and where its deals go."""

    stage_id: UUID
    move_deals_to: UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineCreated:
    TOPIC: ClassVar[str] = "pipeline.created"
    name: str
    stages: tuple[Stage, ...]
    external_ids: tuple[ExternalId, ...] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineChanged:
    """`stages` are all that stay, in order. `retired` are closed from now on: events of their own move their deals."""

    TOPIC: ClassVar[str] = "pipeline.changed"
    FIELDS: ClassVar[tuple[str, ...]] = ("name", "stages")
    name: str | UnsetType = UNSET
    stages: tuple[Stage, ...] | UnsetType = UNSET
    retired: tuple[Retirement, ...] | UnsetType = UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineArchived:
    """No deal is opened or moved in it any more."""

    TOPIC: ClassVar[str] = "pipeline.archived"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "archivedAt")


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineRestored:
    TOPIC: ClassVar[str] = "pipeline.restored"
    FIELDS: ClassVar[tuple[str, ...]] = ("recordStatus", "archivedAt")


PipelineEvent = PipelineCreated | PipelineChanged | PipelineArchived | PipelineRestored


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """`stages` are those in use, in order; `retired` the others, each with where its deals went."""

    name: str = ""
    stages: tuple[Stage, ...] = ()
    retired: tuple[tuple[Stage, UUID], ...] = ()
    external_ids: tuple[ExternalId, ...] = ()
    archived: bool = False


def evolve(pipeline: Pipeline | None, event: PipelineEvent) -> Pipeline:
    """The state after one more event. Never raises on stored history."""
    was = pipeline or Pipeline()
    match event:
        case PipelineCreated():
            return replace(was, **values_set(event, ("name", "stages", "external_ids")))
        case PipelineChanged():
            return replace(_retiring(was, event), **values_set(event, ("name", "stages")))
        case PipelineArchived():
            return replace(was, archived=True)
        case PipelineRestored():
            return replace(was, archived=False)
        case _:
            assert_never(event)


def _retiring(pipeline: Pipeline, event: PipelineChanged) -> Pipeline:
    said = () if isinstance(event.retired, UnsetType) else event.retired
    target = {one.stage_id: one.move_deals_to for one in said}
    gone = tuple((stage, target[stage.id]) for stage in pipeline.stages if stage.id in target)
    kept = tuple(stage for stage in pipeline.stages if stage.id not in target)
    return replace(pipeline, stages=kept, retired=(*pipeline.retired, *gone))


# What is asked of it


def create(*, name: str, stages: Sequence[Stage], external_ids: Sequence[ExternalId] = ()) -> list[PipelineEvent]:
    """Raises: InvalidInputError `pipeline.no_open_stage`, `pipeline.not_one_won_stage`, `pipeline.no_lost_stage`,
    `pipeline.too_many_stages`, `pipeline.too_many_externalids`."""
    _check_stages(stages, ("stages",))
    if len(external_ids) > MOST_EXTERNAL_IDS:
        message = f"A pipeline has at most {MOST_EXTERNAL_IDS} external ids."
        raise InvalidInputError(message, rule="pipeline.too_many_externalids", field=("externalIds",))
    known = tuple(dict.fromkeys(external_ids)) or UNSET
    return [PipelineCreated(name=name, stages=tuple(stages), external_ids=known)]


def change(
    pipeline: Pipeline,
    *,
    name: str | UnsetType = UNSET,
    stages: Sequence[Stage] | UnsetType = UNSET,
    new: Collection[UUID] = (),
    retire: Sequence[Retirement] = (),
) -> list[PipelineEvent]:
    """The event that makes it so; none where it is so already, a stage retired to the same place included.

    `new` are those of `stages` that are just made.

    Raises: InvalidInputError as `create`, `stage.unknown`, `pipeline.stage_left_out`; RuleViolatedError
    `pipeline.archived`, `stage.retired`, `stage.type_fixed`, `stage.other_type`.
    """
    check_writable(pipeline)
    leaving = [one for index, one in enumerate(retire) if not _retired_so(pipeline, one, index)]
    gone = {one.stage_id for one in leaving}
    left = [stage for stage in pipeline.stages if stage.id not in gone]
    staying = left if isinstance(stages, UnsetType) else list(stages)
    if not isinstance(stages, UnsetType):
        _check_same(pipeline, staying, gone, new)
    _check_targets(pipeline, staying, retire)
    _check_stages(staying, ("retire",) if isinstance(stages, UnsetType) else ("stages",))
    changed = PipelineChanged(
        name=UNSET if name == pipeline.name else name,
        stages=UNSET if staying == left else tuple(staying),
        retired=tuple(leaving) or UNSET,
    )
    return [] if changed == PipelineChanged() else [changed]


def archive(pipeline: Pipeline) -> list[PipelineEvent]:
    check_writable(pipeline)
    return [PipelineArchived()]


def restore(pipeline: Pipeline) -> list[PipelineEvent]:
    if not pipeline.archived:
        raise RuleViolatedError("This pipeline is not archived.", rule="pipeline.not_archived", field=("id",))
    return [PipelineRestored()]


def check_writable(pipeline: Pipeline, field: FieldPath = ("id",)) -> None:
    """Raises: RuleViolatedError `pipeline.archived`."""
    if pipeline.archived:
        raise RuleViolatedError("This pipeline is archived: restore it first.", rule="pipeline.archived", field=field)


def _check_stages(stages: Sequence[Stage], field: FieldPath) -> None:
    counts = {type_: sum(stage.type is type_ for stage in stages) for type_ in StageType}
    for rule, message, broken in (
        ("no_open_stage", "A pipeline needs at least one OPEN stage.", not counts[StageType.OPEN]),
        ("not_one_won_stage", "A pipeline has exactly one WON stage.", counts[StageType.WON] != 1),
        ("no_lost_stage", "A pipeline needs at least one LOST stage.", not counts[StageType.LOST]),
        ("too_many_stages", f"A pipeline has at most {MOST_STAGES} stages.", len(stages) > MOST_STAGES),
    ):
        if broken:
            raise InvalidInputError(message, rule=f"pipeline.{rule}", field=field)


def _check_same(pipeline: Pipeline, staying: Sequence[Stage], gone: set[UUID], new: Collection[UUID]) -> None:
    """All that stay are named, each once, with the type it has: deals stand in them by that."""
    held = {stage.id: stage.type for stage in pipeline.stages}
    closed = {stage.id for stage, _ in pipeline.retired} | gone
    named: set[UUID] = set()
    for index, stage in enumerate(staying):
        field = ("stages", str(index))
        if stage.id in closed:
            raise RuleViolatedError("This stage is retired.", rule="stage.retired", field=(*field, "id"))
        if stage.id not in held and stage.id not in new:
            raise InvalidInputError("This pipeline has no such stage.", rule="stage.unknown", field=(*field, "id"))
        if stage.id in named:
            raise InvalidInputError("This stage stands here twice.", rule="stage.twice", field=(*field, "id"))
        if held.get(stage.id, stage.type) is not stage.type:
            message = "A stage keeps its type: make a new one, and retire this one."
            raise RuleViolatedError(message, rule="stage.type_fixed", field=(*field, "type"))
        named.add(stage.id)
    if missing := [stage.name for stage in pipeline.stages if stage.id not in named | gone]:
        message = f"Name every stage that stays, or retire it: {', '.join(missing)}."
        raise InvalidInputError(message, rule="pipeline.stage_left_out", field=("stages",))


def _retired_so(pipeline: Pipeline, retirement: Retirement, index: int) -> bool:
    """Whether that was done already. Raises: InvalidInputError `stage.unknown`; RuleViolatedError `stage.retired`."""
    field = ("retire", str(index), "stageId")
    before = {stage.id: target for stage, target in pipeline.retired}.get(retirement.stage_id)
    if before == retirement.move_deals_to:
        return True
    if before is not None:
        raise RuleViolatedError("This stage was retired, its deals sent elsewhere.", rule="stage.retired", field=field)
    if retirement.stage_id not in {stage.id for stage in pipeline.stages}:
        raise InvalidInputError("This pipeline has no such stage.", rule="stage.unknown", field=field)
    return False


def _check_targets(pipeline: Pipeline, staying: Sequence[Stage], retire: Sequence[Retirement]) -> None:
    types = {stage.id: stage.type for stage in (*pipeline.stages, *(stage for stage, _ in pipeline.retired))}
    targets = {stage.id: stage.type for stage in staying}
    seen: set[UUID] = set()
    for index, one in enumerate(retire):
        field = ("retire", str(index), "moveDealsTo")
        if one.stage_id in seen:
            raise InvalidInputError("This stage stands here twice.", rule="stage.twice", field=(*field[:2], "stageId"))
        seen.add(one.stage_id)
        if one.move_deals_to not in targets:
            raise InvalidInputError("This is no stage that stays.", rule="stage.unknown", field=field)
        if targets[one.move_deals_to] is not types[one.stage_id]:
            message = "Deals go to a stage of the same type: moving none wins or loses them."
            raise RuleViolatedError(message, rule="stage.other_type", field=field)


# Where a deal may stand


def open_stage(pipeline: Pipeline, stage_id: UUID | None, field: FieldPath) -> Stage:
    """An OPEN stage to stand in; without an id the first. Raises: RuleViolatedError `stage.…`, `pipeline.archived`."""
    check_writable(pipeline, field)
    return _stage(pipeline, stage_id, StageType.OPEN, field)


def won_stage(pipeline: Pipeline) -> Stage:
    return _stage(pipeline, None, StageType.WON, ("id",))


def lost_stage(pipeline: Pipeline, stage_id: UUID | None, field: FieldPath) -> Stage:
    """A LOST stage to end in; without an id the first. Raises: RuleViolatedError `stage.…`."""
    return _stage(pipeline, stage_id, StageType.LOST, field)


def _stage(pipeline: Pipeline, stage_id: UUID | None, type_: StageType, field: FieldPath) -> Stage:
    if stage_id is None:
        return next(stage for stage in pipeline.stages if stage.type is type_)
    found = next((stage for stage in pipeline.stages if stage.id == stage_id), None)
    if found is not None and found.type is type_:
        return found
    if found is not None:
        message = f"This takes a stage of type {type_}: deals are closed by winDeal and loseDeal."
        raise RuleViolatedError(message, rule=f"stage.not_{type_.lower()}", field=field)
    if stage_id in {stage.id for stage, _ in pipeline.retired}:
        raise RuleViolatedError("This stage is retired.", rule="stage.retired", field=field)
    raise RuleViolatedError("This stage is not one of the deal's pipeline.", rule="stage.not_in_pipeline", field=field)


def _reservations(stream: UUID, pipeline: Pipeline) -> frozenset[Reservation]:
    if pipeline.archived:
        return frozenset()
    keys = (joint_key("pipeline", one.system, one.value) for one in pipeline.external_ids)
    return frozenset(Reservation(kind="external_id", value=key, holder=stream) for key in keys)


def _fields(pipeline: Pipeline) -> Mapping[str, object]:
    return {
        "recordStatus": "ARCHIVED" if pipeline.archived else "ACTIVE",
        "name": pipeline.name,
        "stages": [_stage_answer(stage) for stage in pipeline.stages],
        "externalIds": [{"system": one.system, "value": one.value} for one in pipeline.external_ids],
    }


def _stage_answer(stage: Stage) -> Mapping[str, object]:
    return {
        "stage": Ref(type="Stage", id=stage.id),
        "name": stage.name,
        "type": stage.type.value,
        "probability": float(stage.probability),  # as the API answers it
        "rotDays": stage.rot_days,
    }


PIPELINE: Aggregate[Pipeline, PipelineEvent] = Aggregate(
    name="pipeline",
    events=get_args(PipelineEvent),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    moments={"archivedAt": lambda pipeline: pipeline.archived},
    subjects=no_subject,
)
