"""The house rules that a machine can check."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from crm_es.cli import COMMANDS
from crm_es.config import Settings

TOP = Path(__file__).parent.parent
LINES = 400
LONGER = {
    "src/crm_es/ledger/crm_verify.py": "one file, so that an auditor has one thing to read, to copy and to run",
    "tests/contacts/test_contact.py": "a short test for each rule of the largest aggregate",
    "tests/contacts/test_unmerging.py": "the ways two contacts' later histories can meet, side by side",
}
"""Files over 400 lines, each with its reason."""


def sources(*folders: str) -> list[Path]:
    folders = folders or ("src", "projections", "tests", "scripts", "benchmarks")
    return [file for folder in folders for file in sorted((TOP / folder).rglob("*.py"))]


def docs() -> str:
    return "\n".join(file.read_text() for file in sorted((TOP / "docs").rglob("*.md")))


def test_import_contracts_hold() -> None:
    done = subprocess.run(  # noqa: S603
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


def test_every_graphql_and_mutation_module_stands_in_the_import_contract() -> None:
    contract = (TOP / "pyproject.toml").read_text()
    rooms = [f for f in (TOP / "src/crm_es").rglob("*.py") if re.search(r"graphql|mutation", f.stem)]

    missing = [
        name
        for f in rooms
        if (name := ".".join(f.relative_to(TOP / "src").with_suffix("").parts)) + ")" not in contract
    ]

    assert not missing


def test_no_file_is_long_without_a_reason() -> None:
    lengths = {str(f.relative_to(TOP)): len(f.read_text().splitlines()) for f in sources()}

    assert not {name for name, length in lengths.items() if length > LINES} - set(LONGER)


def test_every_module_says_what_lives_in_it() -> None:
    silent = [
        f.relative_to(TOP)
        for f in sources("src", "projections")
        if not f.read_text().lstrip().startswith(('"""', "'''")) and f.stat().st_size
    ]

    assert not silent


@pytest.mark.parametrize("name", [f.metadata["name"] for f in dataclasses.fields(Settings)])
def test_the_operators_page_lists_every_setting(name: str) -> None:
    assert f"`{name}`" in (TOP / "docs/operating.md").read_text()


def test_no_setting_is_documented_that_does_not_exist() -> None:
    known = {f.metadata["name"] for f in dataclasses.fields(Settings)}
    named = set(re.findall(r"`(CRM_[A-Z_]+)`", docs() + (TOP / "README.md").read_text()))

    assert named <= known


@pytest.mark.parametrize("command", COMMANDS)
def test_the_operators_page_lists_every_command(command: str) -> None:
    assert f"`crm-es {command}" in (TOP / "docs/operating.md").read_text()


def test_no_command_is_documented_that_does_not_exist() -> None:
    named = set(re.findall(r"`crm-es ([a-z-]+)", docs() + (TOP / "README.md").read_text()))

    assert named <= set(COMMANDS)


def test_nothing_of_this_machine_stands_in_the_repository() -> None:
    files = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\0")
    if files == [""]:
        pytest.skip("not a git clone")
    texts = {name: (TOP / name).read_bytes() for name in files if name and (TOP / name).is_file()}

    traces = re.compile(rb"/(?:work|root)/|index-url|find-links")
    assert not {name for name, text in texts.items() if traces.search(text)} - {"tests/test_house.py"}
    assert "uv.lock" not in texts
