"""Makes the exports that were asked for over the API and allowed, deletes those whose time is over. Any number of workers may;
one export is made by one of them at a time.
"""

import asyncio
import errno
import logging
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from crm_es.config import Settings
from crm_es.errors import CrmError, UnavailableError
from crm_es.eventstore.event import WorkspaceId
from crm_es.exports.making import Maker, StoppedError, command, fenced, forget, is_bound, plan_of
from crm_es.workspaces import export as exports
from crm_es.workspaces.export import EXPORT, ExportStatus
from crm_es.workspaces.export_tickets import folder

log = logging.getLogger(__name__)

LOCK_CLASS: Final = 4711012
TELL_SECONDS: Final = 0.5
NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO}
"""What becomes of a disk or a folder without any fault of an export's."""
INSIDE: Final = "It failed inside. The server's log says why."
_CANCELLED: Final = """
SELECT EXISTS (
  SELECT FROM es.events WHERE workspace_id = %s AND originator_id = %s AND topic = 'export.cancelled'
)
"""
_TELL: Final = """
INSERT INTO es.export_progress (workspace_id, id, done, waits_for) VALUES (%s, %s, %s, %s)
ON CONFLICT (workspace_id, id) DO UPDATE SET done = excluded.done, waits_for = excluded.waits_for
"""


@dataclass(slots=True)
class _Teller:
    """Writes down how far it is, now and then, and stops when it shall."""

    connection: psycopg.Connection[Any]
    workspace: UUID
    id: UUID
    stopped: Callable[[], bool]
    told: float = field(default=0.0)
    done: int = 0
    waits_for: str | None = None

    def says(self, waits_for: str | None) -> None:
        self.waits_for = waits_for

    def __call__(self, done: int, _at: str) -> None:
        if self.stopped():
            raise StoppedError
        self.done = done
        if time.monotonic() - self.told < TELL_SECONDS:
            return
        self.told = time.monotonic()
        self.write()
        if self.connection.execute(_CANCELLED, [self.workspace, self.id]).fetchone() == (True,):
            raise StoppedError

    def write(self) -> None:
        self.connection.execute(_TELL, [self.workspace, self.id, self.done, self.waits_for])


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    settings: Settings
    maker: Maker
    stopped: Callable[[], bool]

    def unfinished(self) -> list[tuple[UUID, UUID]]:
        """Those begun on this machine, whatever became of them."""
        plans = sorted(self.settings.exports_folder.glob("*/*.plan"))
        return [(UUID(plan.parent.name), UUID(plan.stem)) for plan in plans]

    async def make(self, workspace: UUID, id_: UUID) -> bool:
        """Whether there was anything to do here. Raises: UnavailableError."""
        return await self._alone(workspace, id_, self._make)

    async def expire(self, workspace: UUID, id_: UUID) -> bool:
        return await self._alone(workspace, id_, self._expire)

    async def _alone(
        self, workspace: UUID, id_: UUID, work: Callable[[psycopg.Connection[Any], UUID, UUID], Awaitable[None]]
    ) -> bool:
        with locked(self.maker.url, workspace, id_) as connection:
            if connection is None:
                return False
            await work(connection, workspace, id_)
            return True

    async def _make(self, connection: psycopg.Connection[Any], workspace: UUID, id_: UUID) -> None:
        directory = folder(self.settings, workspace, id_)
        _private(self.settings.exports_folder, directory.parent)
        if not await self._is_over(workspace, id_):
            teller = _Teller(connection, workspace, id_, self.stopped)
            error = await self._tried(workspace, id_, directory, teller)
            if error is not None:
                await self.maker.fail(WorkspaceId(workspace), id_, error)
                await asyncio.to_thread(forget, directory)
        if await self._is_over(workspace, id_):
            await asyncio.to_thread(forget, directory)
        if not plan_of(directory).exists():
            connection.execute("DELETE FROM es.export_progress WHERE workspace_id = %s AND id = %s", [workspace, id_])

    async def _tried(self, workspace: UUID, id_: UUID, directory: Path, teller: _Teller) -> str | None:
        """Why it can never be made, if so. Raises: UnavailableError."""
        try:
            await self.maker.make(WorkspaceId(workspace), id_, directory, teller, teller.says)
        except UnavailableError:
            raise
        except StoppedError:
            return None
        except CrmError as error:
            return error.message
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                teller.says(
                    f"The folder of exports cannot be written: {error.strerror}. It goes on when that is mended."
                )
                teller.write()
                raise UnavailableError(f"CRM_EXPORTS: {error.filename or directory}: {error.strerror}.") from error
            log.exception("export %s failed", id_)
            return INSIDE
        return None

    async def _expire(self, _connection: psycopg.Connection[Any], workspace: UUID, id_: UUID) -> None:
        await asyncio.to_thread(forget, folder(self.settings, workspace, id_))
        order = await self.maker.order(WorkspaceId(workspace), id_)
        now = datetime.now(UTC)
        await self.maker.store.decide(command(order, "expire"), EXPORT, id_, lambda was: exports.expire(was, now=now))

    async def _is_over(self, workspace: UUID, id_: UUID) -> bool:
        """Whether its files are wanted no more: it has ended, or what was begun here was made elsewhere."""
        loaded = await self.maker.store.load(EXPORT, WorkspaceId(workspace), id_)
        if loaded is not None and loaded.state.status is ExportStatus.DONE:
            directory = folder(self.settings, workspace, id_)
            return not directory.exists() and not is_bound(
                await self.maker.order(WorkspaceId(workspace), id_), directory
            )
        return loaded is None or loaded.state.status is not ExportStatus.QUEUED


@contextmanager
def locked(url: str, workspace: UUID, id_: UUID) -> Iterator[psycopg.Connection[Any] | None]:
    """A session that holds the export's lock; None: somebody else does. A killed process loses it. Raises: UnavailableError."""
    with fenced(url, workspace) as connection:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, %s)", [LOCK_CLASS, zlib.crc32(id_.bytes) - 2**31]
        ).fetchone()
        yield connection if row == (True,) else None


def _private(*folders: Path) -> None:
    for each in folders:
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
        each.chmod(0o700)
