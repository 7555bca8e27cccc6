"""`project` and `rebuild`: feeding read models, and making them anew."""

import sys
from typing import Any, Self

import click
from tqdm import tqdm

from crm_es.commands import reservations
from crm_es.config import Settings
from crm_es.database.doors import current
from crm_es.projector.digest import Digest
from crm_es.projector.rebuild import Outcome, Rebuild
from crm_es.serving import projecting
from projections import READ_MODELS


@click.command()
def project() -> None:
    """Feed the read models, and record broken promises, until stopped. `serve` does this too; a second projector stands by."""
    settings = Settings.from_environment()
    with current(settings) as urls:
        projecting.project(settings, urls)


@click.command()
@click.argument("name", required=False)
@click.option("--check", is_flag=True, help="Compare the live read model with a rebuilt one, and leave it as it is.")
def rebuild(name: str | None, check: bool) -> None:
    """Make read model NAME (or all) anew from the events, beside the live one, then swap. Readers notice nothing.

    A rebuild that was killed goes on where it was. With --check the exit code is 1 when a table differs; without NAME the
    reserved unique values are compared with the events too.
    """
    settings = Settings.from_environment()
    with current(settings) as urls, projecting.decoding(settings) as decode:
        with Bar() as bar:
            rebuilding = Rebuild(urls.projector, decode, READ_MODELS, query_seconds=settings.query_seconds)
            outcomes = rebuilding.run(name, check=check, report=bar.report)
        for outcome in outcomes:
            click.echo(told(outcome))
        held = reservations.compare(settings, urls.projector) if check and name is None else {}
        if held:
            click.echo(reservations.told(held))
    sys.exit(any(outcome.differing for outcome in outcomes) or any(held.values()))


def told(outcome: Outcome) -> str:
    """One line, and one for each table that differs."""
    if not outcome.digests:
        return f"{outcome.read_model}: made anew and swapped in {outcome.seconds:.1f} s"
    rows = sum(live.rows for live, _ in outcome.digests.values())
    equal = len(outcome.digests) - len(outcome.differing)
    head = f"{outcome.read_model}: {equal} of {len(outcome.digests)} tables equal, {rows:,} rows in {outcome.seconds:.1f} s"
    tables = [
        f"  {name}: DIFFERS, {live.rows:,} rows where the events make {made.rows:,}"
        for name, live, made in _apart(outcome)
    ]
    mend = [f"  `crm-es rebuild {outcome.read_model}` makes it anew from the events."] if tables else []
    return "\n".join([head, *tables, *mend])


def _apart(outcome: Outcome) -> list[tuple[str, Digest, Digest]]:
    return [(name, *outcome.digests[name]) for name in outcome.differing]


class Bar:
    """Progress on a terminal; silent elsewhere."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] = tqdm(unit=" events", disable=None, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def report(self, name: str, reached: int, newest: int) -> None:
        self._bar.set_description(name, refresh=False)
        self._bar.total = newest
        self._bar.update(reached - self._bar.n)
