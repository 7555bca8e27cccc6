"""`verify`: the verifier that every bundle carries, over a bundle or over the database itself."""

import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import click

from crm_es.commands.workspaces import desk_at
from crm_es.config import Settings
from crm_es.database.doors import current, owner_url
from crm_es.database.urls import DatabaseUrls
from crm_es.exports import whole_log
from crm_es.ledger import crm_verify
from crm_es.ledger.checkpoint import vkey
from crm_es.ledger.sealer import origin_of

OPERANDS: Final = {"full": 0, "since": 1, "sample": 1}
"""Words between a mode and the directory."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option(
    "--workspace", "name", help="Look at this workspace in the database instead of at a bundle. Its name or id."
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="MODE [DIR] …")
def verify(words: tuple[str, ...], name: str | None) -> None:
    """Prove that nothing was altered, reordered or left out.

    MODE is `full`, `since CHECKPOINT` (a checkpoint kept from earlier), `sample NUMBER`, or `locate DIR OTHER`. `full` and
    `since` prove with `--log-only` each byte and its place, and read no event; `since … --new --log-only` is the nightly look.
    Of a bundle: `crm-es verify full DIR --origin ORIGIN --public-key FILE`. With --workspace no DIR is given, and what is
    not said of origin and key is taken from the settings and the database's own word. Exit code 0: all holds; 1: altered;
    2: something is missing; 3: not verifiable. The last line says what, as JSON.
    """
    if name is None:
        sys.exit(crm_verify.main(words))
    if not words or words[0] not in OPERANDS or len(words) <= OPERANDS[words[0]]:
        raise click.UsageError("With --workspace, MODE is full, since CHECKPOINT or sample NUMBER.")
    with tempfile.TemporaryDirectory(prefix="crm-es-verify-") as folder:
        given, newest = _of_database(words, name, Path(folder))
        code = crm_verify.main(given)
    if newest.misfiled and code != crm_verify.TAMPERED:
        reason = "the row's columns are not what the event's bytes say"
        click.echo(json.dumps({"result": "tampered", "position": newest.misfiled[0], "file": None, "reason": reason}))
        code = crm_verify.TAMPERED
    sys.exit(code)


def _of_database(words: Sequence[str], name: str, folder: Path) -> tuple[list[str], whole_log.Newest]:
    """The words that verify a bundle of the whole log, written for this."""
    settings = Settings.from_environment()
    with current(settings) as urls:
        workspace = asyncio.run(_the(settings, urls, name))
        newest = whole_log.write(owner_url(urls), workspace, folder / "log")
    key = folder / "key"
    key.write_text(vkey(newest.origin, newest.public))
    end = 1 + OPERANDS[words[0]]
    pinned = {"--origin": origin_of(settings.log_origin, workspace, 1), "--public-key": str(key)}
    given = [word for option, value in pinned.items() if option not in words for word in (option, value)]
    return [*words[:end], str(folder / "log"), *words[end:], *given, "--no-custody"], newest


async def _the(settings: Settings, urls: DatabaseUrls, name: str) -> UUID:
    """An id is believed: what was done to the log may have been done to the workspace's own event."""
    try:
        return UUID(name)
    except ValueError:
        async with desk_at(settings, urls) as desk:
            return await desk.the(name)
