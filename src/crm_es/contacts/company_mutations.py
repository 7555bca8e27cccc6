"""Registering, changing, archiving and restoring companies."""

from typing import Any, Final
from uuid import UUID

import strawberry
from strawberry import ID

from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Payload, Versioned, mutation, record
from crm_es.api.references import addressed, check, check_shown, pointing, within_reach
from crm_es.api.rules import PARENT, needs, permit, ruled
from crm_es.contacts import company, company_inputs
from crm_es.contacts.company import COMPANY
from crm_es.contacts.company_graphql import Company
from crm_es.contacts.company_inputs import RegisterCompanyInput, UpdateCompanyInput
from crm_es.contacts.inputs import LISTS, references
from crm_es.eventstore.store import Outcome
from crm_es.uuids import new_id

SHOWS: Final = ("contact_profiles", "interactions", "milestones")
DEEPEST: Final = 100


@ruled(PARENT)
@strawberry.type(description="The new company.")
class RegisterCompanyPayload(Payload):
    company: Company | None = record(Company, "The new company; null when refused.")


@ruled(PARENT)
@strawberry.type(description="The company as it is now.")
class UpdateCompanyPayload(Payload):
    company: Company | None = record(Company, "The company; null when refused.")


@strawberry.input(description="Put a company away: lists leave it out, its domains are free for others.")
class ArchiveCompanyInput(Versioned):
    id: ID = strawberry.field(description="Which company.")


@ruled(PARENT)
@strawberry.type(description="The company, archived.")
class ArchiveCompanyPayload(Payload):
    company: Company | None = record(Company, "The company; null when refused.")


@strawberry.input(description="Take an archived company back; refused where another took one of its domains.")
class RestoreCompanyInput(Versioned):
    id: ID = strawberry.field(description="Which company.")


@ruled(PARENT)
@strawberry.type(description="The company, in use again.")
class RestoreCompanyPayload(Payload):
    company: Company | None = record(Company, "The company; null when refused.")


async def _named(deed: Deed, input: Any, action: Action) -> UUID:
    """The company of an input, within the actor's reach for this action."""
    found = deed.live(input.id, "Company")
    await within_reach(deed, action, Company, {found: ("id",)})
    return found


async def _ancestors(deed: Deed, parent_id: object) -> list[UUID]:
    """The parent's own parent, that one's parent, up to the top."""
    found: list[UUID] = []
    while isinstance(parent_id, UUID) and parent_id not in found and len(found) < DEEPEST:
        found.append(parent_id)
        loaded = await deed.store.load(COMPANY, deed.command.workspace, parent_id)
        parent_id = loaded.state.parent_id if loaded else None
    return found


@strawberry.type
class CompanyMutations:
    @mutation(
        RegisterCompanyPayload, needs(EntityType.COMPANY, Action.CREATE), shows=SHOWS,
        description="A new company. A domain or external id that another company has is refused.",
    )  # fmt: skip
    async def register_company(deed: Deed, input: RegisterCompanyInput) -> Outcome:
        form, id_ = company_inputs.registration(input), new_id()
        await check(deed, references(form))
        async with pointing(deed, company_inputs.places(form, adding=False)):
            return await deed.store.create(deed.command, COMPANY, id_, company.register(form, id=id_))

    @mutation(
        UpdateCompanyPayload, needs(EntityType.COMPANY, Action.UPDATE), shows=SHOWS,
        description="Change a company: what is left out stays, null clears.",
    )  # fmt: skip
    async def update_company(deed: Deed, input: UpdateCompanyInput) -> Outcome:
        id_, form = await _named(deed, input, Action.UPDATE), _checked_edit(deed, input)
        await check(deed, references(form))
        ancestors = await _ancestors(deed, form.parent_id)
        async with addressed("company", lists=LISTS), pointing(deed, company_inputs.places(form, adding=True)):
            return await deed.store.decide(
                deed.command, COMPANY, id_, lambda was: company.update(was, form, id=id_, ancestors=ancestors),
                expected_version=deed.expected_version,
            )  # fmt: skip

    @mutation(
        ArchiveCompanyPayload, needs(EntityType.COMPANY, Action.ARCHIVE), shows=SHOWS,
        description="Put a company away.",
    )  # fmt: skip
    async def archive_company(deed: Deed, input: ArchiveCompanyInput) -> Outcome:
        id_ = await _named(deed, input, Action.ARCHIVE)
        async with addressed("company"):
            return await deed.store.decide(
                deed.command, COMPANY, id_, company.archive, expected_version=deed.expected_version
            )

    @mutation(
        RestoreCompanyPayload, needs(EntityType.COMPANY, Action.ARCHIVE), shows=SHOWS,
        description="Take an archived company back.",
    )  # fmt: skip
    async def restore_company(deed: Deed, input: RestoreCompanyInput) -> Outcome:
        id_ = await _named(deed, input, Action.ARCHIVE)
        async with addressed("company"):
            return await deed.store.decide(
                deed.command, COMPANY, id_, company.restore, expected_version=deed.expected_version
            )


def _checked_edit(deed: Deed, input: UpdateCompanyInput) -> company.CompanyEdit:
    """Raises: InvalidInputError, NotAllowedError for masked fields, and for another owner without ASSIGN."""
    check_shown(deed, EntityType.COMPANY, input)
    if input.owner_id is not strawberry.UNSET:
        permit(deed.context, EntityType.COMPANY, Action.ASSIGN)
    return company_inputs.edit(input)
