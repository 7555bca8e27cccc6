import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crm_es.database.server import EmbeddedServer
from tests.faults.installation import Installation


@pytest.fixture(scope="session")
def installation(new_folder: Callable[[], Path]) -> Iterator[Installation]:
    """A data directory of its own with workspace Acme, served for all fault tests of this worker."""
    directory = new_folder()
    installation = Installation(directory)
    try:
        with installation.served():
            yield installation
    finally:
        with EmbeddedServer(directory):
            pass  # the last one out stops it
        shutil.rmtree(directory)
