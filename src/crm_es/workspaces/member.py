"""A member: a person who works in a workspace, with or without a login. Names and emails are theirs, sealed with their key."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.eventstore.event import Erased, changes, pii


@dataclass(frozen=True, kw_only=True, slots=True)
class ExternalId:
    """What another system calls the member."""

    system: str
    value: str


ExternalIds = tuple[ExternalId, ...] | Erased | UnsetType


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberInvited:
    """May sign in with `email`. `roles` are keys."""

    TOPIC: ClassVar[str] = "member.invited"
    name: str | Erased = pii()
    email: str | Erased = pii()
    roles: tuple[str, ...]
    team_id: UUID | UnsetType | None = changes("team", default=UNSET)
    manager_id: UUID | UnsetType | None = changes("manager", default=UNSET)
    external_ids: ExternalIds = pii(default=UNSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberRegistered:
    """Known by name, from a file for example; cannot sign in until there is an email."""

    TOPIC: ClassVar[str] = "member.registered"
    name: str | Erased = pii()
    email: str | Erased | UnsetType | None = pii(default=UNSET)
    roles: tuple[str, ...] = ()
    team_id: UUID | UnsetType | None = changes("team", default=UNSET)
    manager_id: UUID | UnsetType | None = changes("manager", default=UNSET)
    external_ids: ExternalIds = pii(default=UNSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberRolesAssigned:
    """All of them, by key."""

    TOPIC: ClassVar[str] = "member.roles_assigned"
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemberDeactivated:
    TOPIC: ClassVar[str] = "member.deactivated"
    FIELDS: ClassVar[tuple[str, ...]] = ("deactivatedAt",)


MemberEvent = MemberInvited | MemberRegistered | MemberRolesAssigned | MemberDeactivated
