"""When each API key was last used, to the minute: gathered in memory, written behind the requests, outside the log."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Self
from uuid import UUID

import psycopg

from crm_es.database.sessions import session

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60.0
GATHER_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 5.0
KEPT: Final = 10_000
_FENCE: Final = "SELECT set_config('app.workspace', %s, true)"
_NOTE: Final = """
INSERT INTO es.api_key_use AS known (workspace_id, api_key_id, used_at)
VALUES (%s, %s, %s)
ON CONFLICT (workspace_id, api_key_id) DO UPDATE SET used_at = greatest(known.used_at, excluded.used_at)
"""


class KeyUses:
    """`note` costs a look into a dictionary; each key is written once a minute and process at most."""

    def __init__(self, url: str, *, gather: float = GATHER_SECONDS) -> None:
        self._url = url
        self._gather = gather
        self._noted: dict[UUID, float] = {}
        self._waiting: dict[tuple[UUID, UUID], datetime] = {}
        self._some = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def recording(cls, url: str, *, gather: float = GATHER_SECONDS) -> AsyncIterator[Self]:
        """Writes for as long as the block lasts, and what is left at its end."""
        uses = cls(url, gather=gather)
        writing = asyncio.create_task(uses.write())
        try:
            yield uses
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            with contextlib.suppress(psycopg.OperationalError):  # a minute's uses are lost with the database
                await uses.flush()

    def note(self, workspace: UUID, key: UUID) -> None:
        now = time.monotonic()
        if now < self._noted.get(key, -EVERY_SECONDS) + EVERY_SECONDS:
            return
        if len(self._noted) >= KEPT:
            self._noted.clear()
        self._noted[key] = now
        self._waiting[workspace, key] = datetime.now(UTC)
        self._some.set()

    async def write(self) -> None:
        """Run until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(self._gather)
            try:
                await self.flush()
            except psycopg.OperationalError as error:
                log.warning("uses of API keys are not written yet: %s", error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def flush(self) -> None:
        """Write what waits, all or nothing; it keeps waiting where that fails."""
        writing = dict(self._waiting)
        if writing:
            async with session(self._url) as connection, connection.transaction():
                for (workspace, key), used_at in writing.items():
                    await connection.execute(_FENCE, (str(workspace),))
                    await connection.execute(_NOTE, (workspace, key, used_at))
        self._waiting = {pair: at for pair, at in self._waiting.items() if writing.get(pair) != at}
        if not self._waiting:
            self._some.clear()
