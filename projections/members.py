"""Who works here and how they may sign in: the workspace, members, teams, roles, API keys, saved views.

API keys keep the HMAC of their secret, nothing to sign in with.
"""

from collections.abc import Sequence
from typing import Any, Final, assert_never

from msgspec import UNSET

from crm_es.eventstore.event import Erased, Fact
from crm_es.projector.contract import Batch, Column, Index, Table
from crm_es.text import fold
from crm_es.workspaces import api_key, member, role, saved_view, team, workspace

NAME = "members"
VERSION = 2


def _record(*columns: Column) -> tuple[Column, ...]:
    return (
        Column(name="id", type="uuid"),
        Column(name="version", type="integer"),
        *columns,
        Column(name="created_at", type="timestamptz"),
        Column(name="updated_at", type="timestamptz"),
    )


WORKSPACE: Final = Table(
    name="workspace",
    columns=_record(
        Column(name="name", type="text"),
        Column(name="time_zone", type="text"),
        Column(name="currency", type="text"),
        Column(name="week_starts_on", type="integer"),
        Column(name="demo", type="bool"),
    ),
)
MEMBER: Final = Table(
    name="member",
    columns=_record(
        Column(name="name", type="text", personal=True),
        Column(name="name_folded", type="text", personal=True, collate="C"),
        Column(name="email", type="text", personal=True),
        Column(name="email_folded", type="text", personal=True, collate="C"),
        Column(name="roles", type="text[]", default=[]),
        Column(name="team_id", type="uuid", null=True),
        Column(name="manager_id", type="uuid", null=True),
        Column(name="external_ids", type="jsonb", personal=True, default=[]),
        Column(name="deactivated_at", type="timestamptz", null=True),
    ),
    subject="id",
    indexes=(
        Index(name="name", columns=("name_folded",), order=True),
        Index(name="name_down", columns=("name_folded",), order=True, descending=True),
        Index(name="created", columns=("created_at",), order=True),
        Index(name="email", columns=("email_folded",)),
        Index(name="team", columns=("team_id", "name_folded"), order=True, where="team_id IS NOT NULL"),
    ),
)
TEAM: Final = Table(
    name="team",
    columns=_record(Column(name="name", type="text")),
    indexes=(Index(name="name", columns=("name",), order=True),),
)
ROLE: Final = Table(
    name="role",
    columns=_record(
        Column(name="key", type="text"), Column(name="name", type="text"), Column(name="permissions", type="jsonb")
    ),
    indexes=(Index(name="key", columns=("key",), order=True),),
)
API_KEY: Final = Table(
    name="api_key",
    columns=_record(
        Column(name="name", type="text"),
        Column(name="scopes", type="text[]"),
        Column(name="secret_hmac", type="text"),
        Column(name="expires_at", type="timestamptz", null=True),
        Column(name="revoked_at", type="timestamptz", null=True),
    ),
    indexes=(Index(name="created", columns=("created_at",), order=True),),
)
SAVED_VIEW: Final = Table(
    name="saved_view",
    columns=_record(
        Column(name="name", type="text"),
        Column(name="target", type="text"),
        Column(name="filter", type="text", personal=True),
        Column(name="order_by", type="text", null=True),
        Column(name="columns", type="text[]", null=True),
        Column(name="shared", type="bool"),
        Column(name="owner_id", type="uuid", null=True),
        Column(name="removed", type="bool", default=False),
    ),
    subject="id",
    indexes=(Index(name="target", columns=("target", "name"), order=True),),
)
TABLES: tuple[Table, ...] = (WORKSPACE, MEMBER, TEAM, ROLE, API_KEY, SAVED_VIEW)

_Event = (
    workspace.WorkspaceEvent
    | member.MemberEvent
    | team.TeamEvent
    | role.RoleEvent
    | api_key.ApiKeyEvent
    | saved_view.SavedViewEvent
)
TOPICS = frozenset(e.TOPIC for e in _Event.__args__)


def apply(batch: Batch, facts: Sequence[Fact], /) -> None:
    for fact in facts:
        _apply(batch, fact)


def _apply(batch: Batch, fact: Fact) -> None:
    event: _Event = fact.event  # type: ignore[assignment]
    match event:
        case workspace.WorkspaceCreated():
            values = _given(event, "name", "time_zone", "currency", "week_starts_on", "demo")
            _insert(batch, fact, WORKSPACE, **values)
        case workspace.WorkspaceUpdated():
            _touch(batch, fact, WORKSPACE, **_given(event, "name", "time_zone", "currency", "week_starts_on"))
        case member.MemberInvited() | member.MemberRegistered():
            _insert(batch, fact, MEMBER, **_member(event))
        case member.MemberRolesAssigned(roles=roles):
            _touch(batch, fact, MEMBER, roles=list(roles))
        case member.MemberDeactivated():
            _touch(batch, fact, MEMBER, deactivated_at=fact.recorded_at)
        case team.TeamCreated(name=name):
            _insert(batch, fact, TEAM, name=name)
        case team.TeamUpdated(name=name):
            _touch(batch, fact, TEAM, name=name)
        case role.RoleDefined():
            _define_role(batch, fact, event)
        case api_key.ApiKeyIssued():
            values = _given(event, "name", "secret_hmac", "expires_at")
            _insert(batch, fact, API_KEY, scopes=list(event.scopes), **values)
        case api_key.ApiKeyRotated(secret_hmac=secret):
            _touch(batch, fact, API_KEY, secret_hmac=secret)
        case api_key.ApiKeyRevoked():
            _touch(batch, fact, API_KEY, revoked_at=fact.recorded_at)
        case saved_view.SavedViewSaved():
            _save_view(batch, fact, event)
        case saved_view.SavedViewRemoved():
            _touch(batch, fact, SAVED_VIEW, removed=True)
        case _:
            assert_never(event)


def _insert(batch: Batch, fact: Fact, table: Table, **values: Any) -> None:
    at = fact.recorded_at
    batch.insert(table, fact, id=fact.stream, version=fact.version, created_at=at, updated_at=at, **values)


def _touch(batch: Batch, fact: Fact, table: Table, **values: Any) -> None:
    batch.update(table, fact, {"id": fact.stream}, version=fact.version, updated_at=fact.recorded_at, **values)


def _given(event: Any, *names: str) -> dict[str, Any]:
    return {n: v for n in names if (v := getattr(event, n)) is not UNSET}


def _member(event: member.MemberInvited | member.MemberRegistered) -> dict[str, Any]:
    values = _given(event, "name", "email", "team_id", "manager_id", "external_ids")
    values |= {f"{n}_folded": _folded(values.get(n)) for n in ("name", "email")}
    return values | {"roles": list(event.roles)}


def _folded(text: str | Erased | None) -> str | None:
    return fold(text) if isinstance(text, str) else None


def _define_role(batch: Batch, fact: Fact, event: role.RoleDefined) -> None:
    values = {"key": event.key, "name": event.name, "permissions": event.permissions}
    (_insert if fact.version == 1 else _touch)(batch, fact, ROLE, **values)


def _save_view(batch: Batch, fact: Fact, event: saved_view.SavedViewSaved) -> None:
    values = {n: None if (v := getattr(event, n)) is UNSET else v for n in ("order_by", "columns")}
    values |= {n: getattr(event, n) for n in ("name", "target", "filter", "shared", "owner_id")}
    values["columns"] = values["columns"] and list(values["columns"])
    (_insert if fact.version == 1 else _touch)(batch, fact, SAVED_VIEW, **values)
