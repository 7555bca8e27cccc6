"""Four small mutations, declared as the rooms declare theirs."""

from uuid import uuid4

import strawberry

from crm_es.api.payloads import Deed, Envelope, Payload, Versioned, mutation, record, said
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.errors import RuleViolatedError
from crm_es.eventstore.store import Outcome
from crm_es.values import EmailAddress
from crm_es.workspaces import member, workspace
from crm_es.workspaces.actions import Action, EntityType
from crm_es.workspaces.graphql import Member, Workspace

ADMINISTER = needs(EntityType.MEMBER, Action.ADMINISTER)


@strawberry.input
class CreateInput(Envelope):
    name: str
    email: str


@strawberry.input
class RenameInput(Versioned):
    name: str | None = strawberry.UNSET
    currency: str | None = strawberry.UNSET


@ruled(PARENT)
@strawberry.type
class CreatePayload(Payload):
    member: Member | None = record(Member, "The new one.")


@ruled(PARENT)
@strawberry.type
class RenamePayload(Payload):
    workspace: Workspace | None = record(Workspace, "The workspace.")


@strawberry.type
class Mutation:
    @mutation(CreatePayload, ADMINISTER, shows=("members",), description="A member.")
    async def create(deed: Deed, input: CreateInput) -> Outcome:  # noqa: N805  # a body is given its deed
        email = EmailAddress.parse(input.email, ("email",))
        return await deed.store.create(
            deed.command, member.MEMBER, uuid4(), member.invite(name=input.name, email=email, roles=("sales",))
        )

    @mutation(RenamePayload, ADMINISTER, shows=("members",), description="The workspace.")
    async def rename(deed: Deed, input: RenameInput) -> Outcome:  # noqa: N805  # a body is given its deed
        return await deed.store.decide(
            deed.command, workspace.WORKSPACE, deed.context.workspace,
            lambda w: workspace.update(w, name=said(input.name), currency=said(input.currency)),
            expected_version=deed.expected_version,
        )  # fmt: skip

    @mutation(RenamePayload, ADMINISTER, shows=("members",), description="Breaks a rule.")
    async def forbidden(_deed: Deed, input: Envelope) -> Outcome:  # noqa: N805, ARG002  # a body is given its deed
        raise RuleViolatedError("Not on Sundays.", rule="workspace.sunday", field=("name",))

    @mutation(RenamePayload, ADMINISTER, shows=("members",), description="Breaks.")
    async def broken(_deed: Deed, input: Envelope) -> Outcome:  # noqa: N805, ARG002  # a body is given its deed
        raise ZeroDivisionError("secret of the house")
