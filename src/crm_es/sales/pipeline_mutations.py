"""Making, changing, archiving and restoring pipelines. A retired stage is closed at once; then its deals are moved."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
import strawberry
from psycopg.sql import SQL, Identifier
from strawberry import ID

from crm_es.api import ids
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Envelope, Payload, Versioned, mutation, record, said
from crm_es.api.references import addressed, pointing, within_reach
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts.inputs import each, external_id, external_id_places, may_say
from crm_es.errors import FieldPath, InvalidInputError
from crm_es.eventstore.aggregate import Loaded
from crm_es.eventstore.event import Dated, Event
from crm_es.eventstore.store import Outcome
from crm_es.occasions import Occasion, dated
from crm_es.reads.operands import ExternalIdInput
from crm_es.sales import dealing, pipeline
from crm_es.sales.deal import DEAL
from crm_es.sales.graphql import Pipeline
from crm_es.sales.links import source
from crm_es.sales.pipeline import PIPELINE, Retirement
from crm_es.sales.stages import Stage, parse_chance, parse_rot_days
from crm_es.sales.vocabulary import StageType
from crm_es.uuids import new_id
from crm_es.values import parse_text
from projections.pipelines import tables

SHOWS: Final = ("pipelines",)
CHUNK: Final = 200
SWEEPS: Final = 5


@strawberry.input(description="A stage, all of it.")
class StageInput:
    name: str = strawberry.field(description="What it is called.")
    type: StageType = strawberry.field(description="What standing in it means. A stage keeps its type.")
    probability: float = strawberry.field(description="Of winning a deal that stands in it: 0 to 1.")
    id: ID | None = may_say("Which stage; a new one, if left out.")
    rot_days: int | None = may_say("So many days without an event, and a deal in it rots.")


@strawberry.input(description="A stage to close, and where its deals go.")
class RetireStageInput:
    stage_id: ID = strawberry.field(description="Which stage.")
    move_deals_to: ID = strawberry.field(description="A stage of the same type that stays.")


@strawberry.input(description="A new pipeline: at least one OPEN stage, exactly one WON, at least one LOST.")
class CreatePipelineInput(Envelope):
    name: str = strawberry.field(description="What it is called.")
    stages: list[StageInput] = strawberry.field(description="In order.")
    external_ids: list[ExternalIdInput] | None = may_say("What other systems call it.")


@ruled(PARENT)
@strawberry.type(description="The new pipeline.")
class CreatePipelinePayload(Payload):
    pipeline: Pipeline | None = record(Pipeline, "The new pipeline; null when refused.")


@strawberry.input(description="Changes of a pipeline: what is left out stays.")
class ChangePipelineInput(Versioned):
    id: ID = strawberry.field(description="Which pipeline.")
    name: str | None = may_say("What it is called.")
    stages: list[StageInput] | None = may_say("All that stay, in order.")
    retire: list[RetireStageInput] | None = may_say(
        "Those to close. Sent again, it moves the deals that still stand there."
    )


@ruled(PARENT)
@strawberry.type(description="The pipeline as it is now.")
class ChangePipelinePayload(Payload):
    pipeline: Pipeline | None = record(Pipeline, "The pipeline; null when refused.")


@strawberry.input(description="Put a pipeline away: no deal is opened or moved in it any more.")
class ArchivePipelineInput(Versioned):
    id: ID = strawberry.field(description="Which pipeline.")


@ruled(PARENT)
@strawberry.type(description="The pipeline, archived.")
class ArchivePipelinePayload(Payload):
    pipeline: Pipeline | None = record(Pipeline, "The pipeline; null when refused.")


@strawberry.input(description="Take an archived pipeline back.")
class RestorePipelineInput(Versioned):
    id: ID = strawberry.field(description="Which pipeline.")


@ruled(PARENT)
@strawberry.type(description="The pipeline, in use again.")
class RestorePipelinePayload(Payload):
    pipeline: Pipeline | None = record(Pipeline, "The pipeline; null when refused.")


async def _named(deed: Deed, input: Any, action: Action) -> UUID:
    id_ = deed.live(input.id, "Pipeline")
    await within_reach(deed, action, Pipeline, {id_: ("id",)})
    return id_


async def _decide(deed: Deed, id_: UUID, decision: Any) -> Outcome:
    async with addressed("pipeline"):
        return await deed.store.decide(deed.command, PIPELINE, id_, decision, expected_version=deed.expected_version)


@strawberry.type
class PipelineMutations:
    @mutation(
        CreatePipelinePayload, needs(EntityType.PIPELINE, Action.CREATE), shows=SHOWS,
        description="A new pipeline with its stages. An external id that another pipeline has is refused.",
    )  # fmt: skip
    async def create_pipeline(deed: Deed, input: CreatePipelineInput) -> Outcome:
        known = list(each("externalIds", input.external_ids or (), external_id))
        name, stages = parse_text(input.name, ("name",)), _stages(input.stages, new=True)
        async with pointing(deed, external_id_places(known, "pipeline")):
            return await deed.store.create(
                deed.command, PIPELINE, new_id(), pipeline.create(name=name, stages=stages, external_ids=known)
            )

    @mutation(
        ChangePipelinePayload, needs(EntityType.PIPELINE, Action.UPDATE), shows=SHOWS,
        description="Rename a pipeline; add, change, reorder and retire stages. Interrupted while deals are moved out of "
        "a retired stage, it goes on when it is sent again.",
    )  # fmt: skip
    async def change_pipeline(deed: Deed, input: ChangePipelineInput) -> Outcome:
        id_, name = await _named(deed, input, Action.UPDATE), said(input.name)
        if name is None or input.stages is None:
            field = "name" if name is None else "stages"
            raise InvalidInputError("Leave the field out.", rule="field.required", field=(field,))
        stages = msgspec.UNSET if input.stages is strawberry.UNSET else _stages(input.stages or (), new=False)
        new = [stage.id for stage, said_ in zip(stages or (), input.stages or (), strict=True) if not said_.id]
        retire = [_retirement(each, index) for index, each in enumerate(input.retire or ())]
        name = parse_text(name, ("name",)) if isinstance(name, str) else name
        done = await _decide(deed, id_, partial(pipeline.change, name=name, stages=stages, new=new, retire=retire))
        for one in retire:
            done = await _move_out(deed, one, done)
        return done

    @mutation(
        ArchivePipelinePayload, needs(EntityType.PIPELINE, Action.ARCHIVE), shows=SHOWS,
        description="Put a pipeline away. Its open deals can still be won or lost.",
    )  # fmt: skip
    async def archive_pipeline(deed: Deed, input: ArchivePipelineInput) -> Outcome:
        return await _decide(deed, await _named(deed, input, Action.ARCHIVE), pipeline.archive)

    @mutation(
        RestorePipelinePayload, needs(EntityType.PIPELINE, Action.ARCHIVE), shows=SHOWS,
        description="Take an archived pipeline back.",
    )  # fmt: skip
    async def restore_pipeline(deed: Deed, input: RestorePipelineInput) -> Outcome:
        return await _decide(deed, await _named(deed, input, Action.ARCHIVE), pipeline.restore)


def _stages(given: Sequence[StageInput], *, new: bool) -> list[Stage]:
    """Raises: InvalidInputError; of a new pipeline no stage has an id yet."""
    return [_stage(each, ("stages", str(index)), new=new) for index, each in enumerate(given)]


def _stage(input: StageInput, field: FieldPath, *, new: bool) -> Stage:
    known = ids.live(input.id, "Stage", field=(*field, "id")) if input.id else None
    if new and known:
        message = "A new pipeline has new stages: leave the id out."
        raise InvalidInputError(message, rule="stage.unknown", field=(*field, "id"))
    return Stage(
        id=known or new_id(),
        name=parse_text(input.name, (*field, "name")),
        type=input.type,
        probability=parse_chance(input.probability, (*field, "probability")),
        rot_days=parse_rot_days(input.rot_days or None, (*field, "rotDays")),
    )


def _retirement(input: RetireStageInput, index: int) -> Retirement:
    place = ("retire", str(index))
    return Retirement(
        stage_id=ids.live(input.stage_id, "Stage", field=(*place, "stageId")),
        move_deals_to=ids.live(input.move_deals_to, "Stage", field=(*place, "moveDealsTo")),
    )


# Moving deals out of a retired stage


async def _move_out(deed: Deed, retirement: Retirement, done: Outcome) -> Outcome:
    """One event a deal, in appends of 200 under the command's correlation id; over again for those that came meanwhile."""
    tried: set[UUID] = set()
    for _ in range(SWEEPS):
        await deed.context.shown(done.log_id, SHOWS)
        await deed.context.renew()
        there = [id_ for id_ in await _standing(deed, retirement.stage_id) if id_ not in tried]
        if not there:
            break
        tried |= set(there)
        for start in range(0, len(there), CHUNK):
            moved = await _move(deed, retirement, there[start : start + CHUNK])
            if moved.log_id is not None:
                done = replace(done, position=moved.position, log_id=moved.log_id)
    return done


