"""The columns by which an event is found are what its signed bytes say: the database takes none that says otherwise."""

import re
from uuid import UUID, uuid4

import psycopg
import pytest

from crm_es.eventstore.codec import HOLE
from tests.ledger.logs import Writer

OTHER = UUID(int=0xABC)
VIA = f'"via":"{OTHER}"'.encode()


@pytest.fixture
def workspace():
    return uuid4()


@pytest.fixture
def writer(shared_database, workspace):
    return Writer(shared_database.app, workspace)


def replaced(pattern, by):
    return lambda state: re.sub(pattern, by, state, count=1)


MISFILED = {
    "stream": replaced(rb'"stream":"[^"]*"', f'"stream":"{OTHER}"'.encode()),
    "type": replaced(rb'"type":"deal.won"', b'"type":"deal.lost"'),
    "type alike": replaced(rb'"type":"deal.won"', b'"type":"deal_won"'),
    "version": replaced(rb'"version":1', b'"version":2'),
    "workspace": replaced(rb'"workspace":"[^"]*"', f'"workspace":"{OTHER}"'.encode()),
    "a key after": replaced(rb"}$", b',"type":"deal.lost"}'),
    "a key between": replaced(rb',"via":null', b',"type":"deal.lost","via":null'),
    "a key in via": replaced(rb'"via":null', b'"via":"a","type":"deal.lost","q":"zzzzzzzzz"'),
    "another via": replaced(rb'"via":null', b'"via":7'),
    "a via that is no id": replaced(rb'"via":null', f'"via":"{str(OTHER).upper()}"'.encode()),
    "no via": replaced(rb',"via":null', b""),
    "no schema": replaced(rb'"schema":1,', b""),
    "another schema": replaced(rb'"schema":1', b'"schema":"1"'),
    "escapes": replaced(rb'"type":"deal.won"', rb'"type":"\\u0064eal.won"'),
    "spaces": replaced(rb'"version":1', b'"version": 1'),
    "a line": replaced(rb"}$", b"}\n"),
    "what is no text": replaced(rb"}$", b'\xff"}'),
}


@pytest.mark.parametrize("written", MISFILED.values(), ids=MISFILED)
def test_what_says_that_it_stands_elsewhere_is_not_taken(writer, written):
    with pytest.raises((psycopg.errors.InvalidParameterValue, psycopg.errors.CharacterNotInRepertoire)):
        writer.append((uuid4(), "deal.won", {"a": 1}), written=written)


@pytest.mark.parametrize(
    "written",
    [
        lambda state: state,
        replaced(rb'"via":null', VIA),
        replaced(rb'"schema":1', b'"schema":2'),
        lambda state: replaced(rb'"schema":1', b'"schema":12')(replaced(rb'"via":null', VIA)(state)),
    ],
    ids=["as usual", "via", "schema", "both"],
)
def test_what_says_where_it_stands_is_taken(writer, written):
    stream, said = uuid4(), ',"recorded_at":"x","schema":1,"stream":"y"}'

    first = writer.append((stream, "deal.opened", {"said": said, "你": "好"}), written=written)
    second = writer.append((stream, "deal.won", {}), (uuid4(), "deal.opened", {}), written=written)

    assert (first, second) == (1, 3)


@pytest.mark.parametrize("name", [b"a", b"recorded_if"])
def test_the_time_is_where_the_bytes_have_it(writer, name):
    """The hole is said by whoever appends: elsewhere than in `recorded_at` the time that is signed would be invented."""
    invented, hole = b'"recorded_at":"2001-01-01T00:00:00.000000Z"', HOLE.encode()

    def elsewhere(state):
        return state.replace(b'"recorded_at":"%b"' % hole, invented).replace(b'"a":1', b'"%b":"%b"' % (name, hole))

    with pytest.raises(psycopg.errors.InvalidParameterValue, match="do not say what its columns do"):
        writer.append((uuid4(), "deal.won", {"a": 1}), written=elsewhere, hole=lambda state: state.index(hole))
