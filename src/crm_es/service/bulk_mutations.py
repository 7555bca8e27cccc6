"""Assigning up to 1,000 tickets at once."""

from collections.abc import Iterable

import strawberry

from crm_es.api import batches
from crm_es.api.batches import Change
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Answer, Deed, Payload, mutation
from crm_es.api.references import Reference
from crm_es.api.rows import Row, changed, record
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.errors import FieldPath
from crm_es.occasions import Occasion, dated
from crm_es.service import ticket as standing
from crm_es.service import ticket_inputs as inputs
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_graphql import Ticket
from crm_es.service.ticket_inputs import AssignTicketInput, AssignTicketsInput
from crm_es.service.ticket_mutations import SHOWS
from crm_es.workspaces.member import MEMBER


@ruled(PARENT)
@strawberry.type(description="What became of one row of a batch.")
class TicketRow(Row):
    ticket: Ticket | None = record(Ticket, "The ticket; null when refused.")


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
        return await changed(deed, TICKET, rows, TicketRow, all_or_none=input.all_or_none)


def _parsed(deed: Deed, row: AssignTicketInput, place: FieldPath) -> tuple[Change, Iterable[Reference]]:
    id_, assignee = deed.live(row.id, "Ticket"), inputs.assignee(row)
    on = Occasion.of(row.occurred_at or deed.command.occurred_at, deed.context.now)
    change = Change(
        id=id_, place=place, decide=lambda was: dated(standing.assign(was, assignee, on=on)),
        expected_version=row.expected_version,
    )  # fmt: skip
    return change, [Reference(MEMBER, assignee, ("assigneeId",))] if assignee else []
