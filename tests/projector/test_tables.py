from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from crm_es.projector import catalogue, tables
from tests.projector import boxes
from tests.projector.boxes import BoxMade, BoxMoved
from tests.projector.conftest import model


@pytest.fixture
def cursor(database):
    with psycopg.connect(database.projector, autocommit=True) as connection:
        yield connection.cursor()


@pytest.fixture
def box(log, projector, workspace):
    log.append(workspace, (uuid4(), BoxMade(place="attic")))
    projector.drain()


def test_the_twin_keeps_what_an_update_replaced(log, projector, workspace, rows):
    box = uuid4()
    for event in (BoxMade(place="a"), BoxMoved(place="b"), BoxMoved(place="c")):
        log.append(workspace, (box, event))

    projector.drain()

    assert rows("SELECT place, moves, position, valid_to_position FROM boxes.box_history ORDER BY position") == [
        ("a", 0, 1, 2),
        ("b", 1, 2, 3),
    ]
    assert rows("SELECT place, moves, position FROM boxes.box") == [("c", 2, 3)]


@pytest.mark.usefixtures("box")
def test_a_second_write_at_the_same_position_leaves_no_twin(cursor, rows):
    cursor.execute("UPDATE boxes.box SET place = 'cellar'")

    assert rows("SELECT count(*) FROM boxes.box_history") == [(0,)]


@pytest.mark.usefixtures("box")
def test_a_position_cannot_go_back(cursor):
    with pytest.raises(psycopg.errors.CheckViolation):
        cursor.execute("UPDATE boxes.box SET position = 0")


@pytest.mark.parametrize("statement", ["DELETE FROM boxes.box", "DELETE FROM boxes.box_history", "TRUNCATE boxes.box"])
@pytest.mark.usefixtures("box")
def test_rows_cannot_be_deleted(cursor, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        cursor.execute(statement)


def test_rows_can_be_deleted_while_rebuilding(cursor):
    tables.create(cursor, boxes, "boxes__next")

    cursor.execute("DELETE FROM boxes__next.box")


@pytest.mark.usefixtures("box")
def test_the_application_reads_its_workspace_and_nothing_else(database, log, projector):
    other = uuid4()
    log.append(other, (uuid4(), BoxMade(place="elsewhere")))
    projector.drain()

    with psycopg.connect(database.app, autocommit=True) as app:
        with pytest.raises(psycopg.errors.UndefinedObject):
            app.execute("SELECT place FROM boxes.box")
        app.execute("SELECT set_config('app.workspace', %s, false)", [str(other)])
        assert app.execute("SELECT place FROM boxes.box").fetchall() == [("elsewhere",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("UPDATE boxes.box SET place = 'mine'")


@pytest.mark.usefixtures("box")
def test_the_check_finds_tables_as_declared(cursor):
    assert catalogue.check(cursor, [boxes]) == []


def test_the_check_names_a_missing_read_model(cursor):
    assert "does not exist yet" in catalogue.check(cursor, [boxes])[0]


@pytest.mark.usefixtures("box")
def test_the_check_names_another_definition(cursor):
    narrower = model("boxes", boxes.apply, tables=(replace(boxes.BOX, indexes=()), boxes.MOVE, boxes.LATEST))

    assert catalogue.check(cursor, [narrower]) == [
        "read model boxes was made by another version; run `crm-es rebuild boxes`"
    ]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("DROP INDEX boxes.box_history_by_place", "lacks its index box_history_by_place"),
        ("ALTER TABLE boxes.box DROP COLUMN moves", "boxes.box.moves is missing"),
        ("ALTER TABLE boxes.box ALTER place SET NOT NULL", "boxes.box.place is NOT NULL"),
        ("ALTER TABLE boxes.box_history DISABLE ROW LEVEL SECURITY", "boxes.box_history has no row-level security"),
    ],
)
@pytest.mark.usefixtures("box")
def test_the_check_names_damage(cursor, damage, problem):
    cursor.execute(damage)

    assert problem in "; ".join(catalogue.check(cursor, [boxes]))
