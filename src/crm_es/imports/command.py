"""`crm-es import`: a file becomes facts."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

import click
import psycopg
from tqdm import tqdm

from crm_es.commands.workspaces import Desk, desk_at
from crm_es.config import Settings
from crm_es.database.doors import current, owner_url
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import WorkspaceId
from crm_es.imports.session import Done, Request, run_import
from crm_es.imports.telling import told
from crm_es.serving.beside import projector_at_hand
from crm_es.workspaces.workspace import WORKSPACE

REJECTED = 3
STOPPED = 130


@click.command("import")
@click.argument("mapping", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--workspace", "name", help="Its name or id; may be left out where there is one alone.")
@click.option("--dry-run", is_flag=True, help="Do everything but append, and report what the run would report.")
@click.option(
    "--on-error",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="Whether a refused row ends the import; stop takes rows one by one.",
)
def import_(mapping: Path, file: Path, name: str | None, *, dry_run: bool, on_error: str) -> None:
    """Record the rows of FILE as MAPPING (TOML, see docs/importing.md) says.

    Rows recorded before are not recorded again: run it again after a failure, or with a longer file. Exit code 3: rows were
    refused, and are listed in a report in this folder.
    """
    settings = Settings.from_environment()
    with current(settings) as urls:
        done = asyncio.run(_import(settings, urls, mapping, file, name, dry_run=dry_run, stop=on_error == "stop"))
    click.echo(told(done, dry_run=dry_run))
    if done.stopped:
        sys.exit(STOPPED)
    sys.exit(REJECTED if done.tally.rejections else 0)


async def _import(
    settings: Settings,
    urls: DatabaseUrls,
    mapping: Path,
    file: Path,
    name: str | None,
    *,
    dry_run: bool,
    stop: bool,
) -> Done:
    async with desk_at(settings, urls) as desk:
        workspace = await desk.the(name) if name else await _only(desk)
        loaded = await desk.store.load(WORKSPACE, workspace, workspace)
    request = Request(
        mapping=mapping,
        file=file,
        workspace=workspace,
        zone=ZoneInfo(loaded.state.time_zone if loaded else "UTC"),
        dry_run=dry_run,
        stop_on_error=stop,
    )
    with Bar(file) as bar, _interruptible() as interrupted, projector_at_hand(urls) as start:
        return await run_import(settings, urls, request, bar, interrupted.is_set, busy=start)


async def _only(desk: Desk) -> WorkspaceId:
    """Raises: InvalidInputError where there is none, or a choice."""
    with psycopg.connect(owner_url(desk.urls)) as connection:
        found = [row[0] for row in connection.execute("SELECT workspace_id FROM es.head LIMIT 2").fetchall()]
    if len(found) != 1:
        reason = (
            "There are several workspaces" if found else "There is no workspace yet: `crm-es workspace create NAME`"
        )
        raise InvalidInputError(f"{reason}. Name one with --workspace.", rule="workspace.unnamed")
    return WorkspaceId(found[0])


@contextmanager
def _interruptible() -> Iterator[asyncio.Event]:
    """Ctrl-C and SIGTERM end after the rows in hand; a second Ctrl-C ends at once."""
    loop, interrupted = asyncio.get_running_loop(), asyncio.Event()

    def interrupt(number: int) -> None:
        interrupted.set()
        loop.remove_signal_handler(number)
        click.echo("Stopping after the rows in hand …", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield interrupted
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


class Bar:
    """Lines of the file gone through, on a terminal; silent elsewhere."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as lines:
            total = sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
        self._bar: tqdm[Any] = tqdm(total=total, unit=" lines", disable=None, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def begin_pass(self, number: int) -> None:
        self._bar.reset()
        self._bar.set_description(f"pass {number}", refresh=False)

    def reach(self, line: int) -> None:
        self._bar.update(line - self._bar.n)
