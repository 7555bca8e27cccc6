"""A role: a named set of permissions. What is not permitted is denied."""

from dataclasses import dataclass
from typing import ClassVar

from crm_es.workspaces.actions import Action, EntityType, Scope


@dataclass(frozen=True, kw_only=True, slots=True)
class Permission:
    """`fields` None: all of them."""

    type: EntityType
    action: Action
    scope: Scope
    fields: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleDefined:
    """The whole role; a later one of the same stream takes its place. `key` never changes."""

    TOPIC: ClassVar[str] = "role.defined"
    key: str
    name: str
    permissions: tuple[Permission, ...]


RoleEvent = RoleDefined
