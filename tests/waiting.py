"""Waiting for what must come, and never for a time: a busy machine takes long, a broken program for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import psycopg

PATIENCE_SECONDS = 300
PATIENCE_MS = 1_000 * PATIENCE_SECONDS
APPENDING = 4711001
"""The lock every append takes."""
_WAITING = """
SELECT 1 FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted AND objid = %s
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def eventually(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """What the condition gives once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} seconds: {condition}"
        time.sleep(0.02)
    return found


async def soon(condition: Callable[[], Any | Awaitable[Any]], seconds: float = PATIENCE_SECONDS) -> Any:
    """The same on the loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:g} seconds: {condition}"
        await asyncio.sleep(0.02)


def ended(process: psutil.Process) -> bool:
    """Dead; perhaps nobody collects it: the first process of a container need not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wanted(connection: psycopg.Connection, lock: int = APPENDING) -> bool:
    """Whether somebody waits for the lock in this connection's database."""
    return connection.execute(_WAITING, [lock]).fetchone() is not None
