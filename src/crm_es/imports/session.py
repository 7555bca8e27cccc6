"""An import with everything around it: engine, projector, the run's row and lock, progress, the report."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg

from crm_es.app import engine
from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.context import Engine
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import CrmError, UnavailableError
from crm_es.eventstore.event import WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.imports.dates import check_dates
from crm_es.imports.doors import Doors
from crm_es.imports.mapping import Mapping, read_mapping
from crm_es.imports.plan import Plan, make_plan
from crm_es.imports.reader import columns_of, file_hash
from crm_es.imports.rehearsal import RehearsalKeys, RehearsalRecorder
from crm_es.imports.report import report_path, write_report
from crm_es.imports.run import Import
from crm_es.imports.runs import ImportRun, Job, connected
from crm_es.imports.tally import Tally
from crm_es.imports.world import ImportStoppedError, SchemaWorld, identity
from crm_es.privacy.key_rows import open_rows
from crm_es.privacy.keystore import KeyStore, root_key
from crm_es.projector.garbage import rarely_collected
from crm_es.schema import schema
from crm_es.serving.projecting import settle

NOTE_SECONDS = 1.0  # between notes of how far a run is
MUCH = 2_000  # events: fewer are projected in the time another process takes to start


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What was asked for on the command line."""

    mapping: Path
    file: Path
    workspace: WorkspaceId
    zone: ZoneInfo
    dry_run: bool = False
    stop_on_error: bool = False
    report_folder: Path = Path()


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """How it ended. `report` is where the refused rows are listed."""

    tally: Tally
    stopped: bool
    report: Path | None
    events: int | None = None
    """How many a dry run would have recorded."""


class Display(Protocol):
    """Where progress is shown."""

    def begin_pass(self, number: int) -> None: ...
    def reach(self, line: int) -> None: ...


@dataclass(slots=True)
class _Watcher:
    display: Display
    run: ImportRun | None
    busy: Callable[[], None]
    number: int = 1
    noted: float = 0.0

    async def begin_pass(self, number: int) -> None:
        self.number = number
        self.display.begin_pass(number)

    async def advance(self, line: int, tally: Tally) -> None:
        self.display.reach(line)
        if self.run is None:
            return
        if tally.recorded >= MUCH:
            self.busy()
        if time.monotonic() - self.noted > NOTE_SECONDS:
            self.noted = time.monotonic()
            await self.run.advance(self.number, line, tally)


def plan_of(request: Request) -> tuple[Mapping, Plan]:
    """The mapping, bound to this schema and this file. Raises: MappingError, FileError."""
    mapping = read_mapping(request.mapping)
    columns = columns_of(request.file, mapping.shape)
    plan = make_plan(mapping, schema._schema, columns, request.zone, request.mapping.name)  # noqa: SLF001
    check_dates(plan, request.file, request.mapping.name)
    return mapping, plan


async def run_import(
    settings: Settings,
    urls: DatabaseUrls,
    request: Request,
    display: Display,
    stopped: Callable[[], bool],
    *,
    busy: Callable[[], None] = lambda: None,
) -> Done:
    """`busy` is told of a run that records much. Raises: CrmError when nothing, or no more, could be done; what was recorded
    stays."""
    mapping, plan = plan_of(request)
    unhurried = replace(settings, projection_wait_ms=0, minute_limit=False)  # nobody reads the payloads
    with _resumable(), rarely_collected():
        async with (
            engine(unhurried, urls, follows=False) as running,
            connected(urls.app, request.workspace) as connection,
        ):
            work = _Work(request, plan, running, connection, display, stopped, busy)
            if request.dry_run:
                return await work.rehearse(settings, urls)
            done = await work.run(mapping)
            await asyncio.to_thread(settle, settings, urls.projector, await work.newest())
            return done


@contextmanager
def _resumable() -> Iterator[None]:
    """Raises: ImportStoppedError, which says how to go on, for whatever does not answer."""
    try:
        with _alone():
            yield
    except UnavailableError as exc:
        raise ImportStoppedError(exc.message) from exc


@contextmanager
def _alone() -> Iterator[None]:
    """What went wrong, out of the group that the engine's tasks wrap it in."""
    try:
        yield
    except ExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


@dataclass(frozen=True, slots=True)
class _Work:
    request: Request
    plan: Plan
    engine: Engine
    connection: psycopg.AsyncConnection[Any]
    display: Display
    stopped: Callable[[], bool]
    busy: Callable[[], None]

    async def run(self, mapping: Mapping) -> Done:
        job = Job(
            workspace=self.request.workspace,
            mapping=mapping.name,
            mapping_hash=mapping.digest,
            file_name=self.request.file.name,
            file_hash=file_hash(self.request.file),
        )
        run = await ImportRun.begin(self.connection, job)
        tally = Tally()
        try:
            await self._import(self.engine, run.id, run, tally)
        except CrmError:
            with suppress(psycopg.OperationalError):  # the database itself may be what failed
                await run.finish("FAILED", tally)
            raise
        await run.finish("CANCELLED" if self._ended_early(tally) else "DONE", tally)
        return self._done(tally)

    async def rehearse(self, settings: Settings, urls: DatabaseUrls) -> Done:
        tally = Tally()
        async with rehearsal(settings, urls, self.engine) as rehearsed:
            await self._import(rehearsed, uuid4(), None, tally)
            recorder = rehearsed.store.recorder
        return replace(self._done(tally), events=recorder.events if isinstance(recorder, RehearsalRecorder) else None)

    async def newest(self) -> int:
        """The log id of the workspace's last event: what the read models must have reached."""
        cursor = await self.connection.execute(
            "SELECT notification_id FROM es.events WHERE workspace_id = %s ORDER BY sequence DESC LIMIT 1",
            [self.request.workspace],
        )
        row = await cursor.fetchone()
        return row[0] if row else 0

    async def _import(self, running: Engine, run: UUID, row: ImportRun | None, tally: Tally) -> None:
        world = SchemaWorld(
            engine=running,
            connection=self.connection,
            identity=identity(self.request.workspace, run),
            run=run,
            records=self.plan.mapping.records,
            doors=Doors(schema),
            first=row is not None and row.first,
        )
        await Import(
            plan=self.plan,
            path=self.request.file,
            world=world,
            workspace=self.request.workspace,
            watcher=_Watcher(self.display, row, self.busy),
            stop_on_error=self.request.stop_on_error,
            stopped=self.stopped,
        ).run(tally)

    def _ended_early(self, tally: Tally) -> bool:
        return self.stopped() or (self.request.stop_on_error and tally.rejected > 0)

    def _done(self, tally: Tally) -> Done:
        path = report_path(self.request.file, self.plan.mapping.name, self.request.report_folder)
        write_report(path, tally.rejections)
        return Done(tally=tally, stopped=self.stopped(), report=path if tally.rejections else None)


@asynccontextmanager
async def rehearsal(settings: Settings, urls: DatabaseUrls, running: Engine) -> AsyncIterator[Engine]:
    """The engine over a store that keeps to itself what it would append."""
    rows = RehearsalKeys(open_rows(settings.key_store_location))
    keys = KeyStore(rows, root_key(settings.root_key_file, settings.root_key))
    store = Store(urls.app, AGGREGATES, keys, recorder=RehearsalRecorder(urls.app))
    try:
        yield replace(running, store=store, keys=keys)
    finally:
        await store.close()
        keys.close()
