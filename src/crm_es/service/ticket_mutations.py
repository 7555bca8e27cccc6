"""Opening tickets, changing them, and moving them through their life. Writing on them is in `conversation_mutations.py`."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import strawberry

from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Payload, mutation, record
from crm_es.api.references import Reference, absent, addressed, check, check_shown, pointing, within_reach
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import ActorKind, Event
from crm_es.eventstore.store import Events, Outcome
from crm_es.interactions import recording
from crm_es.interactions.interaction import (
    INTERACTION,
    Direction,
    InteractionEvent,
    InteractionType,
    Participant,
    ParticipantPart,
    Visibility,
)
from crm_es.occasions import Occasion, dated
from crm_es.service import ticket as standing
from crm_es.service import ticket_inputs as inputs
from crm_es.service.article import ARTICLE
from crm_es.service.promising import promised
from crm_es.service.queue import QUEUE, check_open
from crm_es.service.queue import Queue as QueueState
from crm_es.service.ticket import Ticket as State
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_editing import open_ticket, update
from crm_es.service.ticket_graphql import Ticket
from crm_es.service.ticket_inputs import (
    AssignTicketInput,
    ChangeTicketPriorityInput,
    CloseTicketInput,
    HoldTicketInput,
    MoveTicketInput,
    OpenTicketInput,
    RateTicketInput,
    ReopenTicketInput,
    ResolveTicketInput,
    ResumeTicketInput,
    UpdateTicketInput,
)
from crm_es.uuids import new_id
from crm_es.workspaces.member import MEMBER

SHOWS: Final = ("service_queues", "interactions", "milestones")
_TICKET: Final = "The ticket; null when refused."


@ruled(PARENT)
@strawberry.type(description="The new ticket.")
class OpenTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, "The new ticket; null when refused.")


@ruled(PARENT)
@strawberry.type(description="The ticket as it is now.")
class UpdateTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket, with whoever has it now.")
class AssignTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket, mattering as much as was said.")
class ChangeTicketPriorityPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket in its new queue.")
class MoveTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket, waiting.")
class HoldTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket, open.")
class ResumeTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket, resolved.")
class ResolveTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket, closed.")
class CloseTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket, open again.")
class ReopenTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


@ruled(PARENT)
@strawberry.type(description="The ticket, rated.")
class RateTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, _TICKET)


async def named(deed: Deed, id_: str, action: Action, field: str = "id") -> UUID:
    """The ticket of an input, within the actor's reach for this action."""
    found = deed.live(id_, "Ticket", field=field)
    await within_reach(deed, action, Ticket, {found: (field,)})
    return found


def occasion(deed: Deed) -> Occasion:
    return Occasion.of(deed.command.occurred_at, deed.context.now)


