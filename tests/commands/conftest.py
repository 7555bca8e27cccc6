"""An installation of each test module's own, with a workspace, and a `serve` for the tests that want one."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_es.database.server import EmbeddedServer
from tests.commands.running import Serving, crm


@pytest.fixture(scope="module")
def data_dir(new_folder: Callable[[], Path]) -> Iterator[Path]:
    directory = new_folder()
    yield directory
    with EmbeddedServer(directory):
        pass
    shutil.rmtree(directory)


@pytest.fixture(scope="module", autouse=True)
def workspace(data_dir: Path) -> str:
    done = crm(data_dir, "workspace", "create", "Acme", "--time-zone", "Europe/Berlin", "--currency", "EUR")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.fixture
def serving(data_dir: Path) -> Iterator[Serving]:
    serving = Serving(data_dir, "--workers", "2")
    yield serving
    if serving.process.poll() is None:
        serving.stop()
