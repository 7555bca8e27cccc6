from uuid import uuid4

import psycopg
import pytest

from crm_es.projector.runner import Projector
from projections import READ_MODELS
from tests.projector.log import Log


@pytest.fixture
def database(ready_database):
    """With every read model in it."""
    return ready_database


@pytest.fixture
def log(database):
    return Log(database.owner)


@pytest.fixture
def shared_log():
    """One log for all examples of a test: they share its database."""
    made = {}
    return lambda url: made.setdefault(url, Log(url))


@pytest.fixture
def workspace():
    return uuid4()


@pytest.fixture
def project(database, log):
    """Bring every read model to the log's end; none may be parked."""
    projector = Projector(database.projector, log.decode, READ_MODELS)

    def run():
        projector.drain()
        with psycopg.connect(database.owner) as connection:
            parked = connection.execute("SELECT read_model, parked FROM es.bookmark WHERE parked IS NOT NULL")
            assert parked.fetchall() == []

    return run


@pytest.fixture
def rows(database):
    """Ask the database as its owner."""
    with psycopg.connect(database.owner, autocommit=True) as connection:
        yield lambda sql, *params: connection.execute(sql, params or None).fetchall()


@pytest.fixture
def app(database, workspace):
    """Ask as the application, in the workspace."""
    with psycopg.connect(database.app, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
        yield lambda sql, *params: connection.execute(sql, params or None).fetchall()
