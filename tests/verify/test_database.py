"""`crm-es verify` over a real database: what a superuser does to the log is caught by a checkpoint kept elsewhere, and where."""

import json
import subprocess
import sys
from pathlib import Path
from threading import Event
from uuid import UUID, uuid4

import psycopg
import pytest

from crm_es.errors import NotFoundError
from crm_es.exports import whole_log
from crm_es.ledger.checkpoint import parse_vkey, vkey
from crm_es.ledger.heads_sealing import HeadsSealer
from tests.ledger.logs import ORIGIN, Installation, Writer, restore, snapshot
from tests.verify.judges import verdict


@pytest.fixture
def here(database, tmp_path):
    (tmp_path / "sealer").mkdir()
    return Installation(database.sealer, database.owner, tmp_path / "sealer")


@pytest.fixture
def workspace():
    return uuid4()


@pytest.fixture
def writer(database, workspace):
    return Writer(database.app, workspace)


class Auditor:
    """Keeps a checkpoint and the public key at home."""

    def __init__(self, here: Installation, workspace: UUID, home: Path) -> None:
        self.here, self.workspace, self.home = here, workspace, home
        self.origin = f"{ORIGIN}/log/{workspace}"
        (home / "key").write_text(vkey(self.origin, here.keys.newest))
        (home / "kept").write_text(here.checkpoints(workspace)[-1][3])
        self.looks = 0

    def verify(self, *mode: str, origin: str | None = None) -> tuple[int, dict]:
        self.looks += 1
        log = self.home / f"log{self.looks}"
        whole_log.write(self.here.owner, self.workspace, log)
        pinned = ["--origin", origin or self.origin, "--public-key", str(self.home / "key"), "--no-custody"]
        return verdict([*mode, str(log), *pinned])

    def since(self) -> tuple[int, dict]:
        return self.verify("since", str(self.home / "kept"))


def grown(writer: Writer, here: Installation, tmp_path: Path, count: int = 300) -> Auditor:
    contact = uuid4()
    writer.append((contact, "contact.registered", {"a": 1}), (uuid4(), "deal.opened", {"contact_id": str(contact)}))
    writer.fill(count - 2)
    here.seal()
    return Auditor(here, writer.workspace, tmp_path)


def test_an_untouched_log_passes(writer, here, tmp_path) -> None:
    auditor = grown(writer, here, tmp_path)
    writer.fill(10)
    here.seal()

    assert auditor.verify("full")[0] == 0
    assert auditor.since()[0] == 0
    assert auditor.verify("sample", "5")[0] == 0


def test_an_edited_byte_is_caught_and_its_position_named(writer, here, tmp_path) -> None:
    auditor = grown(writer, here, tmp_path)
    here.tamper(
        "UPDATE es.events SET state = set_byte(state, 30, get_byte(state, 30) # 1)"
        f" WHERE workspace_id = '{writer.workspace}' AND sequence = 177"
    )

    code, said = auditor.since()

    assert (code, said["position"]) == (1, 177)


def test_ten_deleted_events_are_caught_and_the_first_is_named(writer, here, tmp_path) -> None:
    auditor = grown(writer, here, tmp_path)
    end = here.checkpoints(writer.workspace)[-1][0]
    here.tamper(
        f"DELETE FROM es.events WHERE workspace_id = '{writer.workspace}' AND sequence > {end - 10}",
        f"UPDATE es.head SET sequence = {end - 10} WHERE workspace_id = '{writer.workspace}'",
    )

    before = auditor.since()
    here.seal()
    after = auditor.since()

    assert (before[0], before[1]["position"]) == (2, end - 9)
    assert (after[0], after[1]["position"]) == (2, end - 9)


def test_an_edited_byte_is_named_also_when_the_log_was_sealed_anew(writer, here, tmp_path) -> None:
    """By an auditor who pins the first origin, and by one who has heard of the second."""
    auditor = grown(writer, here, tmp_path)
    here.tamper(
        "UPDATE es.events SET state = set_byte(state, 30, get_byte(state, 30) # 1)"
        f" WHERE workspace_id = '{writer.workspace}' AND sequence = 177",
        f"DELETE FROM ledger.checkpoint WHERE workspace_id = '{writer.workspace}'",
    )
    writer.fill(5)
    here.seal()

    kept = str(tmp_path / "kept")
    assert [(code, said["position"]) for code, said in (auditor.since(), auditor.verify("full"))] == [(2, 177)] * 2
    code, said = auditor.verify("since", kept, origin=f"{auditor.origin}/2")
    assert (code, said["position"]) == (2, 177)


