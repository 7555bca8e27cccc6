"""A connection of one's own that is closed however its block ends, cancelled in the middle of a statement or of opening too."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection


@asynccontextmanager
async def session(url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """In autocommit. psycopg's own block commits at its end, and who is cancelled while it does leaves the connection open.

    Raises: psycopg.OperationalError where none can be made.
    """
    connection = await AsyncConnection.connect(url, autocommit=True)
    try:
        yield connection
    finally:
        await connection.close()
