"""The store's connections: none outlives the store."""

from uuid import uuid4

from crm_es.eventstore.connections import Connections, connect
from crm_es.eventstore.packing import pack
from crm_es.eventstore.recorder import HOLDERS, fenced


def test_one_in_use_while_they_are_closed_is_closed_when_it_comes_back(shared_database):
    connections = Connections(shared_database.app, size=2, name="test")

    with connections.take() as used:
        connections.close()
        assert not used.closed

    assert used.closed


def test_a_holder_is_looked_up_by_its_key_when_the_table_has_grown(shared_database, owner):
    workspace, wanted = uuid4(), (pack("text", ["email"] * 10), pack("bytea", [bytes(16)] * 10))
    with connect(shared_database.app, "test") as connection:
        for _ in range(10):
            fenced(connection, workspace, HOLDERS, (*wanted, workspace))
        owner.execute(
            """
            INSERT INTO es.reservation (workspace_id, kind, key, stream_id)
            SELECT %s, 'email', decode(md5(n::text), 'hex'), gen_random_uuid()
            FROM generate_series(1, 10000) AS n
            """,
            [workspace],
        )

        with connection.transaction():
            fenced(connection, workspace, HOLDERS, (*wanted, workspace))
            [read] = connection.execute(
                "SELECT seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_xact_user_tables WHERE relname = 'reservation'"
            ).fetchall()

    assert read["rows"] <= 10