def test_events_deleted_in_the_middle_are_named_also_when_the_log_was_sealed_anew(writer, here, tmp_path) -> None:
    auditor = grown(writer, here, tmp_path)
    here.tamper(
        f"DELETE FROM es.events WHERE workspace_id = '{writer.workspace}' AND sequence BETWEEN 42 AND 44",
        f"DELETE FROM ledger.checkpoint WHERE workspace_id = '{writer.workspace}'",
    )
    writer.fill(5)
    here.seal()
    seal_heads(here)

    code, said = auditor.since()
    assert (code, said["position"]) == (2, 42)
    assert auditor.verify("full", origin=f"{auditor.origin}/2")[0] == 0


def seal_heads(here: Installation) -> None:
    with psycopg.connect(here.url, autocommit=True) as connection:
        HeadsSealer(connection, interval=0).step(Event())
    here.seal()


def test_an_event_deleted_in_the_middle_is_caught(writer, here, tmp_path) -> None:
    auditor = grown(writer, here, tmp_path)
    here.tamper(f"DELETE FROM es.events WHERE workspace_id = '{writer.workspace}' AND sequence = 42")

    code, said = auditor.since()

    assert (code, said["position"]) == (2, 42)


def test_a_restored_backup_is_caught_and_the_first_lost_position_named(writer, here, tmp_path) -> None:
    writer.fill(20)
    here.seal()
    saved = snapshot(here)
    old = here.checkpoints(writer.workspace)[-1][0]
    writer.fill(30)
    here.seal()
    auditor = Auditor(here, writer.workspace, tmp_path)
    restore(here, saved)

    before = auditor.since()
    writer.versions.clear()
    Writer(writer.url, writer.workspace).fill(5)
    here.seal()
    after = auditor.since()
    new = auditor.verify("full", origin=f"{auditor.origin}/2")

    assert (before[0], before[1]["position"]) == (2, old + 1)
    assert after[0] == 2
    assert after[1]["position"] == old + 1
    assert new[0] == 0, new


def test_tiles_that_were_changed_with_the_event_are_named(writer, here, tmp_path) -> None:
    auditor = grown(writer, here, tmp_path, 600)
    here.tamper(
        "UPDATE es.events SET state = set_byte(state, 30, get_byte(state, 30) # 1)"
        f" WHERE workspace_id = '{writer.workspace}' AND sequence = 5",
        "UPDATE ledger.tile t SET hashes = overlay(hashes placing"
        " sha256('\\x00'::bytea || (SELECT state FROM es.events e WHERE e.workspace_id = t.workspace_id AND e.sequence = 5))"
        f" FROM 129 FOR 32) WHERE workspace_id = '{writer.workspace}' AND level = 0 AND number = 0",
    )

    code, said = auditor.since()

    assert (code, said["file"]) == (1, "tiles/0/000")


def test_lost_tiles_are_found(writer, here, tmp_path) -> None:
    auditor = grown(writer, here, tmp_path, 600)
    here.tamper(f"DELETE FROM ledger.tile WHERE workspace_id = '{writer.workspace}' AND level = 0 AND number = 1")

    code, said = auditor.since()

    assert (code, said["file"]) == (1, "tiles/0/001")


SWAP = (
    "UPDATE ledger.{} t SET {} = o.{} FROM ledger.{} o WHERE t.epoch = o.epoch AND {} AND (t.workspace_id, o.workspace_id) IN"
    " ((current_setting('w.one')::uuid, current_setting('w.two')::uuid), (current_setting('w.two')::uuid,"
    " current_setting('w.one')::uuid))"
)
OWN = "workspace_id = current_setting('w.one')::uuid"
FALSIFIED = {
    "newest checkpoint gone": (f"DELETE FROM ledger.checkpoint WHERE size = 30 AND {OWN}", (2, 21, None)),
    "older checkpoint gone": (f"DELETE FROM ledger.checkpoint WHERE size = 20 AND {OWN}", (0, None, None)),
    "checkpoints swapped": (
        SWAP.format("checkpoint", "note", "note", "checkpoint", "t.size = o.size"),
        (3, None, "CHECKPOINT"),
    ),
    "origins swapped": (SWAP.format("log", "origin", "origin", "log", "true"), (1, None, "MANIFEST.json")),
    "tiles swapped": (SWAP.format("tile", "hashes", "hashes", "tile", "t.level = o.level"), (1, 1, None)),
    "signature altered": (
        f"UPDATE ledger.checkpoint SET note = overlay(note placing 'AAAA' from length(note) - 40) WHERE {OWN}",
        (3, None, "CHECKPOINT"),
    ),
    "key altered": ("UPDATE ledger.key SET public = sha256('')", (1, None, "PUBLIC_KEY")),
}


