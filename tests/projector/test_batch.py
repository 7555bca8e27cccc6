from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from crm_es.eventstore.event import ERASED
from crm_es.projector import tables
from crm_es.projector.batch import PageBatch
from crm_es.projector.contract import Sql
from tests.projector import boxes
from tests.projector.boxes import BOX, LATEST, BoxMade

LABELS = ["ü", "", "NULL", 'quo"ted', "back\\slash", "{a,b}"]
MADE = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)


@pytest.fixture
def connection(database):
    with psycopg.connect(database.projector, autocommit=True) as connection:
        tables.create(connection.cursor(), boxes, "boxes")
        yield connection


@pytest.fixture
def facts(log, workspace):
    for _ in range(60):
        log.append(workspace, (uuid4(), BoxMade()))
    return log.facts


def insert(batch, fact, **values):
    batch.insert(BOX, fact, **{"id": fact.stream, "made_at": MADE, "place": "x"} | values)


@pytest.mark.parametrize("count", [1, 60])
def test_values_of_every_kind_arrive(connection, facts, count):
    batch = PageBatch(connection, "boxes")
    owner = uuid4()
    values = {"owner_id": owner, "labels": LABELS, "detail": {"a": [1, None]}, "place": "it's {a} \\ 北京"}
    for fact in facts[:count]:
        insert(batch, fact, **values)

    batch.flush()

    found = connection.execute(
        "SELECT DISTINCT place, moves, owner_id, labels, detail, made_at FROM boxes.box"
    ).fetchall()
    assert found == [("it's {a} \\ 北京", 0, owner, LABELS, {"a": [1, None]}, MADE)]
    assert connection.execute("SELECT count(*) FROM boxes.box").fetchone() == (count,)


def test_nothing_is_null_in_some_rows_or_all(connection, facts):
    batch = PageBatch(connection, "boxes")
    owner = uuid4()
    insert(batch, facts[0], owner_id=owner)
    insert(batch, facts[1], place=None)

    batch.flush()

    found = connection.execute("SELECT place, owner_id, labels, detail FROM boxes.box ORDER BY position")
    assert found.fetchall() == [("x", owner, [], None), (None, None, [], None)]


def test_an_erased_value_is_null(connection, facts):
    batch = PageBatch(connection, "boxes")
    insert(batch, facts[0], place=ERASED)
    insert(batch, facts[1])
    batch.update(BOX, facts[2], {"id": facts[1].stream}, place=ERASED)

    batch.flush()

    assert connection.execute("SELECT place FROM boxes.box").fetchall() == [(None,), (None,)]


def test_updates_of_one_row_stay_writes_of_their_own(connection, facts):
    batch = PageBatch(connection, "boxes")
    insert(batch, facts[0])
    insert(batch, facts[1])
    for fact in facts[2:30]:
        batch.update(BOX, fact, {"id": facts[fact.position % 2].stream}, moves=Sql("moves + {value}", 2))

    batch.flush()

    assert connection.execute("SELECT moves FROM boxes.box").fetchall() == [(28,), (28,)]
    twins = connection.execute("SELECT moves, position, valid_to_position FROM boxes.box_history ORDER BY position")
    assert twins.fetchall()[-2:] == [(26, 27, 29), (26, 28, 30)]


def test_a_statement_keeps_its_turn_among_updates(connection, facts):
    batch = PageBatch(connection, "boxes")
    insert(batch, facts[0])
    key = {"id": facts[0].stream}
    batch.update(BOX, facts[1], key, moves=5)
    batch.execute(facts[2], "UPDATE {schema}.box SET moves = moves * %(by)s, position = %(position)s", by=10)
    batch.update(BOX, facts[3], key, moves=Sql("moves + 1"))

    batch.flush()

    assert connection.execute("SELECT moves FROM boxes.box").fetchall() == [(51,)]


def test_reading_sees_what_was_queued(connection, facts):
    batch = PageBatch(connection, "boxes")
    insert(batch, facts[0])

    assert batch.select("SELECT place FROM {schema}.box WHERE id = %(id)s", id=facts[0].stream) == [("x",)]


def test_of_rows_put_only_the_newest_stands(connection, facts):
    for part in (facts[:3], facts[3:5]):
        batch = PageBatch(connection, "boxes")
        for fact in part:
            batch.put(LATEST, fact, id=facts[0].stream, topic=str(fact.position))
        batch.flush()

    assert connection.execute("SELECT topic, position FROM boxes.latest").fetchall() == [("5", 5)]


@pytest.mark.parametrize(
    "write",
    [
        lambda batch, fact: insert(batch, fact, colour="red"),
        lambda batch, fact: batch.put(LATEST, fact, id=fact.stream, colour="red"),
        lambda batch, fact: batch.update(BOX, fact, {"id": fact.stream}, colour="red"),
    ],
)
def test_a_column_that_is_not_declared_is_refused(connection, facts, write):
    batch = PageBatch(connection, "boxes")
    write(batch, facts[0])

    with pytest.raises(TypeError, match="colour"):
        batch.flush()
