"""What the sealer signs, on a real database: all there is, once."""

import threading
import time
from uuid import uuid4

import psycopg
import pytest

from crm_es.ledger import appending, sealer
from crm_es.ledger.checkpoint import parse, verify
from crm_es.ledger.proofs import consistency_proof
from crm_es.ledger.running import Sealing
from tests.ledger.logs import NIL, ORIGIN, Writer, heads
from tests.ledger.rfc6962 import consistent
from tests.waiting import eventually


def test_every_event_is_under_a_signed_checkpoint(here, writer, workspace):
    writer.fill(300)
    here.seal()
    writer.fill(700)
    here.seal()

    assert here.agrees(workspace) == 1000
    first, second = here.checkpoints(workspace)
    proof = consistency_proof(here.reader(workspace), first[0], second[0])
    assert consistent(first[0], second[0], first[1], second[1], proof)


LEDGERS = b'"type":"ledger.heads_sealed"'
PRETENCES = [
    lambda state: state.replace(b'"type":"deal.won"', LEDGERS),
    lambda state: state.replace(b'"type":"deal.won"', b'"type" : "ledger.heads_sealed"'),
    lambda state: state.replace(b'"type":"deal.won"', b'"type":"\\u006cedger.heads_sealed"'),
    lambda state: state.replace(b'"type":"deal.won"', b'"\\u0074ype":"ledger.heads_sealed"'),
    lambda state: state[:-1] + b"," + LEDGERS + b"}",
    lambda state: state.replace(b'"type":"deal.won"', b'"not":NaN,' + LEDGERS),
]


@pytest.mark.parametrize("written", PRETENCES)
def test_no_event_is_signed_that_says_it_is_the_sealers_own(here, writer, database, workspace, written):
    """Should such bytes ever come into the log, it would be a map of heads of its own to every verifier."""
    other = Writer(database.app, uuid4())
    other.fill(3)
    writer.fill(10)
    writer.append((uuid4(), "deal.won", {}))
    writer.fill(5)
    ((state,),) = here.rows("SELECT state FROM es.events WHERE workspace_id = %s AND sequence = 11", workspace)
    here.tamper(
        f"UPDATE es.events SET state = '\\x{written(bytes(state)).hex()}' WHERE workspace_id = '{workspace}' AND sequence = 11"
    )

    here.seal()
    here.seal()

    assert [size for size, *_ in here.checkpoints(workspace)] == [10]
    assert here.agrees(other.workspace) == 3


def test_an_event_may_speak_of_the_ledger(here, writer, workspace):
    writer.append((uuid4(), "deal.won", {"type": "ledger.heads_sealed", "note": "\x00", "to": "a@ledger.example"}))

    here.seal()

    assert here.agrees(workspace) == 1


def test_a_log_longer_than_a_chunk_is_sealed_by_chunks(here, writer, workspace, monkeypatch):
    monkeypatch.setattr(sealer, "CHUNK", 300)
    writer.fill(1000)

    here.seal()

    assert [size for size, *_ in here.checkpoints(workspace)] == [300, 600, 900, 1000]
    assert here.agrees(workspace) == 1000


def test_nothing_is_signed_twice_where_nothing_grew(here, writer, workspace):
    writer.fill(3)
    here.seal()
    before = here.checkpoints(workspace)

    here.seal()

    assert here.checkpoints(workspace) == before


def test_many_workspaces_are_sealed_each_by_itself(here, database):
    writers = [Writer(database.app, uuid4()) for _ in range(70)]
    for number, one in enumerate(writers):
        one.fill(1 + number % 3)

    here.seal()

    assert [here.agrees(one.workspace) for one in writers] == [1 + n % 3 for n in range(70)]


def test_each_ledger_event_ends_a_checkpoint_of_its_own(here, writer, workspace):
    writer.fill(4)
    with psycopg.connect(here.url, autocommit=True) as connection:
        appending.append(connection, workspace, heads(size=4), once="1")
    writer.fill(4)

    here.seal()

    assert [(size, kind) for size, _, kind, _ in here.checkpoints(workspace)] == [(5, "HEADS"), (9, "TIME")]
    assert here.agrees(workspace) == 9


def test_the_log_of_logs_has_the_workspaces_checkpoints(here, database):
    writers = [Writer(database.app, uuid4()) for _ in range(3)]
    for one in writers:
        one.fill(2)
    here.seal()

    notes = here.rows("SELECT log_of, note FROM ledger.note ORDER BY number")

    assert dict(notes) == {one.workspace: here.checkpoints(one.workspace)[-1][3] for one in writers}
    size, _, _, note = here.checkpoints(NIL)[-1]
    assert verify(note, origin=f"{ORIGIN}/log", public=here.keys.newest).size == size == 3
    assert here.agrees(NIL, states=[note.encode() for _, note in notes]) == 3


def test_a_log_enters_the_log_of_logs_at_most_once_a_minute_but_for_heads(here, writer, workspace, monkeypatch):
    monkeypatch.setattr(sealer, "NOTE_SECONDS", 1e6)  # a minute that lasts, however slow the machine
    sealing = here.sealing()
    with psycopg.connect(here.url, autocommit=True) as connection, sealing._leading(connection) as leader:
        for _ in range(3):
            writer.fill(1)
            leader.step()
        entered = here.rows("SELECT note FROM ledger.note ORDER BY number")
        appending.append(connection, workspace, heads(), once="1")
        leader.step()

    assert [parse(note)[0].size for (note,) in entered] == [1]
    assert [parse(note)[0].size for (note,) in here.rows("SELECT note FROM ledger.note ORDER BY number")] == [1, 4]


