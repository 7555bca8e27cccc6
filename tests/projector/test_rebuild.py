import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest

from crm_es.database.urls import on_database
from crm_es.errors import ConfigurationError
from crm_es.projector import swap
from crm_es.projector.rebuild import Rebuild
from crm_es.projector.runner import Projector
from tests.projector import boxes
from tests.projector.boxes import BoxMade, BoxMoved
from tests.projector.conftest import model
from tests.projector.test_runner import many
from tests.waiting import eventually


@pytest.fixture
def rebuild(database, log):
    return Rebuild(database.projector, log.decode, [boxes], page_size=10)


@pytest.fixture
def projected(log, workspace, projector):
    many(log, workspace, 40)
    projector.drain()


@pytest.mark.usefixtures("projected")
def test_a_check_finds_live_and_rebuilt_equal_and_leaves_nothing(rebuild, rows):
    (outcome,) = rebuild.run(check=True)

    assert outcome.differing == ()
    assert outcome.digests["box_history"][0].rows == 39
    assert rows("SELECT read_model FROM es.bookmark") == [("boxes",)]
    assert rows("SELECT FROM pg_namespace WHERE nspname LIKE 'boxes\\_\\_%%'") == []


@pytest.mark.usefixtures("projected")
@pytest.mark.parametrize("table", ["box", "box_history", "move"])
def test_a_check_names_the_table_that_differs(rebuild, rows, table):
    rows(
        f"UPDATE boxes.{table} SET place = 'forged' WHERE position = (SELECT max(position) FROM boxes.{table}) RETURNING 1"
    )

    (outcome,) = rebuild.run(check=True)

    assert outcome.differing == (table,)


@pytest.mark.usefixtures("projected")
def test_without_a_leader_the_rebuild_swaps_itself(rebuild, rows):
    rows("UPDATE boxes.box SET place = 'forged' RETURNING 1")

    rebuild.run("boxes")

    assert rows("SELECT place, moves FROM boxes.box") == [("38", 39)]
    assert rows("SELECT read_model, ready FROM es.bookmark") == [("boxes", False)]


@pytest.mark.usefixtures("projected")
def test_what_a_swap_left_behind_is_dropped_later(rebuild, projector, rows):
    rebuild.run("boxes")

    projector.drain()

    assert rows("SELECT FROM pg_namespace WHERE nspname LIKE 'boxes\\_\\_%%'") == []


@pytest.mark.usefixtures("projected")
def test_the_leader_swaps_while_people_read_and_events_come(database, log, projector, rebuild, rows):
    box, workspace = log.facts[0].stream, log.facts[0].workspace
    stop, seen, failures = threading.Event(), ([], []), []

    def read(seen):
        with psycopg.connect(database.app, autocommit=True) as app:
            app.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
            while not stop.is_set():
                try:
                    with app.transaction():
                        app.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                        boxes_, twins = (
                            app.execute(f"SELECT count(*) FROM boxes.{t}", prepare=True).fetchone()[0]
                            for t in ("box", "box_history")
                        )
                        seen.append(boxes_ + twins)
                except psycopg.Error as error:
                    failures.append(error)

    readers = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    with projector.running():
        eventually(lambda: projector.leading)
        for reader in readers:
            reader.start()
        eventually(lambda: all(seen) or failures)
        writer = threading.Thread(target=lambda: [log.append(workspace, (box, BoxMoved(place="x"))) for _ in range(60)])
        writer.start()
        rebuild.run("boxes")
        writer.join()
        eventually(lambda: rows("SELECT log_id FROM es.bookmark WHERE read_model = 'boxes'") == [(log.end,)])
        stop.set()
        for reader in readers:
            reader.join()

    assert failures == []
    assert all(mine == sorted(mine) and mine for mine in seen), "a reader saw rows go away"
    assert rows("SELECT moves FROM boxes.box") == [(99,)]


@pytest.mark.usefixtures("projected")
def test_a_long_reader_does_not_hold_up_the_swap_for_ever(database, rebuild, rows, monkeypatch):
    monkeypatch.setattr(swap, "GRACE", 0.5)
    with psycopg.connect(database.owner) as reader:
        assert reader.execute("SELECT count(*) FROM boxes.box").fetchone() == (1,)

        rebuild.run("boxes")

        assert len(rows("SELECT FROM pg_namespace WHERE nspname LIKE 'boxes\\_\\_old%%'")) == 1


