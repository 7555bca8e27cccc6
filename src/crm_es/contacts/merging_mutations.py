"""Merging two contacts that are one person, taking a merge back, and saying that two are not one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import strawberry
from strawberry import ID

from crm_es.api import finding
from crm_es.api.editions import again, check_version
from crm_es.api.enums import Action, EntityType
from crm_es.api.ids import NodeId
from crm_es.api.payloads import Answer, Deed, Envelope, Payload, Versioned, mutation, record
from crm_es.api.references import absent
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts import contact, merging, unmerging
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.graphql import Contact
from crm_es.contacts.inputs import may_say
from crm_es.contacts.mutations import SHOWS, named
from crm_es.context import Info
from crm_es.errors import (
    InvalidInputError,
    RuleViolatedError,
    VersionConflictError,
)
from crm_es.eventstore.aggregate import Loaded
from crm_es.eventstore.store import Decided, Outcome
from crm_es.reads import records
from crm_es.reads.model import read_of
from crm_es.values import parse_text
from crm_es.workspaces.audit import Event

TRIES: Final = 5
REASON_LENGTH: Final = 10_000
State = contact.Contact
T = TypeVar("T")


@strawberry.input(description="Whose value of a field stands.")
class FieldChoice:
    field: str = strawberry.field(description="The field's name.")
    from_: ID = strawberry.field(name="from", description="Survivor's or absorbed's.")


@strawberry.input(description="Two contacts that are one person.")
class MergeContactsInput(Versioned):
    survivor_id: ID = strawberry.field(description="The contact that stays.")
    absorbed_id: ID = strawberry.field(description="The contact that goes into it; its id leads there for ever.")
    reason: str = strawberry.field(description="Why. Kept with the events for ever.")
    keep: list[FieldChoice] | None = may_say("What stands where they differ; else what mergePreview proposes.")
    expected_absorbed_version: int | None = may_say("The version of the absorbed contact your form was opened at.")


@ruled(PARENT)
@strawberry.type(description="The survivor, and what was absorbed.")
class MergeContactsPayload(Payload):
    contact: Contact | None = record(Contact, "The survivor; null when refused.")
    absorbed: Contact | None = record(Contact, "The absorbed contact; null when refused.", 1)


@strawberry.input(description="A merge to take back.")
class UnmergeContactInput(Versioned):
    absorbed_id: ID = strawberry.field(description="The contact that was absorbed.")
    reason: str = strawberry.field(description="Why. Kept with the events for ever.")


async def _holder(self: "LostValue", info: Info) -> Any:
    return await records.load(info.context.reads.present, read_of(Contact), self.by)


@ruled(PARENT)
@strawberry.type(description="A value that another contact took meanwhile.")
class LostValue:
    kind: str = strawberry.field(description="email, identity or external_id.")
    value: str = strawberry.field(description="The value, in its normal form.")
    by: strawberry.Private[UUID]
    holder: Contact | None = strawberry.field(resolver=_holder, description="Who has it now, if you may see them.")


async def _undecided(self: "UnmergeContactPayload", info: Info) -> list[Event] | None:
    if self.user_errors:
        return None
    found = [await finding.node(info.context, NodeId("Event", self.ids[1], sub=one)) for one in self.versions]
    return [event for event in found if event is not None]


@ruled(PARENT)
@strawberry.type(description="Both contacts, each with its own later events.")
class UnmergeContactPayload(Payload):
    contact: Contact | None = record(Contact, "The contact that was absorbed; null when refused.")
    survivor: Contact | None = record(Contact, "The contact it was merged into; null when refused.", 1)
    versions: strawberry.Private[Sequence[int]] = ()
    undecided: list[Event] | None = strawberry.field(
        resolver=_undecided, description="Events that could be either's: they stay with the survivor."
    )
    lost: list[LostValue] | None = strawberry.field(
        default=None, description="What the contact comes back without, since others have it; null in a replay."
    )


@strawberry.input(description="Two contacts that look alike and are not one person.")
class MarkNotDuplicateInput(Envelope):
    contact_id: ID = strawberry.field(description="One of them.")
    other_id: ID = strawberry.field(description="The other.")


@ruled(PARENT)
@strawberry.type(description="Both contacts.")
class MarkNotDuplicatePayload(Payload):
    contact: Contact | None = record(Contact, "One; null when refused.")
    other: Contact | None = record(Contact, "The other; null when refused.", 1)


@strawberry.type
class MergingMutations:
    @mutation(
        MergeContactsPayload, needs(EntityType.CONTACT, Action.MERGE), shows=SHOWS,
        description="Merge a contact into another; unmergeContact takes it back at any time.",
    )  # fmt: skip
    async def merge_contacts(deed: Deed, input: MergeContactsInput) -> Outcome:
        parse_text(input.reason, ("reason",), longest=REASON_LENGTH)
        survivor = await named(deed, input.survivor_id, Action.MERGE, "survivorId")
        absorbed = await named(deed, input.absorbed_id, Action.MERGE, "absorbedId")
        keep = _choices(deed, input.keep or ())
        return await again(lambda: _merge(deed, survivor, absorbed, keep, input.expected_absorbed_version or None))

    @mutation(
        UnmergeContactPayload, needs(EntityType.CONTACT, Action.MERGE), shows=SHOWS,
        description="Take a merge back: each contact gets the events that were meant for it.",
    )  # fmt: skip
    async def unmerge_contact(deed: Deed, input: UnmergeContactInput) -> Answer:
        parse_text(input.reason, ("reason",), longest=REASON_LENGTH)
        absorbed = await named(deed, input.absorbed_id, Action.MERGE, "absorbedId")
        return await again(lambda: _unmerge(deed, absorbed))

    @mutation(
        MarkNotDuplicatePayload, needs(EntityType.CONTACT, Action.MERGE), shows=SHOWS,
        description="Say that two contacts are two people: they are no longer shown as duplicates.",
    )  # fmt: skip
    async def mark_not_duplicate(deed: Deed, input: MarkNotDuplicateInput) -> Outcome:
        one = await named(deed, input.contact_id, Action.MERGE, "contactId")
        other = await named(deed, input.other_id, Action.MERGE, "otherId")

        def decide(loaded: Mapping[UUID, Loaded[State] | None]) -> Decided:
            first, second = _both(loaded, one, other, ("contactId", "otherId"))
            return Decided(
                events={
                    one: contact.mark_not_duplicate(first.state, id=one, other_id=other),
                    other: contact.mark_not_duplicate(second.state, id=other, other_id=one),
                },
                ids=(one, other),
            )

        return await deed.store.transact(deed.command, [(CONTACT, one), (CONTACT, other)], decide)


def _choices(deed: Deed, keep: Sequence[FieldChoice]) -> dict[str, UUID]:
    found: dict[str, UUID] = {}
    for index, choice in enumerate(keep):
        if choice.field in found:
            message = "This field is chosen already."
            raise InvalidInputError(message, rule="contact.chosen_twice", field=("keep", str(index), "field"))
        found[choice.field] = deed.live(choice.from_, "Contact", field="from")
    return found


def _both(
    loaded: Mapping[UUID, Loaded[State] | None], one: UUID, other: UUID, fields: tuple[str, str]
) -> tuple[Loaded[State], Loaded[State]]:
    """Raises: NotFoundError at the field."""
    first, second = loaded[one], loaded[other]
    if first is None or second is None:
        raise absent("contact", (fields[0] if first is None else fields[1],))
    return first, second


async def _merge(
    deed: Deed, survivor: UUID, absorbed: UUID, keep: Mapping[str, UUID], absorbed_version: int | None
) -> Outcome:
    facts = [] if deed.expected_version is None else await deed.store.facts(deed.command.workspace, survivor)

    def decide(loaded: Mapping[UUID, Loaded[State] | None]) -> Decided:
        stays, goes = _both(loaded, survivor, absorbed, ("survivorId", "absorbedId"))
        merge = merging.merge(stays, goes, keep)
        if absorbed_version is not None and absorbed_version != goes.version:
            raise VersionConflictError(current_version=goes.version, conflicts=()).at("expectedAbsorbedVersion")
        if deed.expected_version is not None:
            check_version(CONTACT, stays, facts, deed.expected_version, merge.survivor)
        return Decided(events={survivor: merge.survivor, absorbed: merge.absorbed}, ids=(survivor, absorbed))

    return await deed.store.transact(deed.command, [(CONTACT, survivor), (CONTACT, absorbed)], decide)


async def _unmerge(deed: Deed, absorbed_id: UUID) -> Answer:
    workspace, store = deed.command.workspace, deed.store
    if (seen := await store.seen(deed.command)) is not None:
        return Answer(seen, {"versions": _noted(seen)})
    absorbed = await store.load(CONTACT, workspace, absorbed_id, follow=False)
    if absorbed is None:
        raise absent("contact", ("absorbedId",))
    survivor_id = absorbed.state.merged_into
    survivor = survivor_id and await store.load(CONTACT, workspace, survivor_id, follow=False)
    if survivor_id is None or survivor is None:
        raise RuleViolatedError("This contact is not merged.", rule="contact.not_merged", field=("absorbedId",))
    facts = await store.facts(workspace, survivor_id)
    first = unmerging.unmerge(survivor, facts, absorbed)
    holders = await store.holders(workspace, unmerging.values_of(survivor, absorbed, first))
    lost: list[tuple[str, str]] = []

    def decide(loaded: Mapping[UUID, Loaded[State] | None]) -> Decided:
        stays, goes = _both(loaded, survivor_id, absorbed_id, ("absorbedId", "absorbedId"))
        if deed.expected_version not in (None, goes.version):
            raise VersionConflictError(current_version=goes.version, conflicts=()).at("expectedVersion")
        unmerged = unmerging.unmerge(stays, facts, goes, holders=holders)
        lost[:] = unmerged.lost
        return Decided(
            events={survivor_id: unmerged.survivor, absorbed_id: unmerged.absorbed}, ids=(absorbed_id, survivor_id),
            refusals=[{"undecided": list(unmerged.undecided)}] if unmerged.undecided else (),
        )  # fmt: skip

    outcome = await store.transact(deed.command, [(CONTACT, survivor_id), (CONTACT, absorbed_id)], decide)
    values = [LostValue(kind=kind, value=_shown(key), by=holders[kind, key]) for kind, key in lost]
    return Answer(outcome, {"versions": _noted(outcome), "lost": values})


def _noted(outcome: Outcome) -> list[int]:
    return [version for note in outcome.refusals for version in note["undecided"]]


def _shown(key: str) -> str:
    """A reservation's normal form for reading; joint ones are JSON."""
    return ": ".join(json.loads(key)[-2:]) if key.startswith("[") else key
