"""The tree from tiles against RFC 6962's own definition, around every size at which a tile or a level ends."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_es.ledger.merkle import HASH, Growing, Tile, edge_of, leaf_hash, tiles_of
from crm_es.ledger.proofs import consistency_proof, inclusion_proof, root, tiles_for_leaf
from tests.ledger import rfc6962

# Certificate transparency's own vectors: eight leaves, the root after each.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = st.one_of(st.integers(1, 40), st.sampled_from([255, 256, 257, 511, 512, 513, 768]), st.integers(1, 1500))
LARGE = 2 * 256 * 256 + 3 * 256 + 7  # three levels of tiles


def entries_of(count):
    return [b"%d" % i for i in range(count)]


def grown(count):
    """A tree with all its tiles, the newest bytes of each."""
    tree = Growing()
    tree.add(leaf_hash(entry) for entry in entries_of(count))
    return tree, dict(tree.take())


def reader_of(tiles):
    kept = {(tile.level, tile.number): hashes for tile, hashes in tiles.items()}
    return lambda tile: kept[tile.level, tile.number][: tile.width * HASH]


@pytest.fixture(scope="module")
def large():
    tree, tiles = grown(LARGE)
    return tree, tiles, reader_of(tiles)


def test_the_roots_are_those_of_certificate_transparency():
    tree = Growing()
    for leaf, expected in zip(LEAVES, ROOTS, strict=True):
        tree.add([leaf_hash(bytes.fromhex(leaf))])
        assert tree.root().hex() == expected


def test_an_empty_log_has_the_hash_of_nothing_for_a_root():
    assert Growing().root() == rfc6962.mth([])


@settings(deadline=None, max_examples=40)
@given(SIZES, st.data())
def test_tree_and_proofs_are_those_of_the_definition(size, data):
    entries = entries_of(size)
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(0, size))
    tree, tiles = grown(size)
    read = reader_of(tiles)

    assert tree.root() == root(read, size) == rfc6962.mth(entries)
    assert set(tiles) == set(tiles_of(size))
    assert inclusion_proof(read, index, size) == rfc6962.path(index, entries)
    assert consistency_proof(read, first, size) == (rfc6962.proof(first, entries) if first else [])


@settings(deadline=None, max_examples=30)
@given(SIZES, st.lists(st.integers(1, 300), max_size=6))
def test_a_tree_that_grows_by_pieces_and_restarts_is_the_same_tree(size, pieces):
    whole, _ = grown(size + sum(pieces))
    leaves = [leaf_hash(entry) for entry in entries_of(whole.size)]
    kept = {}
    tree = Growing()
    for upto in [size, *(size + sum(pieces[: n + 1]) for n in range(len(pieces)))]:
        tree = Growing(tree.size, [(tile, kept[tile.level, tile.number]) for tile in edge_of(tree.size)])
        tree.add(leaves[tree.size : upto])
        kept |= {(tile.level, tile.number): hashes for tile, hashes in tree.take()}

    assert tree.root() == whole.root()
    assert all(len(kept[tile.level, tile.number]) == tile.width * HASH for tile in tiles_of(whole.size))


def test_proofs_across_three_levels_of_tiles_hold(large):
    tree, _, read = large
    dice = random.Random(1)  # noqa: S311
    for index in [0, 255, 256, 65535, 65536, LARGE - 1, *(dice.randrange(LARGE) for _ in range(50))]:
        size = dice.randint(index + 1, LARGE)
        leaf = leaf_hash(b"%d" % index)
        assert rfc6962.included(leaf, index, size, inclusion_proof(read, index, size), root(read, size))
        assert rfc6962.consistent(
            index, size, root(read, index), root(read, size), consistency_proof(read, index, size)
        )
    assert root(read, LARGE) == tree.root()


def test_a_leafs_own_tiles_and_the_right_edge_are_enough_for_its_proof(large):
    _, tiles, read = large
    dice = random.Random(2)  # noqa: S311
    for size in [1, 256, 257, 65536, 65537, 66000, LARGE, *(dice.randint(1, LARGE) for _ in range(30))]:
        index = dice.randrange(size)
        allowed = {*tiles_for_leaf(index, size), *edge_of(size)}

        def only(tile, allowed=allowed):
            assert tile in allowed
            return read(tile)

        inclusion_proof(only, index, size)
        assert allowed <= {*tiles_of(size)}
    assert tiles


def test_tiles_are_named_as_c2sp_names_them():
    assert Tile(0, 1234067).path == "tile/0/x001/x234/067"
    assert Tile(2, 7, 5).path == "tile/2/007.p/5"
    assert Tile(1, 1000).path == "tile/1/x001/000"


def test_a_wrong_edge_is_refused():
    tree, tiles = grown(300)
    edge = [(tile, tiles[tile]) for tile in edge_of(tree.size)]

    with pytest.raises(ValueError, match="right edge"):
        Growing(300, edge[:1])
    with pytest.raises(ValueError, match="bytes"):
        Growing(300, [(tile, hashes[:-1]) for tile, hashes in edge])


def test_there_are_no_proofs_beyond_the_tree(large):
    read = large[2]

    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(read, 5, 5)
    with pytest.raises(ValueError, match="cannot begin"):
        consistency_proof(read, 6, 5)
