"""Changing up to 1,000 deals at once."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import strawberry

from crm_es.api import batches
from crm_es.api.batches import Change
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Answer, Deed, Envelope, Payload, mutation
from crm_es.api.references import Reference
from crm_es.api.rows import Row, changed, record
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.errors import FieldPath
from crm_es.eventstore.event import Dated, Event
from crm_es.occasions import Occasion, dated
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


@ruled(PARENT)
@strawberry.type(description="What became of one row of a batch.")
class DealRow(Row):
    deal: Deal | None = record(Deal, "The deal; null when refused.")


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
        return await changed(deed, DEAL, rows, DealRow, all_or_none=input.all_or_none)


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
