"""What is added to a database's URL, and what its owner said stays."""

import psycopg
import pytest

from crm_es.config import Settings
from crm_es.database.migrate import _connect
from crm_es.database.urls import PATIENCE, DatabaseUrls, patient
from crm_es.eventstore.connections import connect
from crm_es.reads.driver import ReadConnections


def test_a_vanished_server_is_given_up_unless_the_url_says_otherwise() -> None:
    given = Settings.from_environment(
        {"CRM_DATABASE_URL": "postgresql://u@h/d", "CRM_KEY_STORE": "postgresql://u@h/keys?tcp_user_timeout=0&x="}
    )

    assert given.database_url == "postgresql://u@h/d?" + "&".join(f"{name}={value}" for name, value in PATIENCE.items())
    assert str(given.key_store_location).startswith("postgresql://u@h/keys?tcp_user_timeout=0&x=&connect_timeout=10&")
    assert patient(given.database_url) == given.database_url


@pytest.mark.anyio
async def test_every_connection_takes_what_its_url_says(server: DatabaseUrls) -> None:
    said = {**PATIENCE, "connect_timeout": "77", "tcp_user_timeout": "4321"}
    url = patient(server.owner.partition("&")[0] + "&connect_timeout=77&tcp_user_timeout=4321")
    reading = ReadConnections(url)
    wire = await reading.take()

    for connection in (connect(url, "test"), _connect(url), wire.connection):
        assert said.items() <= parameters(connection).items()
        connection.pgconn.finish()
    await reading.give(wire, sound=False)


def parameters(connection: psycopg.Connection | psycopg.AsyncConnection) -> dict[str, str]:
    return {each.keyword.decode(): each.val.decode() for each in connection.pgconn.info if each.val is not None}
