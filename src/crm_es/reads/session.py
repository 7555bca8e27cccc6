"""What one operation knows while it reads: its viewer, its one snapshot, the moments it shows, and the loaders that batch."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from psycopg.sql import SQL, Composable

from crm_es.access.trail import Trail
from crm_es.api import ids
from crm_es.reads import asof
from crm_es.reads.asof import Past
from crm_es.reads.cursor import Cursors
from crm_es.reads.driver import Bookmark, Snapshot
from crm_es.reads.sql import Query, Viewer
from crm_es.workspaces.actions import LOOKING, Action, EntityType, Scope

_NOTHING = SQL("SELECT 1")
_WIDTH = {Scope.OWN: 0, Scope.TEAM: 1, Scope.WORKSPACE: 2}
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Permissions(Protocol):
    """What reads ask of `workspaces/permissions.py`."""

    def scope(self, type: EntityType, action: Action, /) -> Scope | None: ...
    def masked(self, type: EntityType, /) -> frozenset[str]: ...


class Loader(Generic[K, V]):
    """Gathers the keys asked for in one turn of the event loop into one call; a key is loaded once.

    Whoever asks is given a future of his own: a resolver that is cancelled takes it from nobody else.
    """

    def __init__(self, load: Callable[[list[K]], Awaitable[Sequence[V]]]) -> None:
        self._load = load
        self._known: dict[K, V] = {}
        self._failed: dict[K, Exception] = {}
        self._waiting: dict[K, list[asyncio.Future[V]]] = {}
        self._next: list[K] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self, key: K) -> asyncio.Future[V]:
        loop = asyncio.get_running_loop()
        asked: asyncio.Future[V] = loop.create_future()
        if key in self._known:
            asked.set_result(self._known[key])
        elif key in self._failed:
            _fail(asked, self._failed[key])
        elif key in self._waiting:
            self._waiting[key].append(asked)
        else:
            self._waiting[key] = [asked]
            if not self._next:
                loop.call_soon(self._send)
            self._next.append(key)
        return asked

    def _send(self) -> None:
        keys, self._next = self._next, []
        task = asyncio.get_running_loop().create_task(self._answer(keys))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, keys: list[K]) -> None:
        try:
            found = dict(zip(keys, await self._load(keys), strict=True))
        except Exception as exc:  # noqa: BLE001  # whatever it is belongs to those who wait
            self._failed |= dict.fromkeys(keys, exc)
            for asked in self._askers(keys):
                _fail(asked, exc)
        except BaseException:
            for asked in self._askers(keys):
                asked.cancel()
            raise
        else:
            self._known |= found
            for key, value in found.items():
                for asked in self._askers([key]):
                    asked.set_result(value)

    def _askers(self, keys: list[K]) -> list[asyncio.Future[V]]:
        """Those who still wait for one of them."""
        return [asked for key in keys for asked in self._waiting.pop(key) if not asked.done()]


def _fail(asked: asyncio.Future[Any], error: Exception) -> None:
    """A failure is no news where nobody waits any more: another part of the operation failed before."""
    asked.set_exception(error)
    asked.exception()


class Reads:
    """Made by the context of an operation; resolvers find it as `info.context.reads`.

    Made with a `snapshot` that opens the operation's when first asked and gives the same one after. `cursor_key` is 32 bytes of
    the workspace's own. `trail` is told what is answered.
    """

    def __init__(
        self, *, snapshot: Callable[[], Awaitable[Snapshot]], workspace: UUID, now: datetime, permissions: Permissions,
        member_id: UUID | None = None, time_zone: str = "UTC", week_starts_on: int = 1, cursor_key: bytes,
        trail: Trail | None = None,
    ) -> None:  # fmt: skip
        self.trail = trail or Trail()
        self.permissions = permissions
        self.cursors = Cursors.of(cursor_key)
        self.viewer = Viewer(
            workspace=workspace,
            member_id=member_id,
            now=now,
            time_zone=time_zone,
            week_starts_on=week_starts_on,
            masked=self.masked,
            scope=self.scope,
            audits=self.audits,
        )
        self.workspace = workspace
        self.models: set[str] = set()
        self.asked: dict[Hashable, Any] = {}
        self.sources: dict[int, Any] = {}
        self._snapshot = snapshot
        self._ended = False
        self._moments: dict[Past | None, Moment] = {None: Moment(self, None)}
        self._loaders: dict[Hashable, Loader[Any, Any]] = {}

    async def snapshot(self) -> Snapshot:
        """The operation's. Whoever asks after its end is cancelled: a loader may outlive those who asked it."""
        if self._ended:
            raise asyncio.CancelledError
        return await self._snapshot()

    def end(self) -> None:
        """The operation is over, or reads anew: nothing more is read for what asked before."""
        self._ended = True

    @property
    def present(self) -> "Moment":
        return self._moments[None]

    def masked(self, entity: str | None) -> frozenset[str]:
        return frozenset() if entity is None else self.permissions.masked(EntityType(entity))

    def scope(self, entity: str) -> str | None:
        return self.permissions.scope(EntityType(entity), Action.READ)

    def audits(self, entity: str) -> bool:
        """Whether the viewer may read every event of this type's records, and with them what is private."""
        return self.permissions.scope(EntityType(entity), Action.AUDIT) is not None

    async def moment(self, as_of: Any) -> "Moment":
        """The moment an `asOf` argument names."""
        return self._at(await asof.resolve(await self.snapshot(), as_of))

    async def moment_at(self, position: int | None) -> "Moment":
        """The moment in a past id."""
        if position is None:
            return self.present
        return self._at(await asof.at_position(await self.snapshot(), position))

    def _at(self, past: Past | None) -> "Moment":
        return self._moments.setdefault(past, Moment(self, past))

    def loader(self, key: Hashable, load: Callable[[list[Any]], Awaitable[Sequence[Any]]]) -> Loader[Any, Any]:
        """The loader of that name in this operation."""
        found = self._loaders.get(key)
        if found is None:
            found = self._loaders[key] = Loader(load)
        return found

    def forget(self) -> None:
        """Answers loaded so far are old: a mutation's payload reads anew, on a snapshot of its own."""
        self._loaders.clear()
        self.asked.clear()
        self.sources.clear()

    async def bookmarks(self) -> dict[str, Bookmark]:
        """How far the read models had come when the snapshot began."""
        snapshot = await self.snapshot()
        if snapshot.bookmarks is None:
            await snapshot.rows(_NOTHING)
        return snapshot.bookmarks or {}

    async def position(self) -> int:
        """The lowest position the read models read so far show: `extensions.position`. Nothing read: of all of them."""
        known = await self.bookmarks()
        reached = [known[model].position if model in known else 0 for model in self.models]
        return min(reached or [bookmark.position for bookmark in known.values()], default=0)


