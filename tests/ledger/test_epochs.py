"""Histories that are not what was signed: each gets a new epoch that says so, and nothing of the old one is signed again."""

import pkgutil
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_es.database.place import EMBEDDED_VERSION
from crm_es.ledger.checkpoint import parse
from tests.conftest import _clone, _drop
from tests.ledger.logs import NIL, ORIGIN, Installation, Writer, restore, snapshot


def test_a_log_that_lost_its_end_gets_a_new_epoch_that_says_so(here, writer, workspace):
    writer.fill(20)
    here.seal()
    old = here.checkpoints(workspace)
    here.tamper(
        f"DELETE FROM es.events WHERE workspace_id = '{workspace}' AND sequence > 15",
        f"UPDATE es.head SET sequence = 15 WHERE workspace_id = '{workspace}'",
    )

    here.seal()

    position, said = here.epoch_of(workspace)
    assert position == 16
    assert said == {
        "epoch": 2, "old_origin": f"{ORIGIN}/log/{workspace}", "old_size": 20, "old_root": old[-1][1].hex(),
        "lost_from": 16, "lost_to": 20,
    }  # fmt: skip
    assert here.agrees(workspace, 2) == 16
    assert [kind for _, _, kind, _ in here.checkpoints(workspace, 2)] == ["EPOCH"]
    assert here.checkpoints(workspace) == old


def test_what_was_signed_before_the_loss_is_not_called_lost(here, writer, workspace):
    for _ in range(3):
        writer.fill(10)
        here.seal()
    here.tamper(
        f"DELETE FROM es.events WHERE workspace_id = '{workspace}' AND sequence > 25",
        f"UPDATE es.head SET sequence = 25 WHERE workspace_id = '{workspace}'",
    )

    here.seal()

    _, said = here.epoch_of(workspace)
    assert (said["lost_from"], said["lost_to"]) == (26, 30)


def test_one_altered_event_is_all_that_is_called_lost(here, writer, workspace):
    """The tiles of the old epoch say so, where they are what was signed."""
    writer.fill(600)
    here.seal()
    here.tamper(
        f"UPDATE es.events SET state = '{{}}' WHERE workspace_id = '{workspace}' AND sequence IN (300, 301)",
        f"DELETE FROM ledger.checkpoint WHERE workspace_id = '{workspace}'",
    )
    writer.fill(1)

    here.seal()

    _, said = here.epoch_of(workspace)
    assert (said["lost_from"], said["lost_to"]) == (300, 301)


def test_tiles_that_were_altered_too_are_not_asked(here, writer, workspace):
    for _ in range(3):
        writer.fill(10)
        here.seal()
    here.tamper(
        f"UPDATE es.events SET state = '{{}}' WHERE workspace_id = '{workspace}' AND sequence = 25",
        "UPDATE ledger.tile t SET hashes = overlay(hashes placing"
        " sha256('\\x00'::bytea || (SELECT state FROM es.events e WHERE e.workspace_id = t.workspace_id AND e.sequence = 25))"
        f" FROM {24 * 32 + 1} FOR 32) WHERE workspace_id = '{workspace}' AND level = 0",
    )
    writer.fill(1)

    here.seal()

    _, said = here.epoch_of(workspace)
    assert (said["lost_from"], said["lost_to"]) == (21, 30)


def test_a_restored_backup_gets_a_new_epoch_and_the_old_one_is_never_signed_again(here, writer, workspace):
    writer.fill(10)
    here.seal()
    saved = snapshot(here)
    writer.fill(10)
    here.seal()
    first = {row[0]: row for row in here.checkpoints(workspace)}
    restore(here, saved)
    other = Writer(writer.url, workspace)

    other.fill(30)
    here.seal()
    other.fill(5)
    here.seal()

    position, said = here.epoch_of(workspace)
    assert (position, said["old_size"], said["lost_from"], said["lost_to"]) == (41, 20, 11, 20)
    assert [first[row[0]] for row in here.checkpoints(workspace)] == here.checkpoints(workspace)
    assert max(row[0] for row in here.checkpoints(workspace)) == 10
    assert here.agrees(workspace, 2) == 46
    origins = {origin for (origin,) in here.rows("SELECT origin FROM ledger.log WHERE workspace_id = %s", workspace)}
    assert origins == {f"{ORIGIN}/log/{workspace}", f"{ORIGIN}/log/{workspace}/2"}
    log_of_logs = [parse(row[3])[0] for row in here.checkpoints(NIL, 2)]
    assert log_of_logs[-1].origin == f"{ORIGIN}/log/2"


