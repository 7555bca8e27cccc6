"""What whoever holds the sealer's key could sign: events that nobody of ours writes, and maps of heads that are not theirs."""

import json
import random
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from tests.verify.house import DEEPEST, House, escapes, event_in

Event = dict[str, Any]
Trick = Callable[[Event, random.Random], bytes]


def written(value: Any, **ways: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, **ways).encode()


# -- lines


def plain(event: Event, _: random.Random) -> bytes:
    return written(event, sort_keys=True)


def spaced(event: Event, chance: random.Random) -> bytes:
    space = chance.choice(["\t", " ", "\r", "  \r"])
    text = json.dumps(event, sort_keys=True, separators=(f"{space},{space}", f"{space}:{space}"), ensure_ascii=False)
    return f"{chance.choice(['', space])}{text}{chance.choice(['', space])}".encode()


def turned(event: Event, chance: random.Random) -> bytes:
    names = list(event)
    chance.shuffle(names)
    return written({name: event[name] for name in names})


def lacking(event: Event, chance: random.Random) -> bytes:
    gone = chance.choice(list(event))
    return written({name: value for name, value in event.items() if name != gone}, sort_keys=True)


def escaped(event: Event, chance: random.Random) -> bytes:
    """A word of it, key or value, as JSON may write it."""
    word = chance.choice(["data", "stream", "recorded_at", "contact", str(event["stream"])[:9], str(event["version"])])
    return plain(event, chance).replace(word.encode(), escapes(word), chance.choice([1, 2, 9]))


NUMBERS = [
    "1.0", "1e0", "-0", "0", "-1", "1.5", "10", "9007199254740991", "9007199254740992", "1e999", "01", "1.", "+1", "NaN",
]  # fmt: skip
NUMBERS += [
    "Infinity", "-Infinity", "9" * 5000, "1" + "0" * 30, '"1"', "true", "null", "[1]", "1E+0", "0.1e1", "\u0661",
]  # fmt: skip


def counted(event: Event, chance: random.Random) -> bytes:
    """Numbers that readers of JSON read differently."""
    name = chance.choice(["version", "schema", "amount"])
    changed = {**event, "data": {**event["data"], "amount": "#"}} if name == "amount" else {**event, name: "#"}
    return plain(changed, chance).replace(b'"#"', chance.choice(NUMBERS).encode(), 1)


def odd(event: Event, chance: random.Random) -> bytes:
    """A field that is something else."""
    values = [
        None, True, "", "1", "x", [], {}, [event["stream"]], {"a": 1}, "\ud800", "__proto__", "constructor", 10**15, "\u00e9",
    ]  # fmt: skip
    values += [
        str(event["stream"]).upper(), "2026-01-01T00:00:00Z", "2026-0a-01T00:00:00.000000Z", "9999-99-99T99:99:99.999999Z",
    ]  # fmt: skip
    values += [
        "ledger.heads_sealed", "ledger.epoch_opened", "contact.", "contact.merged", "contact.released", "toString",
    ]  # fmt: skip
    return json.dumps(
        {**event, chance.choice(list(event)): chance.choice(values)}, sort_keys=True, separators=(",", ":")
    ).encode()


def nested(event: Event, chance: random.Random) -> bytes:
    """Keys of the envelope where they are none, with somebody named."""
    inner = {name: event[name] for name in chance.sample(list(event), chance.randrange(1, 6))}
    inner.setdefault(chance.choice(["data", "occurred_at", "recorded_at"]), [event["someone"]])
    place = chance.choice(["actor", "origin", "reason", "data", "aaa", "zzz", "occurred_at"])
    return written(
        {**event, place: chance.choice([inner, [inner], {"data": inner, "occurred_at": None}])}, sort_keys=True
    )


def twice(event: Event, chance: random.Random) -> bytes:
    """A key that is written twice: the last counts."""
    name = chance.choice(["data", "stream", "version", "type", "workspace", "recorded_at", "occurred_at"])
    value = chance.choice([event[name], None, {"contact_id": event["someone"]}, "x", 1])
    more = written({name: value})[1:-1]
    text = plain(event, chance)
    return b"{" + more + b"," + text[1:] if chance.random() < 0.5 else text[:-1] + b"," + more + b"}"


def naming(event: Event, chance: random.Random) -> bytes:
    """Somebody named, or not quite."""
    one = event["someone"]
    ways: list[Any] = [
        one, [one], {"a": {"b": [[one]]}}, {one: 1}, {one: one}, f'"{one}"', f'\\"{one}', f"{one}\n", one.upper(), f" {one}",
        one + "0",
        {"data": {}, "x": one}, {'a","data":{': one}, [f'x\\\\"{one}"'], {"": one, " ": [one]}, {"__proto__": one},
    ]  # fmt: skip
    text = plain({**event, "data": chance.choice(ways)}, chance)
    place = chance.choice([b"", b" ", b"\t"])
    return text.replace(b'":', b'"' + place + b":") if chance.random() < 0.5 else text


def broken(event: Event, chance: random.Random) -> bytes:
    """A fault of JSON somewhere, before an end that looks right."""
    text = bytearray(plain(event, chance))
    at = chance.randrange(len(text) - chance.choice([1, 200]))
    faults = [
        b"", b"{", b"}", b'"', b",", b"]", b"\\", b"\x00", b"\x1f", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b" ", b"\\u12",
        b"nul", b":", b"\t",
    ]  # fmt: skip
    text[at : at + chance.randrange(2)] = chance.choice(faults)
    return bytes(text).replace(b"\n", b"?")


