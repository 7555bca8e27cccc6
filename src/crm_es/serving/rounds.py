"""Work beside the projector: a thread that goes round after round, looking for some as the projector's role and doing it as
the application's.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Final

import psycopg

from crm_es.catalog import AGGREGATES
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.store import Store
from crm_es.privacy.keystore import KeyStore
from crm_es.threads import beside, persist

POLL_SECONDS: Final = 1.0
READERS: Final = 2
Round = Callable[[psycopg.Connection[Any], threading.Event], Awaitable[bool]]


def rounds(name: str, go: Round, urls: DatabaseUrls, poll: float) -> AbstractContextManager[None]:
    """For as long as the block lasts: the next at once when one found work, else after `poll` seconds."""

    async def round_after_round(stop: threading.Event) -> None:
        with psycopg.connect(urls.projector, autocommit=True) as connection:
            while not stop.is_set():
                if not await go(connection, stop):
                    await asyncio.to_thread(stop.wait, poll)

    def run(stop: threading.Event) -> None:
        persist(lambda: asyncio.run(round_after_round(stop)), stop, name=name)

    return beside(run, f"crm-{name}")


@asynccontextmanager
async def opened_store(urls: DatabaseUrls, keys: KeyStore) -> AsyncIterator[Store]:
    """For a round that found work: mostly there is none."""
    store = await Store.open(urls.app, AGGREGATES, keys, readers=READERS)
    try:
        yield store
    finally:
        await store.close()
