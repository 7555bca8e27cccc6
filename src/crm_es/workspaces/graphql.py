"""Who is asking, and who else is there: the viewer, the workspace, its members, teams, roles, keys and saved views."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, LiteralString
from uuid import UUID, uuid5

import strawberry
from graphql import GraphQLError
from graphql.type import GraphQLList, is_input_type
from graphql.utilities import validate_input_value
from psycopg.sql import SQL, Composable, Identifier
from strawberry import ID

from crm_es.api import ids
from crm_es.api.enums import Action, EntityType, Scope
from crm_es.api.ids import NodeId
from crm_es.api.nodes import Entity, Node
from crm_es.api.rules import PARENT, SIGNED_IN, permit, ruled
from crm_es.api.scalars import JSON, Position, TimeZone
from crm_es.context import Context, Info
from crm_es.errors import FieldPath
from crm_es.reads import listing, pages, records
from crm_es.reads.declare import Source, State, batched, column, id_of, one, read_type
from crm_es.reads.model import read_of
from crm_es.reads.pages import Listed, Window
from crm_es.reads.session import Moment, Reads
from crm_es.reads.sql import Query
from crm_es.workspaces.actions import LOOKING
from crm_es.workspaces.permissions import ROLES
from projections import members

NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
MOST: Final = 1_000


@ruled(SIGNED_IN)
@strawberry.type(description="What a role lets one do.")
class Permission:
    type: EntityType = strawberry.field(description="With which records.")
    action: Action = strawberry.field(description="What.")
    scope: Scope = strawberry.field(description="With how many of them.")
    fields: list[str] | None = strawberry.field(description="Which fields that can be withheld are shown; null: all.")


@ruled(SIGNED_IN)
@strawberry.type(description="A named set of permissions; what none of one's roles permits is denied.")
class Role(Node):
    key: str = strawberry.field(description="Its stable name, as `assignRoles` takes it.")
    name: str = strawberry.field(description="What to call it.")
    permissions: list[Permission] = strawberry.field(description="What it lets one do.")


@read_type(Source("members", members.WORKSPACE))
class Workspace(Node):
    """A tenant: nothing in one knows of any other."""

    id: ID = id_of("id", "Workspace", "Its global id.")
    name: str = column("name", "What it is called.")
    time_zone: TimeZone = column("time_zone", "Where its days begin.")
    currency: str = column("currency", "ISO 4217: what amounts are in unless they say otherwise.")
    week_starts_on: int = column("week_starts_on", "1 = Monday.")


@read_type(Source("members", members.TEAM))
class Team(Node):
    """Members who work together; the scope TEAM reaches what any of them owns."""

    id: ID = id_of("id", "Team", "Its global id.")
    name: str = column("name", "What it is called.")


async def _roles(reads: Reads, found: Sequence[Any], _given: Mapping[str, Any]) -> list[list[Role]]:
    known = await all_roles(reads)
    return [[known[key] for key in records.raw(each, "roles") if key in known] for each in found]


def _left(deactivated_at: datetime | None) -> frozenset[Action] | None:
    """What is left to do with one who no longer works here; None: everything."""
    return None if deactivated_at is None else LOOKING | {Action.ERASE}


@read_type(
    Source("members", members.MEMBER), entity="MEMBER", label="name", team="team_id",
    state=State(columns=("deactivated_at",), leaves=_left),
)  # fmt: skip
class Member(Entity):
    """A person of the workspace, with or without a login."""

    name: str | None = column("name", "As the person is called.")
    email: str | None = column("email", "What they sign in with; null for members without a login.", sensitive=True)
    roles: list[Role] = batched(_roles, list[Role], "Their roles.", columns=("roles",))
    team: Team | None = one("team_id", lambda: Team, "Their team.")
    manager: "Member | None" = one("manager_id", lambda: Member, "Whom they report to.")
    deactivated_at: datetime | None = column("deactivated_at", "Since when they may no longer sign in.")


async def _last_used(_reads: Reads, found: Sequence[Any], _given: Mapping[str, Any]) -> list[datetime | None]:
    """Not of the log: under `asOf` as it is now."""
    moment = records.moment_of(found[0])
    query = moment.query()
    statement = SQL(
        "SELECT api_key_id, used_at FROM es.api_key_use WHERE workspace_id = {} AND api_key_id = ANY ({})"
    ).format(
        query.bind(moment.reads.workspace, "uuid"), query.bind([records.raw(each, "id") for each in found], "uuid[]")
    )
    used = dict(await moment.rows(query, statement))
    return [used.get(records.raw(each, "id")) for each in found]


@read_type(Source("members", members.API_KEY))
class ApiKey(Node):
    """A program that may sign in. Its secret is shown once, when it is issued."""

    id: ID = id_of("id", "ApiKey", "Its global id.")
    name: str = column("name", "What it is for.")
    scopes: list[str] = column("scopes", "Keys of the roles it acts with.")
    created_at: datetime = column("created_at", "When it was issued.")
    expires_at: datetime | None = column("expires_at", "When it ends by itself.")
    last_used_at: datetime | None = batched(
        _last_used, datetime | None, "When it last signed in, give or take a minute; null: never.", columns=("id",)
    )
    revoked_at: datetime | None = column("revoked_at", "When it was revoked.")


def _shared_or_mine(query: Query, alias: LiteralString) -> Composable:
    mine = query.bind(query.viewer.member_id, "uuid")
    return SQL("({} OR {} = {})").format(Identifier(alias, "shared"), Identifier(alias, "owner_id"), mine)


async def _valid(self: Any, info: Info) -> bool:
    """Whether the variables would still be taken by the list they were saved of."""
    types = info.schema._schema.type_map  # noqa: SLF001  # Strawberry has no public name for it
    filter_, order_by = (json.loads(records.raw(self, name) or "null") for name in ("filter", "order_by"))
    return not misfits(types, records.raw(self, "target"), filter_, order_by)


def misfits(types: Mapping[str, Any], target: str, filter: object, order_by: object) -> list[tuple[FieldPath, str]]:
    """Where and why the list of `target` would not take these variables. One without a filter takes the empty one."""
    name = str(target).title().replace("_", "")
    order = types.get(f"{name}Order")
    return [
        *_misfits(types.get(f"{name}Filter"), filter, "filter"),
        *_misfits(order and GraphQLList(order), order_by, "orderBy"),
    ]


def _misfits(kind: Any, value: object, field: str) -> list[tuple[FieldPath, str]]:
    if not value:
        return []
    if not is_input_type(kind):
        return [((field,), f"This list takes no {field}.")]
    found: list[tuple[FieldPath, str]] = []

    def note(error: GraphQLError, path: list[str | int]) -> None:
        found.append(((field, *map(str, path)), error.message.partition(", found: ")[0].rstrip(".") + "."))

    validate_input_value(value, kind, note, hide_suggestions=True)
    return found


@read_type(Source("members", members.SAVED_VIEW), hidden=_shared_or_mine)
class SavedView(Node):
    """A list's filter, order and columns under a name."""

    id: ID = id_of("id", "SavedView", "Its global id.")
    name: str = column("name", "What it is called.")
    target: EntityType = column("target", "Which list it is of.", render=EntityType)
    filter: JSON = column("filter", "The list's `filter`, as a variable.", render=json.loads)
    order_by: JSON | None = column("order_by", "The list's `orderBy`, as a variable.", render=json.loads)
    columns: list[str] | None = column("columns", "Which columns to show.")
    shared: bool = column("shared", "Everybody in the workspace sees it.")
    owner: Member | None = one("owner_id", lambda: Member, "Whose it is.")
    valid: bool = strawberry.field(
        resolver=_valid,
        description="False when the schema has moved on and the list would refuse it.",
        metadata={"rule": PARENT},
    )


