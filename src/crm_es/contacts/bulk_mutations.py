"""Changing or archiving up to 1,000 contacts at once."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import strawberry

from crm_es.api import batches
from crm_es.api.batches import Change, Parse
from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Answer, Deed, Envelope, Payload, mutation
from crm_es.api.references import Reference
from crm_es.api.rows import Row, changed, record
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.contacts import contact, editing, inputs
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.graphql import Contact
from crm_es.contacts.inputs import UpdateContactInput
from crm_es.contacts.mutations import SHOWS, ArchiveContactInput, checked_edit
from crm_es.errors import FieldPath


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


@ruled(PARENT)
@strawberry.type(description="What became of one row of a batch.")
class ContactRow(Row):
    contact: Contact | None = record(Contact, "The contact; null when refused.")


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


async def _change(deed: Deed, input: Any, action: Action, parse: Parse) -> Answer:
    rows = await batches.rows(deed, input.contacts, "contacts", Contact, action, parse)
    return await changed(deed, CONTACT, rows, ContactRow, all_or_none=input.all_or_none)


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
