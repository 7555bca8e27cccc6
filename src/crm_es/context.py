"""What one operation knows: who asks, in which workspace, at what time, and the one snapshot all its reads share.

The engine behind it lives as long as the process; `app.py` makes it.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from math import ceil
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import psycopg
import strawberry
from psycopg.sql import SQL

from crm_es.access.operations import Operation
from crm_es.access.trail import Trail
from crm_es.access.watching import MassReads
from crm_es.access.writer import AccessLog
from crm_es.api.failures import ProtocolError
from crm_es.api.rate import RateLimit
from crm_es.config import Settings
from crm_es.errors import UnavailableError
from crm_es.eventstore.event import Command, Origin, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from crm_es.projector.progress import Progress
from crm_es.reads import asof
from crm_es.reads.driver import ReadConnections, Snapshot
from crm_es.reads.errors import NotYetProjectedError, ReadTimeoutError
from crm_es.reads.session import Reads
from crm_es.uuids import random_id
from crm_es.workspaces.actions import Action, EntityType
from crm_es.workspaces.identity import Identity
from crm_es.workspaces.permissions import Permissions
from projections import READ_MODELS

Authenticate = Callable[[str], Awaitable[Identity]]
MODELS: Final = tuple(model.NAME for model in READ_MODELS)
T = TypeVar("T")
_CLIENT_LENGTH: Final = 200
_SHARED_SECONDS: Final = 1.0
_ENDLESS_SECONDS: Final = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """What all requests of this process share. `rate` is None where nobody's minute is counted (development)."""

    settings: Settings
    store: Store
    keys: KeyStore
    connections: ReadConnections
    progress: Progress
    authenticate: Authenticate
    access: AccessLog
    mass_reads: MassReads
    rate: RateLimit | None = None

    async def begin(self, token: str, *, client: str | None, host: str | None, purpose: str | None = None) -> "Context":
        """A context for one operation of the token's bearer. Raises: UnauthenticatedError."""
        return self.resume(await self.authenticate(token), client=client, host=host, purpose=purpose)

    def resume(
        self, identity: Identity, *, client: str | None, host: str | None, purpose: str | None = None
    ) -> "Context":
        """The same, for one who is known already: a WebSocket's later operations."""
        origin = Origin(client=client and client[:_CLIENT_LENGTH], address=truncated(host))
        return Context(engine=self, identity=identity, origin=origin, purpose=purpose)

    @property
    def projection_wait(self) -> float:
        return self.settings.projection_wait_ms / 1000


@dataclass(kw_only=True, slots=True)
class Asked:
    """What the access log says of an operation, and what its question is told by where it answers too many to name."""

    operation: Operation
    text: str
    variables: Mapping[str, Any]
    started: float = field(default_factory=time.perf_counter)


