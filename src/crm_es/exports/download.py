"""`/exports/<id>?ticket=…`: a finished bundle as one tar, a piece at a time. The ticket is all it takes; each use is logged."""

import asyncio
import os
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from crm_es.access.entry import LONGEST_PURPOSE, Kind, entry
from crm_es.context import Engine, truncated
from crm_es.errors import CrmError, NotAllowedError, RuleViolatedError, UnauthenticatedError, UnavailableError
from crm_es.eventstore.event import Command, Origin, WorkspaceId
from crm_es.exports import accounting
from crm_es.workspaces import export
from crm_es.workspaces.actions import Action, EntityType
from crm_es.workspaces.export import EXPORT
from crm_es.workspaces.export_tickets import Ticket, folder, read
from crm_es.workspaces.identity import permitted

PIECE: Final = 1 << 18
_BLOCK: Final = 512


async def download(request: Request) -> Response:
    engine: Engine = request.app.state.engine
    try:
        ticket = read(
            engine.keys, request.query_params.get("ticket", ""), export=request.path_params["id"], now=datetime.now(UTC)
        )
        directory = folder(engine.settings, ticket.workspace, ticket.export)
        await _record(engine, ticket, directory, request)
    except (UnauthenticatedError, NotAllowedError) as error:
        return JSONResponse({"message": error.message}, 403)
    except UnavailableError as error:
        return JSONResponse({"message": error.message}, 503)
    except CrmError as error:
        return JSONResponse({"message": error.message}, 410)
    headers = {
        "Content-Disposition": f'attachment; filename="export-{ticket.export}.tar"',
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(packed(directory, f"export-{ticket.export}"), 200, headers, "application/x-tar")


async def _record(engine: Engine, ticket: Ticket, directory: Path, request: Request) -> None:
    """In the log, and in who read what, before the first byte leaves.

    Raises: UnauthenticatedError, NotAllowedError: not to them any more; RuleViolatedError, UnavailableError.
    """
    async with engine.connections.snapshot(ticket.workspace) as rows:
        permissions = await permitted(rows, ticket.actor)
    if permissions.scope(EntityType.EXPORT, Action.AUDIT) is None:
        raise NotAllowedError("Exports are for those who audit them.")
    if not await asyncio.to_thread(directory.is_dir):
        raise RuleViolatedError("There is nothing to fetch, or no longer.", rule="export.not_there")
    now, deed = datetime.now(UTC), uuid4()
    command = Command(
        workspace=WorkspaceId(ticket.workspace),
        command_id=deed,
        request_hash=deed.bytes,
        actor=ticket.actor,
        correlation_id=deed,
        origin=Origin(address=truncated(request.client.host if request.client else None)),
    )
    await engine.store.decide(command, EXPORT, ticket.export, lambda was: export.download(was, now=now))
    loaded = await engine.store.load(EXPORT, command.workspace, ticket.export)
    state: export.Export | None = loaded.state if loaded else None
    if state is None or state.asked is None:
        raise RuleViolatedError("There is nothing to fetch, or no longer.", rule="export.not_there")
    held = await accounting.held_by(engine.store, command.workspace, state.asked, state.position or 0)
    await engine.access.record(
        entry(
            workspace=ticket.workspace, actor=ticket.actor, kind=Kind.EXPORT, operation="download",
            trail=accounting.trail_of(ticket.export, held), purpose=state.asked.purpose[:LONGEST_PURPOSE],
            position=state.position or 0,
        )
    )  # fmt: skip


def packed(directory: Path, name: str) -> Iterator[bytes]:
    """The folder as a tar: its files in order, owned by nobody in particular."""
    for path in sorted(each for each in directory.rglob("*") if each.is_file()):
        said = tarfile.TarInfo(f"{name}/{path.relative_to(directory).as_posix()}")
        with path.open("rb") as file:
            size = said.size = os.fstat(file.fileno()).st_size
            said.mode = 0o644
            yield said.tobuf(tarfile.PAX_FORMAT)
            while size > 0 and (piece := file.read(min(PIECE, size))):
                size -= len(piece)
                yield piece
        yield bytes(-said.size % _BLOCK)
    yield bytes(tarfile.RECORDSIZE)