async def _my_permissions(info: Info) -> list[Permission]:
    return [_permission(each) for each in info.context.permissions.listed]


async def _my_end(info: Info) -> datetime:
    return info.context.identity.expires_at or NEVER


async def _me(info: Info) -> Member | None:
    member: Member | None = await _found(info.context.reads.present, Member, info.context.identity.member_id)
    return member


async def _my_key(info: Info) -> ApiKey | None:
    api_key: ApiKey | None = await _found(info.context.reads.present, ApiKey, info.context.identity.api_key_id)
    return api_key


async def _my_workspace(info: Info) -> Workspace:
    workspace: Workspace = await _found(info.context.reads.present, Workspace, info.context.workspace)
    return workspace


async def _my_roles(info: Info) -> list[Role]:
    known = await all_roles(info.context.reads)
    return [known[key] for key in info.context.identity.role_keys if key in known]


async def _position(info: Info) -> Position:
    return Position(await info.context.reads.position())


def _mine(resolver: Any, description: str) -> Any:
    return strawberry.field(resolver=resolver, description=description)


@ruled(SIGNED_IN)
@strawberry.type(description="You, as this request was signed in.")
class Viewer:
    permissions: list[Permission] = _mine(_my_permissions, "What all your roles together let you do.")
    expires_at: datetime = _mine(_my_end, "When your token ends; the year 9999 for a key without end.")
    member: Member | None = _mine(_me, "You as a member; null for a program.")
    api_key: ApiKey | None = _mine(_my_key, "The key a program signed in with.")
    workspace: Workspace = _mine(_my_workspace, "Where you are.")
    roles: list[Role] = _mine(_my_roles, "Your roles.")
    position: Position = _mine(_position, "How far the log is shown to you: for CRM-Min-Position, and for `changes`.")


