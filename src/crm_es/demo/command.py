"""`crm-es demo`: a workspace to try things out in, served."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from tqdm import tqdm

from crm_es.catalog import AGGREGATES
from crm_es.commands.serve import listening, serve_at
from crm_es.config import Settings, environment_of_children
from crm_es.database.doors import current, owner_url
from crm_es.database.urls import DatabaseUrls
from crm_es.demo.queries import worth_trying
from crm_es.demo.seed import Seeded, seed, seeded
from crm_es.eventstore.store import Store
from crm_es.serving.projecting import opened_keys, settle
from crm_es.serving.supervisor import Child
from crm_es.workspaces.tokens import DevelopmentIssuer

READY_SECONDS = 60.0


@click.command()
@click.option("--host", help="Address to listen on (CRM_HOST).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (CRM_PORT); 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="Web processes (CRM_WORKERS).")
@click.option("--no-seal", is_flag=True, help="Sign nothing.")
def demo(host: str | None, port: int | None, workers: int | None, no_seal: bool) -> None:
    """Seed a demo workspace (once) and serve it: 2,000 invented contacts over the 18 months behind us.

    Prints the address, a token and queries worth trying. The workspace is marked as a demo for ever: its recorded times are
    invented. Every export of it says so, and so does the first event under every checkpoint.
    """
    settings = Settings.from_environment()
    issuer = DevelopmentIssuer(settings)
    with current(settings) as urls, listening(host or settings.host, settings.port if port is None else port) as door:
        made = prepared(settings, urls)
        token = issuer.issue(workspace=made.workspace, member=made.admin, now=datetime.now(UTC))
        many = workers or settings.workers
        serve_at(door, settings, urls, many, lambda url: click.echo(welcome(url, token, made)), seal=not no_seal)


def prepared(settings: Settings, urls: DatabaseUrls) -> Seeded:
    """The demo workspace, seeded and projected, made now if it is not there."""
    return asyncio.run(_prepared(settings, urls))


async def _prepared(settings: Settings, urls: DatabaseUrls) -> Seeded:
    with opened_keys(settings) as keys:
        store = await Store.open(owner_url(urls), AGGREGATES, keys)
        try:
            known = await seeded(store)
            if known is not None:
                return known
            with _projecting(urls), _bar() as bar:
                made = await seed(store, datetime.now(UTC).date(), bar)
                await asyncio.to_thread(settle, settings, urls.projector, made.log_id)
            return made
        finally:
            await store.close()


@contextmanager
def _projecting(urls: DatabaseUrls) -> Iterator[None]:
    """A projector beside us, on the other core; if one leads already, this one stands by."""
    child = Child("the projector", ["crm_es.serving.projecting"])
    child.start(environment_of_children(urls))
    try:
        yield
    finally:
        child.ask_to_stop()
        child.wait(time.monotonic() + READY_SECONDS)


@contextmanager
def _bar() -> Iterator[Any]:
    with tqdm(unit=" days", desc="seeding the demo", disable=None, leave=False) as bar:

        def reach(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield reach


def welcome(url: str, token: str, made: Seeded) -> str:
    queries = "\n\n".join(f"  # {about}\n  {text}" for about, text in worth_trying(made))
    return (
        f"\nURL    {url}/graphql (in a browser: GraphiQL)\nToken  {token}\n\n"
        f"Worth trying:\n\n{queries}\n\n"
        f"  curl -s {url}/graphql -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' \\\n"
        '    -d \'{"query": "{ contacts { totalCount } }"}\'\n\nCtrl-C stops it.\n'
    )
