"""`export`: a bundle for somebody outside, made by whoever has the machine, who needs nobody's leave and is noted in the log."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

import click
import msgspec
from tqdm import tqdm

from crm_es.commands.workspaces import Desk, command, desk_at
from crm_es.config import Settings, environment_of_children, environment_of_sealer
from crm_es.database.doors import current
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import InvalidInputError, NotFoundError, RuleViolatedError, UnavailableError
from crm_es.eventstore.event import WorkspaceId
from crm_es.exports.files import pretty, put
from crm_es.exports.making import OVER, Maker, StoppedError, forget, part_of, plan_of
from crm_es.exports.narrowing import condition
from crm_es.exports.work import locked
from crm_es.serving.projecting import settle
from crm_es.serving.supervisor import KILL_AFTER_SECONDS, Child
from crm_es.uuids import new_id
from crm_es.workspaces import export as exports
from crm_es.workspaces.export import EXPORT, ExportEvent, ExportScope, Wanted
from crm_es.workspaces.export_scoping import widened

STOPPED: Final = 130


@click.command()
@click.option("--workspace", "name", required=True, help="Its name or id.")
@click.option("--purpose", required=True, help="What it is for. The log keeps it.")
@click.option("--reason", help="Why, if there is more to say than the purpose. The log keeps it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder for the bundle.")
@click.option("--at", "upto", type=click.IntRange(1), help="As of this position; now, if left out.")
@click.option("--from", "first", type=click.IntRange(1), help="Only events from this position on.")
@click.option("--to", "last", type=click.IntRange(1), help="Only events up to this position.")
@click.option("--subject", type=click.UUID, help="Only what is about this contact.")
@click.option("--stream", type=click.UUID, help="Only this record's events.")
@click.option("--filter", "filter_", help="An EventFilter as JSON: what the views show.")
def export(name: str, purpose: str, reason: str | None, out: Path, **asked: Any) -> None:
    """Write a provable bundle: events, proofs, views, who asked and why, and the verifier. docs/exports.md says what is in it.

    Stopped or killed, the same command goes on where it was.
    """
    _check_text(purpose, reason or "")
    wanted = _wanted(asked)
    _asking(wanted, purpose, reason or purpose)  # before there is anything that would have to be finished
    settings = Settings.from_environment()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInputError(f"There is something in {out} already. Name a new folder.", rule="export.not_empty")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with current(settings) as urls, sealer_at_hand(settings, urls):
            made = asyncio.run(
                _export(
                    settings,
                    urls,
                    name=name,
                    out=out.absolute(),
                    wanted=wanted,
                    purpose=purpose,
                    reason=reason or purpose,
                )
            )
    except StoppedError:
        click.echo(f"Stopped. The same command goes on where it was, with what is in {part_of(out)}.", err=True)
        sys.exit(STOPPED)
    except OSError as exc:
        raise UnavailableError(
            f"--out: {exc.filename or out}: {exc.strerror}. Mend that; the same command goes on with what is made."
        ) from exc
    click.echo("README.md in it says how to check it.", err=True)
    click.echo(made)


def _check_text(*given: str) -> None:
    """What a shell handed over may be no text. Raises: InvalidInputError."""
    try:
        "".join(given).encode()
    except UnicodeEncodeError as exc:
        raise InvalidInputError("--purpose and --reason are text in UTF-8.", rule="export.no_text") from exc


def _wanted(asked: Any) -> Wanted:
    """Raises: InvalidInputError."""
    given = {key: asked[key] for key in ("subject", "stream") if asked[key]}
    ranged = asked["first"] is not None or asked["last"] is not None
    if len(given) + ranged > 1:
        raise InvalidInputError("Choose one of --subject, --stream and --from/--to.", rule="export.scopes")
    if asked["filter_"]:
        condition(asked["filter_"])
    wanted = Wanted(upto=asked["upto"], filter=asked["filter_"])
    for option, id_ in given.items():
        scope = ExportScope[option.upper()]
        wanted = Wanted(scope=scope, id=id_, upto=wanted.upto, filter=wanted.filter)
    if ranged:
        wanted = Wanted(
            scope=ExportScope.RANGE,
            first=asked["first"] or 1,
            last=asked["last"],
            upto=wanted.upto,
            filter=wanted.filter,
        )
    return widened(wanted)


async def _export(
    settings: Settings, urls: DatabaseUrls, *, name: str, out: Path, wanted: Wanted, purpose: str, reason: str
) -> Path:
    async with desk_at(settings, urls) as desk:
        workspace = await desk.the(name)
        id_ = await _requested(desk, workspace, out, wanted, purpose=purpose, reason=reason)
        maker = Maker(
            url=urls.app,
            store=desk.store,
            decode=desk.store.codec.decode_each,
            reached=lambda log_id: settle(settings, urls.projector, log_id),
        )
        with locked(urls.app, workspace, id_) as alone, _Screen().interruptible() as screen:
            if alone is None:
                raise UnavailableError(f"Another process is making {out} already.", rule="export.being_made")
            try:
                return await maker.make(workspace, id_, out, screen.told, screen.says)
            except (RuleViolatedError, NotFoundError) as error:
                if error.rule in OVER or isinstance(error, NotFoundError):
                    await maker.fail(workspace, id_, error.message)
                    await asyncio.to_thread(forget, out)
                raise


class _Screen:
    """Shows how far it is and what is waited for. Told to stop (SIGINT, SIGTERM), it stops the making at the next step; told
    twice, at once: nothing is lost by that either."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._bar: tqdm[Any] = tqdm(unit=" events and rows", unit_scale=True, disable=None, leave=False)
        self._said: str | None = None

    @contextmanager
    def interruptible(self) -> Iterator[Self]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt)
        try:
            yield self
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            self._bar.close()

    def _interrupt(self) -> None:
        if self._stop.is_set():
            os._exit(STOPPED)
        self._stop.set()
        self._bar.write("Stopping …", file=sys.stderr)

    def told(self, done: int, at: str) -> None:
        """Raises: StoppedError."""
        if self._stop.is_set():
            raise StoppedError
        self._bar.set_description_str(at, refresh=False)
        self._bar.update(done - self._bar.n)

    def says(self, waits_for: str | None) -> None:
        """Each thing once."""
        if waits_for and waits_for != self._said:
            self._bar.write(waits_for, file=sys.stderr)
        self._said = waits_for


