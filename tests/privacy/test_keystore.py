"""Keys: durable before they are used, gone when destroyed, never mistaken for erased."""

import secrets
import sqlite3
from contextlib import closing
from uuid import uuid4

import psycopg
import pytest

from crm_es.errors import ConfigurationError, KeyUnavailableError
from crm_es.eventstore.event import ERASED
from crm_es.privacy.keystore import BLOCK, FIRST_BLOCK, KeyStore, root_key
from tests.open_connections import none_left_open
from tests.waiting import eventually

ROOT = secrets.token_bytes(32)
PLACE = b"workspace|stream|1|data.name"


@pytest.fixture(params=["sqlite", "postgres"])
def location(request, tmp_path, shared_database):
    if request.param == "sqlite":
        yield tmp_path / "keys.sqlite"
        return
    url = shared_database.owner
    yield url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA crm_keys CASCADE")


@pytest.fixture
def keys(location):
    store = KeyStore.open(location, ROOT)
    yield store
    store.close()


@pytest.fixture
def workspace():
    return uuid4()


def reopened(location, root=ROOT):
    return KeyStore.open(location, root)


def test_a_key_store_that_refuses_us_is_left_alone(shared_database):
    with none_left_open(), pytest.raises(KeyUnavailableError, match="permission denied"):
        KeyStore.open(shared_database.app, ROOT)


def test_what_one_process_sealed_another_opens(keys, location, workspace):
    key = keys.take(workspace)
    sealed = key.seal(b"Ann", PLACE)

    other = reopened(location)

    assert other.key(key.id).open(sealed, PLACE) == b"Ann"
    other.close()


def test_a_key_is_durable_before_it_is_used(keys, location, workspace):
    taken = [keys.take(workspace).id for _ in range(FIRST_BLOCK + 5)]

    crashed_before_telling_anyone = reopened(location)

    assert set(crashed_before_telling_anyone.keys(taken)) == set(taken)
    assert len(set(taken)) == len(taken)
    crashed_before_telling_anyone.close()


def test_keys_that_sealed_nothing_are_given_back(location, workspace):
    store = KeyStore.open(location, ROOT)
    used = [store.take(workspace).id for _ in range(3)]
    spare = [key.id for key in store._spares[workspace]]
    store.close()

    again = reopened(location)

    assert set(again.keys(used)) == set(used)
    with pytest.raises(KeyUnavailableError):
        again.key(spare[0])
    again.close()


def test_two_processes_never_take_the_same_key(keys, location, workspace):
    other = reopened(location)

    one, two = ({store.take(workspace).id for _ in range(200)} for store in (keys, other))

    assert one.isdisjoint(two)
    other.close()


def test_a_busy_workspace_finds_a_whole_block_minted_beside_its_appends(keys, workspace):
    for _ in range(FIRST_BLOCK + 1):
        keys.take(workspace)

    eventually(lambda: keys.ready(workspace, BLOCK))
    for _ in range(BLOCK):
        keys.take(workspace)
    eventually(lambda: keys.ready(workspace, BLOCK))


def test_keys_taken_as_a_refill_ends_are_made_up_for(keys, workspace):
    taken = []

    class Ending(set):
        def discard(self, refilled):
            taken.extend(keys.take(workspace) for _ in range(0 if taken else FIRST_BLOCK))
            super().discard(refilled)

    keys._refilling = Ending()
    for _ in range(FIRST_BLOCK):
        keys.take(workspace)

    eventually(lambda: taken)
    eventually(lambda: keys.ready(workspace, BLOCK))


def test_a_quiet_workspace_owns_few_keys(keys, workspace):
    keys.take(workspace)

    assert keys.ready(workspace, FIRST_BLOCK - 1)
    assert not keys.ready(workspace, FIRST_BLOCK)


def test_a_destroyed_key_is_a_tombstone_for_everybody(keys, location, workspace):
    key, erasure = keys.take(workspace), uuid4()
    other = reopened(location)

    assert keys.destroy([key.id], erasure) == 1
    assert keys.destroy([key.id], erasure) == 0

    assert keys.key(key.id) is ERASED
    assert other.key(key.id) is ERASED
    other.close()


def test_a_key_cached_elsewhere_dies_with_the_cache(location, workspace):
    store, other = KeyStore.open(location, ROOT), KeyStore(KeyStore.open(location, ROOT)._rows, ROOT, cache_seconds=0.0)
    key_id = store.take(workspace).id
    assert other.key(key_id) is not ERASED

    store.destroy([key_id])

    assert other.key(key_id) is ERASED
    store.close()
    other.close()