def test_it_seals_what_is_recorded_while_it_runs(here, writer, workspace):
    with here.sealing().running():
        for total in (5, 10):
            writer.fill(5)
            eventually(
                lambda total=total: here.checkpoints(workspace)[-1:] and here.checkpoints(workspace)[-1][0] == total
            )

    assert here.agrees(workspace) == 10


def test_one_sealer_leads_and_another_takes_over(here, writer, workspace):
    first, second = here.sealing(), here.sealing()
    with second.running():
        with first.running():
            writer.fill(1)
            eventually(lambda: here.checkpoints(workspace))
        writer.fill(1)
        eventually(lambda: len(here.checkpoints(workspace)) > 1)

    assert here.agrees(workspace) == 2


def test_checkpoints_are_thinned_to_one_an_hour_after_thirty_days(here, writer, workspace):
    writer.fill(2)
    here.seal()
    ((half_past,),) = here.rows("SELECT date_trunc('hour', now(), 'UTC') + interval '30 minutes'")
    for size, kind, age in [
        (10, "TIME", "31 days 5 minutes"), (11, "TIME", "31 days 4 minutes"), (12, "HEADS", "31 days 4 minutes"),
        (13, "TIME", "31 days 3 minutes"), (14, "TIME", "29 days 5 minutes"), (15, "TIME", "29 days 4 minutes"),
    ]:  # fmt: skip
        here.rows(
            "INSERT INTO ledger.checkpoint VALUES (%s, 9, %s, '', %s - %s::interval, %s, '') RETURNING 1",
            workspace, size, half_past, age, kind,
        )  # fmt: skip

    sealing = here.sealing()
    with psycopg.connect(here.url, autocommit=True) as connection, sealing._leading(connection) as leader:
        sealing._thin(leader)

    assert [row[0] for row in here.checkpoints(workspace, 9)] == [12, 13, 14, 15]
    assert here.checkpoints(workspace)


def test_one_that_is_told_to_stop_while_another_leads_has_signed_nothing(here, writer, workspace):
    writer.fill(1)
    stop = threading.Event()
    stop.set()
    with here.sealing().running():
        eventually(lambda: here.checkpoints(workspace))
        waiting = Sealing(here.url, keys=here.keys, memory_file=here.folder / "another.sqlite", origin=ORIGIN)
        waiting.run(stop)

    assert not (here.folder / "another.sqlite").exists()


def test_only_what_follows_from_the_events_is_committed_without_waiting(here, writer, workspace, monkeypatch):
    """A note that a crash took back could come back as another, and the log of logs be signed over both."""
    monkeypatch.setattr(sealer, "NOTE_SECONDS", 1e6)
    writer.fill(1)
    here.seal()
    with psycopg.connect(here.owner, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.waited (what text, how text)")
        connection.execute("GRANT INSERT ON public.waited TO public")
        for table, what in (("checkpoint", "NEW.kind"), ("note", "'NOTE'")):
            connection.execute(
                f"CREATE FUNCTION public.told_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" INSERT INTO public.waited VALUES ({what}, current_setting('synchronous_commit')); RETURN NEW; END $$"
            )
            connection.execute(
                f"CREATE TRIGGER told BEFORE INSERT ON ledger.{table} FOR EACH ROW EXECUTE FUNCTION public.told_{table}()"
            )
    sealing = here.sealing()
    with psycopg.connect(here.url, autocommit=True) as connection, sealing._leading(connection) as leader:
        leader.step()
        leader._entered[workspace] = time.monotonic()
        writer.fill(1)
        leader.step()
        appending.append(connection, workspace, heads(), once="1")
        leader.step()
        (after,) = connection.execute("SHOW synchronous_commit").fetchone()

    told = here.rows("SELECT what, how FROM public.waited")
    assert [how for what, how in told if what in {"NOTE", "HEADS"}] == ["on", "on"]
    assert {how for what, how in told if what == "TIME"} == {"off"}
    assert after == "on"


def test_what_a_crash_took_back_is_signed_again_and_nothing_else(here, writer, workspace, monkeypatch):
    """The commit of a checkpoint waits for no disk: the database may stand before it again, its events complete."""
    monkeypatch.setattr(sealer, "NOTE_SECONDS", 1e6)
    writer.fill(300)
    here.seal()
    tiles = here.rows("SELECT level, number, hashes FROM ledger.tile WHERE workspace_id = %s", workspace)
    writer.fill(300)
    here.seal()
    shown = here.checkpoints(workspace)[-1]
    with psycopg.connect(here.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM ledger.checkpoint WHERE workspace_id = %s AND size = 600", [workspace])
        connection.execute("DELETE FROM ledger.tile WHERE workspace_id = %s", [workspace])
        for tile in tiles:
            connection.execute("INSERT INTO ledger.tile VALUES (%s, 1, %s, %s, %s)", [workspace, *tile])
    writer.fill(300)

    here.seal()

    assert here.agrees(workspace) == 900
    assert here.ledger_events(workspace) == []
    size, root, _, _ = here.checkpoints(workspace)[-1]
    proof = consistency_proof(here.reader(workspace), shown[0], size)
    assert consistent(shown[0], size, shown[1], root, proof)
