"""A seeded demo for all tests that only look at it."""

import asyncio
import pickle
import shutil
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

import pytest

from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.database.place import EMBEDDED_VERSION
from crm_es.demo.seed import seed
from crm_es.eventstore.store import Store
from crm_es.serving.projecting import opened_keys, settle
from tests.conftest import RUN_DIR, _clone, _drop


@asynccontextmanager
async def owner_store(settings, urls):
    with opened_keys(settings) as keys:
        store = await Store.open(urls.owner, AGGREGATES, keys)
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture(scope="session")
def demo(servers, ready, pytestconfig, tmp_path_factory):
    """(settings, urls, what was seeded), all of it projected."""
    original, folder = pytestconfig.stash[RUN_DIR] / "demo", tmp_path_factory.mktemp("demo") / "data"
    template = servers.template(EMBEDDED_VERSION, "crm_demo", partial(make, original), source=ready)
    shutil.copytree(original, folder)
    urls = _clone(servers.urls(EMBEDDED_VERSION), template)
    yield Settings(data_dir=folder), urls, pickle.loads((folder / "made").read_bytes())  # noqa: S301  # our own
    _drop(urls)


def make(folder, urls):
    """The one that all demos of this run are copies of: seeding takes long."""
    settings = Settings(data_dir=folder)

    async def seeded():
        async with owner_store(settings, urls) as store:
            return await seed(store, datetime.now(UTC).date(), lambda *_: None)

    made = asyncio.run(seeded())
    settle(settings, urls.projector, made.log_id)
    (folder / "made").write_bytes(pickle.dumps(made))
