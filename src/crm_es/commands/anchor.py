"""`anchor`: checkpoints leave the house, again and again."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
import psycopg

from crm_es.config import Settings
from crm_es.database.doors import current
from crm_es.errors import ConfigurationError, UnavailableError
from crm_es.ledger.anchoring import Places, Target, ToFile, ToWebhook, ship
from crm_es.ledger.timestamps import ToTimestamps
from crm_es.serving.stopping import told_to_stop


@click.command()
@click.option(
    "--file", "files", multiple=True, type=click.Path(dir_okay=False, path_type=Path), help="A file to add to."
)
@click.option("--webhook", "webhooks", multiple=True, help="A URL to POST to.")
@click.option(
    "--timestamps", nargs=2, type=(str, click.Path(dir_okay=False, path_type=Path)), default=None,
    help="The URL of an RFC 3161 service, and a file for its answers.",
)  # fmt: skip
@click.option("--every", type=click.FloatRange(1), default=60.0, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Ship what is new and end; exit code 1 where a target did not take it.")
def anchor(
    files: Sequence[Path], webhooks: Sequence[str], timestamps: tuple[str, Path] | None, every: float, once: bool
) -> None:
    """Ship new checkpoints to where nobody here can change them, until stopped.

    Against whoever holds both the database and the sealer's key, evidence begins with the first checkpoint that left the house.
    """
    targets: list[Target] = [*map(ToFile, files), *map(ToWebhook, webhooks)]
    if timestamps:
        targets.append(ToTimestamps(*timestamps))
    if not targets:
        raise ConfigurationError("Say where to: --file, --webhook or --timestamps.")
    settings = Settings.from_environment()
    stop = told_to_stop()
    with current(settings) as urls:
        places = Places(settings.data_dir / "anchors.json")
        done = _round(urls.app, targets, places)
        while not once and not stop.wait(every):
            _round(urls.app, targets, places)
    sys.exit(once and not done)


def _round(url: str, targets: Sequence[Target], places: Places) -> bool:
    """Whether every target has everything."""
    done = True
    for target in targets:
        first = not places[target.name]
        try:
            with closing(psycopg.connect(url, autocommit=True)) as connection:
                shipped = ship(connection, target, places)
        except (UnavailableError, psycopg.OperationalError) as error:
            click.echo(f"{target.name}: {error} It is tried again; nothing is lost.", err=True)
            done = False
            continue
        if shipped:
            since = "; evidence outside this house begins with these" if first else ""
            click.echo(f"{target.name}: {shipped:,} checkpoints{since}")
    return done