@pytest.fixture
def neighbour(database):
    """Another workspace, of the same size."""
    return Writer(database.app, uuid4())


@pytest.mark.parametrize("what", FALSIFIED)
def test_whoever_falsifies_the_ledgers_own_tables_gains_nothing(writer, neighbour, here, tmp_path, what) -> None:
    statement, expected = FALSIFIED[what]
    for count in (20, 10):
        writer.fill(count)
        neighbour.fill(count)
        here.seal()
    auditor = Auditor(here, writer.workspace, tmp_path)
    here.tamper(f"SET w.one = '{writer.workspace}'", f"SET w.two = '{neighbour.workspace}'", statement)

    code, said = auditor.since()

    assert (code, said["position"], said["file"]) == expected


def test_what_was_never_sealed_cannot_be_verified(writer, here, tmp_path) -> None:
    writer.fill(1)

    with pytest.raises(NotFoundError):
        whole_log.write(here.owner, writer.workspace, tmp_path / "log")


def test_a_rotated_key_is_followed(writer, here, tmp_path) -> None:
    auditor = grown(writer, here, tmp_path)
    here.keys.add()
    here.seal()
    here.seal()
    writer.fill(5)
    here.seal()

    assert auditor.since()[0] == 0
    assert parse_vkey((tmp_path / "log1" / "PUBLIC_KEY").read_text())[1] == here.keys.newest


def test_the_command_verifies_a_workspace(writer, here, tmp_path) -> None:
    grown(writer, here, tmp_path)
    with psycopg.connect(here.owner) as connection:
        info = connection.info
        url = f"postgresql://{info.user}@/{info.dbname}?host={info.host}&port={info.port}"
    settings = {"CRM_DATABASE_URL": url, "CRM_DATA_DIR": str(tmp_path), "CRM_LOG_ORIGIN": ORIGIN}
    program = [sys.executable, "-m", "crm_es", "verify"]

    def run(*words: str) -> tuple[int, dict]:
        done = subprocess.run([*program, *words], env=settings, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    full = run("full", "--workspace", str(writer.workspace))
    since = run("since", str(tmp_path / "kept"), "--workspace", str(writer.workspace), "--new")

    unread = run("since", str(tmp_path / "kept"), "--log-only", "--workspace", str(writer.workspace))

    assert full[0] == since[0] == unread[0] == 0
    assert full[1]["events"] == since[1]["events"] == unread[1]["events"] == 300
    assert (full[1]["read"], unread[1]["read"]) == ("events", "log")

    here.tamper(
        f"UPDATE es.events SET originator_id = gen_random_uuid() WHERE workspace_id = '{writer.workspace}' AND sequence = 77"
    )
    code, said = run("full", "--workspace", str(writer.workspace))
    assert (code, said["position"]) == (1, 77)


@pytest.mark.parametrize(
    "column",
    [
        "originator_id = gen_random_uuid()", "originator_version = 9", "topic = 'deal.won'",
        "recorded_at = recorded_at - interval '1 microsecond'",
    ],
)  # fmt: skip
def test_an_event_filed_under_another_stream_type_or_time_is_found(writer, here, tmp_path, column) -> None:
    """Its bytes are untouched and prove themselves; but what reads the log goes by the columns."""
    auditor = grown(writer, here, tmp_path, 20)
    here.tamper(f"UPDATE es.events SET {column} WHERE workspace_id = '{writer.workspace}' AND sequence = 7")

    newest = whole_log.write(here.owner, writer.workspace, tmp_path / "other")

    assert newest.misfiled == [7]
    assert auditor.verify("full")[0] == 0
