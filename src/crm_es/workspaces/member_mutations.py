"""Inviting, registering and deactivating members, and their roles. Teams are in `team_mutations.py`."""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Identifier
from strawberry import ID, UNSET

from crm_es.api.enums import Action, EntityType
from crm_es.api.payloads import Deed, Envelope, Payload, Versioned, mutation, record
from crm_es.api.references import Reference, check
from crm_es.api.rules import PARENT, needs, ruled
from crm_es.errors import AlreadyExistsError, FieldPath, InvalidInputError
from crm_es.eventstore.store import Outcome
from crm_es.reads.operands import ExternalIdInput
from crm_es.reads.sql import Source
from crm_es.uuids import new_id
from crm_es.values import EmailAddress, ExternalId, joint_key, parse_text
from crm_es.workspaces import member
from crm_es.workspaces.graphql import Member
from crm_es.workspaces.member import ADMIN, MEMBER
from crm_es.workspaces.permissions import ROLES
from crm_es.workspaces.team import TEAM
from projections import members

SHOWS: Final = (members.NAME,)
ONE_AT_A_TIME: Final = SQL(
    "SELECT true FROM pg_advisory_xact_lock(hashtextextended('admins ' || $1::text, 0)) AS taken"
)
ADMINISTER: Final = needs(EntityType.MEMBER, Action.ADMINISTER)


@strawberry.input(description="A new member, who may sign in with the email.")
class InviteMemberInput(Envelope):
    email: str = strawberry.field(description="What they sign in with; nobody else's here.")
    name: str = strawberry.field(description="As the person is called.")
    roles: list[str] = strawberry.field(description="Keys of roles, one at least.")
    team_id: ID | None = strawberry.field(default=UNSET, description="Their team.")
    manager_id: ID | None = strawberry.field(default=UNSET, description="Whom they report to.")


@ruled(PARENT)
@strawberry.type(description="The new member.")
class InviteMemberPayload(Payload):
    member: Member | None = record(Member, "The new member; null when refused.")


@strawberry.input(
    description="A member known from elsewhere, with or without a login: owners of imported records, for example."
)
class RegisterMemberInput(Envelope):
    name: str = strawberry.field(description="As the person is called.")
    email: str | None = strawberry.field(default=UNSET, description="Without one they cannot sign in.")
    external_ids: list[ExternalIdInput] | None = strawberry.field(
        default=UNSET, description="What other systems call them; nobody else's here."
    )
    team_id: ID | None = strawberry.field(default=UNSET, description="Their team.")
    manager_id: ID | None = strawberry.field(default=UNSET, description="Whom they report to.")


@ruled(PARENT)
@strawberry.type(description="The new member.")
class RegisterMemberPayload(Payload):
    member: Member | None = record(Member, "The new member, without roles yet; null when refused.")


@strawberry.input(description="End a member's access at once. What they did and own stays; see `reassignRecords`.")
class DeactivateMemberInput(Versioned):
    id: ID = strawberry.field(description="Which member.")


@ruled(PARENT)
@strawberry.type(description="The member, deactivated.")
class DeactivateMemberPayload(Payload):
    member: Member | None = record(Member, "The member; null when refused.")


@strawberry.input(description="What a member may do from now on. `reason` must say why.")
class AssignRolesInput(Versioned):
    member_id: ID = strawberry.field(description="Which member.")
    roles: list[str] = strawberry.field(description="All of them, by key.")


@ruled(PARENT)
@strawberry.type(description="The member with the roles.")
class AssignRolesPayload(Payload):
    member: Member | None = record(Member, "The member; null when refused.")


