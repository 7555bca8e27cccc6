"""An export whose folder cannot be written waits for that, and says so; whoever allowed it need not be asked again."""

from pathlib import Path

import psycopg
import pytest

from crm_es.api import ids
from crm_es.errors import UnavailableError
from crm_es.exports.making import part_of
from crm_es.exports.work import Work
from crm_es.workspaces import export_tickets
from tests.exports.test_requested import SHOW, asked, contact_of, made, working

pytestmark = pytest.mark.anyio
WAITS = "SELECT waits_for FROM es.export_progress WHERE workspace_id = %s AND id = %s"


async def test_an_export_goes_on_when_there_is_room_again(api, place, maker):
    shown = (await asked(api, contactId=await contact_of(api)))["export"]["id"]
    id_ = ids.decode(shown).id
    part = part_of(export_tickets.folder(place.settings, api.workspace, id_))
    full = part / "README.html.part"
    work = Work(settings=place.settings, maker=maker, stopped=lambda: _filled(part, full))
    await api.projected()

    with pytest.raises(UnavailableError, match="No space left"):
        await work.make(api.workspace, id_)

    with psycopg.connect(place.urls.owner) as connection:
        assert "No space left" in connection.execute(WAITS, [api.workspace, id_]).fetchone()[0]
    assert "No space left" in (await api.ask(SHOW, who="auditor", id=shown))["export"]["error"]
    full.unlink()
    with working(place):
        assert (await made(api, shown))["error"] is None


def _filled(part: Path, full: Path) -> bool:
    """As soon as it is begun, its summary will meet a full disk. Never asks anybody to stop."""
    if part.exists() and not full.is_symlink():
        full.symlink_to("/dev/full")
    return False
