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
from tests.patience import patient


@asynccontextmanager
async def owner_store(settings, urls):
    with opened_keys(settings) as keys:
        store = await Store.open(urls.owner, AGGREGATES, keys)
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture(scope="session")
def seeded_demo(servers, ready, pytestconfig, tmp_path_factory):
    """(settings, urls, what was seeded): the log alone, read by nobody yet."""
    original, folder = pytestconfig.stash[RUN_DIR] / "demo", tmp_path_factory.mktemp("demo") / "data"
    template = servers.template(EMBEDDED_VERSION, "crm_demo_log", partial(make, original), source=ready)
    yield from copied(servers, template, original, folder)


@pytest.fixture(scope="session")
def demo(servers, seeded_demo, tmp_path_factory):
    """The same, all of it projected."""
    original, folder = seeded_demo[0].data_dir, tmp_path_factory.mktemp("demo") / "data"
    template = servers.template(EMBEDDED_VERSION, "crm_demo", partial(project, seeded_demo), source="crm_demo_log")
    yield from copied(servers, template, original, folder)


def copied(servers, template, original, folder):
    """A database and keys like those of the demo that was made once for all workers: seeding takes long."""
    shutil.copytree(original, folder)
    urls = _clone(servers.urls(EMBEDDED_VERSION), template)
    yield patient(folder), urls, pickle.loads((folder / "made").read_bytes())  # noqa: S301  # our own
    _drop(urls)


def make(folder, urls):
    settings = Settings(data_dir=folder)

    async def seeded():
        async with owner_store(settings, urls) as store:
            return await seed(store, datetime.now(UTC).date(), lambda *_: None)

    (folder / "made").write_bytes(pickle.dumps(asyncio.run(seeded())))


def project(seeded, urls):
    settings, _, made = seeded
    settle(settings, urls.projector, made.log_id)
