"""A few leaves of a heads map are proved from the parts in which they stand, and by what all leaves come to."""

from uuid import UUID, uuid4

import psycopg
import pytest

from crm_es.errors import NotFoundError
from crm_es.ledger import heads, heads_parts, heads_tables
from crm_es.ledger.merkle import leaf_hash
from tests.ledger.rfc6962 import included

STREAMS = 600
ALTERED = "UPDATE ledger.stream SET version = version + 1 WHERE workspace_id = %s AND stream_id = %s"


@pytest.fixture
def sealer(shared_database):
    with psycopg.connect(shared_database.sealer, autocommit=True) as connection:
        yield connection


@pytest.fixture
def named(begun):
    """Contacts enough for two parts and a bit, and a deal that names some."""
    people = [uuid4() for _ in range(STREAMS)]
    begun.append(*((one, "contact.registered", {"name": "x"}) for one in people))
    begun.append((uuid4(), "deal.opened", {"contact_ids": [str(one) for one in people[::7]]}))
    return people


def sealed(sealer, workspace, size):
    """As the sealer does it."""
    heads_tables.advance(sealer, workspace, 1, size)
    said, parts = heads_parts.summed(sealer, workspace, size)
    heads_parts.keep(sealer, workspace, size, parts)
    return said


def holds(said, proved):
    root = bytes.fromhex(said.root)
    return all(included(leaf_hash(one.leaf.encode()), one.index, said.leaves, list(one.hashes), root) for one in proved)


def names_of(leaves):
    return [leaf[:38] for leaf in leaves]


@pytest.mark.parametrize("kept", [True, False])
def test_every_leaf_is_proved(sealer, workspace, named, kept):
    """At the ends of parts, where contacts end and streams begin, and of a map whose last part is short."""
    size = STREAMS + 2
    said = sealed(sealer, workspace, size)
    every = list(heads.leaves(sealer, workspace, size))
    if not kept:
        sealer.execute("DELETE FROM ledger.heads_parts WHERE workspace_id = %s", [workspace])

    proved = heads_parts.prove(sealer, workspace, size, names_of(every))

    assert len(every) == 2 * STREAMS + 2
    assert [one.leaf for one in proved] == every
    assert [one.index for one in proved] == list(range(len(every)))
    assert holds(said, proved)
    assert named


def test_an_older_map_is_proved_as_it_was(sealer, workspace, begun, named):
    before = sealed(sealer, workspace, STREAMS + 2)
    begun.append(*((one, "contact.updated", {}) for one in named[:300]), (uuid4(), "contact.registered", {}))
    after = sealed(sealer, workspace, STREAMS + 303)

    for said in (before, after):
        proved = heads_parts.prove(sealer, workspace, said.size, [f"p {named[0]}", f"s {named[0]}", f"s {named[-1]}"])
        assert holds(said, proved)
    assert before.root != after.root


def test_only_the_parts_are_read_that_are_asked_for(sealer, owner, workspace, named):
    """What was changed elsewhere is not noticed; in the part itself it is, and then all is read."""
    said = sealed(sealer, workspace, STREAMS + 2)
    first, *_, last = sorted(named)

    owner.execute(ALTERED, [workspace, first])

    assert holds(said, heads_parts.prove(sealer, workspace, said.size, [f"s {last}"]))
    assert not holds(said, heads_parts.prove(sealer, workspace, said.size, [f"s {first}"]))


@pytest.mark.parametrize("id_", [UUID(int=0), UUID(int=2**128 - 1)])
def test_what_is_before_or_behind_all_is_not_proved(sealer, workspace, named, id_):
    size = sealed(sealer, workspace, STREAMS + 2).size

    for name in (f"p {id_}", f"s {id_}"):
        with pytest.raises(NotFoundError, match=f"Not in the log up to {size}: {name}"):
            heads_parts.prove(sealer, workspace, size, [name, f"s {named[0]}"])


def test_parts_are_kept_of_the_newest_maps(sealer, owner, workspace, begun):
    sizes = [sealed(sealer, workspace, begun.fill(1)).size for _ in range(heads_parts.KEPT + 3)]

    kept = owner.execute("SELECT size FROM ledger.heads_parts WHERE workspace_id = %s ORDER BY size", [workspace])

    assert [size for (size,) in kept] == sizes[3:]


def test_a_new_epoch_forgets_them(sealer, owner, workspace, begun):
    sealed(sealer, workspace, begun.fill(3))

    heads_tables.advance(sealer, workspace, 2, 4)

    count = owner.execute("SELECT count(*) FROM ledger.heads_parts WHERE workspace_id = %s", [workspace])
    assert count.fetchall() == [(0,)]
