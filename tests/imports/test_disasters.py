"""PostgreSQL killed under an import: it says so in words, and the next run makes it whole."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from crm_es.database.migrate import migrate
from crm_es.database.server import EmbeddedServer
from crm_es.eventstore.event import WorkspaceId
from tests.gate import held
from tests.imports.office import EXAMPLES, Office
from tests.imports.test_real_files import PURCHASES, check_purchases
from tests.patience import patient
from tests.waiting import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture
def server(tmp_path_factory):
    """A server of this test's own, to be killed."""
    folder = tmp_path_factory.mktemp("server")
    folder.parent.chmod(0o711)
    server = EmbeddedServer(folder, durable=False)
    urls = server.start()
    migrate(urls.owner)
    yield server, urls
    server.stop()


async def test_postgresql_killed_in_the_middle_loses_nothing(server, tmp_path, data):
    own, urls = server
    office = Office(settings=patient(tmp_path / "data"), urls=urls, folder=tmp_path)
    office.ids.append(WorkspaceId(UUID(office.command("workspace", "create", office.name).stdout.split()[-1])))
    arguments = (str(EXAMPLES / "cdnow.toml"), str(data / "purchases" / "cdnow_sample.txt"))

    with held(urls.owner, office.workspace, 3_000) as reached, ThreadPoolExecutor() as threads:
        importing = threads.submit(office.command, "import", *arguments)
        eventually(reached)
        kill(office)
        cut = importing.result()
    own.revive()
    again = office.command("import", *arguments)

    assert cut.returncode == 1
    assert "Traceback" not in cut.stderr
    assert "run the import again" in cut.stderr.lower()
    assert again.returncode == 0, again.stderr
    check_purchases(await office.ask(PURCHASES))


def kill(office):
    with psycopg.connect(office.urls.owner) as connection:
        [(pid,)] = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchall()
    os.kill(int(pid.split()[0]), signal.SIGKILL)
