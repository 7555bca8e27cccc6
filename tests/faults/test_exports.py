"""Exports whose process is killed at every stage: what they end with is what one that was left alone makes, and is verified."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest

from crm_es.catalog import AGGREGATES
from crm_es.config import Settings
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, register, update
from crm_es.database.server import EmbeddedServer
from crm_es.eventstore.event import Actor, ActorKind, Command, WorkspaceId
from crm_es.eventstore.store import Store
from crm_es.ledger.running import LOCK as SEALER
from crm_es.serving.projecting import opened_keys
from tests.commands.running import CRM, Serving, crm, environment, token
from tests.faults.installation import Installation
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SAME = ("events", "tiles", "heads", "views", "schema")
TABLES = ("contact_profiles.contact", "service_queues.ticket")
WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = %s::regclass AND NOT granted)"
REQUEST = """mutation { requestExport(input: {purpose: "audit", reason: "yearly"}) { export { id } userErrors { message } } }"""
DECIDE = """mutation { decideExport(input: {id: "%s", approve: true, reason: "yearly"}) { userErrors { message } } }"""
SHOW = """{ export(id: "%s") { status error downloadUrl progress { done } } }"""


@pytest.fixture(scope="module")
def office(new_folder):
    """Its database runs for as long as the tests; 1,000 contacts, each changed once."""
    directory = new_folder()
    with EmbeddedServer(directory) as urls, psycopg.connect(urls.owner, autocommit=True) as connection:
        yield Office(directory, connection, urls)


class Office(Installation):
    def __init__(self, data_dir, connection, urls):
        super().__init__(data_dir)
        self.connection, self.urls = connection, urls

    async def write(self, count=1_000):
        """People, and then their titles."""
        command = lambda: Command(  # noqa: E731
            workspace=WorkspaceId(self.workspace), command_id=uuid4(), request_hash=bytes(32), correlation_id=uuid4(),
            actor=Actor(kind=ActorKind.SYSTEM),
        )  # fmt: skip
        with opened_keys(Settings(data_dir=self.data_dir)) as keys:
            store = await Store.open(self.urls.app, AGGREGATES, keys)
            people = {uuid4(): register(ContactEdit(display_name=f"=P {n}")) for n in range(count)}
            await store.create_many(command(), [(CONTACT, id_, events) for id_, events in people.items()])
            edit = ContactEdit(job_title="Pilot")
            await store.transact(
                command(), [(CONTACT, id_) for id_ in people],
                lambda was: {id_: update(one.state, edit) for id_, one in was.items()},
            )  # fmt: skip
            await store.close()

    @contextmanager
    def exporting(self, out, *more):
        """`crm-es export` in a process of its own, killed when the block ends."""
        argv = [*CRM, "export", "--workspace", "Acme", "--purpose", "audit", "--out", str(out), *more]
        env = environment(self.data_dir)
        with subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            yield process
            process.kill()

    def finished(self, out, *more):
        done = crm(self.data_dir, "export", "--workspace", "Acme", "--purpose", "audit", "--out", str(out), *more)
        assert done.returncode == 0, done.stderr
        return json.loads((out / "MANIFEST.json").read_text())["position"]

    @contextmanager
    def held(self, table):
        """Nobody reads the table; gives what tells whether somebody waits to."""
        with psycopg.connect(self.urls.owner) as holding:
            holding.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield lambda: self.connection.execute(WAITS, [table]).fetchone() == (True,)

    @contextmanager
    def unsealed(self):
        """No sealer leads for as long as the block lasts."""
        with psycopg.connect(self.urls.owner, autocommit=True) as holding:
            holding.execute("SELECT pg_advisory_lock(%s)", [SEALER])
            yield

    def asked_for_heads(self):
        asked = "SELECT count(*) FROM ledger.request WHERE workspace_id = %s"
        return self.connection.execute(asked, [self.workspace]).fetchall()[0][0]

    def completed(self):
        found = "SELECT FROM es.events WHERE workspace_id = %s AND topic = 'export.completed'"
        return self.connection.execute(found, [self.workspace]).fetchone() is not None


def interrupted(process):
    """By Ctrl-C; what it says then."""
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == 130, said
    return said


def files(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for folder in SAME
        for path in sorted((out / folder).rglob("*"))
        if path.is_file()
    }


def verify(out):
    """By what lies in it."""
    origin, key = (out / "ORIGIN").read_text().strip(), str(out / "PUBLIC_KEY")
    argv = [sys.executable, "-I", str(out / "crm_verify.py"), "full", str(out), "--origin", origin, "--public-key", key]
    checked = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert checked.returncode == 0, checked.stdout


async def test_an_export_killed_at_every_stage_ends_as_if_it_never_had_been(office, tmp_path):
    tmp_path.chmod(0o755)
    await office.write()
    out = tmp_path / "killed"

    with office.unsealed(), office.exporting(out):
        eventually(lambda: office.asked_for_heads() == 1)
    with office.unsealed(), office.exporting(out) as process:
        eventually(lambda: office.asked_for_heads() == 2)
        assert "The same command goes on" in interrupted(process)
    for table in TABLES:
        with office.held(table) as waits, office.exporting(out):
            eventually(waits)
    with office.unsealed(), office.exporting(out):
        eventually(office.completed)
    position = office.finished(out)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed"]
    office.finished(tmp_path / "whole", "--at", str(position))
    assert files(out) == files(tmp_path / "whole")
    assert len((out / "views/contacts.csv").read_text().splitlines()) == 1_001
    verify(out)


async def test_a_requested_export_whose_maker_is_killed_goes_on(office, tmp_path):
    tmp_path.chmod(0o755)
    office.serving = Serving(office.data_dir)
    try:
        out = requested(office)
    finally:
        office.serving.stop()

    position = json.loads((out / "MANIFEST.json").read_text())["position"]
    office.finished(tmp_path / "whole", "--at", str(position))
    assert files(out) == files(tmp_path / "whole")
    verify(out)


def requested(office):
    """Asked for by an auditor, allowed by another; its maker dies at each table."""
    auditor, admin = (token(office.data_dir, role) for role in ("auditor", "admin"))
    id_ = office.serving.ask(REQUEST, auditor)["data"]["requestExport"]["export"]["id"]
    first, *others = TABLES
    with office.held(first) as waits:
        assert office.serving.ask(DECIDE % id_, admin)["data"]["decideExport"]["userErrors"] == []
        eventually(waits)
        assert told(office, id_, auditor)["status"] == "RUNNING"
        office.kill_projector()
    for table in others:
        with office.held(table) as waits:
            eventually(waits)
            office.kill_projector()
    eventually(lambda: told(office, id_, auditor)["downloadUrl"])
    (out,) = (path for path in (office.data_dir / "exports" / str(office.workspace)).iterdir() if path.is_dir())
    return out


def told(office, id_, who):
    return office.serving.ask(SHOW % id_, who)["data"]["export"]
