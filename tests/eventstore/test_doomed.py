"""A key that an event made obsolete is destroyed, whatever happens to whoever asked for it."""

import asyncio
from uuid import uuid4

import pytest

from crm_es.errors import KeyUnavailableError
from crm_es.eventstore import doomed
from crm_es.eventstore.event import ERASED
from tests.eventstore.samples import VISIT, VisitRecorded, VisitRedacted, command

pytestmark = pytest.mark.anyio


def redaction(_state):
    return [VisitRedacted(body="…")]


async def bodies(store, workspace, id_, wanted):
    """The recorded texts, once they are as wanted or two seconds are over."""
    for _ in range(40):
        found = [fact.event.body for fact in await store.facts(workspace, id_)]
        if found == wanted:
            break
        await asyncio.sleep(0.05)
    return found


async def test_a_caller_who_went_away_has_redacted_all_the_same(store, owner, workspace):
    id_ = uuid4()
    await store.create(command(workspace), VISIT, id_, [VisitRecorded(body="secret")])
    owner.execute("SELECT pg_advisory_lock(4711001)")
    caller = asyncio.create_task(store.decide(command(workspace), VISIT, id_, redaction))
    await asyncio.sleep(0.5)  # the append waits for the lock by now

    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    owner.execute("SELECT pg_advisory_unlock(4711001)")

    assert await bodies(store, workspace, id_, [ERASED, "…"]) == [ERASED, "…"]


async def test_a_key_store_that_was_away_loses_the_key_when_it_is_back(store, workspace, monkeypatch):
    id_, asked = uuid4(), command(workspace)
    await store.create(command(workspace), VISIT, id_, [VisitRecorded(body="secret")])
    with monkeypatch.context() as outage:
        outage.setattr(store.keys._rows, "shred", away)
        with pytest.raises(KeyUnavailableError):
            await store.decide(asked, VISIT, id_, redaction)

    monkeypatch.setattr(doomed, "SWEEP_SECONDS", 0.05)
    store._doomed.keep_sweeping(store._run)

    assert await bodies(store, workspace, id_, [ERASED, "…"]) == [ERASED, "…"]
    assert (await store.decide(asked, VISIT, id_, redaction)).replayed


def away(*_):
    raise KeyUnavailableError("away")
