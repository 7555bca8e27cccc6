import asyncio
from uuid import uuid4

import psycopg
import pytest

from crm_es.projector.progress import Progress
from tests.projector import boxes
from tests.projector.boxes import BoxBroken, BoxMade, BoxMoved
from tests.projector.conftest import model
from tests.waiting import PATIENCE_SECONDS, soon

pytestmark = pytest.mark.anyio
ITS_CONNECTION_DIES = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'crm_app' AND state = 'idle'
"""


async def test_waiting_ends_when_the_read_model_has_come_so_far(database, log, workspace, projector):
    log.append(workspace, (uuid4(), BoxMade()))
    async with Progress.following(database.app) as progress:
        waiting = asyncio.create_task(progress.wait(log.end, ["boxes"], PATIENCE_SECONDS))
        await asyncio.to_thread(projector.drain)

        assert await waiting
        assert progress.bookmarks == {"boxes": log.end}
        assert progress.lag() == {"boxes": 0}


async def test_touched_rises_with_the_read_models_own_topics_alone(database, log, workspace, projector):
    watched = model("boxes", boxes.apply, topics=frozenset({"box.moved"}))
    box = uuid4()
    log.append(workspace, (box, BoxMade()))
    await asyncio.to_thread(projector.drain)
    async with Progress.following(database.app, watched=watched) as progress:
        await progress.wait(log.end, ["boxes"], PATIENCE_SECONDS)
        begun = progress.touched

        log.append(workspace, (uuid4(), BoxMade()))
        await asyncio.to_thread(projector.drain)
        assert await progress.wait(log.end, ["boxes"], PATIENCE_SECONDS)
        untouched = progress.touched
        log.append(workspace, (box, BoxMoved(place="attic")))
        await asyncio.to_thread(projector.drain)
        assert await progress.wait(log.end, ["boxes"], PATIENCE_SECONDS)

        assert untouched == begun
        assert progress.touched > untouched


async def test_touched_rises_when_a_crash_took_the_bookmark_back(database, log, workspace, projector):
    watched = model("boxes", boxes.apply, topics=frozenset({"box.moved"}))
    box = uuid4()
    log.append(workspace, (box, BoxMade()))
    await asyncio.to_thread(projector.drain)
    before = log.end
    log.append(workspace, (box, BoxMoved(place="attic")))
    await asyncio.to_thread(projector.drain)
    async with Progress.following(database.app, poll=0.1, watched=watched) as progress:
        assert await progress.wait(log.end, ["boxes"], PATIENCE_SECONDS)
        shown = progress.touched

        with psycopg.connect(database.owner, autocommit=True) as owner:
            owner.execute("UPDATE es.bookmark SET log_id = %s", [before])
        await soon(lambda: progress.bookmarks == {"boxes": before})
        lost = progress.touched
        with psycopg.connect(database.owner, autocommit=True) as owner:
            owner.execute("UPDATE es.bookmark SET log_id = %s", [log.end])
        assert await progress.wait(log.end, ["boxes"], PATIENCE_SECONDS)

        assert shown < lost < progress.touched


async def test_waiting_gives_up_when_the_time_is_over(database, log, workspace):
    log.append(workspace, (uuid4(), BoxMade()))
    async with Progress.following(database.app) as progress:
        assert not await progress.wait(log.end, ["boxes"], 0.1)


async def test_waiting_does_not_wait_for_a_parked_read_model(database, log, workspace, projector):
    log.append(workspace, (uuid4(), BoxBroken()))
    await asyncio.to_thread(projector.drain)
    async with Progress.following(database.app, poll=0.1) as progress, asyncio.timeout(PATIENCE_SECONDS):
        assert not await progress.wait(log.end, ["boxes"], 10 * PATIENCE_SECONDS)
        assert progress.parked == {"boxes"}


async def test_following_survives_a_lost_connection(database, log, workspace, projector):
    async with Progress.following(database.app, poll=0.1) as progress:
        with psycopg.connect(database.owner, autocommit=True) as owner:
            await soon(lambda: owner.execute(ITS_CONNECTION_DIES).fetchall())
        log.append(workspace, (uuid4(), BoxMade()))
        await asyncio.to_thread(projector.drain)

        assert await progress.wait(log.end, ["boxes"], PATIENCE_SECONDS)
