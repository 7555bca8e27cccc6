"""The planner knows of tables that were just filled, though autovacuum never ran: it is off here."""

from uuid import uuid4

import psycopg
import pytest

from crm_es.projector.rebuild import Rebuild
from tests.projector import boxes
from tests.projector.boxes import BoxMade
from tests.waiting import eventually

MANY = 1_200
KNOWN = """
SELECT c.relname
FROM pg_class c
WHERE c.relnamespace = to_regnamespace('boxes') AND c.relkind = 'r' AND c.reltuples = %s
ORDER BY 1
"""


@pytest.fixture
def filled(log, workspace):
    fill(log, workspace)


def fill(log, workspace):
    for _ in range(MANY // 200):
        log.append(workspace, *[(uuid4(), BoxMade()) for _ in range(200)])


@pytest.mark.usefixtures("filled")
def test_what_was_caught_up_with_is_known(projector, rows):
    projector.drain()

    assert rows(KNOWN, MANY) == [("box",), ("latest",)]
    assert rows(
        "SELECT n_distinct FROM pg_stats WHERE schemaname = 'boxes' AND tablename = 'box' AND attname = 'id'"
    ) == [(-1,)]


@pytest.mark.usefixtures("filled")
def test_one_who_leads_on_looks_when_there_is_nothing_else_to_do(projector, rows):
    with projector.running():
        eventually(lambda: rows(KNOWN, MANY) == [("box",), ("latest",)])


def test_a_little_more_is_not_worth_a_look(log, projector, workspace, rows):
    log.append(workspace, *[(uuid4(), BoxMade()) for _ in range(10)])

    projector.drain()

    assert rows(KNOWN, -1) == [("box",), ("box_history",), ("latest",), ("move",)]


@pytest.mark.usefixtures("filled")
def test_a_rebuilt_read_model_is_known_when_it_is_swapped_in(database, log, projector, rows):
    projector.drain()
    oid = rows("SELECT 'boxes.box'::regclass::oid")

    Rebuild(database.projector, log.decode, [boxes]).run()

    assert rows("SELECT 'boxes.box'::regclass::oid") != oid
    assert rows(KNOWN, MANY) == [("box",), ("latest",)]


def test_a_table_that_somebody_holds_is_left_to_them(database, log, workspace, projector, rows):
    projector.drain()
    fill(log, workspace)

    with psycopg.connect(database.owner) as somebody:
        somebody.execute("LOCK TABLE boxes.latest IN SHARE UPDATE EXCLUSIVE MODE")
        projector.drain()

    assert rows(KNOWN, MANY) == [("box",)]