def test_a_swap_waits_longer_than_any_query_takes_and_for_no_other_database(database):
    elsewhere = on_database(database.owner, "postgres")
    with psycopg.connect(database.projector) as own, psycopg.connect(elsewhere) as another:
        another.execute("SELECT 1")
        begun = time.monotonic()

        watch = swap.Watch.of(own, 600.0)

        assert watch.deadline > begun + 600
        assert watch.over(own)


@pytest.mark.usefixtures("projected")
def test_one_is_rebuilt_again_at_once_though_what_it_left_is_still_read(database, rebuild, rows, monkeypatch):
    monkeypatch.setattr(swap, "GRACE", 0)
    monkeypatch.setattr(swap.time, "time", lambda: 1e9)  # in the same second
    with psycopg.connect(database.owner) as reader:
        reader.execute("SELECT count(*) FROM boxes.box")

        for _ in range(2):
            rebuild.run("boxes")

    assert rows("SELECT moves FROM boxes.box") == [(39,)]


def test_a_killed_rebuild_goes_on_where_it_was(database, log, workspace, projector, rows):
    many(log, workspace, 40)
    projector.drain()
    reached = []

    def dies(_name, log_id, _newest):
        reached.append(log_id)
        if len(reached) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Rebuild(database.projector, log.decode, [boxes], page_size=10).run(check=True, report=dies)
    assert rows("SELECT log_id FROM es.bookmark WHERE read_model = 'boxes__next'") == [(reached[-1],)]

    (outcome,) = Rebuild(database.projector, log.decode, [boxes], page_size=10).run(check=True)

    assert (outcome.events, outcome.differing) == (22, ())  # a full page leaves its last append to the next


def test_another_version_is_rebuilt_with_its_own_tables(database, log, workspace, projector, rows):
    many(log, workspace, 5)
    projector.drain()
    newer = model("boxes", boxes.apply, version=2, tables=(boxes.BOX, boxes.MOVE, boxes.LATEST))

    Rebuild(database.projector, log.decode, [newer]).run("boxes")
    log.append(workspace, (uuid4(), BoxMade()))
    Projector(database.projector, log.decode, [newer]).drain()

    assert rows("SELECT version, log_id FROM es.bookmark") == [(2, log.end)]


def test_a_parked_read_model_is_mended_by_a_rebuild(database, log, workspace, rows):
    log.append(workspace, (uuid4(), boxes.BoxBroken()))
    Projector(database.projector, log.decode, [boxes]).drain()
    mended = SimpleNamespace(**vars(model("boxes", lambda _batch, _facts: None)))

    Rebuild(database.projector, log.decode, [mended]).run("boxes")

    assert rows("SELECT log_id, parked FROM es.bookmark") == [(log.end, None)]


def test_an_unknown_name_is_refused(rebuild):
    with pytest.raises(ConfigurationError, match="There are: boxes"):
        rebuild.run("crates")


def test_a_table_declared_otherwise_is_not_taken_for_the_left_over(database, log, workspace, projector, rows):
    many(log, workspace, 5)
    projector.drain()
    other = model("boxes", boxes.apply, tables=(replace(boxes.BOX, indexes=()), boxes.MOVE, boxes.LATEST))
    with pytest.raises(KeyboardInterrupt):
        Rebuild(database.projector, log.decode, [other]).run(check=True, report=_interrupt)

    Rebuild(database.projector, log.decode, [boxes]).run("boxes")

    assert len(rows("SELECT FROM pg_indexes WHERE schemaname = 'boxes' AND indexname = 'box_by_place'")) == 1


def _interrupt(_name, _reached, _newest):
    raise KeyboardInterrupt


@pytest.mark.usefixtures("projected")
def test_a_rebuilt_one_that_is_parked_ends_the_rebuild(database, log, rows, monkeypatch):
    monkeypatch.setattr("crm_es.projector.rebuild.NEAR", 31)
    broken = []

    def breaking(batch, facts):
        if broken:
            raise ValueError
        boxes.apply(batch, facts)

    rebuild = Rebuild(database.projector, log.decode, [model("boxes", breaking)], page_size=10)
    with pytest.raises(ConfigurationError, match="cannot apply an event"):
        rebuild.run(report=lambda _name, reached, _newest: broken.append(reached))

    assert rows("SELECT read_model, parked IS NULL FROM es.bookmark") == [("boxes", True), ("boxes__next", False)]
