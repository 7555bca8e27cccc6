"""The small CRM, one workspace a test."""

from collections.abc import AsyncIterator

import pytest

from crm_es.database.urls import DatabaseUrls
from crm_es.reads.driver import ReadConnections
from tests.reads.world import World, build


@pytest.fixture
async def world(shared_database: DatabaseUrls) -> AsyncIterator[World]:
    build(shared_database)
    reading = ReadConnections(shared_database.app)
    made = World(shared_database, reading)
    yield made
    made.close()
    await reading.close()
