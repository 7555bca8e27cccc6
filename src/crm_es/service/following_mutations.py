"""Keeping tickets as another service desk has them: one mutation for every status change that it tells of."""

import strawberry
from strawberry import ID, UNSET

from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Payload, Versioned, mutation, record, said
from crm_es.api.references import Reference, addressed, check
from crm_es.api.rules import PARENT, needs, permit, ruled
from crm_es.contacts.inputs import may_say, reference
from crm_es.eventstore.store import Outcome
from crm_es.occasions import dated
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_following import follow, standing
from crm_es.service.ticket_graphql import Ticket
from crm_es.service.ticket_mutations import SHOWS, named, occasion, reopen_window
from crm_es.service.vocabulary import HoldReason, TicketStatus
from crm_es.workspaces.member import MEMBER


@strawberry.input(description="Where another system has a ticket.")
class SetTicketStatusInput(Versioned):
    id: ID = strawberry.field(description="Which ticket.")
    status: TicketStatus = strawberry.field(description="OPEN, PENDING, ON_HOLD, RESOLVED or CLOSED.")
    hold_reason: HoldReason | None = may_say("What it waits for: of ON_HOLD; PENDING waits for the customer.")
    assignee_id: ID | None = may_say("Who has it; null: nobody. Left out: whoever has it.")


@ruled(PARENT)
@strawberry.type(description="The ticket, where it was brought to.")
class SetTicketStatusPayload(Payload):
    ticket: Ticket | None = record(Ticket, "The ticket; null when refused.")


@strawberry.type
class FollowingMutations:
    @mutation(
        SetTicketStatusPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Bring a ticket to a status and an assignee by the moves that lead there, for those who follow another "
        "system; by hand, take the mutation that says what happened.",
    )  # fmt: skip
    async def set_ticket_status(deed: Deed, input: SetTicketStatusInput) -> Outcome:
        if input.assignee_id is not UNSET:
            permit(deed.context, EntityType.TICKET, Action.ASSIGN)
        id_, on = await named(deed, input.id, Action.UPDATE), occasion(deed)
        assignee = reference(said(input.assignee_id), "Member", "assigneeId")
        await check(deed, [Reference(MEMBER, assignee, ("assigneeId",))] if input.assignee_id else [])
        said_so = input.status, input.hold_reason or None, assignee
        window = await reopen_window(deed, id_)
        async with addressed("ticket"):
            return await deed.store.decide(
                deed.command, TICKET, id_,
                lambda was: dated(follow(was, standing(*said_so), on=on, window=window)),
                expected_version=deed.expected_version,
            )  # fmt: skip
