"""Making and renaming teams, and defining the workspace's own roles."""

from collections.abc import Awaitable, Sequence
from functools import partial

import strawberry
from strawberry import ID, UNSET

from crm_es.api.enums import Action, EntityType, Scope
from crm_es.api.ids import NodeId
from crm_es.api.payloads import Deed, Envelope, Payload, Versioned, mutation, record
from crm_es.api.rules import PARENT, ruled
from crm_es.context import Info
from crm_es.errors import AlreadyExistsError, FieldPath, InvalidInputError, RuleViolatedError
from crm_es.eventstore.store import Outcome
from crm_es.uuids import new_id
from crm_es.values import parse_text
from crm_es.workspaces import role, team
from crm_es.workspaces.graphql import Role, Team, find_role
from crm_es.workspaces.member_mutations import ADMINISTER, SHOWS, check_reason
from crm_es.workspaces.permissions import MASKABLE, ROLES
from crm_es.workspaces.role import ROLE
from crm_es.workspaces.team import TEAM


@strawberry.input(description="A new team.")
class CreateTeamInput(Envelope):
    name: str = strawberry.field(description="What to call it; no other team is called so.")


@ruled(PARENT)
@strawberry.type(description="The new team.")
class CreateTeamPayload(Payload):
    team: Team | None = record(Team, "The new team; null when refused.")


@strawberry.input(description="Another name for a team.")
class UpdateTeamInput(Versioned):
    id: ID = strawberry.field(description="Which team.")
    name: str = strawberry.field(description="What to call it from now on.")


@ruled(PARENT)
@strawberry.type(description="The team as it is now.")
class UpdateTeamPayload(Payload):
    team: Team | None = record(Team, "The team; null when refused.")


@strawberry.input(description="One thing a role lets one do.")
class PermissionInput:
    type: EntityType = strawberry.field(description="With which records.")
    action: Action = strawberry.field(description="What.")
    scope: Scope = strawberry.field(description="With how many of them.")
    fields: list[str] | None = strawberry.field(
        default=UNSET, description="Of READ: which of the fields that can be withheld are shown; all, if left out."
    )


@strawberry.input(
    description="A role of the workspace's own, new or as it shall be from now on. `reason` must say why."
)
class DefineRoleInput(Envelope):
    key: str = strawberry.field(description="Its stable name; of a role that exists, which one.")
    name: str = strawberry.field(description="What to call it.")
    permissions: list[PermissionInput] = strawberry.field(description="All it lets one do; everything else is denied.")


async def _defined(self: "DefineRolePayload", info: Info) -> Role | None:
    return await find_role(info.context, NodeId("Role", self.ids[0])) if self.ids else None


@ruled(PARENT)
@strawberry.type(description="The role as it is now.")
class DefineRolePayload(Payload):
    role: Role | None = strawberry.field(resolver=_defined, description="The role; null when refused.")


@strawberry.type
class TeamMutations:
    @mutation(CreateTeamPayload, ADMINISTER, shows=SHOWS, description="A new team. A name in use is refused.")
    async def create_team(deed: Deed, input: CreateTeamInput) -> Outcome:
        name = parse_text(input.name, ("name",))
        return await _pointing("name", deed.store.create(deed.command, TEAM, new_id(), team.create(name)))

    @mutation(UpdateTeamPayload, ADMINISTER, shows=SHOWS, description="Rename a team. A name in use is refused.")
    async def update_team(deed: Deed, input: UpdateTeamInput) -> Outcome:
        id_, name = deed.live(input.id, "Team"), parse_text(input.name, ("name",))
        decided = deed.store.decide(
            deed.command, TEAM, id_, lambda was: team.update(was, name), expected_version=deed.expected_version
        )
        return await _pointing("name", decided)

    @mutation(
        DefineRolePayload, ADMINISTER, shows=SHOWS,
        description="Make a role, or change one: whoever has it is bound by it from the next request on.",
    )  # fmt: skip
    async def define_role(deed: Deed, input: DefineRoleInput) -> Outcome:
        check_reason(deed)
        if input.key in ROLES:
            message = "A built-in role keeps its meaning: define one under another key."
            raise RuleViolatedError(message, rule="role.built_in", field=("key",))
        name, granted = parse_text(input.name, ("name",)), permissions(input.permissions)
        decision = partial(role.define, key=input.key, name=name, permissions=granted)
        known = await deed.store.holder(deed.command.workspace, "role", input.key)
        if known is None:
            return await _pointing("key", deed.store.create(deed.command, ROLE, new_id(), decision(None)))
        return await deed.store.decide(deed.command, ROLE, known, decision)


def permissions(given: Sequence[PermissionInput]) -> list[role.Permission]:
    """Raises: InvalidInputError `role.unknown_field`."""
    return [
        role.Permission(
            type=one.type, action=one.action, scope=one.scope, fields=_shown(one, ("permissions", str(index)))
        )
        for index, one in enumerate(given)
    ]


def _shown(given: PermissionInput, field: FieldPath) -> tuple[str, ...] | None:
    if given.fields is UNSET or given.fields is None:
        return None
    maskable = MASKABLE.get(given.type, frozenset()) if given.action is Action.READ else frozenset[str]()
    for index, name in enumerate(given.fields):
        if name not in maskable:
            told = ", ".join(sorted(maskable)) or "none"
            message = f"Nothing of this name can be withheld. What can, of what this permission reads: {told}."
            raise InvalidInputError(message, rule="role.unknown_field", field=(*field, "fields", str(index)))
    return tuple(given.fields)


async def _pointing(field: str, done: Awaitable[Outcome]) -> Outcome:
    """A refusal of a value that is taken points at the value."""
    try:
        return await done
    except AlreadyExistsError as error:
        error.field = (field,)
        raise