def test_a_backup_restored_twice_gets_a_third_epoch(here, writer, workspace):
    writer.fill(10)
    here.seal()
    saved = snapshot(here)
    for _ in range(2):
        Writer(writer.url, workspace).fill(10)
        here.seal()
        restore(here, saved)

    Writer(writer.url, workspace).fill(2)
    here.seal()

    position, said = here.epoch_of(workspace, 3)
    assert said["old_origin"] == f"{ORIGIN}/log/{workspace}/2"
    assert here.agrees(workspace, 3) == position == 13


def test_a_memory_older_than_an_epoch_is_brought_up(here, writer, workspace):
    """What the key has signed is ours all the same."""
    writer.fill(10)
    here.seal()
    saved = snapshot(here)
    writer.fill(10)
    here.seal()
    memory = (here.folder / "sealer.sqlite").read_bytes()
    restore(here, saved)
    Writer(writer.url, workspace).fill(3)
    here.seal()
    (here.folder / "sealer.sqlite").write_bytes(memory)
    Writer(writer.url, workspace).fill(3)

    here.seal()

    assert here.agrees(workspace, 2) == 17
    assert here.rows("SELECT max(epoch) FROM ledger.log") == [(2,)]
    here.tamper(
        f"DELETE FROM es.events WHERE workspace_id = '{workspace}' AND sequence > 15",
        f"UPDATE es.head SET sequence = 15 WHERE workspace_id = '{workspace}'",
    )
    here.seal()
    assert here.epoch_of(workspace, 3)[1]["lost_from"] == 16


def test_deleted_events_leave_their_places_in_the_next_epoch(here, writer, workspace):
    """The head was not set back, so positions go on after the hole; the tree needs a leaf for each."""
    writer.fill(20)
    here.seal()
    here.tamper(f"DELETE FROM es.events WHERE workspace_id = '{workspace}' AND sequence IN (5, 6, 19, 20)")
    writer.fill(1)

    here.seal()

    _, said = here.epoch_of(workspace)
    states = here.states(workspace)
    whole = [*states[:4], b"", b"", *states[4:16], b"", b"", *states[16:]]
    assert (said["lost_from"], said["lost_to"]) == (5, 20)
    assert here.agrees(workspace, 2, whole) == 22


def test_an_event_that_vanished_before_it_was_sealed_is_told_too(here, writer, workspace):
    writer.fill(3)
    here.seal()
    writer.fill(3)
    here.tamper(f"DELETE FROM es.events WHERE workspace_id = '{workspace}' AND sequence = 5")

    here.seal()

    _, said = here.epoch_of(workspace)
    assert (said["lost_from"], said["lost_to"]) == (5, 5)
    assert here.agrees(workspace, 2, [*here.states(workspace)[:4], b"", *here.states(workspace)[4:]]) == 7


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.tile SET hashes = overlay(hashes PLACING '\\x00' FROM 33) WHERE workspace_id = '{0}'",
        "DELETE FROM ledger.tile WHERE workspace_id = '{0}'",
        "UPDATE ledger.checkpoint SET root = sha256('') WHERE workspace_id = '{0}'",
        "UPDATE ledger.checkpoint SET note = replace(note, '20', '19') WHERE workspace_id = '{0}'",
    ],
)
def test_tampering_with_the_ledgers_own_tables_opens_an_epoch_that_lost_nothing(here, writer, workspace, statement):
    writer.fill(20)
    here.seal()
    here.tamper(statement.format(workspace))
    writer.fill(1)

    here.seal()

    _, said = here.epoch_of(workspace)
    assert (said["old_size"], said["lost_from"], said["lost_to"]) == (20, None, None)
    assert here.agrees(workspace, 2) == 22


def test_ledger_tables_lost_altogether_are_made_again_under_the_same_name(here, writer, workspace):
    """The events are all there and lead to what was signed: nothing contradicts it."""
    writer.fill(20)
    here.seal()
    here.tamper("DELETE FROM ledger.tile", "DELETE FROM ledger.checkpoint", "DELETE FROM ledger.log")
    writer.fill(1)

    here.seal()

    assert here.agrees(workspace) == 21
    assert here.ledger_events(workspace) == []


