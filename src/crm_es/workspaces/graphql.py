"""Who is asking, and who else is there: the viewer, the workspace, its members, teams, roles, keys and saved views."""

from datetime import UTC, datetime
from typing import Final

import strawberry

from crm_es.api.enums import Action, EntityType, Scope
from crm_es.api.rules import SIGNED_IN, ruled
from crm_es.api.scalars import Position
from crm_es.context import Info

NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)


@ruled(SIGNED_IN)
@strawberry.type(description="What a role lets one do.")
class Permission:
    type: EntityType = strawberry.field(description="With which records.")
    action: Action = strawberry.field(description="What.")
    scope: Scope = strawberry.field(description="With how many of them.")
    fields: list[str] | None = strawberry.field(description="Which fields that can be withheld are shown; null: all.")


async def _position(info: Info) -> Position:
    return Position(await info.context.reads.position())


@ruled(SIGNED_IN)
@strawberry.type(description="You, as this request was signed in.")
class Viewer:
    permissions: list[Permission] = strawberry.field(description="What all your roles together let you do.")
    expires_at: datetime = strawberry.field(description="When your token ends; the year 9999 for a key without end.")
    position: Position = strawberry.field(
        resolver=_position, description="How far the log is shown to you: for CRM-Min-Position, and for `changes`."
    )


def viewer(info: Info) -> Viewer:
    identity = info.context.identity
    permissions = [
        Permission(type=p.type, action=p.action, scope=p.scope, fields=None if p.fields is None else list(p.fields))
        for p in identity.permissions.listed
    ]
    return Viewer(permissions=permissions, expires_at=identity.expires_at or NEVER)
