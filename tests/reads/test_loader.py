"""What a loader says when its rows cannot be had: to those who wait, and to nobody else."""

import asyncio
import gc
from typing import Any

import pytest

from crm_es.errors import UnavailableError
from crm_es.reads.session import Loader

pytestmark = pytest.mark.anyio


async def away(keys: list[int]) -> list[str]:
    raise UnavailableError(str(keys))


async def test_a_failure_is_told_to_those_who_wait_and_to_the_loop_of_nobody_who_went_away() -> None:
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    loader = Loader(away)

    waiting, gone, _never_awaited = loader.load(1), loader.load(1), loader.load(2)
    gone.cancel()
    with pytest.raises(UnavailableError, match=r"\[1, 2\]"):
        await waiting

    del loader, waiting, gone, _never_awaited
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


async def test_who_goes_away_takes_the_answer_from_nobody_and_later_askers_get_it_too() -> None:
    calls: list[list[int]] = []

    async def doubled(keys: list[int]) -> list[int]:
        calls.append(keys)
        return [2 * key for key in keys]

    loader = Loader(doubled)
    gone, stays, other = loader.load(1), loader.load(1), loader.load(2)
    gone.cancel()

    assert (await stays, await other, await loader.load(1)) == (2, 4, 2)
    assert calls == [[1, 2]]


async def test_what_failed_once_fails_again_without_being_asked() -> None:
    calls: list[list[int]] = []

    async def failing(keys: list[int]) -> list[int]:
        calls.append(keys)
        return [] if keys == [2] else await away(keys)  # type: ignore[return-value]

    loader = Loader(failing)

    for _ in range(2):
        with pytest.raises(UnavailableError):
            await loader.load(1)
    with pytest.raises(ValueError, match="zip"):  # rather than waiting for ever
        await loader.load(2)
    assert calls == [[1], [2]]
