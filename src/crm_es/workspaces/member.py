"""A member: a person who works in a workspace, with or without a login. Names and emails are theirs, sealed with their key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, assert_never, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType

from crm_es.errors import ErasedError, InvalidInputError, RuleViolatedError
from crm_es.eventstore.aggregate import Aggregate, Ref
from crm_es.eventstore.event import ERASED, Erased, Reservation, changes, pii, values_set
from crm_es.values import EmailAddress, ExternalId, email_key, joint_key

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


ADMIN: Final = "admin"
MOST_EXTERNAL_IDS: Final = 100
_PLAIN: Final = ("name", "email", "roles", "team_id", "manager_id", "external_ids")


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    name: str | Erased = ""
    email: str | Erased | None = None
    roles: tuple[str, ...] = ()
    team_id: UUID | None = None
    manager_id: UUID | None = None
    external_ids: tuple[ExternalId, ...] | Erased = ()
    deactivated: bool = False


def evolve(member: Member | None, event: MemberEvent) -> Member:
    """The state after one more event. Never raises on stored history, erased or not."""
    was = member or Member()
    match event:
        case MemberInvited() | MemberRegistered():
            return replace(was, **values_set(event, _PLAIN))
        case MemberRolesAssigned(roles=roles):
            return replace(was, roles=roles)
        case MemberDeactivated():
            return replace(was, deactivated=True)
        case _:
            assert_never(event)


def invite(
    *,
    name: str,
    email: EmailAddress,
    roles: Sequence[str],
    team_id: UUID | None = None,
    manager_id: UUID | None = None,
) -> list[MemberEvent]:
    """That the roles exist is the mutation's question. Raises: InvalidInputError `member.no_role`."""
    if not roles:
        raise InvalidInputError("Name one role at least.", rule="member.no_role", field=("roles",))
    return [
        MemberInvited(
            name=name,
            email=email.given,
            roles=tuple(dict.fromkeys(roles)),
            team_id=team_id or UNSET,
            manager_id=manager_id or UNSET,
        )
    ]


def register(
    *,
    name: str,
    email: EmailAddress | None = None,
    external_ids: Sequence[ExternalId] = (),
    roles: Sequence[str] = (),
    team_id: UUID | None = None,
    manager_id: UUID | None = None,
) -> list[MemberEvent]:
    """A member known from elsewhere, with or without a login. Raises: InvalidInputError `member.too_many_externalids`."""
    if len(external_ids) > MOST_EXTERNAL_IDS:
        message = f"A member has at most {MOST_EXTERNAL_IDS} external ids."
        raise InvalidInputError(message, rule="member.too_many_externalids", field=("externalIds",))
    return [
        MemberRegistered(
            name=name,
            email=email.given if email else UNSET,
            roles=tuple(dict.fromkeys(roles)),
            team_id=team_id or UNSET,
            manager_id=manager_id or UNSET,
            external_ids=tuple(dict.fromkeys(external_ids)) or UNSET,
        )
    ]


def assign_roles(member: Member, roles: Sequence[str], *, other_admins: int) -> list[MemberEvent]:
    """All roles from now on. `other_admins` are the active ones beside this member. Raises: as `deactivate`."""
    _check_active(member)
    wanted = tuple(dict.fromkeys(roles))
    if ADMIN not in wanted:
        _check_not_last(member, other_admins)
    return [] if set(wanted) == set(member.roles) else [MemberRolesAssigned(roles=wanted)]


def deactivate(member: Member, *, other_admins: int) -> list[MemberEvent]:
    """Raises: ErasedError; RuleViolatedError `member.deactivated`, `member.last_admin`."""
    _check_active(member)
    _check_not_last(member, other_admins)
    return [MemberDeactivated()]


def _check_active(member: Member) -> None:
    if member.name is ERASED:
        raise ErasedError("This member was erased; nothing can be written to it.")
    if member.deactivated:
        raise RuleViolatedError("This member was deactivated.", rule="member.deactivated")


def _check_not_last(member: Member, other_admins: int) -> None:
    if ADMIN in member.roles and other_admins < 1:
        raise RuleViolatedError("This is the last admin: make another member admin first.", rule="member.last_admin")


def _reservations(stream: UUID, member: Member) -> frozenset[Reservation]:
    """A deactivated member keeps the external ids that name them in files, and frees the email."""
    email = None if isinstance(member.email, Erased) or member.deactivated else member.email
    known = () if isinstance(member.external_ids, Erased) else member.external_ids
    keys = {joint_key("member", one.system, one.value) for one in known}
    held = {Reservation(kind="external_id", value=key, holder=stream) for key in keys}
    mine = {Reservation(kind="member_email", value=email_key(email), holder=stream)} if email else set()
    return frozenset(held | mine)


def _fields(member: Member) -> Mapping[str, object]:
    known = None if isinstance(member.external_ids, Erased) else member.external_ids
    return {
        "name": None if isinstance(member.name, Erased) else member.name,
        "email": None if isinstance(member.email, Erased) else member.email,
        "roles": list(member.roles),
        "team": Ref(type="Team", id=member.team_id) if member.team_id else None,
        "manager": Ref(type="Member", id=member.manager_id) if member.manager_id else None,
        "externalIds": None if known is None else [{"system": one.system, "value": one.value} for one in known],
    }


MEMBER: Aggregate[Member, MemberEvent] = Aggregate(
    name="member",
    events=get_args(MemberEvent),
    evolve=evolve,
    reservations=_reservations,
    fields=_fields,
    moments={"deactivatedAt": lambda member: member.deactivated},
)
