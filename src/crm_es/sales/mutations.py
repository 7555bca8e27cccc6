"""Opening, changing, moving, closing and reopening deals. Many at once: `bulk_mutations.py`."""

from typing import Any, Final

import strawberry
from strawberry import ID

from crm_es.api.enums import Action, EntityType
from crm_es.api.nodes import MoneyInput
from crm_es.api.payloads import Deed, Payload, Versioned, mutation, record, said
from crm_es.api.references import addressed, check, check_shown, pointing
from crm_es.api.rules import PARENT, needs, permit, ruled
from crm_es.contacts.inputs import external_id_places, may_say
from crm_es.eventstore.store import Outcome
from crm_es.occasions import dated
from crm_es.sales import dealing, inputs, moving, pipeline
from crm_es.sales.deal import DEAL
from crm_es.sales.graphql import Deal
from crm_es.sales.inputs import OpenDealInput, UpdateDealInput
from crm_es.uuids import new_id
from crm_es.values import parse_text

SHOWS: Final = ("pipelines", "milestones")
REASON_LENGTH: Final = 5_000


@ruled(PARENT)
@strawberry.type(description="The new deal.")
class OpenDealPayload(Payload):
    deal: Deal | None = record(Deal, "The new deal; null when refused.")


@ruled(PARENT)
@strawberry.type(description="The deal as it is now.")
class UpdateDealPayload(Payload):
    deal: Deal | None = record(Deal, "The deal; null when refused.")


@strawberry.input(description="Move a deal on the board.")
class MoveDealInput(Versioned):
    id: ID = strawberry.field(description="Which deal.")
    to_stage_id: ID = strawberry.field(description="An OPEN stage of its pipeline; its own, for another place there.")
    after_deal_id: ID | None = may_say("The deal of that column it comes after; left out with the other: on top.")
    before_deal_id: ID | None = may_say("The deal of that column it comes before.")


@ruled(PARENT)
@strawberry.type(description="The deal, moved. Through `query` both columns show their new sums.")
class MoveDealPayload(Payload):
    deal: Deal | None = record(Deal, "The deal; null when refused.")


@strawberry.input(description="They bought.")
class WinDealInput(Versioned):
    id: ID = strawberry.field(description="Which deal.")
    amount: MoneyInput | None = may_say("What it was won for, where that is another amount.")


@ruled(PARENT)
@strawberry.type(description="The deal, won.")
class WinDealPayload(Payload):
    deal: Deal | None = record(Deal, "The deal; null when refused.")


@strawberry.input(description="They did not buy.")
class LoseDealInput(Versioned):
    id: ID = strawberry.field(description="Which deal.")
    lost_reason: str = strawberry.field(description="Why.")
    stage_id: ID | None = may_say("A LOST stage of its pipeline; the first, if left out.")


@ruled(PARENT)
@strawberry.type(description="The deal, lost.")
class LoseDealPayload(Payload):
    deal: Deal | None = record(Deal, "The deal; null when refused.")


@strawberry.input(description="Work on a closed deal goes on.")
class ReopenDealInput(Versioned):
    id: ID = strawberry.field(description="Which deal.")
    to_stage_id: ID | None = may_say("An OPEN stage of its pipeline; where it stood before, if left out.")


@ruled(PARENT)
@strawberry.type(description="The deal, open again.")
class ReopenDealPayload(Payload):
    deal: Deal | None = record(Deal, "The deal; null when refused.")


@strawberry.input(description="Put a deal away: lists, boards and sums leave it out.")
class ArchiveDealInput(Versioned):
    id: ID = strawberry.field(description="Which deal.")


@ruled(PARENT)
@strawberry.type(description="The deal, archived.")
class ArchiveDealPayload(Payload):
    deal: Deal | None = record(Deal, "The deal; null when refused.")


@strawberry.input(description="Take an archived deal back; refused where another took one of its external ids.")
class RestoreDealInput(Versioned):
    id: ID = strawberry.field(description="Which deal.")