@strawberry.type
class TicketMutations:
    @mutation(
        OpenTicketPayload, needs(EntityType.TICKET, Action.CREATE), shows=SHOWS,
        description="A new ticket. An external id that another ticket has is refused.",
    )  # fmt: skip
    async def open_ticket(deed: Deed, input: OpenTicketInput) -> Outcome:
        given, body, on = inputs.opening(input), inputs.said_text(input.body, "body"), occasion(deed)
        await check(deed, inputs.opened_with(given))
        given |= await deed.context.once(given["queue_id"], lambda: _entering(deed, given["queue_id"]))
        id_ = new_id()
        streams: list[tuple[Aggregate[Any, Any], UUID, Events]] = [(TICKET, id_, dated(open_ticket(**given, on=on)))]
        if body is not None:
            streams.append((INTERACTION, new_id(), dated(_asked(id_, given, body, on))))
        async with pointing(deed, inputs.places(given)):
            return await deed.store.create_many(deed.command, streams, ids=[id_])

    @mutation(
        UpdateTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Change a ticket: what is left out stays, null clears. A merged ticket's id means its survivor.",
    )  # fmt: skip
    async def update_ticket(deed: Deed, input: UpdateTicketInput) -> Outcome:
        check_shown(deed, EntityType.TICKET, input)
        form = inputs.edit(input)
        await check(deed, inputs.named_in(form))
        return await _decide(deed, input, Action.UPDATE, lambda was, _: update(was, form))

    @mutation(
        AssignTicketPayload, needs(EntityType.TICKET, Action.ASSIGN), shows=SHOWS,
        description="Give a ticket to a member, or to nobody. The first to have a new ticket opens it.",
    )  # fmt: skip
    async def assign_ticket(deed: Deed, input: AssignTicketInput) -> Outcome:
        assignee = inputs.assignee(input)
        await check(deed, [Reference(MEMBER, assignee, ("assigneeId",))] if assignee else [])
        return await _decide(deed, input, Action.ASSIGN, lambda was, on: standing.assign(was, assignee, on=on))

    @mutation(
        ChangeTicketPriorityPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Say how much a ticket matters.",
    )  # fmt: skip
    async def change_ticket_priority(deed: Deed, input: ChangeTicketPriorityInput) -> Outcome:
        return await _decide(
            deed, input, Action.UPDATE, lambda was, on: standing.prioritize(was, input.priority, on=on)
        )

    @mutation(
        MoveTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Move a ticket to another queue, under that one's newest SLA policy.",
    )  # fmt: skip
    async def move_ticket(deed: Deed, input: MoveTicketInput) -> Outcome:
        queue = deed.live(input.to_queue_id, "Queue", field="toQueueId")
        await open_queue(deed, queue, "toQueueId")
        policy = await promised(deed, queue)
        return await _decide(deed, input, Action.UPDATE, lambda was, on: standing.move(was, queue, **policy, on=on))

    @mutation(
        HoldTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Let a ticket wait: for the customer (PENDING), or for a vendor, an implementation, others (ON_HOLD).",
    )  # fmt: skip
    async def hold_ticket(deed: Deed, input: HoldTicketInput) -> Outcome:
        return await _decide(deed, input, Action.UPDATE, lambda was, on: standing.hold(was, input.hold_reason, on=on))

    @mutation(
        ResumeTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Go on with a ticket that waits, or begin with a new one.",
    )  # fmt: skip
    async def resume_ticket(deed: Deed, input: ResumeTicketInput) -> Outcome:
        return await _decide(deed, input, Action.UPDATE, lambda was, on: standing.resume(was, on=on))

    @mutation(
        ResolveTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="A ticket is done, as we see it.",
    )  # fmt: skip
    async def resolve_ticket(deed: Deed, input: ResolveTicketInput) -> Outcome:
        check_shown(deed, EntityType.TICKET, input)
        resolution = inputs.said_text(input.resolution, "resolution")
        article = deed.live(input.article_id, "Article", field="articleId") if input.article_id else None
        await check(deed, [Reference(ARTICLE, article, ("articleId",))] if article else [])
        return await _decide(
            deed, input, Action.UPDATE,
            lambda was, on: standing.resolve(was, resolution=resolution, article_id=article, on=on),
        )  # fmt: skip

    @mutation(
        CloseTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="A ticket is done for good; also one that was never resolved.",
    )  # fmt: skip
    async def close_ticket(deed: Deed, input: CloseTicketInput) -> Outcome:
        return await _decide(deed, input, Action.UPDATE, lambda was, on: standing.close(was, on=on))

    @mutation(
        ReopenTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="A ticket is not done after all. After its queue's days, open another that follows it up.",
    )  # fmt: skip
    async def reopen_ticket(deed: Deed, input: ReopenTicketInput) -> Outcome:
        window = await reopen_window(deed, deed.live(input.id, "Ticket"))
        return await _decide(deed, input, Action.UPDATE, lambda was, on: standing.reopen(was, on=on, window=window))

    @mutation(
        RateTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Record what the customer thinks of a resolved or closed ticket.",
    )  # fmt: skip
    async def rate_ticket(deed: Deed, input: RateTicketInput) -> Outcome:
        check_shown(deed, EntityType.TICKET, input, comment="satisfactionComment")
        comment = inputs.said_text(input.comment, "comment")
        return await _decide(deed, input, Action.UPDATE, lambda was, _: standing.rate(was, input.satisfaction, comment))


async def _decide(
    deed: Deed, input: Any, action: Action, decision: Callable[[State, Occasion], Sequence[Event]]
) -> Outcome:
    id_, on = await named(deed, input.id, action), occasion(deed)
    async with addressed("ticket", lists=inputs.LISTS):
        return await deed.store.decide(
            deed.command, TICKET, id_, lambda was: dated(decision(was, on)), expected_version=deed.expected_version
        )


async def _entering(deed: Deed, queue_id: UUID) -> dict[str, Any]:
    """What a new ticket of this queue gets of it. Raises: as `open_queue`."""
    await open_queue(deed, queue_id, "queueId")
    return await promised(deed, queue_id)


async def open_queue(deed: Deed, queue_id: UUID, field: str) -> QueueState:
    """A queue that a ticket is to enter. Raises: NotFoundError, RuleViolatedError `queue.archived`."""
    loaded = await deed.store.load(QUEUE, deed.command.workspace, queue_id)
    if loaded is None:
        raise absent("queue", (field,))
    found: QueueState = loaded.state
    check_open(found, (field,))
    return found


async def reopen_window(deed: Deed, ticket_id: UUID) -> timedelta | None:
    """How long after closing it can be reopened, as its queue says; what is imported happened, whenever."""
    if deed.command.actor.kind is ActorKind.IMPORT:
        return None
    ticket = await deed.store.load(TICKET, deed.command.workspace, ticket_id)
    queue = ticket and await deed.store.load(QUEUE, deed.command.workspace, ticket.state.queue_id)
    return timedelta(days=queue.state.reopen_days) if queue else None


def _asked(ticket_id: UUID, given: dict[str, Any], body: str, on: Occasion) -> list[InteractionEvent]:
    """What the requester wrote when the ticket was opened."""
    requester = given["requester_id"]
    return recording.record(
        type=InteractionType.OTHER, direction=Direction.INBOUND, occurred_at=on.at, subject=given["title"], body=body,
        contact_ids=[requester] if requester else [],
        participants=[Participant(part=ParticipantPart.FROM, contact_id=requester)] if requester else [],
        company_id=given["company_id"], ticket_id=ticket_id, visibility=Visibility.SHARED,
    )  # fmt: skip
