import asyncio

import pytest

from crm_es.commands.workspaces import command, desk_at
from crm_es.eventstore.event import WorkspaceId
from crm_es.uuids import new_id
from crm_es.workspaces import workspace
from crm_es.workspaces.workspace import WORKSPACE
from tests.imports.office import Office, shared_data
from tests.patience import patient


@pytest.fixture
def office(ready_database, tmp_path):
    """A new workspace in a database of its own."""
    opened = Office(settings=patient(tmp_path / "data"), urls=ready_database, folder=tmp_path)
    opened.ids.append(asyncio.run(found(opened)))
    return opened


async def found(office):
    fresh = WorkspaceId(new_id())
    async with desk_at(office.settings, office.urls) as desk:
        outcome = await desk.store.create(command(fresh), WORKSPACE, fresh, workspace.create(name=office.name))
        await desk.shown(outcome)
    return fresh


@pytest.fixture
def data():
    """The real inputs; tests that need them are skipped where they are not."""
    return shared_data()
