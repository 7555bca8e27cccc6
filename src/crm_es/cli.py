"""`crm-es`: what an operator does at the machine. Each command is a module of `commands/`, or of the room it belongs to."""

import logging
import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from keyword import iskeyword
from typing import Final

import click

from crm_es.commands.groups import FullSentences
from crm_es.errors import CrmError

COMMANDS: Final[Mapping[str, str]] = {
    "migrate": "crm_es.commands.schemas",
    "doctor": "crm_es.commands.doctor",
    "serve": "crm_es.commands.serve",
    "project": "crm_es.commands.projecting",
    "rebuild": "crm_es.commands.projecting",
    "replay": "crm_es.commands.replaying",
    "seal": "crm_es.commands.sealing",
    "ledger": "crm_es.commands.sealing",
    "anchor": "crm_es.commands.anchor",
    "workspace": "crm_es.commands.workspaces",
    "token": "crm_es.commands.workspaces",
    "access": "crm_es.commands.access",
    "schema": "crm_es.commands.schemas",
    "import": "crm_es.imports.command",
    "export": "crm_es.commands.exporting",
    "verify": "crm_es.commands.verifying",
    "demo": "crm_es.demo.command",
}


class Commands(FullSentences):
    """Imports a command's module when it is run, so that `--help` and `token` do not wait for a web server's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("crm-es"), message="%(version)s")
def crm_es() -> None:
    """The CRM backend that never forgets: event-sourced, GraphQL, provable.

    Settings are CRM_… in the environment (docs/operating.md). Without CRM_DATABASE_URL the database is an embedded
    PostgreSQL in CRM_DATA_DIR (.crm-es).
    """


def main() -> None:
    """Every failure we know of ends here: what happened, what was kept, what to do; exit code 1."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    try:
        crm_es(prog_name="crm-es")
    except CrmError as error:
        click.echo(f"crm-es: {error.message}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
