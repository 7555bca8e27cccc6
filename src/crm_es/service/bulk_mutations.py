"""Assigning up to 1,000 tickets at once."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import strawberry

from crm_es.api import batches
from crm_es.api.batches import Change, Done
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Answer, Deed, Payload, mutation
from crm_es.api.problems import UserError
from crm_es.api.references import Reference
from crm_es.api.refusals import user_error
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.context import Info
from crm_es.errors import FieldPath
from crm_es.occasions import Occasion, dated
from crm_es.reads import records
from crm_es.reads.model import read_of
from crm_es.service import ticket as standing
from crm_es.service import ticket_inputs as inputs
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_graphql import Ticket
from crm_es.service.ticket_inputs import AssignTicketInput, AssignTicketsInput
from crm_es.service.ticket_mutations import SHOWS
from crm_es.workspaces.member import MEMBER


async def _ticket(self: "TicketRow", info: Info) -> Any:
    if self.id is None:
        return None
    return await records.load(info.context.reads.present, read_of(Ticket), self.id)


@ruled(PARENT)
@strawberry.type(description="What became of one row of a batch.")
class TicketRow:
    index: int = strawberry.field(description="Which row, from 0.")
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")
    id: strawberry.Private[UUID | None]
    ticket: Ticket | None = strawberry.field(resolver=_ticket, description="The ticket; null when refused.")


@ruled(PARENT)
@strawberry.type(description="What became of each row.")
class AssignTicketsPayload(Payload):
    rows: list[TicketRow] = strawberry.field(default_factory=list, description="In the order they were sent.")


@strawberry.type
class BulkTicketMutations:
    @mutation(
        AssignTicketsPayload, needs(EntityType.TICKET, Action.ASSIGN), shows=SHOWS,
        description="Give up to 1,000 tickets to members or to nobody, all or none or row by row.",
    )  # fmt: skip
    async def assign_tickets(deed: Deed, input: AssignTicketsInput) -> Answer:
        rows = await batches.rows(deed, input.tickets, "tickets", Ticket, Action.ASSIGN, _parsed)
        outcome, done = await batches.change(deed, TICKET, rows, all_or_none=input.all_or_none)
        if input.all_or_none and any(one.error for one in done):
            return Answer(outcome, {"user_errors": [user_error(one.error) for one in done if one.error]})
        return Answer(outcome, {"rows": [_answered(index, one) for index, one in enumerate(done)]})


def _answered(index: int, done: Done) -> TicketRow:
    return TicketRow(index=index, id=done.id, user_errors=[user_error(done.error)] if done.error else [])


def _parsed(deed: Deed, row: AssignTicketInput, place: FieldPath) -> tuple[Change, Iterable[Reference]]:
    id_, assignee = deed.live(row.id, "Ticket"), inputs.assignee(row)
    on = Occasion.of(row.occurred_at or deed.command.occurred_at, deed.context.now)
    change = Change(
        id=id_, place=place, decide=lambda was: dated(standing.assign(was, assignee, on=on)),
        expected_version=row.expected_version,
    )  # fmt: skip
    return change, [Reference(MEMBER, assignee, ("assigneeId",))] if assignee else []
