"""`migrate` and `schema`: the shape of the database, the shape of the API."""

import click

from crm_es.config import Settings
from crm_es.database.doors import opened, owner_url
from crm_es.database.migrate import migrate as apply_missing
from crm_es.database.migrate import migrations


@click.command()
def migrate() -> None:
    """Bring the event tables up to this version. Repeatable; every event is kept.

    Connects as CRM_OWNER_DATABASE_URL. Read models are not migrated but rebuilt.
    """
    with opened(Settings.from_environment()) as urls:
        applied = apply_missing(owner_url(urls))
    for migration in applied:
        click.echo(f"applied {migration}")
    click.echo(f"The event tables are at {migrations()[-1]}.")


@click.command()
def schema() -> None:
    """Print the GraphQL schema (schema.graphql)."""
    from crm_es.schema import text  # noqa: PLC0415  # builds the schema: a second that `migrate` need not wait

    click.echo(text(), nl=False)
