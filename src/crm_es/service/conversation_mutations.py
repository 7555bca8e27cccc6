"""Writing on tickets, and giving parts of their conversations to other tickets: merging, taking that back, splitting."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import strawberry

from crm_es.api import ids
from crm_es.api.editions import again, check_version
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Payload, mutation, record
from crm_es.api.references import absent, addressed, within_reach
from crm_es.api.rules import PARENT, needs, permit, ruled
from crm_es.errors import ConflictError, RuleViolatedError, VersionConflictError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Fact
from crm_es.eventstore.store import Decided, Events, Outcome
from crm_es.interactions import recording
from crm_es.interactions.graphql import Interaction
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
from crm_es.service import ticket_inputs as inputs
from crm_es.service import ticket_merging as merging
from crm_es.service.promising import promised
from crm_es.service.ticket import Ticket as State
from crm_es.service.ticket import reply
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_graphql import Ticket
from crm_es.service.ticket_inputs import (
    MergeTicketsInput,
    ReplyToTicketInput,
    SplitTicketInput,
    UnmergeTicketInput,
)
from crm_es.service.ticket_mutations import SHOWS, named, occasion
from crm_es.uuids import new_id
from crm_es.values import parse_text

REASON_LENGTH: Final = 10_000
Target = tuple[Aggregate[Any, Any], UUID]
_Loaded = Mapping[UUID, Loaded[Any] | None]


@ruled(PARENT)
@strawberry.type(description="The ticket, and what was written on it.")
class ReplyToTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, "The ticket; null when refused.")
    interaction: Interaction | None = record(Interaction, "What was written; null when refused.", 1)


@ruled(PARENT)
@strawberry.type(description="The survivor, and what was absorbed.")
class MergeTicketsPayload(Payload):
    ticket: Ticket | None = record(Ticket, "The survivor; null when refused.")
    absorbed: Ticket | None = record(Ticket, "The absorbed ticket; null when refused.", 1)


@ruled(PARENT)
@strawberry.type(description="Both tickets, each with its own conversation.")
class UnmergeTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, "The ticket that was absorbed; null when refused.")
    survivor: Ticket | None = record(Ticket, "The ticket it was merged into; null when refused.", 1)


@ruled(PARENT)
@strawberry.type(description="The ticket, and the one that was a part of it.")
class SplitTicketPayload(Payload):
    ticket: Ticket | None = record(Ticket, "The ticket; null when refused.")
    split: Ticket | None = record(Ticket, "The new ticket; null when refused.", 1)


@strawberry.type
class ConversationMutations:
    @mutation(
        ReplyToTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Write on a ticket: a public reply or an internal note, say which. A merged one's goes to its survivor.",
    )  # fmt: skip
    async def reply_to_ticket(deed: Deed, input: ReplyToTicketInput) -> Outcome:
        inputs.text(input.body, "body")
        id_ = await named(deed, input.id, Action.UPDATE)
        async with addressed("ticket"):
            return await again(lambda: _reply(deed, id_, input))

    @mutation(
        MergeTicketsPayload, needs(EntityType.TICKET, Action.MERGE), shows=SHOWS,
        description="Merge a ticket into another; unmergeTicket takes it back.",
    )  # fmt: skip
    async def merge_tickets(deed: Deed, input: MergeTicketsInput) -> Outcome:
        parse_text(input.reason, ("reason",), longest=REASON_LENGTH)
        survivor = await named(deed, input.survivor_id, Action.MERGE, "survivorId")
        absorbed = await named(deed, input.absorbed_id, Action.MERGE, "absorbedId")
        return await again(lambda: _merge(deed, survivor, absorbed, input.expected_absorbed_version or None))

    @mutation(
        UnmergeTicketPayload, needs(EntityType.TICKET, Action.MERGE), shows=SHOWS,
        description="Take a merge back: what was written under a ticket's id goes with it.",
    )  # fmt: skip
    async def unmerge_ticket(deed: Deed, input: UnmergeTicketInput) -> Outcome:
        parse_text(input.reason, ("reason",), longest=REASON_LENGTH)
        absorbed = await named(deed, input.absorbed_id, Action.MERGE, "absorbedId")
        return await again(lambda: _unmerge(deed, absorbed))

    @mutation(
        SplitTicketPayload, needs(EntityType.TICKET, Action.UPDATE), shows=SHOWS,
        description="Make a ticket of its own of a part of a conversation.",
    )  # fmt: skip
    async def split_ticket(deed: Deed, input: SplitTicketInput) -> Outcome:
        permit(deed.context, EntityType.TICKET, Action.CREATE)
        title = parse_text(input.title, ("title",))
        id_ = await named(deed, input.id, Action.UPDATE)
        texts = await _texts(deed, input.interaction_ids)
        async with addressed("ticket"):
            return await again(lambda: _split(deed, id_, title, texts))


async def _reply(deed: Deed, id_: UUID, input: ReplyToTicketInput) -> Outcome:
    there = await _survivor(deed, id_)
    facts, on, text_id = await _facts(deed, there.id), occasion(deed), new_id()

    def decide(loaded: _Loaded) -> Decided:
        ticket = _standing(loaded, there.id)
        replied = reply(ticket.state, text_id, internal=input.internal, on=on)
        _check(deed, ticket, facts, replied)
        text = _written(deed, id_, ticket.state, input, Occasion(replied[0].occurred_at))  # type: ignore[union-attr]
        events: dict[UUID, Events] = {there.id: dated(replied), text_id: dated(text)}
        if there.via:
            events[there.via] = []  # its key seals the reason
        return Decided(events=events, ids=(there.id, text_id), via={there.id: there.via} if there.via else {})

    targets: list[Target] = [(TICKET, there.id), *([(TICKET, there.via)] if there.via else []), (INTERACTION, text_id)]
    return await deed.store.transact(deed.command, targets, decide)


def _written(deed: Deed, id_: UUID, ticket: State, input: ReplyToTicketInput, on: Occasion) -> list[InteractionEvent]:
    """On the id that was addressed, which an unmerge goes by; for the timeline of the requester too."""
    member, requester = deed.context.identity.member_id, ticket.requester_id
    who = [Participant(part=ParticipantPart.FROM, member_id=member)] if member else []
    if requester and not input.internal:
        who.append(Participant(part=ParticipantPart.TO, contact_id=requester))
    return recording.record(
        type=InteractionType.NOTE if input.internal else InteractionType.OTHER,
        direction=Direction.INTERNAL if input.internal else Direction.OUTBOUND,
        occurred_at=on.at, body=input.body, body_format=input.body_format, contact_ids=[requester] if requester else [],
        participants=who, company_id=ticket.company_id, ticket_id=id_, member_id=member, visibility=Visibility.SHARED,
        internal=input.internal,
    )  # fmt: skip


async def _merge(deed: Deed, survivor: UUID, absorbed: UUID, absorbed_version: int | None) -> Outcome:
    facts, on = await _facts(deed, survivor), occasion(deed)

    def decide(loaded: _Loaded) -> Decided:
        stays, goes = _there(loaded, survivor, "survivorId"), _there(loaded, absorbed, "absorbedId")
        both = merging.merge(stays, goes, on=on)
        if absorbed_version is not None and absorbed_version != goes.version:
            raise VersionConflictError(current_version=goes.version, conflicts=()).at("expectedAbsorbedVersion")
        _check(deed, stays, facts, both.survivor)
        events = {survivor: dated(both.survivor), absorbed: dated(both.absorbed)}
        return Decided(events=events, ids=(survivor, absorbed))

    return await deed.store.transact(deed.command, [(TICKET, survivor), (TICKET, absorbed)], decide)


async def _unmerge(deed: Deed, absorbed_id: UUID) -> Outcome:
    workspace, store = deed.command.workspace, deed.store
    if (seen := await store.seen(deed.command)) is not None:
        return seen
    absorbed = await store.load(TICKET, workspace, absorbed_id, follow=False)
    if absorbed is None:
        raise absent("ticket", ("absorbedId",))
    survivor_id = absorbed.state.merged_into
    if survivor_id is None:
        raise RuleViolatedError("This ticket is not merged.", rule="ticket.not_merged", field=("absorbedId",))
    facts, on = await store.facts(workspace, survivor_id), occasion(deed)

    def decide(loaded: _Loaded) -> Decided:
        stays, goes = _there(loaded, survivor_id, "absorbedId"), _there(loaded, absorbed_id, "absorbedId")
        if facts[-1].version != stays.version:
            raise ConflictError("The survivor was changed meanwhile. Try again.", rule="record.busy")
        if deed.expected_version not in (None, goes.version):
            raise VersionConflictError(current_version=goes.version, conflicts=()).at("expectedVersion")
        changes = merging.unmerge(stays, goes, facts, on=on)
        events: dict[UUID, Events] = {id_: dated(each) for id_, each in changes.items()}
        return Decided(events=events, ids=(absorbed_id, survivor_id))

    return await store.transact(deed.command, [(TICKET, survivor_id), (TICKET, absorbed_id)], decide)


async def _split(deed: Deed, id_: UUID, title: str, texts: Sequence[UUID]) -> Outcome:
    there = await _survivor(deed, id_)
    facts, on, split_id = await _facts(deed, there.id), occasion(deed), new_id()
    policy = await promised(deed, there.state.queue_id)

    def decide(loaded: _Loaded) -> Decided:
        ticket = _standing(loaded, there.id)
        given = {one: _text(loaded, one, index) for index, one in enumerate(texts)}
        changes = merging.split(ticket, given, split_id=split_id, title=title, **policy, on=on)
        _check(deed, ticket, facts, changes[there.id])
        events: dict[UUID, Events] = {one: dated(each) for one, each in changes.items()}
        return Decided(events=events, ids=(there.id, split_id))

    targets: list[Target] = [(TICKET, there.id), (TICKET, split_id), *((INTERACTION, one) for one in texts)]
    return await deed.store.transact(deed.command, targets, decide)


async def _texts(deed: Deed, given: Sequence[str]) -> list[UUID]:
    """Those of the conversation that are named, each once, within reach."""
    places = {ids.live(one, "Interaction", field=("interactionIds", str(n))): n for n, one in enumerate(given)}
    reach = {id_: ("interactionIds", str(place)) for id_, place in places.items()}
    await within_reach(deed, Action.UPDATE, Interaction, reach)
    return list(places)


async def _survivor(deed: Deed, id_: UUID) -> Loaded[State]:
    """The ticket itself, or the one that its id leads to (`via` is its own then)."""
    there = await deed.store.load(TICKET, deed.command.workspace, id_)
    if there is None:
        raise absent("ticket", ("id",))
    return there


async def _facts(deed: Deed, id_: UUID) -> list[Fact]:
    """The whole stream, where an expected version is to be compared with it."""
    return [] if deed.expected_version is None else await deed.store.facts(deed.command.workspace, id_)


def _check(deed: Deed, there: Loaded[State], facts: Sequence[Fact], mine: Sequence[Any]) -> None:
    if deed.expected_version is not None:
        check_version(TICKET, there, facts, deed.expected_version, mine)


def _there(loaded: _Loaded, id_: UUID, field: str) -> Loaded[State]:
    found = loaded[id_]
    if found is None:
        raise absent("ticket", (field,))
    return found


def _standing(loaded: _Loaded, id_: UUID) -> Loaded[State]:
    """Raises: ConflictError `record.busy` where it was merged since."""
    found = _there(loaded, id_, "id")
    if found.state.merged_into is not None:
        raise ConflictError("The ticket was merged meanwhile. Try again.", rule="record.busy")
    return found


def _text(loaded: _Loaded, id_: UUID, index: int) -> Loaded[Any]:
    found = loaded[id_]
    if found is None:
        raise absent("interaction", ("interactionIds", str(index)))
    return found
