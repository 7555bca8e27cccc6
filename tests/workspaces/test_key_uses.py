"""Uses of API keys: one row a key, written once a minute at most, seen by its own workspace."""

from uuid import uuid4

import psycopg
import pytest

from crm_es.database.urls import DatabaseUrls
from crm_es.workspaces.key_uses import KeyUses

pytestmark = pytest.mark.anyio


def uses(url: str, workspace: object) -> dict[object, object]:
    with psycopg.connect(url) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, true)", [str(workspace)])
        return dict(connection.execute("SELECT api_key_id, used_at FROM es.api_key_use").fetchall())


async def test_what_was_noted_is_written_at_the_end_at_the_latest(shared_database: DatabaseUrls) -> None:
    mine, other, key = uuid4(), uuid4(), uuid4()

    async with KeyUses.recording(shared_database.app, gather=60) as noting:
        noting.note(mine, key)
        noting.note(other, uuid4())
        assert uses(shared_database.app, mine) == {}

    assert list(uses(shared_database.app, mine)) == [key]


async def test_the_second_use_in_a_minute_is_not_written(shared_database: DatabaseUrls) -> None:
    workspace, key = uuid4(), uuid4()
    noting = KeyUses(shared_database.app)
    noting.note(workspace, key)
    await noting.flush()
    first = uses(shared_database.app, workspace)

    noting.note(workspace, key)
    await noting.flush()

    assert uses(shared_database.app, workspace) == first


async def test_uses_wait_while_the_database_is_away(shared_database: DatabaseUrls) -> None:
    workspace, key = uuid4(), uuid4()
    noting = KeyUses("postgresql://crm_app@127.0.0.1:1/crm")
    noting.note(workspace, key)
    with pytest.raises(psycopg.OperationalError):
        await noting.flush()

    noting._url = shared_database.app
    await noting.flush()

    assert list(uses(shared_database.app, workspace)) == [key]
