"""One field fails, and with it those it was asked beside where none of them may be null; everything else is answered."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import strawberry
from psycopg.sql import SQL
from strawberry.schema.config import StrawberryConfig

from crm_es.api.scalars import SCALARS
from crm_es.errors import InvalidInputError
from crm_es.reads import records
from crm_es.reads.model import read_of
from tests.reads import small
from tests.reads.test_driver import WAIT, Lock, held
from tests.reads.world import World

pytestmark = pytest.mark.anyio


class Scene(SimpleNamespace):
    """`fails` goes wrong once the statement of `waits` is under way; that ends, and `answers` asks, once `waits` was told."""

    reads: Any
    lock: Lock
    anna: Any
    told: asyncio.Event


@strawberry.type
class Pair:
    @strawberry.field
    async def waits(self, info: strawberry.Info[Scene, None]) -> str:
        try:
            snapshot = await info.context.reads.snapshot()
            return str((await snapshot.rows(WAIT, [info.context.lock.key]))[0][0])
        finally:
            info.context.told.set()

    @strawberry.field
    async def shares(self, info: strawberry.Info[Scene, None]) -> str:
        return await name_of(info.context)

    @strawberry.field
    async def fails(self, info: strawberry.Info[Scene, None]) -> str:
        await info.context.lock.awaited()
        raise InvalidInputError("No.")


async def name_of(scene: Scene) -> str:
    found = await records.load(scene.reads.present, read_of(small.Contact), scene.anna)
    return str(records.raw(found, "display_name"))


@strawberry.type
class Query:
    @strawberry.field
    def pair(self) -> Pair | None:
        return Pair()

    @strawberry.field
    async def answers(self, info: strawberry.Info[Scene, None]) -> int | None:
        await info.context.told.wait()
        info.context.lock.holder.close()
        return int((await (await info.context.reads.snapshot()).rows(SQL("SELECT 7")))[0][0])

    @strawberry.field
    async def shares(self, info: strawberry.Info[Scene, None]) -> str | None:
        return await name_of(info.context)


schema = strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))


async def test_a_field_that_fails_takes_no_answer_from_the_others(world: World) -> None:
    anna = world.contact(display_name="Anna")

    with held(world.urls) as lock:
        async with world.operation() as reads:
            result = await schema.execute(
                "{ pair { waits shares fails } answers shares }",
                context_value=Scene(reads=reads, lock=lock, anna=anna, told=asyncio.Event()),
            )

    assert result.data == {"pair": None, "answers": 7, "shares": "Anna"}
    assert [error.path for error in result.errors or ()] == [["pair", "fails"]]
