"""What `crm-es --help` says of its commands."""

import re

import click
import pytest
from click.testing import CliRunner

from crm_es.cli import crm_es
from crm_es.commands import workspaces


@pytest.mark.parametrize("group", [crm_es, workspaces.workspace], ids=["crm-es", "workspace"])
@pytest.mark.parametrize("width", [60, 80, 200])
def test_each_command_is_told_of_in_a_full_sentence(group: click.Group, width: int) -> None:
    told = CliRunner().invoke(group, ["--help"], terminal_width=width).output

    commands = re.split(r"\n  (?=\S)", told.partition("Commands:\n")[2].rstrip())
    assert [each.split()[0] for each in commands] == group.list_commands(click.Context(group))
    assert all(each.endswith(".") and not each.endswith("..") for each in commands), told
