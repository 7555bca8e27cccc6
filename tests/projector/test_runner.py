import threading
import time
from uuid import uuid4

import psycopg
import pytest

from crm_es.errors import KeyUnavailableError
from crm_es.projector import bookmarks
from crm_es.projector.leader import Leader
from crm_es.projector.pages import PageReader
from crm_es.projector.runner import Projector
from tests.open_connections import none_left_open
from tests.projector import boxes
from tests.projector.boxes import AllMoved, BoxBroken, BoxMade, BoxMoved
from tests.projector.conftest import model
from tests.waiting import eventually


def many(log, workspace, count):
    box = uuid4()
    log.append(workspace, (box, BoxMade()))
    for n in range(count - 1):
        log.append(workspace, (box, BoxMoved(place=str(n))))
    return box


def test_a_page_never_cuts_an_append(database, log, workspace):
    for size in (3, 4, 9, 2):
        log.append(workspace, *[(uuid4(), BoxMade()) for _ in range(size)])

    with PageReader(database.projector, log.decode, size=5) as reader:
        sizes, after = [], 0
        while (page := reader.read(after)).facts:
            sizes.append(len(page.facts))
            after = page.last

    assert sizes == [3, 4, 9, 2]


def test_a_leader_that_gets_one_connection_of_two_leaves_none_open(database, log, rows):
    rows_of_one = database.owner.replace("postgres@", "crm_single@")
    with psycopg.connect(database.owner, autocommit=True) as owner:
        owner.execute("CREATE ROLE crm_single LOGIN CONNECTION LIMIT 1")

        with none_left_open(), pytest.raises(psycopg.OperationalError, match="too many connections"):
            Leader(rows_of_one, log.decode, [boxes])

        eventually(lambda: rows("SELECT 1 FROM pg_stat_activity WHERE usename = 'crm_single'") == [])
        owner.execute("DROP ROLE crm_single")


def test_running_projects_what_is_appended(log, projector, workspace, rows):
    with projector.running():
        log.append(workspace, (uuid4(), BoxMade()))

        eventually(lambda: rows("SELECT log_id FROM es.bookmark") == [(log.end,)])

    assert rows("SELECT count(*) FROM boxes.box") == [(1,)]


def test_draining_again_changes_nothing(log, projector, workspace, rows):
    many(log, workspace, 30)
    projector.drain()
    before = rows("SELECT t::text FROM boxes.box t UNION ALL SELECT t::text FROM boxes.box_history t ORDER BY 1")

    assert projector.drain() == 0

    assert before == rows(
        "SELECT t::text FROM boxes.box t UNION ALL SELECT t::text FROM boxes.box_history t ORDER BY 1"
    )


def test_draining_beyond_the_end_of_the_log_ends_there(log, projector, workspace, rows):
    many(log, workspace, 3)

    assert projector.drain(upto=log.end + 1_000) == 3

    assert rows("SELECT log_id FROM es.bookmark") == [(log.end,)]


def test_a_statement_over_many_rows_spares_rows_of_later_events(log, projector, workspace, rows):
    log.append(workspace, (uuid4(), BoxMade(place="early")))
    log.append(workspace, (uuid4(), AllMoved(place="moved")))
    log.append(workspace, (uuid4(), BoxMade(place="late")))

    projector.drain()

    assert rows("SELECT place FROM boxes.box ORDER BY position") == [("moved",), ("late",)]


@pytest.mark.parametrize(
    "case", [("program", "ValueError", 3), ("data", "DivisionByZero", 3), ("data", "DivisionByZero", 500)]
)
def test_one_that_fails_is_parked_alone_before_the_event(database, log, workspace, rows, case):
    how, error, page_size = case
    healthy = model("healthy", lambda _batch, _facts: None)
    many(log, workspace, 7)
    log.append(workspace, (uuid4(), BoxMade(place="before")))
    fine = log.end
    log.append(workspace, (uuid4(), BoxMade(place="half")), (uuid4(), BoxBroken(how=how)))
    many(log, workspace, 7)

    Projector(database.projector, log.decode, [boxes, healthy], page_size=page_size).drain()

    assert rows("SELECT log_id, parked IS NULL FROM es.bookmark ORDER BY read_model") == [
        (fine, False),
        (log.end, True),
    ]
    assert rows("SELECT place FROM boxes.box ORDER BY position DESC LIMIT 1") == [("before",)]
    (letter,) = rows("SELECT parked FROM es.bookmark WHERE read_model = 'boxes'")[0]
    assert (letter["error"], letter["position"]) == (error, 9)


