"""However the log is cut into pages, and however often it is delivered, the same rows come out."""

from random import Random
from uuid import uuid4

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_es.projector.digest import digests
from crm_es.projector.rebuild import Rebuild
from crm_es.projector.runner import Projector
from projections import READ_MODELS
from tests.projections.histories import World


def all_digests(database):
    with psycopg.connect(database.projector) as connection:
        return {m.NAME: digests(connection.cursor(), m, m.NAME) for m in READ_MODELS}


@settings(max_examples=6)
@given(seed=st.integers(0, 10**6), pieces=st.lists(st.integers(1, 40), min_size=3, max_size=5), size=st.integers(1, 60))
def test_a_rebuild_equals_the_live_read_model_for_any_cuts(database, shared_log, seed, pieces, size):
    log = shared_log(database.owner)
    world = World(log, uuid4(), Random(seed))
    for steps in pieces:
        world.steps(steps)
        Projector(database.projector, log.decode, READ_MODELS, page_size=size).drain()

    outcomes = Rebuild(database.projector, log.decode, READ_MODELS).run(check=True)

    assert {o.read_model: o.differing for o in outcomes if o.differing} == {}


def test_the_same_events_again_change_nothing(database, log, workspace, project):
    World(log, workspace, Random(11)).steps(80)
    project()
    before = all_digests(database)

    project()

    assert all_digests(database) == before


def test_a_swapped_rebuild_holds_the_same_rows_and_goes_on(database, log, workspace, project):
    world = World(log, workspace, Random(12))
    world.steps(60)
    project()
    before = all_digests(database)

    Rebuild(database.projector, log.decode, READ_MODELS).run("interactions")

    assert all_digests(database) == before
    world.steps(10)
    project()


def test_two_workspaces_project_as_if_each_were_alone(log, project, rows):
    first, second = World(log, uuid4(), Random(21)), World(log, uuid4(), Random(22))
    for _ in range(30):
        first.steps(1)
        second.steps(1)

    project()

    for world in (first, second):
        found = rows("SELECT id FROM contact_profiles.contact WHERE workspace_id = %s", world.workspace)
        assert {c for (c,) in found} == set(world.contacts)
        found = rows("SELECT id FROM interactions.interaction WHERE workspace_id = %s", world.workspace)
        assert {c for (c,) in found} == set(world.interactions)
