from uuid import uuid4

import psycopg
import pytest

from crm_es.projector import tables
from crm_es.projector.contract import Column, Table
from crm_es.projector.scrub import scrub
from tests.projector import boxes
from tests.projector.boxes import BoxMade, BoxMoved
from tests.projector.conftest import model

SHARED = Table(
    name="shared",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="people", type="uuid[]"),
        Column(name="text", type="text", personal=True),
    ),
    subject="people",
)


@pytest.fixture
def cursor(database):
    with psycopg.connect(database.projector, autocommit=True) as connection:
        yield connection.cursor()


def test_a_subject_is_forgotten_in_every_version_and_nobody_else(log, projector, workspace, cursor, rows):
    ann, bob = uuid4(), uuid4()
    for owner in (ann, bob):
        box = uuid4()
        log.append(workspace, (box, BoxMade(place="old", owner=owner)))
        log.append(workspace, (box, BoxMoved(place="new")))
    log.append(uuid4(), (uuid4(), BoxMade(place="elsewhere", owner=ann)))
    projector.drain()
    positions = rows("SELECT position FROM boxes.box ORDER BY 1")

    scrub(cursor, "boxes", boxes.TABLES, workspace, ann)

    assert rows("SELECT place FROM boxes.box WHERE owner_id = %s AND workspace_id = %s", ann, workspace) == [(None,)]
    assert rows("SELECT place FROM boxes.box_history WHERE owner_id = %s", ann) == [(None,)]
    assert rows("SELECT place FROM boxes.box WHERE owner_id = %s", bob) == [("new",)]
    assert rows("SELECT place FROM boxes.box WHERE workspace_id <> %s", workspace) == [("elsewhere",)]
    assert rows("SELECT position FROM boxes.box ORDER BY 1") == positions
    assert rows("SELECT count(*) FROM boxes.box_history") == [(2,)]


def test_what_several_share_is_forgotten_with_the_last(cursor, workspace):
    tables.create(cursor, model("shared", None, tables=(SHARED,)), "shared")
    ann, bob = uuid4(), uuid4()
    row = "INSERT INTO shared.shared (workspace_id, id, people, text, position) VALUES (%s, %s, %s, %s, 1)"
    cursor.execute(row, (workspace, uuid4(), [ann, bob], "both"))
    cursor.execute(row, (workspace, uuid4(), [], "nobody's"))

    def texts():
        return [text for (text,) in cursor.execute("SELECT text FROM shared.shared ORDER BY cardinality(people), text")]

    scrub(cursor, "shared", (SHARED,), workspace, ann)
    assert texts() == ["nobody's", "both"]
    scrub(cursor, "shared", (SHARED,), workspace, bob)
    assert sorted(map(str, texts())) == ["None", "nobody's"]