def test_a_parked_read_model_goes_on_when_it_is_mended(database, log, workspace, rows):
    log.append(workspace, (uuid4(), BoxBroken()))
    log.append(workspace, (uuid4(), BoxMade()))
    Projector(database.projector, log.decode, [boxes]).drain()
    mended = model("boxes", lambda batch, facts: boxes.apply(batch, [f for f in facts if f.topic != "box.broken"]))

    Projector(database.projector, log.decode, [mended]).drain()

    assert rows("SELECT log_id, parked FROM es.bookmark") == [(log.end, None)]
    assert rows("SELECT count(*) FROM boxes.box") == [(1,)]


def test_a_parked_read_model_is_tried_again_by_another_process_only(database, log, workspace, rows):
    tried = []
    broken = model("boxes", lambda _batch, facts: tried.append(len(facts)) or 1 / 0)
    projector = Projector(database.projector, log.decode, [broken])
    log.append(workspace, (uuid4(), BoxMade()))
    projector.drain()
    first = len(tried)

    projector.drain()
    assert len(tried) == first
    assert rows("SELECT parked IS NULL FROM es.bookmark") == [(False,)]

    Projector(database.projector, log.decode, [broken]).drain()
    assert len(tried) > first


def test_unavailable_keys_park_nothing(database, log, workspace, rows):
    closed = threading.Event()
    closed.set()

    def decode(stored):
        if closed.is_set() and stored:
            raise KeyUnavailableError("the key store does not answer")
        return log.decode(stored)

    log.append(workspace, (uuid4(), BoxMade()))
    projector = Projector(database.projector, decode, [boxes], poll=0.05)
    with projector.running():
        eventually(lambda: rows("SELECT 1 FROM es.bookmark"))
        time.sleep(0.3)
        assert rows("SELECT log_id, parked FROM es.bookmark") == [(0, None)]
        closed.clear()

        eventually(lambda: rows("SELECT log_id FROM es.bookmark") == [(log.end,)])


def test_a_deadlock_parks_nothing_and_is_tried_again(database, log, workspace, rows):
    tries = []

    def apply(batch, facts):
        tries.append(1)
        if len(tries) < 3:
            raise psycopg.errors.DeadlockDetected
        boxes.apply(batch, facts)

    log.append(workspace, (uuid4(), BoxMade()))
    projector = Projector(database.projector, log.decode, [model("boxes", apply)], poll=0.05)
    with projector.running():
        eventually(lambda: rows("SELECT log_id, parked FROM es.bookmark") == [(log.end, None)])

    assert rows("SELECT count(*) FROM boxes.box") == [(1,)]


def test_a_leader_whose_bookmark_moved_abdicates_and_writes_nothing(database, log, workspace, rows):
    with Leader(database.projector, log.decode, [boxes]) as leader:
        assert leader.try_lead()
        log.append(workspace, (uuid4(), BoxMade()))
        rows("UPDATE es.bookmark SET log_id = 99 RETURNING 1")

        with pytest.raises(bookmarks.AbdicatedError):
            leader.step()

    assert rows("SELECT count(*) FROM boxes.box") == [(0,)]


def test_pages_sent_behind_a_bookmark_that_moved_are_not_written(database, log, workspace, rows):
    pages = []

    def apply(batch, facts):
        batch.select("SELECT 1 FROM {schema}.box")  # waits for the pages before
        pages.append(len(facts))
        if len(pages) == 3:
            rows("UPDATE es.bookmark SET log_id = 99 RETURNING 1")
        boxes.apply(batch, facts)

    many(log, workspace, 50)
    with Leader(database.projector, log.decode, [model("boxes", apply)], page_size=5) as leader:
        assert leader.try_lead()

        with pytest.raises(bookmarks.AbdicatedError):
            leader.drain()

    assert rows("SELECT moves + 1 FROM boxes.box") == [(pages[0] + pages[1],)]
    assert rows("SELECT log_id FROM es.bookmark") == [(99,)]