async def _standing(deed: Deed, stage_id: UUID) -> list[UUID]:
    """All deals in a stage, whoever may see them, archived ones too."""
    query = deed.context.reads.present.query()
    wanted = query.bind(stage_id, "uuid")
    statement = query.select(
        source(tables.DEAL), "r", ("id",), lambda: [SQL("{} = {}").format(Identifier("r", "stage_id"), wanted)]
    )
    return sorted(id_ for (id_,) in await deed.context.reads.present.rows(query, statement))


async def _move(deed: Deed, retirement: Retirement, deals: Sequence[UUID]) -> Outcome:
    """The pipeline's command says why; each deal's own time is its last move's, or now."""
    step = uuid5(deed.command.command_id, f"{retirement.stage_id} {' '.join(map(str, deals))}")
    command = replace(
        deed.command, command_id=step, causation_id=deed.command.command_id, occurred_at=None, reason=None
    )
    on = Occasion(deed.context.now, said=False)

    def decide(found: Mapping[UUID, Loaded[Any] | None]) -> Mapping[UUID, Sequence[Event | Dated]]:
        decided = {
            id_: dealing.leave_retired(
                loaded.state, stage_id=retirement.stage_id, to_stage_id=retirement.move_deals_to, on=on
            )
            for id_, loaded in found.items()
            if loaded is not None
        }
        return {id_: dated(events) for id_, events in decided.items() if events}

    return await deed.store.transact(command, [(DEAL, id_) for id_ in deals], decide)