class Moment:
    """The present, or one resolved past, of one operation. Every record carries the one it is shown at."""

    __slots__ = ("_required", "at", "past", "reads", "viewer")

    def __init__(self, reads: Reads, past: Past | None) -> None:
        self.reads = reads
        self.past = past
        self.at = None if past is None else past.position
        self.viewer = reads.viewer if past is None or past.time is None else replace(reads.viewer, now=past.time)
        self._required: set[str] = set()

    def query(self) -> Query:
        return Query(self.viewer, self.at)

    async def rows(self, query: Query, statement: Composable) -> list[tuple[Any, ...]]:
        """Run a statement, once its read models are known to reach this moment. Raises: NotYetProjectedError."""
        await self.require(query.models)
        snapshot = await self.reads.snapshot()
        return await snapshot.rows(statement, query.parameters)

    async def require(self, models: AbstractSet[str]) -> None:
        self.reads.models |= models
        if self.past is None or models <= self._required:
            return
        bookmarks = await self.reads.bookmarks()
        for model in models - self._required:
            asof.require(self.past, bookmarks.get(model))
        self._required |= models

    def global_id(self, type_: str, id_: UUID) -> str:
        return ids.encode(type_, id_, self.at)

    def masked_fields(self, entity: str | None) -> list[str]:
        return sorted(self.reads.masked(entity))

    def viewer_can(self, entity: str | None, owner: UUID | None, left: AbstractSet[Action] | None) -> list[Action]:
        """What the viewer's roles allow with a record that he sees. `left`: what its state leaves; the past leaves a look.

        An action that reaches as far as reading does reaches every record seen; TEAM beyond one's own is left out otherwise.
        """
        if entity is None:
            return []
        scope, kind = self.reads.permissions.scope, EntityType(entity)
        reading, mine = scope(kind, Action.READ), owner is not None and owner == self.reads.viewer.member_id
        return [
            action
            for action in Action
            if (reach := scope(kind, action)) is not None
            and (mine or _WIDTH[reach] >= _WIDTH[reading or Scope.WORKSPACE])
            and (left is None or action in left)
            and (self.past is None or action in LOOKING)
        ]
