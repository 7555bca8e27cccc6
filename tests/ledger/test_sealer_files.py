"""The sealer's key and memory: for it alone, never replaced behind anybody's back."""

from contextlib import closing
from dataclasses import replace
from uuid import uuid4

import psycopg
import pytest

from crm_es.errors import ConfigurationError
from crm_es.ledger.book import Book, connect
from crm_es.ledger.checkpoint import parse, verify, vkey
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.memory import Memory, Signed
from crm_es.ledger.running import Sealing
from crm_es.ledger.sealer import origin_of
from crm_es.ledger.trust import trust
from tests.ledger.logs import NIL, ORIGIN, Writer


def test_the_key_is_made_at_the_first_start_for_the_sealer_alone(here, writer):
    writer.fill(1)
    here.seal()

    assert here.keys.path.stat().st_mode & 0o777 == 0o600
    assert (here.folder / "sealer.sqlite").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_refused(here, writer, mode):
    writer.fill(1)
    here.seal()
    here.keys.path.chmod(mode)

    with pytest.raises(ConfigurationError, match="can be read by others"):
        here.seal()


@pytest.mark.parametrize("text", ["", "nonsense\n", "AAAA\n"])
def test_a_file_without_keys_is_refused(here, writer, text):
    writer.fill(1)
    here.keys.path.write_text(text)
    here.keys.path.chmod(0o600)

    with pytest.raises(ConfigurationError, match="CRM_SEALER_KEY"):
        here.seal()


def test_a_lost_key_is_not_replaced_behind_anybodys_back(here, writer):
    writer.fill(1)
    here.seal()
    here.keys.path.unlink()

    with pytest.raises(ConfigurationError, match="Restore the file"):
        here.seal()


def test_a_lost_memory_is_not_begun_anew_behind_anybodys_back(here, writer):
    writer.fill(1)
    here.seal()
    (here.folder / "sealer.sqlite").unlink()

    with pytest.raises(ConfigurationError, match="CRM_SEALER_MEMORY"):
        here.seal()


def test_an_older_copy_of_the_memory_is_brought_up_by_what_the_database_has_signed(here, writer, workspace):
    writer.fill(5)
    here.seal()
    copy = (here.folder / "sealer.sqlite").read_bytes()
    writer.fill(5)
    here.seal()
    (here.folder / "sealer.sqlite").write_bytes(copy)
    writer.fill(5)

    here.seal()

    assert here.agrees(workspace) == 15
    assert here.ledger_events(workspace) == []


def test_the_origin_is_for_ever(here, writer):
    writer.fill(1)
    here.seal()
    writer.fill(1)
    moved = Sealing(here.url, keys=here.keys, memory_file=here.folder / "sealer.sqlite", origin="other.test")

    with pytest.raises(ConfigurationError, match="CRM_LOG_ORIGIN"):
        moved.drain()


def test_a_new_key_is_announced_in_every_log_and_the_old_one_goes(here, database):
    writers = [Writer(database.app, uuid4()) for _ in range(3)]
    for one in writers:
        one.fill(3)
    here.seal()
    keys = here.keys
    old, new = keys.newest, keys.add()

    here.seal()
    for one in writers:
        one.fill(1)
    here.seal()

    for one in writers:
        origin = origin_of(ORIGIN, one.workspace, 1)
        (event,) = here.ledger_events(one.workspace)
        assert event == ("ledger.key_rotated", 4, {"old_key": vkey(origin, old), "new_key": vkey(origin, new)})
        notes = {size: (kind, note) for size, _, kind, note in here.checkpoints(one.workspace)}
        assert notes[4][0] == "ROTATION"
        for public in (old, new):
            assert verify(notes[4][1], origin=origin, public=public).size == 4
        assert verify(notes[5][1], origin=origin, public=new).size == 5
        assert len(parse(notes[5][1])[1]) == 1
        assert here.agrees(one.workspace) == 5
    assert list(here.keys.private()) == [new]
    name = f"{ORIGIN}/log"
    doubly = [note for _, _, kind, note in here.checkpoints(NIL) if kind == "ROTATION"]
    assert len(doubly) == 1
    assert all(verify(doubly[0], origin=name, public=public) for public in (old, new))


def test_a_lost_memory_is_filled_from_the_database_when_the_operator_says_so(here, writer, workspace):
    writer.fill(5)
    here.seal()
    (here.folder / "sealer.sqlite").unlink()

    with closing(connect(here.url)) as connection, closing(Memory(here.folder / "sealer.sqlite")) as memory:
        taken = trust(Book(connection), memory, here.keys)
    writer.fill(5)
    here.seal()

    assert {one.size for one in taken if one.workspace == workspace} == {5}
    assert here.agrees(workspace) == 10


def test_what_another_key_signed_is_not_trusted(here, writer, tmp_path):
    writer.fill(5)
    here.seal()
    stranger = KeyFile(tmp_path / "stranger.key")
    stranger.make()

    with (
        closing(connect(here.url)) as connection,
        closing(Memory(tmp_path / "other.sqlite")) as memory,
        pytest.raises(ConfigurationError, match="not signed by this key"),
    ):
        trust(Book(connection), memory, stranger)


def test_after_a_lost_key_every_log_begins_a_new_epoch_with_a_new_one(here, writer, workspace):
    writer.fill(5)
    here.seal()
    here.keys.path.unlink()
    here.keys.make()
    writer.fill(1)

    here.seal()

    assert here.epoch_of(workspace)[1]["lost_from"] is None
    assert here.agrees(workspace, 2) == 7


def test_the_memory_refuses_to_go_back(tmp_path):
    with closing(Memory(tmp_path / "memory.sqlite")) as memory:
        signed = Signed(workspace=uuid4(), epoch=1, origin="x", size=5, root=b"")
        memory.put([signed])

        with pytest.raises(ValueError, match="not to be signed"):
            memory.put([replace(signed, size=4)])


def test_lag_counts_what_is_not_sealed(here, writer, database):
    writer.fill(5)

    for url in (database.app, database.projector):
        with psycopg.connect(url) as connection:
            unsealed, since, signed_at, reopened = connection.execute("SELECT * FROM ledger.lag()").fetchone()
            assert (unsealed, signed_at, reopened) == (5, None, 0)
            assert since
    here.seal()
    assert here.rows("SELECT unsealed, waiting_since IS NULL, signed_at IS NULL FROM ledger.lag()") == [
        (0, True, False)
    ]
