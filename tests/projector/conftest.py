from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest

from crm_es.projector.runner import Projector
from tests.projector import boxes
from tests.projector.log import Log


@pytest.fixture
def log(database):
    return Log(database.owner)


@pytest.fixture
def workspace():
    return uuid4()


@pytest.fixture
def projector(database, log):
    return Projector(database.projector, log.decode, [boxes], poll=0.1)


@pytest.fixture
def rows(database):
    """Ask the database as its owner."""
    with psycopg.connect(database.owner, autocommit=True) as connection:
        yield lambda sql, *params: connection.execute(sql, params or None).fetchall()


def model(name, apply, *, topics=boxes.TOPICS, tables=boxes.TABLES, version=1):
    return SimpleNamespace(NAME=name, VERSION=version, TABLES=tables, TOPICS=topics, apply=apply)
