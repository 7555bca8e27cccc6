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
from tests.oracle.history import DEEDS

pytestmark = pytest.mark.anyio
SCREEN = """query($then: AsOf) {
  contacts(first: 5) { totalCount nodes { id version emails { address } company { name } interactionCount } }
  companies { totalCount } interactions(first: 5) { totalCount nodes { id contacts { id } } } members { totalCount }
  tickets(first: 5) { totalCount nodes { id title requester { id } statusIntervals { status from to } } }
  queues(first: 5) { nodes { name counts { open onHold } waiting(first: 3) { nodes { number } } } }
  search(text: "bob", first: 5) { nodes { __typename } } changes(since: "0") { totalCount }
  past: contacts(asOf: $then, first: 5) { totalCount nodes { id displayName } }
}"""


@pytest.fixture
def place(ready_database, tmp_path):
    """Of each test's own: what others wrote there would be rebuilt too."""
    with a_place(ready_database, tmp_path) as made:
        yield made


@asynccontextmanager
async def reading(api, then):
    """Somebody who asks without pause: all answers there were. Every one must come without errors."""
    answers, over = [], asyncio.Event()

    async def read():
        while not over.is_set():
            answers.append(await api.ask(SCREEN, then={"position": str(then)}))

    reader = asyncio.create_task(read())
    try:
        yield answers
    finally:
        over.set()
        await reader


@pytest.mark.parametrize(
    ("name", "steps"),
    [("contact_profiles", 150), pytest.param(None, 1_000, marks=pytest.mark.slow)],
    ids=["one", "all"],
)
async def test_live_equals_rebuilt_and_readers_notice_nothing(histories, place, api, name, steps):
    found = await histories(7, steps, (*DEEDS, *desk.DEEDS))
    rebuild = Rebuild(place.urls.projector, Codec(AGGREGATES, place.keys).decode_each, READ_MODELS)
    before = await api.ask(SCREEN, then={"position": "90"})

    async with reading(api, 90) as answers:
        checked = await asyncio.to_thread(rebuild.run, check=True)
        for _ in range(20):  # once, unless that gave too few answers to notice anything
            swapped = await asyncio.to_thread(rebuild.run, name)
            if len(answers) >= 5:
                break

    assert {one.read_model: one.differing for one in checked if one.differing} == {}
    assert {one.read_model for one in swapped} == {model.NAME for model in READ_MODELS if name in {None, model.NAME}}
    assert len(answers) >= 5
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
