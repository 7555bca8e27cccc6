"""What a pipeline accepts and refuses."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.event import Reservation
from crm_es.sales import pipeline
from crm_es.sales.pipeline import (
    PIPELINE,
    Pipeline,
    PipelineArchived,
    PipelineChanged,
    PipelineCreated,
    PipelineRestored,
    Retirement,
)
from crm_es.sales.stages import Stage, StageType, parse_chance, parse_rot_days
from crm_es.values import ExternalId, joint_key
from tests.deciding import given


def stage(number, name, type_=StageType.OPEN, chance="0.5"):
    return Stage(id=UUID(int=number), name=name, type=type_, probability=Decimal(chance))


NEW, OFFER = stage(1, "New", chance="0.1"), stage(2, "Offer")
WON, LOST, GONE = (
    stage(3, "Won", StageType.WON, "1"),
    stage(4, "Lost", StageType.LOST, "0"),
    stage(5, "Gone", StageType.LOST),
)
STAGES = (NEW, OFFER, WON, LOST)
CREATED = PipelineCreated(name="Sales", stages=STAGES)


def moved(from_: Stage, to: Stage) -> Retirement:
    return Retirement(stage_id=from_.id, move_deals_to=to.id)


def test_creating_names_all_stages_in_order():
    given(PIPELINE).when(lambda _: pipeline.create(name="Sales", stages=STAGES)).then(CREATED)


def test_external_ids_are_reserved_until_it_is_archived():
    known = ExternalId(system="erp", value="b2b")
    created = given(PIPELINE).when(lambda _: pipeline.create(name="Sales", stages=STAGES, external_ids=[known] * 2))
    state = created.then(replace(CREATED, external_ids=(known,)))

    held = Reservation(kind="external_id", value=joint_key("pipeline", "erp", "b2b"), holder=UUID(int=7))
    assert PIPELINE.reservations(UUID(int=7), state) == {held}
    assert PIPELINE.reservations(UUID(int=7), replace(state, archived=True)) == frozenset()


def test_a_pipeline_has_at_most_a_hundred_external_ids():
    many = [ExternalId(system="erp", value=str(n)) for n in range(101)]
    given(PIPELINE).when(lambda _: pipeline.create(name="Sales", stages=STAGES, external_ids=many)).then_refused(
        InvalidInputError, "pipeline.too_many_externalids", ("externalIds",)
    )


@pytest.mark.parametrize(
    ("stages", "rule"),
    [
        ((WON, LOST), "pipeline.no_open_stage"),
        ((NEW, LOST), "pipeline.not_one_won_stage"),
        ((NEW, WON, replace(WON, id=UUID(int=9)), LOST), "pipeline.not_one_won_stage"),
        ((NEW, WON), "pipeline.no_lost_stage"),
        ((WON, LOST, *(stage(100 + n, "S") for n in range(100))), "pipeline.too_many_stages"),
    ],
)
def test_a_pipeline_has_open_stages_one_won_and_a_lost_one(stages, rule):
    given(PIPELINE).when(lambda _: pipeline.create(name="Sales", stages=stages)).then_refused(
        InvalidInputError, rule, ("stages",)
    )


def test_stages_are_renamed_reordered_and_added():
    better, extra = replace(OFFER, name="Quote", probability=Decimal("0.6"), rot_days=9), stage(6, "Call")

    after = (
        given(PIPELINE, CREATED)
        .when(pipeline.change, name="Sales", stages=[extra, better, NEW, WON, LOST], new=[extra.id])
        .then(PipelineChanged(stages=(extra, better, NEW, WON, LOST)))
    )

    assert after.stages[1].name == "Quote"


def test_nothing_is_said_where_it_is_so_already():
    given(PIPELINE, CREATED).when(pipeline.change, name="Sales", stages=STAGES).then()


def test_a_stage_that_is_left_out_is_asked_for():
    given(PIPELINE, CREATED).when(pipeline.change, stages=[NEW, WON, LOST]).then_refused(
        InvalidInputError, "pipeline.stage_left_out", ("stages",)
    )


def test_a_stage_keeps_its_type_and_stands_once():
    won = replace(NEW, type=StageType.WON)
    given(PIPELINE, CREATED).when(pipeline.change, stages=[won, OFFER, WON, LOST]).then_refused(
        RuleViolatedError, "stage.type_fixed", ("stages", "0", "type")
    )
    given(PIPELINE, CREATED).when(pipeline.change, stages=[NEW, NEW, OFFER, WON, LOST]).then_refused(
        InvalidInputError, "stage.twice", ("stages", "1", "id")
    )


def test_a_stage_of_another_pipeline_joins_no_other():
    given(PIPELINE, CREATED).when(pipeline.change, stages=[*STAGES, stage(6, "Call")]).then_refused(
        InvalidInputError, "stage.unknown", ("stages", "4", "id")
    )


def test_a_retired_stage_is_closed_at_once_and_says_where_its_deals_go():
    after = (
        given(PIPELINE, CREATED)
        .when(pipeline.change, retire=[moved(OFFER, NEW)])
        .then(PipelineChanged(retired=(moved(OFFER, NEW),)))
    )

    assert after.stages == (NEW, WON, LOST)
    assert after.retired == ((OFFER, NEW.id),)


def test_a_stage_is_replaced_by_a_new_one_in_one_change():
    retire = [moved(OFFER, stage(6, "Call"))]
    stages = [NEW, stage(6, "Call"), WON, LOST]

    given(PIPELINE, CREATED).when(pipeline.change, stages=stages, new=[UUID(int=6)], retire=retire).then(
        PipelineChanged(stages=tuple(stages), retired=tuple(retire))
    )


def test_retiring_again_to_the_same_place_says_nothing_so_that_it_can_be_resumed():
    done = given(PIPELINE, CREATED, PipelineChanged(retired=(moved(OFFER, NEW),)))

    done.when(pipeline.change, retire=[moved(OFFER, NEW)]).then()


LATER = PipelineChanged(stages=(*STAGES, GONE), retired=())


@pytest.mark.parametrize(
    ("retire", "kind", "rule", "field"),
    [
        ([moved(OFFER, WON)], RuleViolatedError, "stage.other_type", "moveDealsTo"),
        ([moved(OFFER, OFFER)], InvalidInputError, "stage.unknown", "moveDealsTo"),
        ([moved(OFFER, stage(9, "?"))], InvalidInputError, "stage.unknown", "moveDealsTo"),
        ([moved(stage(9, "?"), NEW)], InvalidInputError, "stage.unknown", "stageId"),
    ],
)
def test_deals_of_a_retired_stage_go_to_one_of_its_kind_that_stays(retire, kind, rule, field):
    given(PIPELINE, CREATED, LATER).when(pipeline.change, retire=retire).then_refused(
        kind, rule, ("retire", "0", field)
    )


def test_a_stage_is_retired_once():
    again = [moved(OFFER, NEW), moved(OFFER, NEW)]
    given(PIPELINE, CREATED).when(pipeline.change, retire=again).then_refused(
        InvalidInputError, "stage.twice", ("retire", "1", "stageId")
    )
    retired = (
        PipelineChanged(stages=(*STAGES, stage(6, "Call")), retired=()),
        PipelineChanged(retired=(moved(OFFER, NEW),)),
    )
    given(PIPELINE, CREATED, *retired).when(pipeline.change, retire=[moved(OFFER, stage(6, "Call"))]).then_refused(
        RuleViolatedError, "stage.retired", ("retire", "0", "stageId")
    )


def test_the_last_stage_of_a_kind_cannot_be_retired():
    given(PIPELINE, CREATED).when(pipeline.change, retire=[moved(NEW, OFFER), moved(OFFER, NEW)]).then_refused(
        InvalidInputError, "stage.unknown", ("retire", "0", "moveDealsTo")
    )
    given(PIPELINE, CREATED).when(pipeline.change, retire=[moved(WON, WON)]).then_refused(
        InvalidInputError, "stage.unknown", ("retire", "0", "moveDealsTo")
    )


def test_a_retired_stage_does_not_come_back():
    retired = PipelineChanged(retired=(moved(OFFER, NEW),))
    given(PIPELINE, CREATED, retired).when(pipeline.change, stages=STAGES).then_refused(
        RuleViolatedError, "stage.retired", ("stages", "1", "id")
    )


def test_an_archived_pipeline_is_restored_before_it_changes():
    put_away = given(PIPELINE, CREATED, PipelineArchived())

    put_away.when(pipeline.change, name="Other").then_refused(RuleViolatedError, "pipeline.archived", ("id",))
    put_away.when(pipeline.archive).then_refused(RuleViolatedError, "pipeline.archived")
    put_away.when(pipeline.restore).then(PipelineRestored())
    given(PIPELINE, CREATED).when(pipeline.archive).then(PipelineArchived())
    given(PIPELINE, CREATED).when(pipeline.restore).then_refused(RuleViolatedError, "pipeline.not_archived")


RETIRED = given(PIPELINE, CREATED, PipelineChanged(retired=(moved(OFFER, NEW),))).state


def test_deals_stand_in_stages_of_their_pipeline():
    assert pipeline.open_stage(RETIRED, None, ("stageId",)) == NEW
    assert pipeline.won_stage(RETIRED) == WON
    assert pipeline.lost_stage(RETIRED, None, ("stageId",)) == LOST
    assert pipeline.lost_stage(RETIRED, LOST.id, ("stageId",)) == LOST


@pytest.mark.parametrize(
    ("stage_id", "rule"),
    [(OFFER.id, "stage.retired"), (WON.id, "stage.not_open"), (UUID(int=99), "stage.not_in_pipeline")],
)
def test_no_deal_goes_to_another_stage(stage_id, rule):
    given(PIPELINE).when(lambda _: [pipeline.open_stage(RETIRED, stage_id, ("toStageId",))]).then_refused(
        RuleViolatedError, rule, ("toStageId",)
    )


def test_no_deal_enters_an_archived_pipeline():
    put_away = Pipeline(stages=STAGES, archived=True)

    given(PIPELINE).when(lambda _: [pipeline.open_stage(put_away, None, ("pipelineId",))]).then_refused(
        RuleViolatedError, "pipeline.archived", ("pipelineId",)
    )


@pytest.mark.parametrize(("raw", "chance"), [(0, "0"), (0.1 + 0.2, "0.3"), (1.0, "1"), (0.3333333333, "0.333333")])
def test_a_probability_is_kept_to_six_digits(raw, chance):
    assert str(parse_chance(raw)) == chance


@pytest.mark.parametrize("raw", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_probability_lies_between_0_and_1(raw):
    given(PIPELINE).when(lambda _: [parse_chance(raw, ("p",))]).then_refused(
        InvalidInputError, "probability.out_of_range", ("p",)
    )


def test_rot_days_are_days():
    assert parse_rot_days(30) == 30
    assert parse_rot_days(None) is None
    given(PIPELINE).when(lambda _: [parse_rot_days(0, ("r",))]).then_refused(
        InvalidInputError, "stage.rot_days_out_of_range", ("r",)
    )
