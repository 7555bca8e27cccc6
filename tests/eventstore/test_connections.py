"""The store's connections: none outlives the store."""

from crm_es.eventstore.connections import Connections


def test_one_in_use_while_they_are_closed_is_closed_when_it_comes_back(shared_database):
    connections = Connections(shared_database.app, size=2, name="test")

    with connections.take() as used:
        connections.close()
        assert not used.closed

    assert used.closed
