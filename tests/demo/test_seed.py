"""The demo in the log: what was promised, at times that are over, once."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from crm_es.config import Settings
from crm_es.demo.seed import DEMO, seed, seeded
from crm_es.demo.story import HOURS, begin
from crm_es.demo.teller import Teller
from crm_es.workspaces.workspace import WORKSPACE
from tests.demo.conftest import owner_store

pytestmark = pytest.mark.anyio


def asked(urls, sql):
    with psycopg.connect(urls.owner) as connection:
        return connection.execute(sql, {"demo": DEMO}).fetchall()


def topics(urls):
    return dict(asked(urls, "SELECT topic, count(*) FROM es.events WHERE workspace_id = %(demo)s GROUP BY topic"))


async def test_the_log_holds_what_was_promised(seeded_demo):
    _, urls, _ = seeded_demo

    counts = topics(urls)

    assert counts["contact.registered"] == 2_000
    assert counts["company.registered"] == 300
    assert 20_000 < counts["interaction.recorded"] < 23_000
    assert (counts["deal.opened"], counts["ticket.opened"]) == (320, 420)
    assert counts["ticket.sla_breached"] >= 20
    assert counts["contact.merged"] == counts["contact.absorbed"] >= 20
    assert min(counts["contact.archived"], counts["contact.restored"], counts["contact.owner_changed"]) >= 20


async def test_recorded_times_are_in_the_past_and_in_order(seeded_demo):
    _, urls, _ = seeded_demo

    [(first, last, disorder)] = asked(
        urls,
        """
        SELECT min(recorded_at), max(recorded_at), count(*) FILTER (WHERE recorded_at < earlier)
        FROM (SELECT recorded_at, lag(recorded_at) OVER (ORDER BY sequence) AS earlier
              FROM es.events WHERE workspace_id = %(demo)s) AS log
        """,
    )

    assert last < datetime.now(UTC)
    assert last - first > timedelta(days=540)
    assert disorder == 0


async def test_the_workspace_is_a_demo_for_ever(seeded_demo):
    settings, urls, _ = seeded_demo

    async with owner_store(settings, urls) as store:
        loaded = await store.load(WORKSPACE, DEMO, DEMO)

    assert loaded.state.demo


async def test_seeding_again_finds_it_and_records_nothing(seeded_demo):
    settings, urls, made = seeded_demo
    before = topics(urls)

    async with owner_store(settings, urls) as store:
        found = await seeded(store)
        with pytest.raises(KeyboardInterrupt):  # a month of it will do
            await seed(store, datetime.now(UTC).date() + timedelta(days=3), stopping_after(30))

    assert (found.story, found.admin) == (made.story, made.admin)
    assert topics(urls) == before


async def test_a_seeding_cut_short_is_taken_up_where_it_was(database, tmp_path):
    settings = Settings(data_dir=tmp_path)
    today = datetime.now(UTC).date()

    for day in (10, 20):
        async with owner_store(settings, database) as store:
            with pytest.raises(KeyboardInterrupt):
                await seed(store, today, stopping_after(day))
            assert await seeded(store) is None

    [(events, head, commands)] = asked(
        database,
        """
        SELECT (SELECT count(*) FROM es.events), (SELECT max(sequence) FROM es.events),
               (SELECT count(*) FROM es.command WHERE workspace_id = %(demo)s)
        """,
    )
    assert events == head
    story = begin(today)
    sat = [one for one in Teller(story).tell() if one.at <= story.founded + timedelta(days=20) + HOURS]
    assert len(sat) >= 20
    assert commands == 2 + len(sat)  # founded, staffed, and what was told


def stopping_after(day):
    def progress(done, _total):
        if done == day:
            raise KeyboardInterrupt

    return progress
