"""The heads map against its definition, read from the events alone; and its root in the log."""

import json
import threading
from hashlib import sha256
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_es.errors import NotFoundError, UnavailableError
from crm_es.ledger import heads, heads_parts, heads_tables
from crm_es.ledger.checkpoint import parse
from crm_es.ledger.heads_sealing import HeadsSealer
from crm_es.ledger.merkle import leaf_hash
from tests.ledger.logs import Writer, restore, snapshot
from tests.ledger.rfc6962 import included, mth
from tests.waiting import eventually


def values_in(data):
    if isinstance(data, dict):
        for value in data.values():
            yield from values_in(value)
    elif isinstance(data, list):
        for value in data:
            yield from values_in(value)
    elif isinstance(data, str):
        yield data


def defined(events, size):
    """(position, stream, version, topic, data) → every leaf, as the page of formats says it."""
    past = [event for event in events if event[0] <= size]
    first, last, belongs = {}, {}, {}
    for position, stream, version, topic, _ in past:
        last[stream] = (version, position)
        if topic.startswith("contact."):
            first.setdefault(str(stream), position)
    for position, stream, _, _, data in past:
        for subject in {*values_in(data), str(stream)}:
            if subject in first and first[subject] <= position:
                belongs.setdefault(subject, set()).add(str(stream))
    leaves = [f"s {stream} {version} {position}" for stream, (version, position) in last.items()]
    for subject, streams in belongs.items():
        joined = sha256("\n".join(sorted(streams)).encode()).hexdigest()
        leaves.append(f"p {subject} {len(streams)} {joined}")
    return sorted(leaves)


def recorded(connection, workspace):
    rows = connection.execute(
        "SELECT sequence, originator_id, originator_version, topic, convert_from(state, 'UTF8') FROM es.events"
        " WHERE workspace_id = %s ORDER BY sequence",
        [workspace],
    ).fetchall()
    return [(*row[:4], json.loads(row[4])["data"]) for row in rows]


WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'ledger.stream'::regclass"
IDS = [UUID(int=n << 90 | 7) for n in range(1, 7)]
TEXTS = st.one_of(
    st.sampled_from([str(id_) for id_ in IDS]),
    st.sampled_from(
        [f'"{IDS[0]}"', f'x"{IDS[1]}', f'\\"{IDS[2]}', str(IDS[0]).upper(), f"{IDS[1]} ", f'{IDS[2]}"', "\\"]
    ),
    st.text(max_size=5),
)
KEYS = st.one_of(st.sampled_from([str(id_) for id_ in IDS]), st.text(max_size=3))
DATA = st.recursive(
    TEXTS | st.integers(0, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
).map(lambda value: {"v": value})


@settings(max_examples=35)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 5), DATA), min_size=1, max_size=4), min_size=1, max_size=8),
    st.integers(0, 10_000),
    st.integers(1, 5),
)
def test_the_map_is_as_defined_at_every_size(shared_database, batches, cut, page):
    """Streams 0 to 2 are contacts; they may be named before they begin."""
    workspace = uuid4()
    writer = Writer(shared_database.app, workspace)
    own = {id_: UUID(int=workspace.int ^ id_.int) for id_ in IDS}

    def translated(value):
        text = json.dumps(value)
        for id_, mine in own.items():
            text = text.replace(str(id_), str(mine)).replace(str(id_).upper(), str(mine).upper())
        return json.loads(text)

    for batch in batches:
        writer.append(
            *((own[IDS[n]], "contact.updated" if n < 3 else "visit.recorded", translated(data)) for n, data in batch)
        )
    with (
        psycopg.connect(shared_database.sealer, autocommit=True) as connection,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr(heads_tables, "PAGE", page)
        events = recorded(connection, workspace)
        size = 1 + cut % len(events)
        for upto in (size, len(events)):
            heads_tables.advance(connection, workspace, 1, upto)
            for asked in {size, upto}:
                expected = defined(events, asked)
                assert list(heads.leaves(connection, workspace, asked)) == expected
                said, _ = heads_parts.summed(connection, workspace, asked)
                assert said.root == mth([leaf.encode() for leaf in expected]).hex()
                assert (said.leaves, said.streams + said.subjects) == (len(expected), len(expected))


def test_an_id_is_found_however_it_is_escaped():
    """Nobody hides an event from whom it names behind another way to write it."""
    escaped = "".join(f"\\u{ord(one):04x}" for one in str(IDS[0]))
    half = str(IDS[1])[:20] + "".join(f"\\u{ord(one):04X}" for one in str(IDS[1])[20:])
    state = f'{{"data":{{"a":["{escaped}"],"b":{{"c":"{half}"}},"\\u0020":"{IDS[2]}"}},"type":"deal.opened"}}'.encode()

    assert heads_tables.ids_in(state) == {str(id_).encode() for id_ in IDS[:3]}


@pytest.fixture
def named(begun):
    """Three contacts and visits to them."""
    people = sorted(uuid4() for _ in range(3))
    begun.append(*((person, "contact.registered", {"name": "x"}) for person in people))
    begun.append(*((uuid4(), "visit.recorded", {"contact_ids": [str(person)]}) for person in people for _ in range(2)))
    return people


@pytest.fixture
def sealer(shared_database):
    with psycopg.connect(shared_database.sealer, autocommit=True) as connection:
        yield connection


def test_leaves_are_proved(sealer, workspace, named):
    heads_tables.advance(sealer, workspace, 1, 10)
    said, _ = heads_parts.summed(sealer, workspace, 10)
    streams = heads.streams_of(sealer, workspace, named[1], 10)

    proved = heads_parts.prove(sealer, workspace, 10, [f"p {named[1]}", *(f"s {stream}" for stream in streams)])

    assert len(streams) == 3
    assert len(proved) == 4
    assert proved[0].leaf == heads.subject_leaf(named[1], streams)
    root = bytes.fromhex(said.root)
    for one in proved:
        assert included(leaf_hash(one.leaf.encode()), one.index, said.leaves, one.hashes, root)


def test_what_is_not_in_the_map_is_not_proved(sealer, workspace, named):
    heads_tables.advance(sealer, workspace, 1, 10)

    with pytest.raises(NotFoundError, match="Not in the log"):
        heads_parts.prove(sealer, workspace, 10, [f"p {named[1]}", f"p {uuid4()}"])


def test_a_map_that_is_not_made_yet_is_not_told(sealer, workspace, named):
    heads_tables.advance(sealer, workspace, 1, 9)

    with pytest.raises(UnavailableError, match="made anew"):
        list(heads.leaves(sealer, workspace, 10))
    assert named


def test_those_who_serve_see_the_map_of_their_own_workspace(shared_database, sealer, workspace, named):
    heads_tables.advance(sealer, workspace, 1, 10)

    for mine in (workspace, uuid4()):
        with psycopg.connect(shared_database.app) as connection:
            connection.execute("SELECT set_config('app.workspace', %s, false)", [str(mine)])
            connection.commit()
            if mine == workspace:
                assert heads_parts.summed(connection, workspace, 10) == heads_parts.summed(sealer, workspace, 10)
                assert heads.streams_of(connection, workspace, named[0], 10)
            else:
                assert heads.streams_of(connection, workspace, named[0], 10) == []


def test_the_map_is_sealed_on_demand_and_signed(here, database, writer, workspace):
    writer.fill(5)
    with here.sealing().running(), psycopg.connect(database.app, autocommit=True) as connection:
        connection.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
        asked = heads.request(connection, workspace)
        first = eventually(lambda: heads.answered(connection, workspace, asked))
        again = heads.request(connection, workspace)
        same = eventually(lambda: heads.answered(connection, workspace, again))
        writer.fill(1)
        third = heads.request(connection, workspace)
        later = eventually(lambda: heads.answered(connection, workspace, third))
        before = heads.newest(connection, workspace, 6)

    assert (first.size, first.position, first.leaves) == (5, 6, 5)
    assert same == first == before
    assert (later.size, later.position) == (7, 8)
    kinds = {size: kind for size, _, kind, _ in here.checkpoints(workspace)}
    assert kinds[6] == kinds[8] == "HEADS"
    notes = {parse(note)[0].size for (note,) in here.rows("SELECT note FROM ledger.note")}
    assert {6, 8} <= notes
    assert here.agrees(workspace) == 8


def test_checkpoints_are_signed_while_the_map_is_made_from_nothing(here, database, writer, workspace):
    """The map of a large log takes long. Here it takes until a lock is let go."""
    writer.fill(5)
    here.seal()
    with (
        here.sealing().running(),
        psycopg.connect(database.app, autocommit=True) as connection,
        psycopg.connect(here.owner) as holding,  # the last in, the first out: whoever waits for it goes on
    ):
        holding.execute("LOCK TABLE ledger.stream IN SHARE MODE")
        connection.execute("SELECT set_config('app.workspace', %s, false)", [str(workspace)])
        asked = heads.request(connection, workspace)
        eventually(lambda: here.rows(WAITING))
        for size in (6, 7, 8):
            writer.fill(1)
            eventually(lambda size=size: here.checkpoints(workspace)[-1][0] == size)
        meanwhile = heads.answered(connection, workspace, asked), here.rows(WAITING)
        holding.rollback()
        sealed = eventually(lambda: heads.answered(connection, workspace, asked))

    assert meanwhile[0] is None
    assert meanwhile[1]
    assert (sealed.size, sealed.position) == (5, 9)
    assert here.agrees(workspace) == 9


def test_the_map_is_sealed_now_and_then_where_the_log_grew(here, writer, workspace):
    writer.fill(5)
    here.seal()
    with psycopg.connect(here.url, autocommit=True) as connection:
        often = HeadsSealer(connection, interval=0)
        for _ in range(3):
            often.step(threading.Event())
        once = here.ledger_events(workspace)
        writer.fill(1)
        often.step(threading.Event())

    assert [data["size"] for _, _, data in once] == [5]
    assert [data["size"] for _, _, data in here.ledger_events(workspace)] == [5, 7]


def test_a_new_epoch_makes_the_map_anew(here, writer, workspace):
    writer.fill(5)
    here.seal()
    saved = snapshot(here)
    writer.fill(5)
    here.seal()
    with psycopg.connect(here.url, autocommit=True) as connection:
        HeadsSealer(connection).seal(workspace)
        here.seal()
        restore(here, saved)
        Writer(writer.url, workspace).fill(2)
        here.seal()

        size, position = HeadsSealer(connection).seal(workspace)
        here.seal()

        found = heads.newest(connection, workspace, size)
        leaves = list(heads.leaves(connection, workspace, size))
        assert leaves == defined(recorded(connection, workspace), size)
    assert (size, position) == (8, 9)
    assert found.position == 9
    assert found.root == mth([leaf.encode() for leaf in leaves])
