"""Who is asking: from a bearer to a member or an API key as they stand now, with what they may do.

Roles are not in the token: they are read from the members' read model and kept until that moves on.
"""

import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from psycopg.sql import SQL, Composable

from crm_es.errors import UnauthenticatedError, UnavailableError
from crm_es.eventstore.event import Actor, ActorKind, WorkspaceId
from crm_es.workspaces.actions import Action, EntityType, Scope
from crm_es.workspaces.permissions import Permissions
from crm_es.workspaces.role import Permission
from crm_es.workspaces.tokens import API_KEY_PREFIX, ApiKeyToken, Verifier

KEPT_SECONDS: Final = 60.0
KEPT: Final = 10_000
UTC_ZONE: Final = "UTC"
MONDAY: Final = 1
MEMBER: Final = SQL("""
SELECT m.roles, w.time_zone, w.week_starts_on, m.deactivated_at
FROM members.member m
LEFT JOIN members.workspace w ON w.workspace_id = m.workspace_id
WHERE m.workspace_id = $1 AND m.id = $2
""")
API_KEY: Final = SQL("""
SELECT k.scopes, w.time_zone, w.week_starts_on, k.secret_hmac, k.expires_at, k.revoked_at
FROM members.api_key k
LEFT JOIN members.workspace w ON w.workspace_id = k.workspace_id
WHERE k.workspace_id = $1 AND k.id = $2
""")
BEHIND: Final = SQL("""
SELECT es.newest_of_topics($1, b.log_id, es.newest_log_id()) IS NOT NULL FROM es.bookmark b WHERE b.read_model = $2
""")
OWN_ROLES: Final = SQL("SELECT key, permissions FROM members.role WHERE workspace_id = $1 LIMIT 1000")


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """One of `member_id` and `api_key_id` is set. `time_zone` and `week_starts_on` (1 = Monday) are the workspace's."""

    workspace: WorkspaceId
    actor: Actor
    member_id: UUID | None
    api_key_id: UUID | None
    role_keys: tuple[str, ...]
    permissions: Permissions
    expires_at: datetime | None
    time_zone: str = UTC_ZONE
    week_starts_on: int = MONDAY


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A member or key as the read model has it. `secret_hmac` is a key's."""

    roles: tuple[str, ...]
    permissions: Permissions
    time_zone: str
    week_starts_on: int
    ended_at: datetime | None
    expires_at: datetime | None = None
    secret_hmac: str = ""


class Rows(Protocol):
    """A snapshot of one workspace, as `reads` opens it."""

    workspace: UUID

    async def rows(self, statement: Composable, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]: ...


class Connections(Protocol):
    def snapshot(self, workspace: UUID) -> AbstractAsyncContextManager[Rows]: ...


Read = Callable[[Rows, UUID], Awaitable[Known | None]]


