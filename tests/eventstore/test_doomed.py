"""A key that an event made obsolete is destroyed, whatever happens to whoever asked for it."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from crm_es.errors import KeyUnavailableError
from crm_es.eventstore import doomed
from crm_es.eventstore.event import ERASED
from tests.eventstore.samples import VISIT, Visit, VisitRecorded, VisitRedacted, command
from tests.waiting import APPENDING, soon, wanted

pytestmark = pytest.mark.anyio


def redaction(_state):
    return [VisitRedacted(body="…")]


async def become(store, workspace, id_, wanted):
    """Whether the recorded texts come to be as wanted."""

    async def found():
        return [fact.event.body for fact in await store.facts(workspace, id_)] == wanted

    return await soon(found)


async def test_redaction_seals_what_remains_anew_and_destroys_the_old_key(store, workspace, owner):
    ann, id_ = uuid4(), uuid4()
    await store.create(command(workspace), VISIT, id_, [VisitRecorded(person_ids=(ann,), body="secret")])
    old = (await store.load(VISIT, workspace, id_)).key_id

    await store.decide(command(workspace), VISIT, id_, lambda _state: [VisitRedacted(body="…")])

    first, second = await store.facts(workspace, id_)
    assert (first.event.body, first.erased) == (ERASED, {"body"})
    assert (second.event.body, second.key_id != old) == ("…", True)
    assert (await store.load(VISIT, workspace, id_)).state == Visit(person_ids=(ann,), body="…")
    rows = owner.execute("SELECT key_id FROM es.key_holder WHERE workspace_id = %s", [workspace])
    assert rows.fetchall() == [(second.key_id,)]


async def test_a_key_that_could_not_be_destroyed_is_when_the_store_opens_next(
    store, shared_database, keys, workspace, monkeypatch
):
    id_ = uuid4()
    await store.create(command(workspace), VISIT, id_, [VisitRecorded(body="secret")])
    with monkeypatch.context() as crash:
        crash.setattr(doomed.DoomedKeys, "destroy", lambda *_: None)
        await store.decide(command(workspace), VISIT, id_, lambda _state: [VisitRedacted(body="…")])
    assert (await store.facts(workspace, id_))[0].event.body == "secret"

    await (await type(store).open(shared_database.app, (VISIT,), keys)).close()

    assert (await store.facts(workspace, id_))[0].event.body is ERASED


async def test_a_caller_who_went_away_has_redacted_all_the_same(store, owner, workspace):
    id_ = uuid4()
    await store.create(command(workspace), VISIT, id_, [VisitRecorded(body="secret")])
    owner.execute("SELECT pg_advisory_lock(%s)", [APPENDING])
    caller = asyncio.create_task(store.decide(command(workspace), VISIT, id_, redaction))
    await soon(lambda: wanted(owner))  # by the append

    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    owner.execute("SELECT pg_advisory_unlock(%s)", [APPENDING])

    assert await become(store, workspace, id_, [ERASED, "…"])


async def test_a_key_store_that_was_away_loses_the_key_when_it_is_back(store, workspace, monkeypatch):
    id_, asked = uuid4(), command(workspace)
    await store.create(command(workspace), VISIT, id_, [VisitRecorded(body="secret")])
    with monkeypatch.context() as outage:
        outage.setattr(store.keys._rows, "shred", away)
        with pytest.raises(KeyUnavailableError):
            await store.decide(asked, VISIT, id_, redaction)

    monkeypatch.setattr(doomed, "SWEEP_SECONDS", 0.05)
    store._doomed.keep_sweeping(store._run)

    assert await become(store, workspace, id_, [ERASED, "…"])
    assert (await store.decide(asked, VISIT, id_, redaction)).replayed


async def test_a_workspace_says_of_its_own_keys_alone_that_they_are_destroyed(
    store, shared_database, owner, workspace, monkeypatch
):
    id_ = uuid4()
    await store.create(command(workspace), VISIT, id_, [VisitRecorded(body="secret")])
    with monkeypatch.context() as crash:
        crash.setattr(doomed.DoomedKeys, "destroy", lambda *_: None)
        await store.decide(command(workspace), VISIT, id_, redaction)
    pending = "SELECT key_id FROM es.doomed_key WHERE workspace_id = %s AND destroyed_at IS NULL"
    [(key,)] = owner.execute(pending, [workspace])

    with psycopg.connect(shared_database.app, autocommit=True) as other:
        with pytest.raises(psycopg.Error, match=r"app\.workspace"):
            other.execute("SELECT es.doomed_keys_destroyed(%s)", [[key]])
        other.execute("SELECT set_config('app.workspace', %s, false)", [str(uuid4())])
        other.execute("SELECT es.doomed_keys_destroyed(%s)", [[key]])
    assert owner.execute(pending, [workspace]).fetchall() == [(key,)]

    store._doomed.sweep()
    assert owner.execute(pending, [workspace]).fetchall() == []


async def test_a_workspace_is_told_of_its_own_keys_alone(store, shared_database, owner, monkeypatch):
    mine, another = uuid4(), uuid4()
    with monkeypatch.context() as crash:
        crash.setattr(doomed.DoomedKeys, "destroy", lambda *_: None)
        for workspace in (mine, another):
            id_ = uuid4()
            await store.create(command(workspace), VISIT, id_, [VisitRecorded(body="secret")])
            await store.decide(command(workspace), VISIT, id_, redaction)
    pending = "SELECT workspace_id, key_id FROM es.doomed_key WHERE workspace_id = ANY (%s) AND destroyed_at IS NULL"
    left = owner.execute(pending, [[mine, another]]).fetchall()

    with psycopg.connect(shared_database.app, autocommit=True) as app:
        unasked = app.execute("SELECT * FROM es.pending_doomed_keys(1000)").fetchall()
        app.execute("SELECT set_config('app.workspace', %s, false)", [str(mine)])
        told = app.execute("SELECT * FROM es.pending_doomed_keys(1000)").fetchall()

    assert unasked == []
    assert told == [row for row in left if row[0] == mine]
    assert len(left) == 2
    assert {mine, another} <= set(store.recorder.workspaces_with_doomed_keys(10_000))
    store._doomed.sweep()
    assert owner.execute(pending, [[mine, another]]).fetchall() == []


def away(*_):
    raise KeyUnavailableError("away")
