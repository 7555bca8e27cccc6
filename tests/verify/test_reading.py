"""What is read from bytes, a batch at a time, is what a JSON parser reads: whatever stands in the data, and however a line is
written."""

import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crm_es.exports.files import compressed
from crm_es.ledger.crm_verify import MASK, Events, EventsJob, Lines, Reading
from tests.verify.conftest import written
from tests.verify.house import House, bundle
from tests.verify.judges import verdict
from tests.verify.mutations import Case, rehash

HOSTILE = [
    '","stream":"11111111-1111-4111-8111-111111111111","type":"contact.registered","version":1,"via":null,"workspace":"x"}',
    ',"recorded_at":"2026-01-01T00:00:00.000000Z","schema":1,"stream":"',
    ',"data":{"a":',
    ',"occurred_at":',
    '},"occurred_at":null,"origin":{},"reason":null,"recorded_at":"',
    "\\",
    '\\"',
    '"',
    "\\u0022",
    "\n\u2028\x00\x7f",
    "\\",
    "\N{GRINNING FACE}",
    "-" * 40,
    '"0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"',
]
KEYS = ["stream", "type", "version", "workspace", "data", "recorded_at", "occurred_at", "schema", "via", "a"]


def job(house: House) -> EventsJob:
    runs = [[1, max(house.size, 1)]]
    return EventsJob("", 0, runs, house.size, house.workspace, (0, ""), set(), house.size - 5, 1, None, False, "")


class AsJson(Reading):
    """Takes no short way."""

    def _as_usual(self, *_: Sequence[Any]) -> Events:
        raise ValueError


def read(house: House, states: Sequence[bytes], kind: type[Reading] = Reading) -> dict[str, Any]:
    """What is gathered, with every uuid taken for a contact."""
    reading = kind(job(house))
    reading._contacts = bytearray(b"\x01") * (MASK + 1)
    for start in range(0, len(states), 50):
        reading.read(states[start : start + 50])
    reading.finish()
    hidden = ("_ahead", "_job")
    found = {name: value for name, value in vars(reading).items() if name not in hidden}
    said = [(p.code, p.reason, p.where) for p in [*reading.problems, *reading.gaps]]
    return {**found, "problems": said, "gaps": [], "_mentions": sorted(reading._mentions)}


def nested(house: House, depth: int) -> Any:
    chance = house.chance
    if not depth:
        return chance.choice(
            [*HOSTILE, *HOSTILE, house.uuid(), house.uuid().upper(), *list(house.kinds)[:1], None, 1.5, True]
        )
    if chance.random() < 0.3:
        return [nested(house, depth - 1) for _ in range(chance.randrange(3))]
    names = [*KEYS, house.uuid(), *HOSTILE]
    return {chance.choice(names): nested(house, chance.randrange(depth)) for _ in range(chance.randrange(4))}


def hostile_house(seed: int) -> House:
    house = House(seed)
    for _ in range(300):
        house.grow(1)
        stream, kind = house.chance.choice(list(house.kinds.items()))
        house.append(stream, f"{kind}.told", {"data": nested(house, 4), "type": nested(house, 1)})
    return house


@pytest.mark.parametrize("seed", range(5))
def test_no_data_makes_an_event_say_anything_else(seed: int) -> None:
    house = hostile_house(seed)

    fast = read(house, house.states)

    assert fast == read(house, house.states, AsJson)
    assert not fast["problems"]
    assert fast["_streams"] == [json.loads(state)["stream"] for state in house.states]


def test_what_an_export_writes_is_read_without_json() -> None:
    house = House(1)
    house.grow(200)
    reading = Reading(job(house))

    assert len(reading._as_usual(house.states, range(1, 201)).streams) == 200


CORPUS = Path(__file__).parents[1] / "eventstore/corpus"


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_whatever_we_ever_recorded_is_read_without_a_parser(file: Path) -> None:
    """But for its data. Where this fails, HEAD and TAIL of the verifier have to learn the new form."""
    states = [json.loads(line)["state"].encode() for line in file.read_bytes().splitlines()]
    house = House(1)
    house.workspace = json.loads(states[0])["workspace"]

    events = Reading(job(house))._as_usual(states, range(1, len(states) + 1))

    assert list(events.kinds) == [json.loads(state)["type"] for state in states]


