"""What `crm-es --help` says of its commands, and what they load."""

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from crm_es.cli import COMMANDS, crm_es
from crm_es.commands import workspaces


@pytest.mark.parametrize("group", [crm_es, workspaces.workspace], ids=["crm-es", "workspace"])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_each_command_is_told_of_in_a_full_sentence(group: click.Group, width: int) -> None:
    told = CliRunner().invoke(group, ["--help"], terminal_width=width).output

    commands = re.split(r"\n  (?=\S)", told.partition("Commands:\n")[2].rstrip())
    assert [each.split()[0] for each in commands] == group.list_commands(click.Context(group))
    assert all(each.endswith(".") and not each.endswith("..") for each in commands), told


def test_only_what_asks_the_schema_loads_it() -> None:
    """A second of every start, and memory of the projector for as long as it runs."""
    modules = {module for command, module in COMMANDS.items() if command not in {"import", "export"}}
    loaded = "; ".join(f"import {module}" for module in sorted({*modules, "crm_es.serving.projecting"}))
    dear = "sorted({'strawberry', 'uvicorn', 'crm_es.schema'} & {*sys.modules})"

    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", f"import sys; {loaded}; print({dear})"], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