def test_an_event_changed_under_the_sealers_eyes_is_noticed(here, writer, workspace):
    writer.fill(20)
    sealing = here.sealing()
    with psycopg.connect(here.url, autocommit=True) as connection, sealing._leading(connection) as leader:
        leader.step()
        here.tamper(f"UPDATE es.events SET state = '\\x7b7d' WHERE workspace_id = '{workspace}' AND sequence = 20")
        writer.fill(1)
        leader.step()

    assert here.epoch_of(workspace)[1]["lost_to"] == 20


@given(st.data())
@settings(max_examples=15)
def test_whatever_is_lost_no_size_is_signed_with_two_roots(servers, tmp_path_factory, data):
    """Random growth, sealing, restarts and losses: under one origin every size has one root, and sizes are of one history."""
    urls = _clone(servers.urls(EMBEDDED_VERSION))
    try:
        here = Installation(urls.sealer, urls.owner, tmp_path_factory.mktemp("sealer"))
        workspace, seen, saved = uuid4(), {}, None
        for _ in range(data.draw(st.integers(2, 6))):
            match data.draw(st.sampled_from(["grow", "seal", "seal", "save", "restore", "cut"])):
                case "grow":
                    Writer(urls.app, workspace).fill(data.draw(st.integers(1, 30)))
                case "seal":
                    here.seal()
                case "save":
                    saved = snapshot(here)
                case "restore" if saved:
                    restore(here, saved)
                case "cut":
                    upto = data.draw(st.integers(1, 30))
                    here.tamper(
                        f"DELETE FROM es.events WHERE sequence > {upto}",
                        f"UPDATE es.head SET sequence = least(sequence, {upto})",
                    )
                case _:
                    pass
            for origin, size, root in here.all_signed():
                assert seen.setdefault((origin, size), root) == root
        Writer(urls.app, workspace).fill(1)
        here.seal()
        for origin, size, root in here.all_signed():
            assert seen.setdefault((origin, size), root) == root
        (epoch,) = here.rows("SELECT max(epoch) FROM ledger.log WHERE workspace_id = %s", workspace)[0]
        assert here.agrees(workspace, epoch)
    finally:
        _drop(urls)


class Crash(Exception):  # noqa: N818
    pass


POINTS = [
    "crm_es.ledger.memory.Memory.put",
    "crm_es.ledger.book.Book.add_checkpoints",
    "crm_es.ledger.book.Book.add_note",
    "crm_es.ledger.book.Book.begin",
    "crm_es.ledger.tiles.save",
    "crm_es.ledger.appending.append",
    "crm_es.ledger.sealer.Sealer.keep",
]


PLACES = [(point, nth, after) for point in POINTS for nth in (1, 2, 3) for after in (False, True)]


@pytest.mark.parametrize(
    "place", PLACES, ids=lambda place: f"{place[0].rpartition('ledger.')[2]}-{place[1]}-{place[2]}"
)
def test_a_sealer_that_dies_anywhere_goes_on_where_it_was(here, writer, workspace, monkeypatch, place):
    point, nth, after = place
    writer.fill(10)
    here.seal()
    saved = snapshot(here)
    writer.fill(10)
    here.seal()
    restore(here, saved)
    Writer(writer.url, workspace).fill(3)
    left = [nth]
    seen = {}

    def dying(original):
        def wrapped(*given, **named):
            left[0] -= 1
            if not left[0] and not after:
                raise Crash
            answer = original(*given, **named)
            if not left[0]:
                raise Crash
            return answer

        return wrapped

    with monkeypatch.context() as patched:
        module, _, name = point.rpartition(".")
        target = pkgutil.resolve_name(module)
        patched.setattr(target, name, dying(getattr(target, name)))
        for _ in range(2):
            try:
                here.seal()
            except Crash:
                continue
    for origin, size, root in here.all_signed():
        seen[origin, size] = root
    here.seal()

    assert here.agrees(workspace, 2) == 14
    assert here.epoch_of(workspace)[0] == 14
    assert all(seen.get((origin, size), root) == root for origin, size, root in here.all_signed())
