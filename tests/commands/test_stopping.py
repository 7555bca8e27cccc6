"""Told to stop, `serve` finishes what was begun and leaves nobody behind."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from starlette.applications import Starlette

from crm_es.config import Settings
from crm_es.database.server import EmbeddedServer
from crm_es.serving.web import config
from tests.commands.running import Serving, token
from tests.waiting import APPENDING, PATIENCE_SECONDS, eventually, wanted

pytestmark = pytest.mark.slow  # processes that are waited for

REGISTER = """mutation { registerContact(input: {displayName: "Ada Lovelace"}) {
  contact { displayName } position projected userErrors { message } } }"""


@contextmanager
def appends_held(data_dir: Path) -> Iterator[psycopg.Connection]:
    """Nothing can be appended until the connection lets go."""
    with EmbeddedServer(data_dir) as urls, psycopg.connect(urls.owner) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [APPENDING])
        yield connection


def test_a_mutation_begun_before_the_stop_is_answered_and_shown(data_dir: Path, serving: Serving) -> None:
    mine = token(data_dir)
    children = serving.children()
    with ThreadPoolExecutor() as threads:
        with appends_held(data_dir) as held:
            answer = threads.submit(serving.ask, REGISTER, mine)
            eventually(lambda: wanted(held))
            serving.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            held.rollback()
        payload = answer.result(PATIENCE_SECONDS)["data"]["registerContact"]

    assert serving.stop() == 0
    assert payload["contact"] == {"displayName": "Ada Lovelace"}
    assert payload["projected"]
    assert not any(child.is_running() for child in children)


def test_what_was_set_is_how_long_the_web_server_waits() -> None:
    assert config(Starlette(), Settings(shutdown_seconds=7)).timeout_graceful_shutdown == 7


@pytest.mark.slow
def test_begun_requests_are_waited_for_no_longer_than_was_set(data_dir: Path) -> None:
    mine = token(data_dir)
    serving = Serving(data_dir, CRM_SHUTDOWN_SECONDS="1")
    children = serving.children()
    with ThreadPoolExecutor() as threads, appends_held(data_dir) as held:
        answer = threads.submit(serving.ask, REGISTER, mine)
        eventually(lambda: wanted(held))

        code = serving.stop()

        held.rollback()
        assert answer.exception(PATIENCE_SECONDS)
    assert code == 0
    said = "".join(serving.said)
    assert any(each in said for each in ("timeout graceful shutdown exceeded", "did not stop in time and is killed"))
    assert not any(child.is_running() for child in children)
