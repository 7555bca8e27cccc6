"""After a random history: what is live is what a rebuild gives, and whoever reads meanwhile notices nothing."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from crm_es.catalog import AGGREGATES
from crm_es.eventstore.checking import reservation_faults
from crm_es.eventstore.codec import Codec
from crm_es.projector.rebuild import Rebuild
from projections import READ_MODELS
from tests.api.conftest import a_place
from tests.oracle import desk
from tests.oracle.history import DEEDS, History
from tests.oracle.sales import SalesHistory
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.anyio
SCREEN = """query($then: AsOf) {
  contacts(first: 5) { totalCount nodes { id version emails { address } company { name } interactionCount } }
  companies { totalCount } interactions(first: 5) { totalCount nodes { id contacts { id } } } members { totalCount }
  tickets(first: 5) { totalCount nodes { id title requester { id } statusIntervals { status from to } } }
  queues(first: 5) { nodes { name counts { open onHold } waiting(first: 3) { nodes { number } } } }
  search(text: "bob", first: 5) { nodes { __typename } } changes(since: "0") { totalCount }
  past: contacts(asOf: $then, first: 5) { totalCount nodes { id displayName } }
}"""


BOARD = """query($then: AsOf!) {
  pipelines(first: 2) { nodes { id
    stages { id deals(first: 3) { totalCount summary { amount { amount currency } } nodes { id rank } } }
    funnel(from: "2020-01-01", to: "2030-01-01") { entered left converted medianDays }
    forecast(from: "2024-01-01", to: "2027-12-31", interval: QUARTER, byOwner: true) { owner { id } closed { amount } }
    delta(from: $then) { start { count } new { count amount { amount } } won { count amount { amount } } end { count } } } }
  deals(first: 5) { totalCount nodes { id version contacts { contact { id } } lines { total { amount } } probability rotsAt } }
  past: deals(asOf: $then, first: 5) { totalCount nodes { id name stageIntervals { from to } } }
}"""


@pytest.fixture
def place(ready_database, tmp_path):
    """Of each test's own: what others wrote there would be rebuilt too."""
    with a_place(ready_database, tmp_path) as made:
        yield made


@asynccontextmanager
async def reading(api, screen, then):
    """Somebody who asks without pause: all answers there were. Every one must come without errors."""
    answers, over = [], asyncio.Event()

    async def read():
        while not over.is_set():
            answers.append(await api.ask(screen, then={"position": str(then)}))

    reader = asyncio.create_task(read())
    try:
        yield answers
    finally:
        over.set()
        await reader


@pytest.mark.parametrize(
    ("past", "name"),
    [
        ((History, 150, SCREEN), "contact_profiles"),
        ((SalesHistory, 150, BOARD), "pipelines"),
        pytest.param((History, 1_000, SCREEN), None, marks=pytest.mark.slow),
    ],
    ids=["one", "deals", "all"],
)
async def test_live_equals_rebuilt_and_readers_notice_nothing(histories, place, api, past, name):
    kind, steps, screen = past
    found = await histories(7, steps, () if kind is SalesHistory else (*DEEDS, *desk.DEEDS), kind)
    rebuild = Rebuild(place.urls.projector, Codec(AGGREGATES, place.keys).decode_each, READ_MODELS)
    before = await api.ask(screen, then={"position": "90"})

    async with reading(api, screen, 90) as answers:
        checked = await asyncio.to_thread(rebuild.run, check=True)
        async with asyncio.timeout(5 * PATIENCE_SECONDS):
            swapped = await asyncio.to_thread(rebuild.run, name)
            while len(answers) < 5:  # too few to notice anything
                swapped = await asyncio.to_thread(rebuild.run, name)

    assert {one.read_model: one.differing for one in checked if one.differing} == {}
    assert {one.read_model for one in swapped} == {model.NAME for model in READ_MODELS if name in {None, model.NAME}}
    assert all(answer == before for answer in answers)
    for history in found.values():
        assert await reservation_faults(history.store, AGGREGATES, history.workspace) == frozenset()


async def test_what_is_written_during_a_rebuild_is_in_it(histories, place, api):
    found = await histories(8, 60)
    rebuild = Rebuild(place.urls.projector, Codec(AGGREGATES, place.keys).decode_each, READ_MODELS, page_size=20)

    rebuilding = asyncio.create_task(asyncio.to_thread(rebuild.run, "contact_profiles"))
    while not rebuilding.done():
        await found["admin"].steps(1)
        await api.projected()
    await rebuilding

    again = await asyncio.to_thread(rebuild.run, check=True)
    assert {one.read_model: one.differing for one in again if one.differing} == {}
