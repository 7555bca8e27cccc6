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
