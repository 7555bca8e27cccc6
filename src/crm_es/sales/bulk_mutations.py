"""Changing up to 1,000 deals at once."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import strawberry

from crm_es.api import batches
from crm_es.api.batches import Change, Done
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Answer, Deed, Envelope, Payload, mutation
from crm_es.api.problems import UserError
from crm_es.api.references import Reference
from crm_es.api.refusals import user_error
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.context import Info
from crm_es.errors import FieldPath
from crm_es.eventstore.event import Dated, Event
from crm_es.occasions import Occasion, dated
from crm_es.reads import records
from crm_es.reads.model import read_of
from crm_es.sales import dealing, inputs
from crm_es.sales.deal import DEAL
from crm_es.sales.graphql import Deal
from crm_es.sales.inputs import UpdateDealInput
from crm_es.sales.mutations import SHOWS, checked_edit


@strawberry.input(description="Up to 1,000 changes.")
class UpdateDealsInput(Envelope):
    deals: list[UpdateDealInput] = strawberry.field(
        description="Each deal once. commandId and reason stand on the batch."
    )
    all_or_none: bool = strawberry.field(default=True, description="False: what can be changed is, row by row.")


async def _deal(self: "DealRow", info: Info) -> Any:
    if self.id is None:
        return None
    return await records.load(info.context.reads.present, read_of(Deal), self.id)


@ruled(PARENT)
@strawberry.type(description="What became of one row of a batch.")
class DealRow:
    index: int = strawberry.field(description="Which row, from 0.")
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")
    id: strawberry.Private[UUID | None]
    deal: Deal | None = strawberry.field(resolver=_deal, description="The deal; null when refused.")


@ruled(PARENT)
@strawberry.type(description="What became of each row.")
class UpdateDealsPayload(Payload):
    rows: list[DealRow] = strawberry.field(default_factory=list, description="In the order they were sent.")


@strawberry.type
class BulkDealMutations:
    @mutation(
        UpdateDealsPayload, needs(EntityType.DEAL, Action.UPDATE), shows=SHOWS,
        description="Change up to 1,000 deals, all or none or row by row.",
    )  # fmt: skip
    async def update_deals(deed: Deed, input: UpdateDealsInput) -> Answer:
        rows = await batches.rows(deed, input.deals, "deals", Deal, Action.UPDATE, _parsed)
        outcome, done = await batches.change(deed, DEAL, rows, all_or_none=input.all_or_none)
        if input.all_or_none and any(one.error for one in done):
            return Answer(outcome, {"user_errors": [user_error(one.error) for one in done if one.error]})
        return Answer(outcome, {"rows": [_answered(index, one) for index, one in enumerate(done)]})


def _answered(index: int, done: Done) -> DealRow:
    return DealRow(index=index, id=done.id, user_errors=[user_error(done.error)] if done.error else [])


def _parsed(deed: Deed, row: UpdateDealInput, place: FieldPath) -> tuple[Change, Iterable[Reference]]:
    form = checked_edit(deed, row)
    on = Occasion.of(row.occurred_at or deed.command.occurred_at, deed.context.now)
    change = Change(
        id=deed.live(row.id, "Deal"), place=place, decide=partial(_decided, form=form, on=on),
        expected_version=row.expected_version, occurred_at=row.occurred_at,
    )  # fmt: skip
    return change, inputs.references(form)


def _decided(state: Any, *, form: dealing.DealEdit, on: Occasion) -> Sequence[Event | Dated]:
    return dated(dealing.update(state, form, on=on))
