import secrets
from uuid import uuid4

import psycopg
import pytest

from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from tests.eventstore.samples import AGGREGATES


@pytest.fixture
def workspace():
    return uuid4()


@pytest.fixture
def keys(tmp_path):
    store = KeyStore.open(tmp_path / "keys.sqlite", secrets.token_bytes(32))
    yield store
    store.close()


@pytest.fixture
async def store(shared_database, keys, anyio_backend):  # noqa: ARG001  # the loop the store lives in
    opened = await Store.open(shared_database.app, AGGREGATES, keys)
    yield opened
    await opened.close()


@pytest.fixture
def owner(shared_database):
    with psycopg.connect(shared_database.owner, autocommit=True) as connection:
        yield connection
