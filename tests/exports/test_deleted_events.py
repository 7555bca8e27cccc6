"""Exports of a log of which a superuser deleted events: an honest bundle says what is gone, and no more than that."""

import psycopg
import pytest

from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.editing import ContactEdit, register
from crm_es.workspaces.export import ExportScope, Wanted
from tests.exports.test_bundles import Office
from tests.verify.judges import verdict
from tests.waiting import eventually

pytestmark = pytest.mark.anyio
OF_THE_NEW_EPOCH = "SELECT 1 FROM ledger.checkpoint WHERE workspace_id = %s AND epoch = 2"


@pytest.fixture
async def office(api, maker, tmp_path):
    """A log of some contacts, signed to its end: it was exported just before."""
    office = Office(api, maker, tmp_path)
    for number in range(6):
        await registered(office, f"Ada {number}")
    await office.make(name="before")
    return office


async def registered(office, name):
    await office.api.begin(CONTACT, register(ContactEdit(display_name=name)))


@pytest.fixture
def superuser(place):
    with psycopg.connect(place.urls.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


def delete(superuser, office, first, last):
    gone = [office.api.workspace, first, last]
    superuser.execute("DELETE FROM es.events WHERE workspace_id = %s AND sequence BETWEEN %s AND %s", gone)


def judged(bundle, *mode, origin=None):
    pinned = ["--origin", origin or (bundle / "ORIGIN").read_text().strip(), "--public-key", str(bundle / "PUBLIC_KEY")]
    return verdict([*(mode or ["full"]), str(bundle), *pinned])


@pytest.mark.parametrize("wanted", [Wanted(), Wanted(scope=ExportScope.RANGE, first=2, last=5)])
async def test_events_deleted_behind_the_sealers_back_are_missing_and_the_first_is_named(office, superuser, wanted):
    delete(superuser, office, 3, 4)

    code, said = judged(await office.make(wanted))

    assert (code, said["position"], said["reason"]) == (2, 3, "is missing")


async def test_what_an_epoch_holds_to_be_lost_is_no_alteration_of_its_bundles(office, superuser):
    delete(superuser, office, 5, 2**53)
    await registered(office, "Grace")
    eventually(lambda: superuser.execute(OF_THE_NEW_EPOCH, [office.api.workspace]).fetchone())

    bundle = await office.make()

    assert judged(bundle)[0] == 0
    before = office.folder / "before"
    code, said = judged(bundle, "since", str(before / "CHECKPOINT"), origin=(before / "ORIGIN").read_text().strip())
    assert (code, said["position"]) == (2, 5)