@pytest.mark.parametrize("seed", range(20))
def test_lines_end_before_one_that_is_longer_than_an_event(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sizes = chance.choices(
        [0, 5, 900, 32_766, 32_768, 65_534, 65_535, 65_536, 131_072], [1, 1, 1, 9, 9, 9, 9, 1, 1], k=12
    )
    lines = [chance.randbytes(size // 2).hex().encode().ljust(size, b"x") for size in sizes]
    (tmp_path / "lines").write_bytes(b"".join(compressed(line + b"\n" for line in lines)))
    found = Lines(tmp_path / "lines")
    long = next((at for at, size in enumerate(sizes) if size > 65_535), None)

    assert [line for batch in found for line in batch] == lines[:long]
    assert found.end == ("whole" if long is None else "damaged")


def spaced(event: dict[str, Any], _: random.Random) -> str:
    return json.dumps(event, sort_keys=True)


def turned(event: dict[str, Any], chance: random.Random) -> str:
    names = list(event)
    chance.shuffle(names)
    return json.dumps({name: event[name] for name in names}, separators=(",", ":"))


def lacking(event: dict[str, Any], chance: random.Random) -> str:
    gone = chance.choice(list(event))
    return json.dumps({name: value for name, value in event.items() if name != gone}, separators=(",", ":"))


def escaped(event: dict[str, Any], chance: random.Random) -> str:
    """Letters written as escapes, where JSON allows it."""
    text = json.dumps(event, separators=(",", ":"))
    at = chance.choice([at for at, letter in enumerate(text) if letter.isalpha() and text[at - 1] != "\\"])
    return f"{text[:at]}\\u{ord(text[at]):04x}{text[at + 1 :]}"


def changed(event: dict[str, Any], chance: random.Random) -> str:
    """A field that is not what it should be."""
    odd = [10, 0, -1, None, True, "", "1", 1 << 70, [], {"a": 1}, house_like(chance), '","stream":"']
    return json.dumps({**event, chance.choice(KEYS[:9]): chance.choice(odd)}, separators=(",", ":"))


def house_like(chance: random.Random) -> str:
    return "".join(chance.choice("0123456789abcdefABCDEF-") for _ in range(36))


def cut(event: dict[str, Any], chance: random.Random) -> str:
    text = json.dumps(event, separators=(",", ":"))
    return chance.choice([text[: chance.randrange(1, len(text))], "", "[]", "null", "{", f"{text}}}", f"{text} "])


@pytest.mark.parametrize("otherwise", [spaced, turned, lacking, escaped, changed, cut])
def test_a_line_that_is_written_otherwise_says_the_same(otherwise: Callable[..., str]) -> None:
    for seed in range(60):
        house = House(seed)
        house.grow(20)
        at = house.chance.randrange(20)
        lines = list(house.states)
        lines[at] = otherwise(json.loads(lines[at]), house.chance).encode()

        assert read(house, lines) == read(house, lines, AsJson), (seed, lines[at])


def test_versions_in_another_order_are_named_where_they_begin(tmp_path: Path) -> None:
    """In two files, so that only the whole shows it."""
    house, stream = House(5), House(6).uuid()
    house.grow(10)
    house.heads[stream] = (1, 0)
    first = house.append(stream, "deal.opened", {})
    house.grow(70)
    house.heads[stream] = (0, 0)
    house.append(stream, "deal.opened", {})
    bundle(house, tmp_path / "bundle", {"kind": "workspace"})

    code, said = verdict(Case(house, tmp_path / "bundle", "workspace", custody=True).words())

    assert (code, said["position"], said["version"]) == (1, first, 1)


def test_a_map_without_a_contact_is_what_is_wrong(tmp_path: Path) -> None:
    """Not the events, nor the heads that were sealed: though what the map names is what is looked for in the events."""
    case = written(tmp_path, 5, "workspace", events=300, custody=False, rotated=False)
    lines = gzip.decompress(case.read("heads/map.txt.gz")).splitlines(keepends=True)
    gone = next(line for line in lines if line.startswith(b"p ") and b" 1 " not in line)
    lines.remove(gone)
    case.write("heads/map.txt.gz", b"".join(compressed(lines)))
    rehash(case)

    code, said = verdict(case.words())

    assert (code, said["file"], said["position"]) == (1, "heads/map.txt.gz", None)
