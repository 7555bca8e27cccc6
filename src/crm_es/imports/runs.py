"""The row of an import run: who runs what, how far it is. One mapping runs once at a time in a workspace."""

import json
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid4

import psycopg

from crm_es.database.sessions import session
from crm_es.errors import ConflictError, UnavailableError
from crm_es.imports.tally import Tally

LOCK_CLASS = 4711006


class AlreadyRunningError(ConflictError):
    """Another process imports through the same mapping into the same workspace."""

    rule = "import.running"

    def __init__(self, mapping: str) -> None:
        super().__init__(f"Another import through {mapping} is running in this workspace. Wait for it to end.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What a run is of. The same job begun before and never ended goes on under its old id."""

    workspace: UUID
    mapping: str
    mapping_hash: str
    file_name: str
    file_hash: str


@asynccontextmanager
async def connected(app_url: str, workspace: UUID) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A session of the application role in this workspace. Raises: UnavailableError."""
    try:
        async with session(app_url) as connection:
            await connection.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
            yield connection
    except psycopg.OperationalError as exc:
        raise UnavailableError(f"The database does not answer: {exc}") from exc


class ImportRun:
    """A run's row, in the session that holds its lock; a killed process loses the lock with its session.

    `first`: nothing was ever imported into this workspace.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any], workspace: UUID, id: UUID, *, first: bool) -> None:
        self._connection = connection
        self._workspace = workspace
        self.id = id
        self.first = first

    @classmethod
    async def begin(cls, connection: psycopg.AsyncConnection[Any], job: Job) -> Self:
        """Raises: AlreadyRunningError."""
        await _lock(connection, job)
        first = await _is_first(connection, job)
        run = await _resumed(connection, job) or await _created(connection, job)
        return cls(connection, job.workspace, run, first=first)

    async def advance(self, number: int, line: int, tally: Tally) -> None:
        await self._connection.execute(
            """
            UPDATE es.import_run
            SET pass = %(pass)s, last_line = %(line)s, rows = %(rows)s, rejected = %(rejected)s, counts = %(counts)s,
                updated_at = clock_timestamp()
            WHERE workspace_id = %(workspace)s AND id = %(id)s
            """,
            self._named(tally) | {"pass": number, "line": line},
        )

    async def finish(self, status: str, tally: Tally) -> None:
        await self._connection.execute(
            """
            UPDATE es.import_run
            SET status = %(status)s, rows = %(rows)s, rejected = %(rejected)s, counts = %(counts)s,
                updated_at = clock_timestamp(), finished_at = clock_timestamp()
            WHERE workspace_id = %(workspace)s AND id = %(id)s
            """,
            self._named(tally) | {"status": status},
        )

    def _named(self, tally: Tally) -> dict[str, Any]:
        return {
            "workspace": self._workspace,
            "id": self.id,
            "rows": tally.rows,
            "rejected": tally.rejected,
            "counts": json.dumps(_plain(tally)),
        }


def _plain(tally: Tally) -> Mapping[str, Mapping[str, int]]:
    return {step: {verdict.value: n for verdict, n in counts.items()} for step, counts in tally.steps.items()}


async def _lock(connection: psycopg.AsyncConnection[Any], job: Job) -> None:
    key = zlib.crc32(f"{job.workspace} {job.mapping}".encode()) - 2**31
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_CLASS, key])
    row = await cursor.fetchone()
    if row is None or not row[0]:
        raise AlreadyRunningError(job.mapping)


async def _is_first(connection: psycopg.AsyncConnection[Any], job: Job) -> bool:
    cursor = await connection.execute(
        "SELECT NOT EXISTS (SELECT FROM es.import_run WHERE workspace_id = %s)", [job.workspace]
    )
    row = await cursor.fetchone()
    return row is not None and row[0]


async def _resumed(connection: psycopg.AsyncConnection[Any], job: Job) -> UUID | None:
    """An unfinished run of the same job: nobody else can be at it, the lock is ours."""
    cursor = await connection.execute(
        """
        SELECT id
        FROM es.import_run
        WHERE workspace_id = %s AND mapping_hash = %s AND file_hash = %s AND status <> 'DONE' AND reverted_at IS NULL
        ORDER BY started_at DESC
        LIMIT 1
        """,
        [job.workspace, job.mapping_hash, job.file_hash],
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    await connection.execute(
        """
        UPDATE es.import_run
        SET status = 'RUNNING', pass = 1, last_line = 0, finished_at = NULL, updated_at = clock_timestamp()
        WHERE workspace_id = %s AND id = %s
        """,
        [job.workspace, row[0]],
    )
    return UUID(str(row[0]))


async def _created(connection: psycopg.AsyncConnection[Any], job: Job) -> UUID:
    run = uuid4()
    await connection.execute(
        """
        INSERT INTO es.import_run (workspace_id, id, mapping, mapping_hash, file_name, file_hash, status)
        VALUES (%s, %s, %s, %s, %s, %s, 'RUNNING')
        """,
        [job.workspace, run, job.mapping, job.mapping_hash, job.file_name, job.file_hash],
    )
    return run