@ruled(PARENT)
@strawberry.type(description="The deal, in use again.")
class RestoreDealPayload(Payload):
    deal: Deal | None = record(Deal, "The deal; null when refused.")


async def _move(deed: Deed, id_: Any, pipeline_id: Any, decision: Any) -> Outcome:
    return await moving.landed(deed, id_, pipeline_id, await _decide(deed, id_, decision))


async def _decide(deed: Deed, id_: Any, decision: Any) -> Outcome:
    async with addressed("deal"):
        return await deed.store.decide(
            deed.command, DEAL, id_, lambda was: dated(decision(was)), expected_version=deed.expected_version
        )


@strawberry.type
class DealMutations:
    @mutation(
        OpenDealPayload, needs(EntityType.DEAL, Action.CREATE), shows=SHOWS,
        description="A new deal, on top of its column. An external id that another deal has is refused.",
    )  # fmt: skip
    async def open_deal(deed: Deed, input: OpenDealInput) -> Outcome:
        if (done := await moving.done_before(deed, input)) is not None:
            return done
        form, external_ids = inputs.opening(input)
        pipeline_id, id_ = deed.live(input.pipeline_id, "Pipeline", field="pipelineId"), new_id()
        stage = await _open_stage(deed, pipeline_id, input.stage_id)
        await check(deed, inputs.references(form))
        events = dealing.open_deal(
            form, pipeline_id=pipeline_id, stage_id=stage.id, rank=await moving.on_top(deed, id_, stage.id),
            on=moving.occasion(deed), external_ids=external_ids,
        )  # fmt: skip
        async with pointing(deed, external_id_places(external_ids, "deal")):
            done = await deed.store.create(deed.command, DEAL, id_, dated(events))
        return await moving.landed(deed, id_, pipeline_id, done)

    @mutation(
        UpdateDealPayload, needs(EntityType.DEAL, Action.UPDATE), shows=SHOWS,
        description="Change a deal: what is left out stays, null clears. A closed one keeps its amount, forecast and lines.",
    )  # fmt: skip
    async def update_deal(deed: Deed, input: UpdateDealInput) -> Outcome:
        id_, _ = await moving.named(deed, input.id, Action.UPDATE)
        form = checked_edit(deed, input)
        await check(deed, inputs.references(form))
        return await _decide(deed, id_, lambda was: dealing.update(was, form, on=moving.occasion(deed)))

    @mutation(
        MoveDealPayload, needs(EntityType.DEAL, Action.UPDATE), shows=SHOWS,
        description="Within its pipeline, to an OPEN stage, or to another place in its column; closing is winDeal and loseDeal.",
    )  # fmt: skip
    async def move_deal(deed: Deed, input: MoveDealInput) -> Outcome:
        if (done := await moving.done_before(deed, input)) is not None:
            return done
        id_, state = await moving.named(deed, input.id, Action.UPDATE)
        board = await moving.pipeline_of(deed, state.pipeline_id, ("id",))
        wanted = deed.live(input.to_stage_id, "Stage", field="toStageId")
        dealing.check_open(state)
        stage = pipeline.open_stage(board, wanted, ("toStageId",))
        rank = await moving.rank(deed, id_, stage.id, after=input.after_deal_id, before=input.before_deal_id)
        return await _move(
            deed,
            id_,
            state.pipeline_id,
            lambda was: dealing.move(was, stage_id=stage.id, rank=rank, on=moving.occasion(deed)),
        )

    @mutation(
        WinDealPayload, needs(EntityType.DEAL, Action.UPDATE), shows=SHOWS,
        description="They bought: for the amount the deal has, or the one given.",
    )  # fmt: skip
    async def win_deal(deed: Deed, input: WinDealInput) -> Outcome:
        id_, state = await moving.named(deed, input.id, Action.UPDATE)
        check_shown(deed, EntityType.DEAL, input)
        board = await moving.pipeline_of(deed, state.pipeline_id, ("id",))
        stage, amount = pipeline.won_stage(board), inputs.money(said(input.amount), ("amount",))
        rank = await moving.on_top(deed, id_, stage.id)
        return await _move(
            deed, id_, state.pipeline_id,
            lambda was: dealing.win(was, stage_id=stage.id, rank=rank, on=moving.occasion(deed), amount=amount),
        )  # fmt: skip

    @mutation(
        LoseDealPayload, needs(EntityType.DEAL, Action.UPDATE), shows=SHOWS,
        description="They did not buy, for a reason.",
    )  # fmt: skip
    async def lose_deal(deed: Deed, input: LoseDealInput) -> Outcome:
        if (done := await moving.done_before(deed, input)) is not None:
            return done
        id_, state = await moving.named(deed, input.id, Action.UPDATE)
        reason = parse_text(input.lost_reason, ("lostReason",), longest=REASON_LENGTH)
        board = await moving.pipeline_of(deed, state.pipeline_id, ("id",))
        wanted = deed.live(input.stage_id, "Stage", field="stageId") if input.stage_id else None
        stage = pipeline.lost_stage(board, wanted, ("stageId",))
        rank = await moving.on_top(deed, id_, stage.id)
        return await _move(
            deed, id_, state.pipeline_id,
            lambda was: dealing.lose(was, reason=reason, stage_id=stage.id, rank=rank, on=moving.occasion(deed)),
        )  # fmt: skip

    @mutation(
        ReopenDealPayload, needs(EntityType.DEAL, Action.UPDATE), shows=SHOWS,
        description="Work on a closed deal goes on, where it stood before or in another OPEN stage.",
    )  # fmt: skip
    async def reopen_deal(deed: Deed, input: ReopenDealInput) -> Outcome:
        if (done := await moving.done_before(deed, input)) is not None:
            return done
        id_, state = await moving.named(deed, input.id, Action.UPDATE)
        board = await moving.pipeline_of(deed, state.pipeline_id, ("id",))
        wanted = deed.live(input.to_stage_id, "Stage", field="toStageId") if input.to_stage_id else None
        if wanted is None and state.open_stage_id in {stage.id for stage in board.stages}:
            wanted = state.open_stage_id
        stage = pipeline.open_stage(board, wanted, ("toStageId",))
        rank = await moving.on_top(deed, id_, stage.id)
        return await _move(
            deed,
            id_,
            state.pipeline_id,
            lambda was: dealing.reopen(was, stage_id=stage.id, rank=rank, on=moving.occasion(deed)),
        )

    @mutation(
        ArchiveDealPayload, needs(EntityType.DEAL, Action.ARCHIVE), shows=SHOWS,
        description="Put a deal away.",
    )  # fmt: skip
    async def archive_deal(deed: Deed, input: ArchiveDealInput) -> Outcome:
        id_, _ = await moving.named(deed, input.id, Action.ARCHIVE)
        return await _decide(deed, id_, dealing.archive)

    @mutation(
        RestoreDealPayload, needs(EntityType.DEAL, Action.ARCHIVE), shows=SHOWS,
        description="Take an archived deal back.",
    )  # fmt: skip
    async def restore_deal(deed: Deed, input: RestoreDealInput) -> Outcome:
        id_, _ = await moving.named(deed, input.id, Action.ARCHIVE)
        return await _decide(deed, id_, dealing.restore)


async def _open_stage(deed: Deed, pipeline_id: Any, stage_id: Any) -> Any:
    """Where a new deal begins. Raises: NotFoundError, RuleViolatedError."""
    board = await moving.pipeline_of(deed, pipeline_id, ("pipelineId",))
    pipeline.check_writable(board, ("pipelineId",))
    wanted = deed.live(stage_id, "Stage", field="stageId") if stage_id else None
    return pipeline.open_stage(board, wanted, ("stageId",))


def checked_edit(deed: Deed, input: UpdateDealInput) -> dealing.DealEdit:
    """Raises: InvalidInputError, NotAllowedError for masked fields, and for another owner without ASSIGN."""
    check_shown(deed, EntityType.DEAL, input)
    if input.owner_id is not strawberry.UNSET:
        permit(deed.context, EntityType.DEAL, Action.ASSIGN)
    return inputs.edit(input)
