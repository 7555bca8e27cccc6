from uuid import uuid4

import psycopg
import pytest

from tests.ledger.logs import Writer


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
