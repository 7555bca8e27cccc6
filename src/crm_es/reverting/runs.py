"""The row of a revert that is a job, and what it leaves behind: how far it is, what it skipped, which commands are undone.

Any process may carry a run on: whoever holds its lock does, chunk by chunk, each chunk a command of its own.
"""

import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID, uuid5

import msgspec
import psycopg
from psycopg.rows import class_row

from crm_es.database.sessions import session
from crm_es.errors import CrmError, UnavailableError
from crm_es.eventstore.event import Actor, ActorKind, Command, Origin, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.reverting import work
from crm_es.reverting.target import Target, TargetKind, Touched, touched

LOCK_CLASS: Final = 4711007
CHUNK: Final = 200
ENDED: Final = frozenset({"DONE", "CANCELLED", "FAILED"})
Note = Mapping[str, Any]
_COLUMNS: Final = (
    "workspace_id, id, target_kind, target, upto, dry_run, actor_kind, actor_id, actor_auth, reason, status, done"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A row of es.revert_run, as far as whoever carries it on must know."""

    workspace_id: UUID
    id: UUID
    target_kind: str
    target: UUID
    upto: int
    dry_run: bool
    actor_kind: str
    actor_id: UUID | None
    actor_auth: str | None
    reason: str | None
    status: str = "QUEUED"
    done: int = 0

    @classmethod
    def of(cls, command: Command, target: Target, upto: int, *, dry_run: bool) -> Self:
        actor = command.actor
        return cls(
            workspace_id=command.workspace, id=command.command_id, target_kind=target.kind, target=target.id, upto=upto,
            dry_run=dry_run, actor_kind=actor.kind, actor_id=actor.id, actor_auth=actor.auth, reason=command.reason,
        )  # fmt: skip

    def command(self, store: Store, number: int) -> Command:
        """That of a chunk: the same whoever carries the run on."""
        workspace = WorkspaceId(self.workspace_id)
        return Command(
            workspace=workspace, command_id=uuid5(self.id, str(number)), correlation_id=self.id, causation_id=self.id,
            request_hash=store.keys.blind(workspace, "request", "revert", str(self.id), str(number)),
            actor=Actor(kind=ActorKind(self.actor_kind), id=self.actor_id, auth=self.actor_auth), reason=self.reason,
            origin=Origin(client="crm-es revert"),
        )  # fmt: skip


@asynccontextmanager
async def connected(url: str, workspace: UUID) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A session of the application role in this workspace. Raises: UnavailableError."""
    try:
        async with session(url) as connection:
            await connection.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
            yield connection
    except psycopg.OperationalError as exc:
        raise UnavailableError(f"The database does not answer: {exc}") from exc


async def begin(connection: psycopg.AsyncConnection[Any], run: Run) -> None:
    """Nothing where it was begun before."""
    await connection.execute(
        """
        INSERT INTO es.revert_run (
          workspace_id, id, target_kind, target, upto, dry_run, actor_kind, actor_id, actor_auth, reason
        )
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT DO NOTHING
        """,
        [
            run.workspace_id, run.id, run.target_kind, run.target, run.upto, run.dry_run, run.actor_kind, run.actor_id,
            run.actor_auth, run.reason,
        ],
    )  # fmt: skip


async def cancel(connection: psycopg.AsyncConnection[Any], workspace: UUID, id_: UUID) -> bool:
    """Whether it was still to be stopped; the chunk under way is done."""
    cursor = await connection.execute(
        """
        UPDATE es.revert_run
        SET status = 'CANCELLED', reason = NULL, finished_at = clock_timestamp()
        WHERE workspace_id = %s AND id = %s AND status IN ('QUEUED', 'RUNNING')
        """,
        [workspace, id_],
    )
    return cursor.rowcount == 1


async def carry_on(store: Store, url: str, workspace: UUID, id_: UUID, stopped: Callable[[], bool]) -> bool:
    """Until it ends, or somebody else is at it. Whether anything was there to do. Raises: UnavailableError."""
    async with connected(url, workspace) as connection:
        if not await _lock(connection, id_):
            return False
        run = await _read(connection, workspace, id_)
        if run is None or run.status in ENDED:
            return False
        try:
            await _carry_on(store, connection, run, stopped)
        except UnavailableError:
            raise
        except CrmError as error:
            await _end(connection, run, "FAILED", error.message)
        return True


async def _lock(connection: psycopg.AsyncConnection[Any], id_: UUID) -> bool:
    cursor = await connection.execute(
        "SELECT pg_try_advisory_lock(%s, %s)", [LOCK_CLASS, zlib.crc32(id_.bytes) - 2**31]
    )
    row = await cursor.fetchone()
    return bool(row and row[0])


async def _read(connection: psycopg.AsyncConnection[Any], workspace: UUID, id_: UUID) -> Run | None:
    async with connection.cursor(row_factory=class_row(Run)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM es.revert_run WHERE workspace_id = %s AND id = %s",  # noqa: S608  # our own names
            [workspace, id_],
        )
        return await cursor.fetchone()


async def _carry_on(
    store: Store, connection: psycopg.AsyncConnection[Any], run: Run, stopped: Callable[[], bool]
) -> None:
    target = Target(TargetKind(run.target_kind), run.target)
    streams = await touched(connection, run.workspace_id, target, run.upto)
    await connection.execute(
        """
        UPDATE es.revert_run SET status = 'RUNNING', total = %s
        WHERE workspace_id = %s AND id = %s AND status IN ('QUEUED', 'RUNNING')
        """,
        [len(streams), run.workspace_id, run.id],
    )
    for start in range(run.done, len(streams), CHUNK):
        if stopped():
            return
        chunk = streams[start : start + CHUNK]
        note = await _chunk(store, run, start // CHUNK, chunk)
        if not await _note(connection, run, start + len(chunk), note):
            return  # cancelled
    await _end(connection, run, "DONE", None)


async def _chunk(store: Store, run: Run, number: int, streams: Sequence[Touched]) -> Note:
    if run.dry_run:
        _, found = await work.plan(store, WorkspaceId(run.workspace_id), streams)
        return found.noted()
    outcome = await work.revert(store, run.command(store, number), streams)
    note: Note = outcome.refusals[0]
    return note


async def _note(connection: psycopg.AsyncConnection[Any], run: Run, done: int, note: Note) -> bool:
    """How far it is, and what it left, as one. False: it was cancelled."""
    async with connection.transaction():
        cursor = await connection.execute(
            """
            UPDATE es.revert_run
            SET done = %s, undone = undone + %s, skipped = skipped + %s
            WHERE workspace_id = %s AND id = %s AND done < %s
            RETURNING status
            """,
            [done, len(note["undone"]), len(note["skipped"]), run.workspace_id, run.id, done],
        )
        row = await cursor.fetchone()
        await keep_skips(connection, run, note)
        if not run.dry_run:
            await keep_commands(connection, run.workspace_id, note)
    return row is not None and row[0] == "RUNNING"


async def keep_skips(connection: psycopg.AsyncConnection[Any], run: Run, note: Note) -> None:
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO es.revert_skip VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [
                [run.workspace_id, run.id, *event, *(by or (None, None)), why]
                for event, by, why in note["skipped"]
            ],
        )  # fmt: skip


async def promise(connection: psycopg.AsyncConnection[Any], workspace: UUID, command_id: UUID, target: UUID) -> None:
    """Before a revert that is no job is appended: should this process die behind that, another keeps it."""
    await connection.execute(
        "INSERT INTO es.revert_to_note (workspace_id, command_id, target) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        [workspace, command_id, target],
    )


async def keep(
    connection: psycopg.AsyncConnection[Any], workspace: UUID, command_id: UUID, target: UUID, note: Note | None
) -> None:
    """What was promised. `note` is None for a command that came to nothing."""
    async with connection.transaction():
        if note is not None:
            await keep_commands(connection, workspace, note)
            await close_import(connection, workspace, target)
        await connection.execute(
            "DELETE FROM es.revert_to_note WHERE workspace_id = %s AND command_id = %s", [workspace, command_id]
        )


async def keep_promise(url: str, workspace: UUID, command_id: UUID, target: UUID) -> None:
    """For a process that died, or was refused. Raises: UnavailableError."""
    async with connected(url, workspace) as connection:
        cursor = await connection.execute(
            "SELECT refusals FROM es.command WHERE workspace_id = %s AND command_id = %s", [workspace, command_id]
        )
        row = await cursor.fetchone()
        note: Note | None = msgspec.json.decode(row[0])[0] if row and row[0] else None
        await keep(connection, workspace, command_id, target, note)


async def keep_commands(connection: psycopg.AsyncConnection[Any], workspace: UUID, note: Note) -> None:
    """What an import finds here it records again."""
    await connection.execute(
        """
        INSERT INTO es.reverted_command (workspace_id, command_id)
        SELECT %s, command FROM unnest(%s::uuid[]) AS command
        ON CONFLICT DO NOTHING
        """,
        [workspace, note["commands"]],
    )


async def close_import(connection: psycopg.AsyncConnection[Any], workspace: UUID, id_: UUID) -> None:
    """Should the target be an import, then one that is not resumed: it begins anew."""
    await connection.execute(
        "UPDATE es.import_run SET reverted_at = clock_timestamp() WHERE workspace_id = %s AND id = %s", [workspace, id_]
    )


async def _end(connection: psycopg.AsyncConnection[Any], run: Run, status: str, error: str | None) -> None:
    if status == "DONE" and not run.dry_run:
        await close_import(connection, run.workspace_id, run.target)
    await connection.execute(
        """
        UPDATE es.revert_run
        SET status = %s, error = %s, reason = NULL, finished_at = clock_timestamp()
        WHERE workspace_id = %s AND id = %s AND status IN ('QUEUED', 'RUNNING')
        """,
        [status, error, run.workspace_id, run.id],
    )