async def viewer() -> Viewer:
    return Viewer()


async def teams(info: Info) -> list[Team]:
    return await everything(info.context.reads.present, Team, "name")


async def roles(info: Info) -> list[Role]:
    return sorted((await all_roles(info.context.reads)).values(), key=lambda role: role.key)


async def api_keys(info: Info) -> list[ApiKey] | None:
    return await everything(info.context.reads.present, ApiKey, "created_at")


async def saved_views(
    info: Info,
    target: Annotated[EntityType | None, strawberry.argument(description="Of this list alone.")] = strawberry.UNSET,
) -> list[SavedView]:
    views = await everything(info.context.reads.present, SavedView, "name")
    return [view for view in views if not target or records.raw(view, "target") == target]


async def find_api_key(context: Context, named: NodeId) -> Any:
    """For administrators, and the key itself. Raises: NotAllowedError."""
    if named.id != context.identity.api_key_id:
        permit(context, EntityType.MEMBER, Action.ADMINISTER)
    return await records.load(await context.reads.moment_at(named.at), read_of(ApiKey), named.id)


async def find_role(context: Context, named: NodeId) -> Role | None:
    found = (await all_roles(context.reads)).values()
    return next((role for role in found if role.id == ids.encode("Role", named.id)), None)


async def all_roles(reads: Reads) -> dict[str, Role]:
    """The built-in roles and the workspace's own, by key; a built-in keeps its meaning."""

    async def load(workspaces: list[UUID]) -> list[dict[str, Role]]:
        query = reads.present.query()
        statement = query.select(Source("members", members.ROLE), "r", ("id", "key", "name", "permissions"), list)
        own = {
            key: _role(id_, key, name, permissions)
            for id_, key, name, permissions in await reads.present.rows(query, statement)
        }
        built_in = {
            key: _role(uuid5(workspaces[0], key), key, role.name, role.permissions) for key, role in ROLES.items()
        }
        return [own | built_in]

    known: dict[str, Role] = await reads.loader("roles", load).load(reads.workspace)
    return known


def _role(id_: UUID, key: str, name: str, permissions: Sequence[Any]) -> Role:
    return Role(
        id=ID(ids.encode("Role", id_)), key=key, name=name, permissions=[_permission(each) for each in permissions]
    )


def _permission(given: Any) -> Permission:
    """Of a permission in the code, or of one in a row."""
    if isinstance(given, Mapping):
        type_, action, scope, fields = given["type"], given["action"], given["scope"], given.get("fields")
    else:
        type_, action, scope, fields = given.type, given.action, given.scope, given.fields
    shown = None if fields is None else list(fields)
    return Permission(type=EntityType(type_), action=Action(action), scope=Scope(scope), fields=shown)


async def _found(moment: Moment, cls: type[Any], id_: UUID | None) -> Any:
    return None if id_ is None else await records.load(moment, read_of(cls), id_)


async def everything(moment: Moment, cls: type[Any], order: str) -> list[Any]:
    """All the viewer may see of a kind there are few of; never more than MOST."""
    read, query = read_of(cls), moment.query()
    key = listing.key_of(read, None, order, descending=False)
    listed = Listed(read=read, via=None, keys=(key,), conditions=records.visible(read, moment.viewer))
    rows = await moment.rows(query, pages.page(query, listed, Window(limit=MOST), read.columns, None))
    return [records.made(read, row, moment) for row in rows]
