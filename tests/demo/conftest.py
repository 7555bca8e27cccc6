"""One seeded demo for all tests that only look at it."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.database.place import EMBEDDED_VERSION
from crm_es.demo.seed import seed
from crm_es.eventstore.store import Store
from crm_es.serving.projecting import opened_keys, settle
from tests.conftest import _clone, _drop


@asynccontextmanager
async def owner_store(settings, urls):
    with opened_keys(settings) as keys:
        store = await Store.open(urls.owner, AGGREGATES, keys)
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture(scope="session")
def demo(servers, tmp_path_factory):
    """(settings, urls, what was seeded), all of it projected."""
    urls = _clone(servers.urls(EMBEDDED_VERSION))
    settings = Settings(data_dir=tmp_path_factory.mktemp("demo"))

    async def seeded():
        async with owner_store(settings, urls) as store:
            return await seed(store, datetime.now(UTC).date(), lambda *_: None)

    made = asyncio.run(seeded())
    settle(settings, urls.projector, made.log_id)
    yield settings, urls, made
    _drop(urls)
