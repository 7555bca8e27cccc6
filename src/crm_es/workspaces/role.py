"""A role: a named set of permissions. What is not permitted is denied."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from crm_es.errors import InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, no_subject
from crm_es.eventstore.event import Reservation
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


_KEY = re.compile(r"[a-z][a-z0-9_-]{0,49}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    key: str
    name: str
    permissions: tuple[Permission, ...]


def evolve(role: Role | None, event: RoleEvent) -> Role:  # noqa: ARG001  # each event is the whole role
    return Role(key=event.key, name=event.name, permissions=event.permissions)


def define(role: Role | None, *, key: str, name: str, permissions: Sequence[Permission]) -> list[RoleEvent]:
    """The whole role, new (None) or another time; nothing where it is so already.

    Raises: InvalidInputError `role.malformed_key`; RuleViolatedError `role.key_changed`.
    """
    if not _KEY.fullmatch(key):
        message = "A key is lower-case letters, digits, - and _, such as field-sales."
        raise InvalidInputError(message, rule="role.malformed_key", field=("key",))
    if role is not None and role.key != key:
        raise RuleViolatedError("The key of a role never changes.", rule="role.key_changed", field=("key",))
    wanted = Role(key=key, name=name, permissions=tuple(dict.fromkeys(permissions)))
    return [] if wanted == role else [RoleDefined(key=key, name=name, permissions=wanted.permissions)]


def _reservations(stream: UUID, role: Role) -> frozenset[Reservation]:
    return frozenset({Reservation(kind="role", value=role.key, holder=stream)})


def _fields(role: Role) -> Mapping[str, object]:
    return {
        "key": role.key,
        "name": role.name,
        "permissions": [
            {
                "type": one.type.value,
                "action": one.action.value,
                "scope": one.scope.value,
                "fields": None if one.fields is None else list(one.fields),
            }
            for one in role.permissions
        ],
    }


ROLE: Aggregate[Role, RoleEvent] = Aggregate(
    name="role",
    events=(RoleDefined,),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    subjects=no_subject,
)
