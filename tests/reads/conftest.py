"""The small CRM, one workspace a test."""

from collections.abc import AsyncIterator

import pytest

from crm_es.database.urls import DatabaseUrls
from crm_es.reads.driver import ReadConnections
from tests.reads.world import World, build
from tests.waiting import PATIENCE_MS


@pytest.fixture
async def world(shared_database: DatabaseUrls) -> AsyncIterator[World]:
    build(shared_database)
    reading = ReadConnections(shared_database.app, statement_timeout_ms=PATIENCE_MS)
    made = World(shared_database, reading)
    yield made
    made.close()
    await reading.close()
