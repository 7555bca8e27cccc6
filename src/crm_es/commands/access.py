"""`access`: what an operator does with the access log: prove it, and let old months go."""

import sys
from typing import Any, Final, LiteralString

import click
import psycopg
from psycopg.sql import SQL, Identifier

from crm_es.access.proving import prove
from crm_es.commands.groups import FullSentences
from crm_es.commands.workspaces import Desk, at_desk
from crm_es.config import Settings
from crm_es.database.doors import current, owner_url
from crm_es.eventstore.event import WorkspaceId

MONTHS: Final = 13
_OLD: Final[LiteralString] = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'access.entry'::regclass
  AND to_timestamp(substring(c.relname FROM 7), 'YYYY_MM') + interval '1 month' <= clock_timestamp() - make_interval(months => %s)
ORDER BY c.relname
"""


@click.group(cls=FullSentences)
def access() -> None:
    """The log of who read what."""


@access.command()
@click.option("--workspace", "name", required=True, help="Its name or id.")
def verify(name: str) -> None:
    """Recompute each sealed hour's root and compare it with the one in the workspace's log.

    Exit code 1: an hour's rows are not those that were sealed. 2: rows of a sealed hour are missing.
    """

    async def chosen(desk: Desk) -> WorkspaceId:
        return await desk.the(name)

    workspace = at_desk(chosen)
    with current(Settings.from_environment()) as urls, psycopg.connect(urls.app) as connection:
        proof = prove(connection, workspace)
    for each in proof.findings:
        click.echo(f"{'left   ' if each.left else 'DIFFERS'} {each.since:%Y-%m-%d %H:00}Z: {each.what}")
    faults = [each for each in proof.findings if not each.left]
    until = f"sealed until {proof.until:%Y-%m-%d %H:00}Z" if proof.until else "nothing is sealed yet"
    click.echo(f"{proof.hours} hours with {proof.rows} rows compared, {len(faults)} differ; {until}")
    if faults:
        sys.exit(1 if any(not each.missing for each in faults) else 2)


@access.command()
@click.option("--months", default=MONTHS, show_default=True, type=click.IntRange(1), help="So many are kept whole.")
@click.option("--yes", is_flag=True, help="Do it; without this it only says what would go.")
def retain(months: int, *, yes: bool) -> None:
    """Let months go that are older: their rows for ever, while their sealed roots stay in the log."""
    settings = Settings.from_environment()
    with current(settings) as urls, psycopg.connect(owner_url(urls), autocommit=True) as connection:
        old = [name for (name,) in connection.execute(_OLD, [months])]
        for name in old:
            if yes:
                _drop(connection, name)
            click.echo(f"{'gone' if yes else 'would go'}: access.{name}")
    if not old:
        click.echo(f"Nothing is older than {months} months.")


def _drop(connection: psycopg.Connection[Any], name: str) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '5s'")  # readers and the writer of this moment come first
        connection.execute(SQL("DROP TABLE access.{}").format(Identifier(name)))