@strawberry.type
class MemberMutations:
    @mutation(
        InviteMemberPayload, ADMINISTER, shows=SHOWS,
        description="A new member with a login. An email that another member has is refused.",
    )  # fmt: skip
    async def invite_member(deed: Deed, input: InviteMemberInput) -> Outcome:
        await check_roles(deed, input.roles, "roles")
        team_id, manager_id = await placed(deed, input)
        events = member.invite(
            name=parse_text(input.name, ("name",)), email=EmailAddress.parse(input.email, ("email",)),
            roles=input.roles, team_id=team_id, manager_id=manager_id,
        )  # fmt: skip
        return await _begin(deed, events)

    @mutation(
        RegisterMemberPayload, needs(EntityType.MEMBER, Action.CREATE), shows=SHOWS,
        description="A new member without roles. An email or external id that another member has is refused.",
    )  # fmt: skip
    async def register_member(deed: Deed, input: RegisterMemberInput) -> Outcome:
        team_id, manager_id = await placed(deed, input)
        events = member.register(
            name=parse_text(input.name, ("name",)),
            email=EmailAddress.parse(input.email, ("email",)) if input.email else None,
            external_ids=list(_external_ids(input.external_ids or ())), team_id=team_id, manager_id=manager_id,
        )  # fmt: skip
        return await _begin(deed, events)

    @mutation(
        DeactivateMemberPayload, ADMINISTER, shows=SHOWS,
        description="Take a member's access. Their token is refused from the next request on; the last admin stays.",
    )  # fmt: skip
    async def deactivate_member(deed: Deed, input: DeactivateMemberInput) -> Outcome:
        id_ = deed.live(input.id, "Member")
        others = await other_admins(deed, id_)
        return await deed.store.decide(
            deed.command, MEMBER, id_, lambda was: member.deactivate(was, other_admins=others),
            expected_version=deed.expected_version,
        )  # fmt: skip

    @mutation(
        AssignRolesPayload, ADMINISTER, shows=SHOWS,
        description="Give a member these roles and no others. The last admin stays one.",
    )  # fmt: skip
    async def assign_roles(deed: Deed, input: AssignRolesInput) -> Outcome:
        id_ = deed.live(input.member_id, "Member", field="memberId")
        check_reason(deed)
        await check_roles(deed, input.roles, "roles")
        others = await other_admins(deed, id_)
        return await deed.store.decide(
            deed.command, MEMBER, id_, lambda was: member.assign_roles(was, input.roles, other_admins=others),
            expected_version=deed.expected_version,
        )  # fmt: skip


async def _begin(deed: Deed, events: Sequence[member.MemberEvent]) -> Outcome:
    """A new member; a refusal of a value that is taken points at the value."""
    try:
        return await deed.store.create(deed.command, MEMBER, new_id(), events)
    except AlreadyExistsError as error:
        error.field = await _place(deed, events[0], error)
        raise


async def _place(deed: Deed, event: Any, error: AlreadyExistsError) -> FieldPath:
    if error.kind == "member_email":
        return ("email",)
    keys = [("external_id", joint_key("member", one.system, one.value)) for one in event.external_ids]
    holders = await deed.store.holders(deed.command.workspace, keys)
    return next(("externalIds", str(n)) for n, key in enumerate(keys) if holders.get(key) == error.holder)


async def placed(deed: Deed, input: InviteMemberInput | RegisterMemberInput) -> tuple[UUID | None, UUID | None]:
    """The team and the manager that an input names. Raises: NotFoundError."""
    team_id = deed.live(input.team_id, "Team", field="teamId") if input.team_id else None
    manager_id = deed.live(input.manager_id, "Member", field="managerId") if input.manager_id else None
    named = (Reference(TEAM, team_id, ("teamId",)) if team_id else None,
             Reference(MEMBER, manager_id, ("managerId",)) if manager_id else None)  # fmt: skip
    await check(deed, filter(None, named))
    return team_id, manager_id


def _external_ids(given: Sequence[ExternalIdInput]) -> Iterator[ExternalId]:
    for index, one in enumerate(given):
        field = ("externalIds", str(index))
        system, value = (
            parse_text(text, (*field, name)) for name, text in (("system", one.system), ("value", one.value))
        )
        yield ExternalId(system=system, value=value)


async def check_roles(deed: Deed, keys: Sequence[str], field: str) -> None:
    """Raises: InvalidInputError `role.unknown` at the first that is neither built in nor the workspace's own."""
    own = [("role", key) for key in keys if key not in ROLES]
    known = await deed.store.holders(deed.command.workspace, own) if own else {}
    for index, key in enumerate(keys):
        if key not in ROLES and ("role", key) not in known:
            message = "There is no role with this key: `roles` lists them all."
            raise InvalidInputError(message, rule="role.unknown", field=(field, str(index)))


def check_reason(deed: Deed) -> None:
    """What one may do changes for a reason that is on record. Raises: InvalidInputError `reason.required`."""
    if not (deed.command.reason or "").strip():
        raise InvalidInputError("Say why: this changes what people may do.", rule="reason.required", field=("reason",))


async def other_admins(deed: Deed, besides: UUID) -> int:
    """How many active admins there are beside this member: found in the read model, counted as their streams stand.

    Two who remove each other do so one after the other: the lock lasts until the operation's snapshot ends, after the append.
    """
    snapshot = await deed.context.snapshot()
    await snapshot.rows(ONE_AT_A_TIME, (str(deed.command.workspace),))
    query = deed.context.reads.present.query()
    statement = query.select(
        Source("members", members.MEMBER), "m", ("id",),
        lambda: [SQL("{} = ANY ({})").format(query.bind(ADMIN, "text"), Identifier("m", "roles")),
                 SQL("{} IS NULL").format(Identifier("m", "deactivated_at"))],
    )  # fmt: skip
    ids = [id_ for (id_,) in await deed.context.reads.present.rows(query, statement) if id_ != besides]
    found = await deed.store.load_many(MEMBER, deed.command.workspace, ids)
    return sum(ADMIN in one.state.roles and not one.state.deactivated for one in found.values())
