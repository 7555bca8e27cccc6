"""`/log/…`: checkpoints and tiles as C2SP tlog-tiles serves them, for anybody; entries for those who audit.

`/log/<workspace>/` is a workspace's log, `/log/` the log of logs; a number after either is a later epoch.
"""

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from crm_es.access.entry import Kind, entry
from crm_es.access.trail import Trail
from crm_es.api import finding
from crm_es.api.http import refused
from crm_es.context import Context, Engine
from crm_es.errors import CrmError, NotAllowedError, UnauthenticatedError
from crm_es.ledger.book import NIL
from crm_es.ledger.merkle import HASH, WIDTH, Tile, parse_path
from crm_es.reads import ledger
from crm_es.reads.driver import Snapshot
from crm_es.workspaces.actions import Action, EntityType

_PATH: Final = re.compile(
    r"(?:(?P<workspace>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/)?"
    r"(?:(?P<epoch>[1-9][0-9]{0,8})/)?(?P<file>checkpoint|tile/.+)"
)
_FOR_EVER: Final = "max-age=31536000, immutable"
_BYTES: Final = "application/octet-stream"


async def log_file(request: Request) -> Response:
    """One file of a log; 404 where there is none, or not yet."""
    try:
        return await _found(request) or PlainTextResponse("no such file\n", 404)
    except CrmError as error:
        return refused(request, error)


async def _found(request: Request) -> Response | None:
    named = _PATH.fullmatch(request.path_params["path"])
    if named is None:
        return None
    engine: Engine = request.app.state.engine
    workspace, epoch, file = (
        UUID(named["workspace"]) if named["workspace"] else NIL,
        int(named["epoch"] or 1),
        named["file"],
    )
    if named["epoch"] == "1":
        return None
    if file.startswith("tile/entries/"):
        context = None if workspace == NIL else await _must_audit(request, engine, workspace)
        async with engine.connections.snapshot(workspace) as snapshot:
            found = await _entries(snapshot, workspace, epoch, file)
        if context is not None and found is not None:
            await _account(context, file, entries=found)
        return None if found is None else _bundled(workspace, found)
    async with engine.connections.snapshot(workspace) as snapshot:
        if file == "checkpoint":
            return await _checkpoint(snapshot, workspace, epoch)
        return await _tile(snapshot, workspace, epoch, file)


async def _checkpoint(snapshot: Snapshot, workspace: UUID, epoch: int) -> Response | None:
    log = await ledger.newest(snapshot, workspace, epoch)
    return None if log is None else PlainTextResponse(log.note, headers={"Cache-Control": "no-cache"})


async def _tile(snapshot: Snapshot, workspace: UUID, epoch: int, path: str) -> Response | None:
    tile = _parsed(path)
    if tile is None:
        return None
    hashes = (await ledger.tiles(snapshot, workspace, epoch, [tile]))(tile)
    if len(hashes) < tile.width * HASH:
        return None
    return Response(hashes, media_type=_BYTES, headers={"Cache-Control": f"public, {_FOR_EVER}"})


async def _entries(snapshot: Snapshot, workspace: UUID, epoch: int, path: str) -> list[bytes] | None:
    tile = _parsed(path.replace("tile/entries/", "tile/0/", 1))
    log = await ledger.newest(snapshot, workspace, epoch)
    if tile is None or log is None or tile.number * WIDTH + tile.width > log.size:
        return None
    return await ledger.entries(snapshot, workspace, tile.number * WIDTH, tile.width)


def _bundled(workspace: UUID, found: Sequence[bytes]) -> Response:
    """Each as C2SP bundles them: two bytes of length, then its bytes."""
    body = b"".join(len(entry).to_bytes(2, "big") + entry for entry in found)
    shown = "public" if workspace == NIL else "private"
    headers = {"Cache-Control": f"{shown}, {_FOR_EVER}", "Vary": "Authorization"}
    return Response(body, media_type=_BYTES, headers=headers)


class _Told(msgspec.Struct):
    """What an entry says first of all: of which record it is."""

    stream: UUID
    type: str


async def _account(context: Context, file: str, *, entries: Sequence[bytes] = (), code: str | None = None) -> None:
    """Who was answered which entries, or was not, is in the access log before he is. Raises: UnavailableError."""
    tile, trail = _parsed(file.replace("tile/entries/", "tile/0/", 1)), Trail()
    for told in (msgspec.json.decode(each, type=_Told) for each in entries if each):
        trail.saw(finding.type_name(told.type.partition(".")[0]), (told.stream,))
    trail.rows = tile.width if tile and code is None else 0
    position = tile.number * WIDTH + tile.width if tile and code is None else 0
    row = entry(
        workspace=context.workspace, actor=context.identity.actor, kind=Kind.ENTRIES, operation=file, trail=trail,
        position=position, code=code, allowed=code is None,
    )  # fmt: skip
    await context.engine.access.record(row)


def _parsed(path: str) -> Tile | None:
    try:
        return parse_path(path)
    except ValueError:
        return None


async def _must_audit(request: Request, engine: Engine, workspace: UUID) -> Context:
    """Raises: UnauthenticatedError, NotAllowedError."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError("Send a token: Authorization: Bearer <token>.")
    host = request.client.host if request.client else None
    context = await engine.begin(token.strip(), client=request.headers.get("user-agent"), host=host)
    if context.workspace == workspace and context.permissions.scope(EntityType.CONTACT, Action.AUDIT) is None:
        await _account(context, request.path_params["path"].partition("/")[2], code="FORBIDDEN")
    if context.workspace != workspace or context.permissions.scope(EntityType.CONTACT, Action.AUDIT) is None:
        raise NotAllowedError("The entries of a log are for those who audit its workspace.")
    return context
