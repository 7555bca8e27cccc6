"""Mass reading is noticed once an hour and reader, by all processes together."""

from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from crm_es.access.watching import MassReads
from crm_es.eventstore.event import Actor, ActorKind
from tests.waiting import soon

pytestmark = pytest.mark.anyio
ACTOR = Actor(kind=ActorKind.MEMBER, id=uuid4())
NOON = 1_800_000_000 // 3600 * 3600


@asynccontextmanager
async def watching(limit, *, processes=1, together=()):
    """`together` answers how many all processes have counted, one look after the other."""
    told, looks = [], list(together)

    async def count(_reader):
        return looks.pop(0)

    async def tell(reader, nodes):
        told.append((reader, nodes))

    async with MassReads.running(limit, count, tell, processes=processes) as made:
        yield made, told, looks


async def test_different_contacts_are_counted_and_told_once():
    workspace, many = uuid4(), [uuid4() for _ in range(6)]
    async with watching(5) as (reads, told, _):
        for _ in range(3):
            reads.saw(workspace, ACTOR, many[:4], NOON)
        reads.saw(uuid4(), ACTOR, many, NOON + 1)
        reads.saw(workspace, ACTOR, many[3:], NOON + 2)
        await soon(lambda: len(told) == 2)
        reads.saw(workspace, ACTOR, many, NOON + 3_599)
        reads.saw(workspace, ACTOR, many, NOON + 3_600)
        await soon(lambda: len(told) == 3)

    ours = [(reader.since.timestamp(), nodes) for reader, nodes in told if reader.workspace == workspace]
    assert ours == [(NOON, 6), (NOON + 3_600, 6)]


async def test_a_process_with_its_share_asks_what_all_have_counted():
    workspace = uuid4()
    async with watching(8, processes=4, together=[3, 9]) as (reads, told, looks):
        reads.saw(workspace, ACTOR, [uuid4()], NOON)
        assert len(looks) == 2
        reads.saw(workspace, ACTOR, [uuid4()], NOON)
        await soon(lambda: len(looks) == 1)
        assert told == []
        reads.saw(workspace, ACTOR, [uuid4()], NOON)
        await soon(lambda: told)

    assert [nodes for _, nodes in told] == [9]


async def test_nobody_is_watched_without_a_limit():
    async with watching(0) as (reads, told, _):
        reads.saw(uuid4(), ACTOR, [uuid4() for _ in range(100)], NOON)

    assert told == []
