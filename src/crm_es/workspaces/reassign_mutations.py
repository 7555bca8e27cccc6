"""Handing on what a deactivated member owned: chunk by chunk, each an append of its own, all under one correlation id."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, LiteralString
from uuid import UUID, uuid5

import strawberry
from psycopg.sql import SQL, Identifier
from strawberry import ID

from crm_es.api.enums import Action, EntityType, Scope
from crm_es.api.payloads import Answer, Deed, Envelope, Payload, mutation, record
from crm_es.api.references import absent
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts.company import COMPANY, CompanyOwnerChanged
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import ContactOwnerChanged
from crm_es.errors import NotAllowedError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Command
from crm_es.eventstore.store import Decided, Events, Outcome
from crm_es.occasions import Occasion, dated
from crm_es.reads.sql import Source
from crm_es.sales.deal import DEAL, Deal
from crm_es.sales.deal_events import DealOwnerChanged
from crm_es.service.enums import TicketStatus
from crm_es.service.ticket import Ticket
from crm_es.service.ticket_aggregate import TICKET
from crm_es.service.ticket_events import TicketAssigned
from crm_es.workspaces.graphql import Member
from crm_es.workspaces.member import MEMBER
from projections import contact_profiles, members, pipelines, service_queues
from projections.contact_profiles import tables
from projections.pipelines import tables as sales_tables
from projections.service_queues import tables as service_tables

CHUNK: Final = 200
SHOWS: Final = (contact_profiles.NAME, members.NAME, pipelines.NAME, service_queues.NAME)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """Records that have an owner: where to find them, whose they are, and the event that hands one on."""

    name: str
    type: EntityType
    aggregate: Aggregate[Any, Any]
    source: Source
    owner: LiteralString = "owner_id"
    where: LiteralString = "true"
    held_by: Callable[[Any], UUID | None] = lambda state: state.owner_id
    change: Callable[[Any, UUID, Occasion], Any]


def _held_ticket(ticket: Ticket) -> UUID | None:
    return None if ticket.standing is TicketStatus.CLOSED else ticket.assignee_id


def _hand_deal(deal: Deal, to_id: UUID, on: Occasion) -> DealOwnerChanged:
    return DealOwnerChanged(owner_id=to_id, occurred_at=on.following(deal.moved_at))


def _hand_ticket(ticket: Ticket, to_id: UUID, on: Occasion) -> TicketAssigned:
    return TicketAssigned(assignee_id=to_id, occurred_at=on.following(ticket.moved_at))


_KINDS: Final = (
    _Kind(
        name="contacts", type=EntityType.CONTACT, aggregate=CONTACT, source=Source(contact_profiles.NAME, tables.CONTACT),
        change=lambda _contact, to_id, _on: ContactOwnerChanged(owner_id=to_id),
    ),
    _Kind(
        name="companies", type=EntityType.COMPANY, aggregate=COMPANY,
        source=Source(contact_profiles.NAME, tables.COMPANY),
        change=lambda _company, to_id, _on: CompanyOwnerChanged(owner_id=to_id),
    ),
    _Kind(
        name="deals", type=EntityType.DEAL, aggregate=DEAL, source=Source(pipelines.NAME, sales_tables.DEAL),
        change=_hand_deal,
    ),
    _Kind(
        name="tickets", type=EntityType.TICKET, aggregate=TICKET,
        source=Source(service_queues.NAME, service_tables.TICKET), owner="assignee_id",
        where="r.standing <> 'CLOSED' AND r.merged_into IS NULL", held_by=_held_ticket, change=_hand_ticket,
    ),
)  # fmt: skip


@strawberry.input(description="All contacts, companies, deals and tickets of a deactivated member, to another one.")
class ReassignRecordsInput(Envelope):
    from_id: ID = strawberry.field(description="The deactivated member.")
    to_id: ID = strawberry.field(description="Who looks after the records from now on.")


@ruled(PARENT)
@strawberry.type(description="Who has the records now, and how many there were.")
class ReassignRecordsPayload(Payload):
    member: Member | None = record(Member, "The new owner; null when refused.")
    contacts: int = strawberry.field(
        default=0, description="How many contacts changed hands; of one taken up again, since then."
    )
    companies: int = strawberry.field(default=0, description="How many companies did.")
    deals: int | None = strawberry.field(
        default=None,
        description="How many deals did, open or not; null where you may not assign every deal: then none.",
    )
    tickets: int | None = strawberry.field(
        default=None, description="How many tickets did, closed ones aside; null where you may not assign every ticket."
    )


@strawberry.type
class ReassignMutations:
    @mutation(
        ReassignRecordsPayload, needs(EntityType.CONTACT, Action.ASSIGN), shows=SHOWS,
        description="Give a deactivated member's contacts, companies, deals and tickets to another member. Interrupted, it "
        "goes on where it stopped when the same commandId is sent again.",
    )  # fmt: skip
    async def reassign_records(deed: Deed, input: ReassignRecordsInput) -> Answer:
        kinds = _within_reach(deed)
        from_id, to_id = (deed.live(id_, "Member", field=name) for name, id_ in _named(input))
        if (done := await deed.store.seen(deed.command)) is not None:
            return _answer(done)
        await _check_members(deed, from_id, to_id)
        return await _hand_on(deed, from_id, to_id, kinds)


def _named(input: ReassignRecordsInput) -> tuple[tuple[str, ID], ...]:
    return (("fromId", input.from_id), ("toId", input.to_id))


def _within_reach(deed: Deed) -> list[_Kind]:
    """What the actor may assign all of. Raises: NotAllowedError, unless contacts and companies are among it."""
    kinds = [one for one in _KINDS if deed.context.permissions.scope(one.type, Action.ASSIGN) is Scope.WORKSPACE]
    if not {EntityType.CONTACT, EntityType.COMPANY} <= {one.type for one in kinds}:
        raise NotAllowedError("This takes the permission to assign every contact and company of the workspace.")
    return kinds


async def _check_members(deed: Deed, from_id: UUID, to_id: UUID) -> None:
    """Raises: NotFoundError; RuleViolatedError `member.active`, `member.deactivated`."""
    found = await deed.store.load_many(MEMBER, deed.command.workspace, [from_id, to_id])
    for id_, field in ((from_id, "fromId"), (to_id, "toId")):
        if id_ not in found:
            raise absent("member", (field,))
    if not found[from_id].state.deactivated:
        message = "This member is active: deactivate them first, or change the records' owner."
        raise RuleViolatedError(message, rule="member.active", field=("fromId",))
    if found[to_id].state.deactivated:
        raise RuleViolatedError("This member was deactivated.", rule="member.deactivated", field=("toId",))


async def _owned(deed: Deed, owner: UUID, kinds: Sequence[_Kind]) -> list[tuple[_Kind, UUID]]:
    """What the read models say a member owns, kind by kind, oldest first."""
    moment, found = deed.context.reads.present, list[tuple[_Kind, UUID]]()
    for kind in kinds:
        query = moment.query()
        conditions = [SQL("{} = {}").format(Identifier("r", kind.owner), query.bind(owner, "uuid")), SQL(kind.where)]
        statement = query.select(kind.source, "r", ("id",), partial(list, conditions))
        ids = sorted(id_ for (id_,) in await moment.rows(query, statement))
        found += [(kind, id_) for id_ in ids]
    return found


async def _hand_on(deed: Deed, from_id: UUID, to_id: UUID, kinds: Sequence[_Kind]) -> Answer:
    """The last chunk is the command itself; those before it have ids made of it and of what they hold, so that a chunk that
    stands is not written again. Each remembers how many there were up to it."""
    on = Occasion(deed.command.occurred_at or deed.context.now, said=False)  # no record stands in the way of the others
    records = await _owned(deed, from_id, kinds)
    done = Outcome(position=None, log_id=None, refusals=({kind.name: 0 for kind in kinds},))
    chunks = [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)] or [[]]
    for chunk in chunks:
        last = chunk is chunks[-1]
        command = deed.command if last else replace(deed.command, command_id=_step(deed.command, chunk))
        before = done
        decision = _handing_on({id_: kind for kind, id_ in chunk}, from_id, to_id, on, before.refusals[0])
        done = await deed.store.transact(command, [(kind.aggregate, id_) for kind, id_ in chunk], decision)
        if done.log_id is None:
            done = replace(done, position=before.position, log_id=before.log_id)
    return _answer(done)


def _step(command: Command, chunk: Sequence[tuple[_Kind, UUID]]) -> UUID:
    return uuid5(command.command_id, " ".join(str(id_) for _, id_ in chunk))


def _handing_on(
    kinds: Mapping[UUID, _Kind], from_id: UUID, to_id: UUID, on: Occasion, before: Mapping[str, int]
) -> Callable[[Mapping[UUID, Any]], Decided]:
    """What is not theirs any more, or merged away since, stays as it is."""

    def decide(found: Mapping[UUID, Loaded[Any] | None]) -> Decided:
        events: dict[UUID, Events] = {}
        counts = dict(before)
        for id_, loaded in found.items():
            kind = kinds[id_]
            if loaded is None or kind.held_by(loaded.state) != from_id or getattr(loaded.state, "merged_into", None):
                continue
            events[id_] = dated([kind.change(loaded.state, to_id, on)])
            counts[kind.name] += 1
        return Decided(events=events, ids=(to_id,), refusals=(counts,))

    return decide


def _answer(outcome: Outcome) -> Answer:
    return Answer(outcome, dict(outcome.refusals[0]))
