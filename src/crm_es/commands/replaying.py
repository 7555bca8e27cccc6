"""`replay`: all read models as of any moment in schemas of their own, and what would be had things been otherwise."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import click
import psycopg

from crm_es.commands.projecting import Bar
from crm_es.commands.workspaces import desk_at
from crm_es.config import Settings
from crm_es.database.doors import current, owner_url
from crm_es.database.urls import DatabaseUrls
from crm_es.errors import InvalidInputError
from crm_es.projector import supposing
from crm_es.projector.contract import ReadModel
from crm_es.projector.pages import Decode
from crm_es.projector.replay import Change, Moment, Replay, at_position, at_time
from crm_es.projector.supposing import Supposition
from crm_es.serving import projecting
from projections import READ_MODELS

WHAT_IF: Final = "_what_if"


@click.command()
@click.option("--to", "to", help="A position of the workspace, or a time as 2026-03-01T12:00:00Z.")
@click.option("--schema", "name", required=True, help="What the schemas are to be called: NAME__pipelines and so on.")
@click.option("--workspace", "workspace", help="Its name or id; may be left out where there is one alone.")
@click.option(
    "--what-if",
    "what_if",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML or JSON file with other chances of stages or other promises: prints what would differ.",
)
@click.option("--drop", is_flag=True, help="Drop what a replay of this name made, and nothing else.")
def replay(to: str | None, name: str, workspace: str | None, what_if: Path | None, *, drop: bool) -> None:
    """Make all read models of a workspace as they were, in schemas of their own. The live ones are not touched.

    A replay that was killed is begun anew. In the middle of an append it is the one before, as with asOf.
    """
    settings = Settings.from_environment()
    with current(settings) as urls:
        if drop:
            dropped = _dropped(urls, name)
            for schema in dropped:
                click.echo(f"dropped {schema}")
            if not dropped:
                click.echo(f"There is nothing of a replay called {name}.")
            return
        if to is None:
            raise InvalidInputError("Say where to: --to POSITION or --to TIME.", rule="replay.to")
        supposed = None if what_if is None else Supposition.read(what_if)
        asked = _Asked(asyncio.run(_workspace(settings, urls, workspace)), to, supposed)
        with projecting.decoding(settings) as decode:
            _replay(urls, decode, name, asked)


def _dropped(urls: DatabaseUrls, name: str) -> list[str]:
    replays = [_Making(urls, lambda _: [], each).replay(READ_MODELS) for each in (name, name + WHAT_IF)]
    return [schema for one in replays for schema in one.drop()]


@dataclass(frozen=True, slots=True)
class _Making:
    urls: DatabaseUrls
    decode: Decode
    name: str

    def replay(self, models: Sequence[ReadModel], change: Change = lambda facts: facts) -> Replay:
        """Raises: InvalidInputError for the name."""
        return Replay(url=self.urls.projector, decode=self.decode, models=models, name=self.name, change=change)


def _replay(urls: DatabaseUrls, decode: Decode, name: str, asked: "_Asked") -> None:
    """Raises: InvalidInputError."""
    supposed = asked.supposed
    replays = [_Making(urls, decode, name).replay(READ_MODELS)]
    if supposed is not None:
        some = [model for model in READ_MODELS if model.NAME in supposing.MODELS]
        replays.append(_Making(urls, decode, name + WHAT_IF).replay(some, supposed.change))
    with psycopg.connect(urls.projector, autocommit=True) as connection:
        moment = _moment(connection, asked.workspace, asked.to)
        for one in replays:
            if left := one.drop():
                click.echo(
                    f"Dropped what an earlier replay called {one.name} made ({len(left)} schemas): this one begins anew."
                )
            with Bar() as bar:
                events = one.run(asked.workspace, moment, bar.report)
            schemas = ", ".join(one.schema(model) for model in one.models)
            click.echo(f"{events:,} events up to position {moment.position:,}{_amid(asked.to, moment)} in {schemas}")
        if supposed is not None:
            for sentence in supposed.unmet():
                click.echo(sentence, err=True)
            was, now = (supposing.figures(connection, one.name, asked.workspace, moment.time) for one in replays)
            click.echo(told(supposing.compared(was, now)))


def _amid(to: str, moment: Moment) -> str:
    """Why it ends before the position that was asked for."""
    return f" ({int(to):,} lies in the middle of an append)" if to.isdigit() and int(to) != moment.position else ""


@dataclass(frozen=True, slots=True)
class _Asked:
    workspace: UUID
    to: str
    supposed: Supposition | None


def told(rows: Sequence[tuple[str, str, int, int]]) -> str:
    """A line a figure: as it was, as it would be, and the difference where there is one."""
    if not rows:
        return "Nothing to compare: no open tickets, breaches, or open deals with an amount by then."
    width = max((len(f"{what} {of}") for what, of, *_ in rows), default=0)
    lines = [f"{'':<{width}}  {'as it was':>14}  {'what if':>14}"]
    for what, of, before, after in rows:
        mark = "" if before == after else f"  ({after - before:+,})"
        lines.append(f"{f'{what} {of}':<{width}}  {before:>14,}  {after:>14,}{mark}")
    return "\n".join(lines)


def _moment(connection: psycopg.Connection[tuple[object, ...]], workspace: UUID, to: str) -> Moment:
    """Raises: InvalidInputError."""
    if to.isdigit():
        return at_position(connection, workspace, int(to))
    try:
        time = datetime.fromisoformat(to)
    except ValueError as exc:
        raise InvalidInputError(f"{to} is neither a position nor a time.", rule="replay.to") from exc
    return at_time(connection, workspace, time if time.tzinfo else time.replace(tzinfo=UTC))


async def _workspace(settings: Settings, urls: DatabaseUrls, name: str | None) -> UUID:
    """Raises: InvalidInputError where there is none, or a choice."""
    async with desk_at(settings, urls) as desk:
        if name is not None:
            return await desk.the(name)
    with psycopg.connect(owner_url(urls)) as connection:
        found = [row[0] for row in connection.execute("SELECT workspace_id FROM es.head LIMIT 2").fetchall()]
    if len(found) != 1:
        raise InvalidInputError("Name a workspace with --workspace.", rule="workspace.unnamed")
    return UUID(str(found[0]))
