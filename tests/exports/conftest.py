"""A place as the API's tests have it, in a database of its own, with a sealer at work."""

from collections.abc import Iterator

import pytest

from crm_es.database.place import EMBEDDED_VERSION
from crm_es.exports.making import Maker
from crm_es.ledger.key_file import KeyFile
from crm_es.ledger.running import Sealing
from crm_es.serving.projecting import settle
from tests.api.conftest import Place, a_place, api  # noqa: F401  # fixture
from tests.conftest import Servers, _clone
from tests.oracle.conftest import histories  # noqa: F401  # fixture
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="session")
def sealed_place(servers: Servers, ready: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("exports")
    urls = _clone(servers.urls(EMBEDDED_VERSION), ready)
    sealing = Sealing(
        urls.sealer,
        keys=KeyFile(folder / "sealer.key"),
        memory_file=folder / "sealer.sqlite",
        origin="log.test",
        poll=0.05,
    )
    with a_place(urls, folder) as made, sealing.running():
        yield made


@pytest.fixture(scope="session")
def place(sealed_place: Place) -> Place:
    """Instead of the one without a sealer."""
    return sealed_place


@pytest.fixture
def maker(place, api):  # noqa: F811
    store = api.engine.store
    return Maker(
        url=place.urls.app, store=store, decode=store.codec.decode_each, seal_seconds=PATIENCE_SECONDS,
        reached=lambda log_id: settle(place.settings, place.urls.projector, log_id),
    )  # fmt: skip