def test_flushing_the_cache_shows_what_others_destroyed(keys, location, workspace):
    key_id = keys.take(workspace).id
    other = reopened(location)
    other.destroy([key_id])
    assert keys.key(key_id) is not ERASED

    keys.forget_cached()

    assert keys.key(key_id) is ERASED
    other.close()


def test_no_row_and_no_tombstone_is_unavailable(keys):
    with pytest.raises(KeyUnavailableError):
        keys.key(uuid4())


def test_the_wrong_root_key_opens_nothing(keys, location, workspace):
    key_id = keys.take(workspace).id
    stranger = reopened(location, secrets.token_bytes(32))

    with pytest.raises(KeyUnavailableError, match="CRM_ROOT_KEY"):
        stranger.key(key_id)
    stranger.close()


def test_a_sealed_value_opens_with_no_other_key(keys, workspace):
    one, two = keys.take(workspace), keys.take(workspace)

    with pytest.raises(KeyUnavailableError):
        two.open(one.seal(b"Ann", PLACE), PLACE)
    with pytest.raises(KeyUnavailableError):
        one.open(one.seal(b"Ann", PLACE), b"elsewhere")


def test_equal_values_hash_alike_in_one_workspace_and_differently_in_another(keys, location, workspace):
    other = reopened(location)

    assert keys.blind(workspace, "email", "a@x.io") == other.blind(workspace, "email", "a@x.io")
    assert keys.blind(workspace, "email", "a@x.io") != keys.blind(uuid4(), "email", "a@x.io")
    assert keys.blind(workspace, "ab", "c") != keys.blind(workspace, "a", "bc")
    assert keys.pepper() == other.pepper()
    other.close()


def test_nothing_readable_of_a_key_is_left_in_the_file(tmp_path, workspace):
    path = tmp_path / "keys.sqlite"
    store = KeyStore.open(path, ROOT)
    key_id = store.take(workspace).id
    wrapped = sqlite3.connect(path).execute("SELECT wrapped FROM key WHERE key_id = ?", [key_id.bytes]).fetchone()[0]

    store.destroy([key_id])

    for file in tmp_path.iterdir():
        assert wrapped not in file.read_bytes()
    store.close()


def test_a_key_that_lingers_in_the_write_ahead_log_is_not_destroyed_yet(tmp_path, workspace):
    path = tmp_path / "keys.sqlite"
    store = KeyStore.open(path, ROOT)
    key_id = store.take(workspace).id
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        store._rows._db.execute("PRAGMA busy_timeout = 10")
        reader.execute("BEGIN")
        wrapped = reader.execute("SELECT wrapped FROM key WHERE key_id = ?", [key_id.bytes]).fetchone()[0]

        with pytest.raises(KeyUnavailableError, match="read by another process"):
            store.destroy([key_id])
        assert store.key(key_id) is ERASED

    store.destroy([key_id])

    assert not any(wrapped in file.read_bytes() for file in tmp_path.iterdir())
    store.close()


def test_an_unreachable_store_is_unavailable():
    with pytest.raises(KeyUnavailableError):
        KeyStore.open("postgresql://nobody@127.0.0.1:1/none", ROOT)


def test_the_root_key_is_made_once_for_its_owner_alone(tmp_path):
    file = tmp_path / "data" / "root.key"

    first, second = root_key(file), root_key(file)

    assert (first, len(first)) == (second, 32)
    assert file.stat().st_mode & 0o777 == 0o600
    assert root_key(file, "ab" * 32) == b"\xab" * 32


@pytest.mark.parametrize("configured", ["", "short", "zz" * 32, "ab" * 31])
def test_a_root_key_that_is_none_is_refused(tmp_path, configured):
    with pytest.raises(ConfigurationError, match="CRM_ROOT_KEY"):
        root_key(tmp_path / "root.key", configured)


def test_keys_and_tombstones_are_known_and_nothing_else_is(keys, workspace):
    alive, dead, never = keys.take(workspace).id, keys.take(workspace).id, uuid4()
    keys.destroy([dead])

    assert keys.known([alive, dead, never]) == {alive, dead}


def test_a_closed_store_gives_no_keys(location, workspace):
    store = KeyStore.open(location, ROOT)
    store.close()

    with pytest.raises(KeyUnavailableError):
        store.take(workspace)
