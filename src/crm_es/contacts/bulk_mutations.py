"""Changing or archiving up to 1,000 contacts at once."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import strawberry

from crm_es.api import batches
from crm_es.api.batches import Change, Done, Row
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Answer, Deed, Envelope, Payload, mutation
from crm_es.api.problems import UserError
from crm_es.api.references import Reference, located, missing, within_reach
from crm_es.api.refusals import REFUSALS, user_error
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts import contact, editing, inputs
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.graphql import Contact
from crm_es.contacts.inputs import UpdateContactInput
from crm_es.contacts.mutations import SHOWS, ArchiveContactInput, checked_edit
from crm_es.context import Info
from crm_es.errors import CrmError, FieldPath, InvalidInputError
from crm_es.occasions import check_happened
from crm_es.reads import records
from crm_es.reads.model import read_of


@strawberry.input(description="Up to 1,000 changes.")
class UpdateContactsInput(Envelope):
    contacts: list[UpdateContactInput] = strawberry.field(
        description="Each contact once. commandId and reason stand on the batch."
    )
    all_or_none: bool = strawberry.field(default=True, description="False: what can be changed is, row by row.")


@strawberry.input(description="Up to 1,000 contacts to put away.")
class ArchiveContactsInput(Envelope):
    contacts: list[ArchiveContactInput] = strawberry.field(
        description="Each contact once. commandId and reason stand on the batch."
    )
    all_or_none: bool = strawberry.field(default=True, description="False: what can be archived is, row by row.")


async def _contact(self: "ContactRow", info: Info) -> Any:
    if self.id is None:
        return None
    return await records.load(info.context.reads.present, read_of(Contact), self.id)


@ruled(PARENT)
@strawberry.type(description="What became of one row of a batch.")
class ContactRow:
    index: int = strawberry.field(description="Which row, from 0.")
    user_errors: list[UserError] = strawberry.field(description="Why it was refused; empty when it was not.")
    id: strawberry.Private[UUID | None]
    contact: Contact | None = strawberry.field(resolver=_contact, description="The contact; null when refused.")


@ruled(PARENT)
@strawberry.type(description="What became of each row.")
class UpdateContactsPayload(Payload):
    rows: list[ContactRow] = strawberry.field(default_factory=list, description="In the order they were sent.")


@ruled(PARENT)
@strawberry.type(description="What became of each row.")
class ArchiveContactsPayload(Payload):
    rows: list[ContactRow] = strawberry.field(default_factory=list, description="In the order they were sent.")


@strawberry.type
class BulkContactMutations:
    @mutation(
        UpdateContactsPayload, needs(EntityType.CONTACT, Action.UPDATE), shows=SHOWS,
        description="Change up to 1,000 contacts, all or none or row by row.",
    )  # fmt: skip
    async def update_contacts(deed: Deed, input: UpdateContactsInput) -> Answer:
        return await _change(deed, input, Action.UPDATE, _edit)

    @mutation(
        ArchiveContactsPayload, needs(EntityType.CONTACT, Action.ARCHIVE), shows=SHOWS,
        description="Put up to 1,000 contacts away, all or none or row by row.",
    )  # fmt: skip
    async def archive_contacts(deed: Deed, input: ArchiveContactsInput) -> Answer:
        return await _change(deed, input, Action.ARCHIVE, _archive)


Parse = Callable[[Deed, Any, FieldPath], tuple[Change, Iterable[Reference]]]


async def _change(deed: Deed, input: Any, action: Action, parse: Parse) -> Answer:
    batches.check_length(input.contacts, "contacts")
    rows = await _rows(deed, input.contacts, action, parse)
    outcome, done = await batches.change(deed, CONTACT, rows, all_or_none=input.all_or_none)
    if input.all_or_none and any(one.error for one in done):
        return Answer(outcome, {"user_errors": [user_error(one.error) for one in done if one.error]})
    return Answer(outcome, {"rows": [_answered(index, one) for index, one in enumerate(done)]})


def _answered(index: int, done: Done) -> ContactRow:
    return ContactRow(index=index, id=done.id, user_errors=[user_error(done.error)] if done.error else [])


async def _rows(deed: Deed, given: Sequence[Any], action: Action, parse: Parse) -> list[Row]:
    """Each row as a change, or why it cannot be one."""
    rows: list[Row] = []
    references: list[Reference] = []
    for index, each in enumerate(given):
        place = ("contacts", str(index))
        try:
            _check_envelope(each, deed.context.now)
            change, named = parse(deed, each, place)
            references += [Reference(one.aggregate, one.id, (*place, *one.field)) for one in named]
            rows.append(change)
        except REFUSALS as error:
            rows.append(located(error, place=place))
    refused: dict[str, CrmError] = {error.field[1]: error for error in await missing(deed, references)}
    refused |= await _out_of_reach(deed, action, rows)
    return [refused.get(str(index), row) for index, row in enumerate(rows)]


async def _out_of_reach(deed: Deed, action: Action, rows: Sequence[Row]) -> dict[str, CrmError]:
    try:
        await within_reach(deed, action, Contact, {r.id: (*r.place, "id") for r in rows if isinstance(r, Change)})
    except REFUSALS as error:
        return {error.field[1]: error}
    return {}


def _check_envelope(row: Any, now: datetime) -> None:
    check_happened(row.occurred_at, now)
    for name in ("command_id", "reason"):
        if getattr(row, name):
            named = "commandId" if name == "command_id" else name
            raise InvalidInputError(
                f"In a batch {named} stands on the batch.", rule="batch.row_envelope", field=(named,)
            )


def _edit(deed: Deed, row: UpdateContactInput, place: FieldPath) -> tuple[Change, Iterable[Reference]]:
    id_, form = deed.live(row.id, "Contact"), checked_edit(deed, row)
    change = Change(
        id=id_, place=place, decide=partial(editing.update, form=form, reason=deed.command.reason),
        expected_version=row.expected_version, occurred_at=row.occurred_at, lists=inputs.LISTS,
        taken=inputs.places(form, adding=True),
    )  # fmt: skip
    return change, inputs.references(form)


def _archive(deed: Deed, row: ArchiveContactInput, place: FieldPath) -> tuple[Change, Iterable[Reference]]:
    change = Change(
        id=deed.live(row.id, "Contact"), place=place, decide=contact.archive, expected_version=row.expected_version,
        occurred_at=row.occurred_at,
    )  # fmt: skip
    return change, ()