def coded(event: Event, chance: random.Random) -> bytes:
    text = plain(event, chance)
    ways = [
        b"\xef\xbb\xbf" + text, text + b"\r", text.decode().encode("utf-16-le"), text + b"\x00", b"\x0b" + text, text + b"{}",
    ]  # fmt: skip
    return chance.choice(ways).replace(b"\n", b"?")


def deep(event: Event, chance: random.Random) -> bytes:
    levels = chance.choice([DEEPEST - 2, DEEPEST - 1, DEEPEST, 990, 3000, 20_000])
    first, last = chance.choice([("[", "]"), ('{"a":', "}"), ('{"b":{},"c":[],"a":', "}")])
    inner = first * levels + f'"{event["someone"]}"' + last * levels
    return plain({**event, "data": "#"}, chance).replace(b'"#"', inner.encode())


def long(event: Event, chance: random.Random) -> bytes:
    """As long as an event may be, or by one byte more."""
    text = plain({**event, "data": {"a": ""}}, chance)
    room = 65_535 - len(text) + chance.choice([0, 1, 200_000])
    return plain({**event, "data": {"a": "x" * room}}, chance)


def none(_: Event, chance: random.Random) -> bytes:
    return chance.choice([b"", b" ", b"null", b"[]", b"{}", b"1", b'"x"', b"\xff", b"[" * 5000, b"-", b'{"a"'])


def told(event: Event, chance: random.Random) -> bytes:
    """What a reader of the log looks at, saying something else."""
    values = [
        None, 0, "0", 1, "7", "007", -1, [], {}, "x", 1.5, [event["someone"]], {event["someone"]: 1}, [1, None], "9" * 17,
    ]  # fmt: skip
    names = [
        "size", "root", "leaves", "epoch", "lost_from", "lost_to", "absorbed_ids", "old_key", "new_key", "manifest_sha256",
    ]  # fmt: skip
    kinds = ["heads_sealed", "epoch_opened", "key_rotated", "contact.merged", "contact.released"]
    kind = chance.choice(kinds)
    data = {name: chance.choice(values) for name in names if chance.random() < 0.8}
    kind = kind if "." in kind else f"ledger.{kind}"
    return plain({**event, "type": kind, "data": chance.choice([data, data, data, None, []])}, chance)


HARMLESS = {"spaced", "turned", "nested", "naming"}
"""However it is written, and whoever is named in it, it is an event."""
LINES: list[Trick] = [
    spaced, turned, lacking, escaped, counted, counted, odd, odd, nested, nested, twice, naming, naming, broken, broken, coded,
    deep, long, none, told, told,
]  # fmt: skip


def craft(house: House, trick: Trick) -> None:
    """Another event, as the trick writes it; what it says is the next of its stream if it can be."""
    chance = house.chance
    contacts = [stream for stream, kind in house.kinds.items() if kind == "contact"] or [house.uuid()]
    stream = chance.choice([*house.kinds, house.uuid()])
    before = house.heads.get(stream)
    kind = house.kinds.get(stream, "deal")
    house.append(stream, f"{kind}.told", {"contact_id": chance.choice(contacts), "text": 'see "x"'})
    event = {**json.loads(house.states.pop()), "someone": chance.choice(contacts)}
    del house.tree.leaves[-1]
    state = trick(event, chance)
    house.states.append(state)
    house.tree.add(state)
    said = event_in(state)
    if not said or said["stream"] != stream:
        house.heads.pop(stream) if before is None else house.heads.update({stream: before})
    if said:
        house.heads[said["stream"]] = int(said["version"]), house.size


class Crafted(House):
    """Its sealer signs a map that is not of its events."""

    forge: Callable[[list[str], random.Random], list[str]] | None = None
    forged = False

    def leaves(self, size: int) -> list[str]:
        honest = super().leaves(size)
        leaves = self.forge([*honest], random.Random(self.seed)) if self.forge else honest
        self.forged = leaves != honest
        return leaves


def one_more_named(leaves: list[str], chance: random.Random) -> list[str]:
    people = [at for at, leaf in enumerate(leaves) if leaf[:1] == "p"]
    if people:
        at = chance.choice(people)
        kind, one, number, digest = leaves[at].split(" ")
        leaves[at] = f"{kind} {one} {int(number) + chance.choice([0, 1])} {sha256(digest.encode()).hexdigest()}"
    return leaves


def another_head(leaves: list[str], chance: random.Random) -> list[str]:
    at = chance.choice([at for at, leaf in enumerate(leaves) if leaf[:1] == "s"])
    kind, stream, version, position = leaves[at].split(" ")
    changed = [
        f"{int(version) + 1} {position}", f"{version} {int(position) + 1}", f"0{version} {position}", f"{version} 1",
    ]  # fmt: skip
    leaves[at] = f"{kind} {stream} {chance.choice(changed)}"
    return leaves


def another_order(leaves: list[str], chance: random.Random) -> list[str]:
    chance.shuffle(leaves)
    return leaves


def more_or_fewer(leaves: list[str], chance: random.Random) -> list[str]:
    at = chance.randrange(len(leaves))
    return chance.choice(
        [leaves[:at] + leaves[at + 1 :], [*leaves[:at], leaves[at], *leaves[at:]], [*leaves, "x y 1 1"], [*leaves, ""]]
    )


FORGERIES = [one_more_named, another_head, another_order, more_or_fewer]
