"""Exports while no sealer runs, and while the log begins a new epoch."""

import json

import psycopg
import pytest

from crm_es.api import ids
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, register
from crm_es.database.place import EMBEDDED_VERSION
from crm_es.exports import proving
from crm_es.exports.making import StoppedError, part_of
from crm_es.exports.work import Work
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.running import Sealing
from crm_es.workspaces import export_tickets
from tests.api.conftest import a_place
from tests.conftest import _clone
from tests.exports.test_bundles import Office, verify
from tests.exports.test_requested import asked, contact_of, made, working
from tests.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("unsealed")


@pytest.fixture(scope="module")
def place(servers, ready, folder):
    """One that is sealed when a test says so."""
    with a_place(_clone(servers.urls(EMBEDDED_VERSION), ready), folder) as made_:
        yield made_


@pytest.fixture
def sealing(place, folder):
    memory = folder / "sealer.sqlite"
    return Sealing(
        place.urls.sealer, keys=KeyFile(folder / "sealer.key"), memory_file=memory, origin="log.test", poll=0.05
    )


@pytest.fixture
def office(api, maker, tmp_path):
    return Office(api, maker, tmp_path)


async def test_an_export_without_a_sealer_says_what_it_waits_for(api, place, sealing, monkeypatch):
    monkeypatch.setattr(proving, "STARTING_SECONDS", 0.0)
    id_ = (await asked(api, contactId=await contact_of(api)))["export"]["id"]

    with working(place):
        waiting = await made(api, id_, "RUNNING", lambda found: found["error"])
        assert waiting["error"] == proving.NO_SEALER
        with sealing.running():
            done = await made(api, id_)

    assert done["error"] is None


async def test_what_one_waited_for_is_not_told_of_it_once_it_is_made(api, place, sealing):
    id_ = (await asked(api, contactId=await contact_of(api)))["export"]["id"]
    with working(place), sealing.running():
        await made(api, id_)

    with psycopg.connect(place.urls.owner, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO es.export_progress (workspace_id, id, done, waits_for) VALUES (%s, %s, 1, 'the sealer')"
            " ON CONFLICT (workspace_id, id) DO UPDATE SET waits_for = excluded.waits_for",
            [api.workspace, ids.decode(id_).id],
        )

    assert (await made(api, id_))["error"] is None


async def stopped(office, id_, when):
    """The export, left off as soon as `when` is so."""

    def told(*_):
        if when():
            raise StoppedError

    with pytest.raises(StoppedError):
        await office.make(id_=id_, told=told)


async def begin_an_epoch(office, place, sealing):
    """What the database has of the last signature is not what was signed: found by the next sealer."""
    workspace = office.api.workspace
    with psycopg.connect(place.urls.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE ledger.checkpoint SET root = sha256('') WHERE workspace_id = %s", [workspace])
        await office.api.begin(CONTACT, register(ContactEdit(display_name="Ada")))
        with sealing.running():
            epochs = "SELECT 1 FROM ledger.checkpoint WHERE workspace_id = %s AND epoch = 2"
            eventually(lambda: connection.execute(epochs, [workspace]).fetchone())


async def test_an_export_begins_anew_in_the_epoch_that_begins_meanwhile(office, place, sealing):
    id_ = await office.asked()
    with sealing.running():
        await stopped(office, id_, lambda: part_of(office.folder / "bundle").exists())
    await begin_an_epoch(office, place, sealing)

    with sealing.running():
        bundle = await office.make(id_=id_)

    assert json.loads((bundle / "MANIFEST.json").read_text())["origin"].endswith("/2")
    assert verify(bundle) == 0


async def test_an_export_that_no_epoch_will_sign_fails_and_says_why(office, api, place, sealing):
    id_ = ids.decode((await asked(api, contactId=await contact_of(api)))["export"]["id"]).id
    directory = export_tickets.folder(place.settings, api.workspace, id_)
    with sealing.running():
        work = Work(settings=place.settings, maker=office.maker, stopped=(part_of(directory) / "MANIFEST.json").exists)
        await api.projected()
        await work.make(api.workspace, id_)
    assert (await api.engine.store.facts(api.workspace, id_))[-1].topic == "export.completed"
    await begin_an_epoch(office, place, sealing)

    await Work(settings=place.settings, maker=office.maker, stopped=lambda: False).make(api.workspace, id_)

    failed = (await api.engine.store.facts(api.workspace, id_))[-1]
    assert failed.topic == "export.failed"
    assert "new epoch" in failed.event.error
    assert not list(directory.parent.glob(f"{id_}*"))
