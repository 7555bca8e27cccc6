"""The store's connections: none outlives the store."""

from uuid import uuid4

from crm_es.eventstore.connections import Connections, connect
from crm_es.eventstore.packing import pack
from crm_es.eventstore.recorder import HOLDERS


def test_one_in_use_while_they_are_closed_is_closed_when_it_comes_back(shared_database):
    connections = Connections(shared_database.app, size=2, name="test")

    with connections.take() as used:
        connections.close()
        assert not used.closed

    assert used.closed


def test_a_holder_is_looked_up_by_its_key_though_nothing_is_known_of_the_table(shared_database):
    wanted = pack("text", ["email"] * 100), pack("bytea", [bytes(16)] * 100)

    with connect(shared_database.app, "test") as connection:
        connection.execute("SELECT set_config('app.workspace', %s, false)", [str(uuid4())])
        rows = connection.execute("EXPLAIN " + HOLDERS, (*wanted, uuid4())).fetchall()

    [condition] = [row["QUERY PLAN"] for row in rows if "Index Cond" in row["QUERY PLAN"]]
    assert "(key = wanted.key)" in condition
