"""What a replay to a position makes is what the history twins tell of it, read model by read model, table by table."""

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from crm_es.catalog import AGGREGATES
from crm_es.eventstore.codec import Codec
from crm_es.projector.replay import Replay, at_position
from projections import READ_MODELS
from tests.api.conftest import a_place
from tests.oracle import desk
from tests.oracle.history import DEEDS, History
from tests.oracle.sales import SalesHistory

pytestmark = pytest.mark.anyio
# What a redaction cuts is cut at every moment, and a replay of what was before finds it destroyed.
KEPT = tuple(deed for deed in (*DEEDS, *desk.DEEDS) if deed is not History.redact)
STANDING = SQL("""
SELECT {columns} FROM {live} WHERE workspace_id = %(workspace)s AND position <= %(at)s
UNION ALL
SELECT {columns} FROM {twin} WHERE workspace_id = %(workspace)s AND position <= %(at)s AND valid_to_position > %(at)s
""")
OVER = SQL("SELECT {columns} FROM {twin} WHERE workspace_id = %(workspace)s AND valid_to_position <= %(at)s")
OF_SCRATCH = SQL("SELECT {columns} FROM {table}")
APART = SQL("(({one}) EXCEPT ALL ({other})) UNION ALL (({other}) EXCEPT ALL ({one})) LIMIT 3")


@pytest.fixture
def place(ready_database, tmp_path):
    with a_place(ready_database, tmp_path) as made:
        yield made


def apart(connection, one, other, **named):
    return connection.execute(APART.format(one=one, other=other), named).fetchall()


def compare(connection, replay, workspace, at):
    """The tables that differ, with some of the rows."""
    differing, compared, rows = {}, 0, 0
    for model in replay.models:
        for table in model.TABLES:
            if not table.versioned:
                continue
            names = ["workspace_id", *(column.name for column in table.columns), "position"]
            twin = Identifier(model.NAME, f"{table.name}_history")
            columns = SQL(", ").join(map(Identifier, names))
            ended = SQL(", ").join(map(Identifier, [*names, "valid_to_position"]))
            live, made = Identifier(model.NAME, table.name), Identifier(replay.schema(model), table.name)
            over = Identifier(replay.schema(model), f"{table.name}_history")
            found = apart(
                connection, OF_SCRATCH.format(columns=columns, table=made),
                STANDING.format(columns=columns, live=live, twin=twin), workspace=workspace, at=at,
            ) + apart(
                connection, OF_SCRATCH.format(columns=ended, table=over), OVER.format(columns=ended, twin=twin),
                workspace=workspace, at=at,
            )  # fmt: skip
            if found:
                differing[f"{model.NAME}.{table.name}"] = found
            compared += 1
            rows += connection.execute(SQL("SELECT count(*) FROM {}").format(made)).fetchone()[0]
    return differing, compared, rows


async def equal(found, place, positions):
    replay = Replay(
        url=place.urls.projector, decode=Codec(AGGREGATES, place.keys).decode_each, models=READ_MODELS, name="scratch"
    )
    rows = 0
    with psycopg.connect(place.urls.owner, autocommit=True) as connection:
        (head,) = connection.execute(
            "SELECT sequence FROM es.head WHERE workspace_id = %s", [found.workspace]
        ).fetchone()
        for position in (found.random.randint(0, head) for _ in range(positions)):
            moment = at_position(connection, found.workspace, position)
            events = replay.run(found.workspace, moment)
            assert events == moment.position <= position
            differing, compared, there = compare(connection, replay, found.workspace, moment.position)
            assert (position, differing) == (position, {})
            assert compared > 30
            rows += there
        assert len(replay.drop()) == len(READ_MODELS)
        assert replay.drop() == []
    assert rows > 20 * positions


@pytest.mark.parametrize(("deeds", "kind"), [(KEPT, History), ((), SalesHistory)], ids=["people and tickets", "deals"])
async def test_a_replay_to_any_position_equals_the_twins(histories, place, deeds, kind):
    await equal((await histories(21, 120, deeds, kind))["admin"], place, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("deeds", "kind"), [(KEPT, History), ((), SalesHistory)], ids=["people and tickets", "deals"])
async def test_replays_to_25_positions_equal_the_twins(histories, place, deeds, kind):
    await equal((await histories(22, 500, deeds, kind))["admin"], place, 25)