def test_what_was_sent_before_a_failure_counts_once(database, log, workspace, rows):
    box = many(log, workspace, 12)
    log.append(workspace, (box, BoxBroken(how="data")))
    log.append(workspace, (box, BoxMoved(place="x")))

    with Leader(database.projector, log.decode, [boxes], page_size=4) as leader:
        assert leader.try_lead()
        leader.drain()

        assert leader.applied == 14
    assert rows("SELECT moves FROM boxes.box") == [(11,)]


# of this database alone: other tests have leaders of their own beside
CUT_LEADER = """
SELECT pg_terminate_backend(l.pid)
FROM pg_locks l
JOIN pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND d.datname = current_database()
"""


def test_a_standby_takes_over_when_the_leader_dies(database, log, workspace, rows):
    first, second = (Projector(database.projector, log.decode, [boxes], poll=0.05) for _ in range(2))
    with first.running():
        eventually(lambda: first.leading)
        with second.running():
            time.sleep(0.2)
            assert not second.leading
            rows(CUT_LEADER)
            many(log, workspace, 20)

            eventually(lambda: rows("SELECT log_id FROM es.bookmark") == [(log.end,)])

    assert rows("SELECT moves FROM boxes.box") == [(19,)]


def test_cut_in_the_middle_of_a_page_nothing_is_lost_or_doubled(database, log, workspace, rows):
    cut = iter([True, False, True, False])

    def apply(batch, facts):
        boxes.apply(batch, facts)
        if next(cut, False):
            batch.select("SELECT pg_terminate_backend(pg_backend_pid())")

    many(log, workspace, 50)
    projector = Projector(database.projector, log.decode, [model("boxes", apply)], page_size=20, poll=0.05)
    with projector.running():
        eventually(lambda: rows("SELECT log_id FROM es.bookmark") == [(log.end,)])

    assert rows("SELECT moves FROM boxes.box") == [(49,)]
    assert rows("SELECT count(*) FROM boxes.move") == [(49,)]


def test_a_read_model_of_another_version_waits_for_its_rebuild(database, log, workspace, rows):
    log.append(workspace, (uuid4(), BoxMade()))
    Projector(database.projector, log.decode, [boxes]).drain()
    newer = model("boxes", boxes.apply, version=2)
    log.append(workspace, (uuid4(), BoxMade()))

    Projector(database.projector, log.decode, [newer]).drain()

    assert rows("SELECT count(*) FROM boxes.box") == [(1,)]


def test_facts_that_do_not_open_stop_it_only_until_they_do(database, log, workspace, rows, monkeypatch):
    monkeypatch.setattr("crm_es.projector.runner.BACK_OFF", (0.05,))
    many(log, workspace, 5)
    refused = threading.Event()

    def decode(stored):
        if not refused.is_set():
            refused.set()
            raise KeyError("a topic of a newer program")
        return log.decode(stored)

    with Projector(database.projector, decode, [boxes], poll=0.1).running():
        eventually(lambda: rows("SELECT log_id FROM es.bookmark") == [(log.end,)])
    assert refused.is_set()


def test_only_who_leads_listens(database, log):
    with (
        Leader(database.projector, log.decode, [boxes]) as first,
        Leader(database.projector, log.decode, [boxes]) as second,
    ):
        assert first.try_lead()
        assert not second.try_lead()

        assert [listening(leader) for leader in (first, second)] == [[("crm_events",)], []]


def test_notices_are_not_kept_while_there_is_always_a_next_page(database, log, workspace):
    with Leader(database.projector, log.decode, [boxes], page_size=5) as leader:
        assert leader.try_lead()
        many(log, workspace, 60)
        leader.drain()

        leader._reader.read(log.end)
        assert list(leader._reader._connection.notifies(timeout=0)) == []


def listening(leader):
    return leader._reader._connection.execute("SELECT pg_listening_channels()").fetchall()


def test_read_models_have_their_turn_as_the_program_lists_them(database, log, workspace):
    turns = []
    log.append(workspace, (uuid4(), BoxMade()))
    models = [model(name, lambda _b, _f, name=name: turns.append(name)) for name in ("second_by_name", "first_by_name")]

    Projector(database.projector, log.decode, models).drain()

    assert turns == ["second_by_name", "first_by_name"]
