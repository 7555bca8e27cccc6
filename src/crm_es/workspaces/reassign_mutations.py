"""Handing on what a deactivated member owned: chunk by chunk, each an append of its own, all under one correlation id."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid5

import strawberry
from psycopg.sql import SQL, Identifier
from strawberry import ID

from crm_es.api.enums import Action, EntityType, Scope
from crm_es.api.payloads import Answer, Deed, Envelope, Payload, mutation, record
from crm_es.api.references import absent
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts.company import COMPANY, Company, CompanyOwnerChanged
from crm_es.contacts.contact import Contact
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.contact_events import ContactOwnerChanged
from crm_es.errors import NotAllowedError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, Loaded
from crm_es.eventstore.event import Command
from crm_es.eventstore.store import Decided, Outcome
from crm_es.reads.sql import Source
from crm_es.workspaces.graphql import Member
from crm_es.workspaces.member import MEMBER
from projections import contact_profiles, members
from projections.contact_profiles import tables

CHUNK: Final = 200
SHOWS: Final = (contact_profiles.NAME, members.NAME)
Owned = tuple[Aggregate[Any, Any], UUID]


@strawberry.input(description="All contacts and companies of a deactivated member, to another one.")
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


@strawberry.type
class ReassignMutations:
    @mutation(
        ReassignRecordsPayload, needs(EntityType.CONTACT, Action.ASSIGN), shows=SHOWS,
        description="Give a deactivated member's contacts and companies to another member. Interrupted, it goes on "
        "where it stopped when the same commandId is sent again.",
    )  # fmt: skip
    async def reassign_records(deed: Deed, input: ReassignRecordsInput) -> Answer:
        _check_reach(deed)
        from_id, to_id = (deed.live(id_, "Member", field=name) for name, id_ in _named(input))
        if (done := await deed.store.seen(deed.command)) is not None:
            return _answer(done)
        await _check_members(deed, from_id, to_id)
        return await _hand_on(deed, from_id, to_id, await owned(deed, from_id))


def _named(input: ReassignRecordsInput) -> tuple[tuple[str, ID], ...]:
    return (("fromId", input.from_id), ("toId", input.to_id))


def _check_reach(deed: Deed) -> None:
    """Raises: NotAllowedError, unless the actor may assign every contact and company."""
    for kind in (EntityType.CONTACT, EntityType.COMPANY):
        if deed.context.permissions.scope(kind, Action.ASSIGN) is not Scope.WORKSPACE:
            raise NotAllowedError("This takes the permission to assign every contact and company of the workspace.")


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


async def owned(deed: Deed, owner: UUID) -> list[Owned]:
    """What the read model says a member owns, contacts first, oldest first."""
    moment, found = deed.context.reads.present, list[Owned]()
    for aggregate, table in ((CONTACT, tables.CONTACT), (COMPANY, tables.COMPANY)):
        query = moment.query()
        conditions = [SQL("{} = {}").format(Identifier("r", "owner_id"), query.bind(owner, "uuid"))]
        statement = query.select(Source(contact_profiles.NAME, table), "r", ("id",), partial(list, conditions))
        found += sorted(((aggregate, id_) for (id_,) in await moment.rows(query, statement)), key=lambda one: one[1])
    return found


async def _hand_on(deed: Deed, from_id: UUID, to_id: UUID, records: Sequence[Owned]) -> Answer:
    """The last chunk is the command itself; those before it have ids made of it and of what they hold, so that a chunk that
    stands is not written again. Each remembers how many there were up to it."""
    done = Outcome(position=None, log_id=None, refusals=(_NONE,))
    chunks = [records[start : start + CHUNK] for start in range(0, len(records), CHUNK)] or [()]
    for chunk in chunks:
        last = chunk is chunks[-1]
        command = deed.command if last else replace(deed.command, command_id=_step(deed.command, chunk))
        before = done
        done = await deed.store.transact(command, chunk, _handing_on(from_id, to_id, before.refusals[0]))
        if done.log_id is None:
            done = replace(done, position=before.position, log_id=before.log_id)
    return _answer(done)


def _step(command: Command, chunk: Sequence[Owned]) -> UUID:
    return uuid5(command.command_id, " ".join(str(id_) for _, id_ in chunk))


def _handing_on(from_id: UUID, to_id: UUID, before: Mapping[str, int]) -> Callable[[Mapping[UUID, Any]], Decided]:
    """What is not theirs any more, or merged away since, stays as it is."""

    def decide(found: Mapping[UUID, Loaded[Any] | None]) -> Decided:
        events: dict[UUID, list[Any]] = {}
        counts = dict(before)
        for id_, loaded in found.items():
            if loaded is None or loaded.state.owner_id != from_id or getattr(loaded.state, "merged_into", None):
                continue
            kind, change = _CHANGES[type(loaded.state)]
            events[id_] = [change(owner_id=to_id)]
            counts[kind] += 1
        return Decided(events=events, ids=(to_id,), refusals=(counts,))

    return decide


def _answer(outcome: Outcome) -> Answer:
    return Answer(outcome, dict(outcome.refusals[0]))


_NONE: Final = {"contacts": 0, "companies": 0}
_CHANGES: Final[Mapping[type[Any], tuple[str, Callable[..., Any]]]] = {
    Contact: ("contacts", ContactOwnerChanged),
    Company: ("companies", CompanyOwnerChanged),
}