async def _requested(
    desk: Desk, workspace: WorkspaceId, out: Path, wanted: Wanted, *, purpose: str, reason: str
) -> UUID:
    """The export of this folder: begun now, or by an earlier run that asked for the same. Raises: InvalidInputError."""
    said = begun(workspace, wanted, purpose=purpose, reason=reason)
    plan = plan_of(out)
    if plan.exists():
        known = msgspec.json.decode(plan.read_bytes(), type=dict[str, Any])
        if known.get("said") != said:
            message = (
                f"{plan.name} is of another export that was not finished. Finish that one, or delete it and {out}.part."
            )
            raise InvalidInputError(message, rule="export.other_begun")
        id_ = UUID(known["export"])
    else:
        id_ = new_id()
        put(plan, pretty({"export": str(id_), "said": said}))
    if await desk.store.load(EXPORT, workspace, id_) is None:
        events = _asking(wanted, purpose, reason)
        await desk.store.create(replace(command(workspace), reason=reason), EXPORT, id_, events)
    return id_


def _asking(wanted: Wanted, purpose: str, reason: str) -> list[ExportEvent]:
    """Raises: InvalidInputError."""
    return exports.request(wanted, purpose=purpose, reason=reason, by=None, at_the_machine=True)


def begun(workspace: UUID, wanted: Wanted, *, purpose: str, reason: str) -> dict[str, Any]:
    """What was asked for, as a plan says it."""
    plain: dict[str, Any] = msgspec.to_builtins(asdict(wanted))
    return {"workspace": str(workspace), "purpose": purpose, "reason": reason, "wanted": plain}


@contextmanager
def sealer_at_hand(settings: Settings, urls: DatabaseUrls) -> Iterator[None]:
    """A sealer for as long as the block lasts. Where another leads it stands by."""
    if not urls.sealer:
        yield
        return
    child = Child("the sealer", ["crm_es.serving.sealing"])
    child.start({**environment_of_children(urls), **environment_of_sealer(settings, urls)})
    try:
        yield
    finally:
        child.ask_to_stop()
        child.wait(time.monotonic() + KILL_AFTER_SECONDS)
