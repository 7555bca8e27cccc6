from uuid import UUID

import pytest

from crm_es.config import Settings
from crm_es.eventstore.event import WorkspaceId
from tests.imports.office import Office, shared_data


@pytest.fixture
def office(database, tmp_path):
    """A new workspace in a database of its own."""
    opened = Office(settings=Settings(data_dir=tmp_path / "data"), urls=database, folder=tmp_path)
    made = opened.command("workspace", "create", opened.name)
    assert made.returncode == 0, made.stderr
    opened.ids.append(WorkspaceId(UUID(made.stdout.split()[-1])))
    return opened


@pytest.fixture
def data():
    """The real inputs; tests that need them are skipped where they are not."""
    found = shared_data()
    if found is None:
        pytest.skip("no ../shared/data here")
    return found