class Authenticator:
    """`bookmark` tells how far `read_model`, the members', is: what was read stands until it moves.

    `topics` are those it is made of: nobody is unknown while one of them is recorded and not shown. `used` is told of API keys.
    """

    def __init__(
        self, *, connections: Connections, verifier: Verifier, pepper: bytes, bookmark: Callable[[], int],
        read_model: str, topics: Iterable[str],
        used: Callable[[UUID, UUID], None] = lambda _workspace, _key: None,
    ) -> None:  # fmt: skip
        self._connections = connections
        self._verifier = verifier
        self._pepper = pepper
        self._bookmark = bookmark
        self._source = sorted(topics), read_model
        self._used = used
        self._kept: dict[tuple[UUID, UUID], tuple[int, float, Known | None]] = {}

    async def authenticate(self, bearer: str) -> Identity:
        """Raises: UnauthenticatedError; UnavailableError while the members shown may lack the bearer."""
        if bearer.startswith(API_KEY_PREFIX):
            return await self._program(ApiKeyToken.parse(bearer))
        return await self._person(bearer)

    async def _person(self, token: str) -> Identity:
        claims = await self._verifier.verify(token)
        if claims.expires_at < datetime.now(UTC):
            raise UnauthenticatedError("The token has expired. Sign in again.", rule="token.expired")
        member = await self._known(claims.workspace, claims.member, _member)
        if member is None or member.ended_at:
            raise UnauthenticatedError(
                "The token's member is not, or no longer, a member of its workspace.", rule="member.unknown"
            )
        return Identity(
            workspace=WorkspaceId(claims.workspace),
            actor=Actor(kind=ActorKind.MEMBER, id=claims.member, auth="jwt", session=claims.session),
            member_id=claims.member,
            api_key_id=None,
            role_keys=member.roles,
            permissions=member.permissions,
            expires_at=claims.expires_at,
            time_zone=member.time_zone,
            week_starts_on=member.week_starts_on,
        )

    async def _program(self, token: ApiKeyToken) -> Identity:
        key = await self._known(token.workspace, token.key, _api_key)
        if key is None or not hmac.compare_digest(key.secret_hmac, token.hmac(self._pepper)):
            raise UnauthenticatedError("There is no such API key.", rule="api_key.unknown")
        if key.ended_at:
            raise UnauthenticatedError("The API key was revoked.", rule="api_key.revoked")
        if key.expires_at and key.expires_at <= datetime.now(UTC):
            raise UnauthenticatedError("The API key has expired.", rule="api_key.expired")
        self._used(token.workspace, token.key)
        return Identity(
            workspace=WorkspaceId(token.workspace),
            actor=Actor(kind=ActorKind.API_KEY, id=token.key, auth="api_key"),
            member_id=None,
            api_key_id=token.key,
            role_keys=key.roles,
            permissions=key.permissions,
            expires_at=key.expires_at,
            time_zone=key.time_zone,
            week_starts_on=key.week_starts_on,
        )

    async def _known(self, workspace: UUID, id: UUID, read: Read) -> Known | None:
        bookmark, kept = self._bookmark(), self._kept.get((workspace, id))
        if kept and kept[0] == bookmark and time.monotonic() < kept[1]:
            return kept[2]
        async with self._connections.snapshot(workspace) as rows:
            known = await read(rows, id)
            if known is None and await rows.rows(BEHIND, self._source) != [(False,)]:
                raise UnavailableError(
                    "Who bears this token is not shown yet. Try again in a moment.", rule="token.not_yet_shown"
                )
        if len(self._kept) >= KEPT:
            self._kept.clear()
        self._kept[workspace, id] = bookmark, time.monotonic() + KEPT_SECONDS, known
        return known


async def permitted(rows: Rows, actor: Actor) -> Permissions:
    """What a member or API key may do now, who was recognised before. Raises: UnauthenticatedError: nothing any more."""
    known = await (_member if actor.kind is ActorKind.MEMBER else _api_key)(rows, actor.id or UUID(int=0))
    if known is None or known.ended_at or (known.expires_at and known.expires_at <= datetime.now(UTC)):
        raise UnauthenticatedError(
            "Whoever this was given to is not with this workspace any more.", rule="member.unknown"
        )
    return known.permissions


async def _member(rows: Rows, id: UUID) -> Known | None:
    for roles, time_zone, week, deactivated_at in await rows.rows(MEMBER, (rows.workspace, id)):
        return Known(
            roles=tuple(roles),
            permissions=await _permissions(rows, roles),
            time_zone=time_zone or UTC_ZONE,
            week_starts_on=week or MONDAY,
            ended_at=deactivated_at,
        )
    return None


async def _api_key(rows: Rows, id: UUID) -> Known | None:
    for scopes, time_zone, week, secret_hmac, expires_at, revoked_at in await rows.rows(API_KEY, (rows.workspace, id)):
        return Known(
            roles=tuple(scopes),
            permissions=await _permissions(rows, scopes),
            time_zone=time_zone or UTC_ZONE,
            week_starts_on=week or MONDAY,
            ended_at=revoked_at,
            expires_at=expires_at,
            secret_hmac=secret_hmac,
        )
    return None


async def _permissions(rows: Rows, roles: list[str]) -> Permissions:
    own = {
        key: [_permission(p) for p in permissions] for key, permissions in await rows.rows(OWN_ROLES, (rows.workspace,))
    }
    return Permissions.of(roles, own)


def _permission(row: Mapping[str, Any]) -> Permission:
    fields = row.get("fields")
    return Permission(
        type=EntityType(row["type"]),
        action=Action(row["action"]),
        scope=Scope(row["scope"]),
        fields=None if fields is None else tuple(fields),
    )
