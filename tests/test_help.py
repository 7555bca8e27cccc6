"""What `crm-es --help` says of its commands, what they load, and what one of them tells."""

import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from crm_es.cli import COMMANDS, crm_es
from crm_es.commands import replaying, workspaces
from crm_es.commands.projecting import told
from crm_es.projector.digest import Digest
from crm_es.projector.rebuild import Outcome


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


def test_a_check_says_how_many_rows_differ_and_what_mends_them() -> None:
    digests = {"contact": (Digest(1_200, 1, 1), Digest(1_200, 2, 2)), "note": (Digest(0, 0, 0), Digest(0, 0, 0))}

    said = told(Outcome(read_model="profiles", events=9, seconds=1.0, digests=digests))

    assert said.splitlines() == [
        "profiles: 1 of 2 tables equal, 1,200 rows in 1.0 s",
        "  contact: DIFFERS, 1,200 rows where the events make 1,200",
        "  `crm-es rebuild profiles` makes it anew from the events.",
    ]


def test_a_replay_tells_of_each_figure_or_that_there_is_none() -> None:
    assert replaying.told([]).startswith("Nothing to compare")
    assert replaying.told([("open tickets", "Support", 3, 5)]).splitlines()[1].endswith("3               5  (+2)")
