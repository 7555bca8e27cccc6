import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crm_es.database.server import EmbeddedServer
from tests.faults.installation import Installation


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """A data directory of its own with workspace Acme, served for all fault tests of this worker."""
    directory = Path(tempfile.mkdtemp(prefix="crm-es-faults-"))
    installation = Installation(directory)
    try:
        with installation.served():
            yield installation
    finally:
        with EmbeddedServer(directory):
            pass  # the last one out stops it
        shutil.rmtree(directory)
