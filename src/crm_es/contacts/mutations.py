"""Registering, changing, archiving and restoring contacts. Merging is in `merging_mutations.py`."""

from typing import Final
from uuid import UUID

import strawberry
from strawberry import ID

from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Payload, Versioned, mutation, record
from crm_es.api.references import addressed, check, check_shown, pointing, within_reach
from crm_es.api.rules import PARENT, needs, permit, ruled
from crm_es.contacts import contact, editing, inputs
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.graphql import Contact
from crm_es.contacts.inputs import RegisterContactInput, UpdateContactInput
from crm_es.eventstore.store import Outcome
from crm_es.uuids import new_id

SHOWS: Final = ("contact_profiles", "interactions", "milestones")


@ruled(PARENT)
@strawberry.type(description="The new contact.")
class RegisterContactPayload(Payload):
    contact: Contact | None = record(Contact, "The new contact; null when refused.")


@ruled(PARENT)
@strawberry.type(description="The contact as it is now.")
class UpdateContactPayload(Payload):
    contact: Contact | None = record(Contact, "The contact; of a merged one the survivor. Null when refused.")


@strawberry.input(description="Put a contact away: lists leave it out, its unique values are free for others.")
class ArchiveContactInput(Versioned):
    id: ID = strawberry.field(description="Which contact.")


@ruled(PARENT)
@strawberry.type(description="The contact, archived.")
class ArchiveContactPayload(Payload):
    contact: Contact | None = record(Contact, "The contact; null when refused.")


@strawberry.input(description="Take an archived contact back; refused where another took one of its unique values.")
class RestoreContactInput(Versioned):
    id: ID = strawberry.field(description="Which contact.")


@ruled(PARENT)
@strawberry.type(description="The contact, in use again.")
class RestoreContactPayload(Payload):
    contact: Contact | None = record(Contact, "The contact; null when refused.")


async def named(deed: Deed, id_: str, action: Action, field: str = "id") -> UUID:
    """The contact of an input, within the actor's reach for this action."""
    found = deed.live(id_, "Contact", field=field)
    await within_reach(deed, action, Contact, {found: (field,)})
    return found


@strawberry.type
class ContactMutations:
    @mutation(
        RegisterContactPayload, needs(EntityType.CONTACT, Action.CREATE), shows=SHOWS,
        description="A new contact. An email, identity or external id that another contact has is refused.",
    )  # fmt: skip
    async def register_contact(deed: Deed, input: RegisterContactInput) -> Outcome:
        form = inputs.registration(input)
        await check(deed, inputs.references(form))
        async with pointing(deed, inputs.places(form, adding=False)):
            return await deed.store.create(deed.command, CONTACT, new_id(), editing.register(form))

    @mutation(
        UpdateContactPayload, needs(EntityType.CONTACT, Action.UPDATE), shows=SHOWS,
        description="Change a contact: what is left out stays, null clears. A merged contact's id means its survivor.",
    )  # fmt: skip
    async def update_contact(deed: Deed, input: UpdateContactInput) -> Outcome:
        id_, form = await named(deed, input.id, Action.UPDATE), checked_edit(deed, input)
        await check(deed, inputs.references(form))
        async with addressed("contact", lists=inputs.LISTS), pointing(deed, inputs.places(form, adding=True)):
            return await deed.store.decide(
                deed.command, CONTACT, id_, lambda was: editing.update(was, form, reason=deed.command.reason),
                expected_version=deed.expected_version,
            )  # fmt: skip

    @mutation(
        ArchiveContactPayload, needs(EntityType.CONTACT, Action.ARCHIVE), shows=SHOWS,
        description="Put a contact away.",
    )  # fmt: skip
    async def archive_contact(deed: Deed, input: ArchiveContactInput) -> Outcome:
        id_ = await named(deed, input.id, Action.ARCHIVE)
        async with addressed("contact"):
            return await deed.store.decide(
                deed.command, CONTACT, id_, contact.archive, expected_version=deed.expected_version
            )

    @mutation(
        RestoreContactPayload, needs(EntityType.CONTACT, Action.ARCHIVE), shows=SHOWS,
        description="Take an archived contact back.",
    )  # fmt: skip
    async def restore_contact(deed: Deed, input: RestoreContactInput) -> Outcome:
        id_ = await named(deed, input.id, Action.ARCHIVE)
        async with addressed("contact"):
            return await deed.store.decide(
                deed.command, CONTACT, id_, contact.restore, expected_version=deed.expected_version
            )


def checked_edit(deed: Deed, input: UpdateContactInput) -> editing.ContactEdit:
    """Raises: InvalidInputError, NotAllowedError for masked fields, and for another owner without ASSIGN."""
    check_shown(deed, EntityType.CONTACT, input)
    if input.owner_id is not strawberry.UNSET:
        permit(deed.context, EntityType.CONTACT, Action.ASSIGN)
    return inputs.edit(input)