@dataclass(kw_only=True, slots=True)
class Context:
    """One operation. `cost` and `asked` are set by the gate; `now` is its one clock; `trail` what was answered so far."""

    engine: Engine
    identity: Identity
    purpose: str | None = None
    origin: Origin = field(default_factory=Origin)
    correlation_id: UUID = field(default_factory=random_id)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    cost: int = 0
    trail: Trail = field(default_factory=Trail)
    asked: Asked | None = None
    shared: dict[object, tuple[float, Any]] | None = None
    """What the operations of one import found out for each other; None: this operation is alone."""
    _snapshot: Snapshot | None = None
    _reads: Reads | None = None

    @property
    def workspace(self) -> WorkspaceId:
        return self.identity.workspace

    @property
    def permissions(self) -> Permissions:
        return self.identity.permissions

    @property
    def reads(self) -> Reads:
        """Loaders and moments over this operation's snapshot."""
        if self._reads is None:
            self._reads = Reads(
                snapshot=self.snapshot,
                workspace=self.workspace,
                now=self.now,
                permissions=self.permissions,
                member_id=self.identity.member_id,
                time_zone=self.identity.time_zone,
                week_starts_on=self.identity.week_starts_on,
                cursor_key=self.engine.keys.blind(self.workspace, "cursor"),
                trail=self.trail,
            )
        return self._reads

    async def once(self, key: object, find: Callable[[], Awaitable[T]]) -> T:
        """What `find` answers. The rows of an import, thousands a minute, do not all ask for what hardly ever changes."""
        if self.shared is None:
            return await find()
        until, answer = self.shared.get(key, (0.0, None))
        if until < time.monotonic():
            answer = await find()
            self.shared[key] = time.monotonic() + _SHARED_SECONDS, answer
        return cast("T", answer)

    async def snapshot(self) -> Snapshot:
        """What this operation reads; opened by its first statement."""
        if self._snapshot is None:
            self._snapshot = Snapshot(self.engine.connections, self.workspace)
        return self._snapshot

    async def renew(self) -> None:
        """What is read from here on is the newest: after a mutation, and before each result of a subscription."""
        await self.close()
        self.now = datetime.now(UTC)

    async def close(self, *, sound: bool = True) -> None:
        snapshot, reads = self._snapshot, self._reads
        self._snapshot = self._reads = None
        if reads is not None:
            reads.end()
        if snapshot is not None:
            await snapshot.close(sound=sound)

    async def standing(self) -> dict[str, str]:
        """The lowest position that what was read stands at, and the newest checkpoint's size; nothing where nothing was read."""
        if self._snapshot is None:
            return {}
        try:
            told = {"position": await self.reads.position(), "checkpoint": self._snapshot.sealed}
        except (psycopg.Error, ReadTimeoutError, UnavailableError):  # a statement failed before and is told in `errors`
            return {}
        return {name: str(number) for name, number in told.items() if number is not None}

    async def wait_for(self, position: int) -> None:
        """Until every read model shows `position`, recorded yet or not, but not for ever. Raises: NotYetProjectedError."""
        engine, ends = self.engine, time.monotonic() + self.engine.projection_wait
        place: int | None = None
        while place is None:
            shown = min(engine.progress.bookmarks.values(), default=0)
            async with engine.connections.snapshot(self.workspace) as rows:
                place = await asof.place(rows, position)
            wanted = shown + 1 if place is None else place
            if not await engine.progress.wait(wanted, MODELS, max(0.0, ends - time.monotonic())):
                async with engine.connections.snapshot(self.workspace) as rows:
                    reached = await asof.shown(rows, min(engine.progress.bookmarks.values(), default=0))
                raise NotYetProjectedError(wanted=position, reached=reached)

    async def shown(self, log_id: int | None = None, read_models: Sequence[str] | None = None) -> bool:
        """Wait, not for ever, until these read models (or all) show the log up to there, or to its end as it is now.

        What was read before is given up: who held it and wanted another connection could wait for others that do the same.
        """
        await self.close()
        engine = self.engine
        if log_id is None:
            async with engine.connections.snapshot(self.workspace) as rows:
                log_id = (await rows.rows(SQL("SELECT es.newest_log_id()")))[0][0] or 0
        models = tuple(engine.progress.bookmarks) if read_models is None else read_models
        return await engine.progress.wait(log_id, models, engine.projection_wait)

    def command(
        self,
        command_id: UUID | None,
        request_hash: bytes,
        *,
        occurred_at: datetime | None,
        reason: str | None,
        fresh: bool = False,
    ) -> Command:
        """The envelope of what this operation appends. `fresh`: the log is known not to hold the command."""
        return Command(
            workspace=self.workspace,
            command_id=command_id or random_id(),
            fresh=fresh or command_id is None,
            request_hash=request_hash,
            actor=self.identity.actor,
            correlation_id=self.correlation_id,
            origin=self.origin,
            occurred_at=occurred_at,
            reason=reason,
        )

    def pay(self) -> None:
        """Take `cost` from the request's limit and the actor's minute. Raises: ProtocolError COST_EXCEEDED, RATE_LIMITED."""
        settings, exports = self.engine.settings, self.permissions.scope(EntityType.EXPORT, Action.EXPORT)
        limit = settings.max_cost_export if exports and self.identity.api_key_id else settings.max_cost
        if self.cost > limit:
            message = (
                f"This operation costs {self.cost:,}; {limit:,} are allowed. Ask for smaller pages or fewer records."
            )
            raise ProtocolError("COST_EXCEEDED", message, cost=self.cost, limit=limit)
        actor = f"{self.workspace}/{self.identity.actor.id}"
        wait = self.engine.rate.charge(actor, self.cost, limit) if self.engine.rate else 0.0
        if wait > 0:
            raise ProtocolError(
                "RATE_LIMITED", "This minute's allowance is spent.", retryAfter=ceil(wait), cost=self.cost
            )

    def seconds_left(self) -> float:
        """Until the token expires; API keys without an end have a day, then a stream must sign in again."""
        if self.identity.expires_at is None:
            return _ENDLESS_SECONDS
        return (self.identity.expires_at - datetime.now(UTC)).total_seconds()


Info = strawberry.Info[Context, None]


def truncated(host: str | None) -> str | None:
    """A network address without the part that tells one household from the next: /24 or /48."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return None
    prefix = {4: 24, 6: 48}[address.version]
    return str(ip_network((address, prefix), strict=False).network_address)
