from uuid import uuid4

import psycopg
import pytest

from tests.ledger.logs import Installation, Writer


@pytest.fixture
def workspace():
    return uuid4()


@pytest.fixture
def owner(shared_database):
    with psycopg.connect(shared_database.owner, autocommit=True) as connection:
        yield connection


@pytest.fixture
def begun(shared_database, workspace):
    """The workspace has an event."""
    writer = Writer(shared_database.app, workspace)
    writer.fill(1)
    return writer


@pytest.fixture
def here(database, tmp_path):
    """A database of this test's own with a sealer's files beside it."""
    return Installation(database.sealer, database.owner, tmp_path)


@pytest.fixture
def writer(database, workspace):
    return Writer(database.app, workspace)
