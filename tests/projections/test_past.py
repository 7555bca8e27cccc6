"""The answer as of any position equals an independent fold of the log."""

from random import Random
from uuid import uuid4

import pytest

from tests.projections import past
from tests.projections.histories import World


@pytest.fixture
def world(log, workspace):
    world = World(log, workspace, Random(5))
    world.steps(500)
    other = World(log, uuid4(), Random(6))
    other.steps(30)
    return world


def test_contacts_as_of_any_position_equal_their_fold(world, project, rows):
    project()
    random = Random(1)

    for _ in range(400):
        contact, position = random.choice(list(world.contacts)), random.randint(0, world.log.positions[world.workspace])

        expected = past.contact_by_fold(world.log, world.workspace, contact, position)
        assert past.contact_by_rows(rows, world.workspace, contact, position) == expected


def test_timelines_as_of_any_position_equal_their_fold(world, project, rows):
    project()
    random = Random(2)

    for _ in range(300):
        contact, position = random.choice(list(world.contacts)), random.randint(1, world.log.positions[world.workspace])
        if past.contact_by_fold(world.log, world.workspace, contact, position) is None:
            continue

        expected = past.timeline_by_fold(world.log, world.workspace, contact, position)
        assert past.timeline_by_rows(rows, world.workspace, contact, position) == expected


def test_interactions_as_of_any_position_equal_their_fold(world, project, rows):
    project()
    random = Random(3)

    for _ in range(300):
        stream, position = (
            random.choice(list(world.interactions)),
            random.randint(1, world.log.positions[world.workspace]),
        )

        expected = past.interaction_by_fold(world.log, world.workspace, stream, position)
        assert past.interaction_by_rows(rows, world.workspace, stream, position) == expected
