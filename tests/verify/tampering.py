"""Bundles that whoever holds the sealer's key could make: every hash and signature right, over crafted contents.

A seed makes one. Its lines are crafted before they are signed, the heads map after; then files of the bundle, before the manifest
that names them, which the log then vouches for.
"""

import gzip
import json
import random
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from crm_es.exports.files import compressed, line, pretty
from crm_es.ledger.checkpoint import sign
from tests.verify.conftest import KINDS, scope_of
from tests.verify.crafted import FORGERIES, LINES, NUMBERS, Crafted, craft
from tests.verify.house import bundle
from tests.verify.mutations import Case


def text_of(case: Case, name: str, chance: random.Random) -> bytes:
    """Its text with something that readers of JSON read differently."""
    text = case.read(name)
    numbers = [at for at in range(1, len(text)) if text[at : at + 1].isdigit() and text[at - 1 : at] == b" "]
    at = chance.choice(numbers or [0])
    end = next((n for n in range(at, len(text)) if not text[n : n + 1].isdigit()), at)
    ways = [
        b"\xef\xbb\xbf" + text, text.replace(b"\n", b"\r\n"), text.replace(b"\n", b""), text[:-1], text + b"\n",
        text.replace(b'": ', b'":'),
        *(text[:at] + number.encode() + text[end:] for number in NUMBERS), text.replace(b"a", b"\\u0061", 1),
        b"[" * 400 + b"]" * 400 + b"\n", b'{"a": ' * 5000 + b"1" + b"}" * 5000 + b"\n", b"", b"null\n", b"[]\n", b'""\n',
        b"\xff\n",
    ]  # fmt: skip
    return chance.choice(ways)


ODD: list[Any] = [
    None, True, False, 0, 1, -1, 10**15, 1 << 53, "", "x", "1", "\U0001f642", "\uff5e", [], {}, [1], [[]], [None], {"a": 1},
]  # fmt: skip
ODD += [
    "constructor", "__proto__", {"__proto__": [1]}, [[1, 1], [1, 9]], [[9, 1]], [[True, 2]], "s x 1 1", "p x 1 " + "0" * 64,
    "AA==", "AB==",
]  # fmt: skip
ODD += [
    "../../etc/passwd", "/dev/zero", "events/000000.jsonl.gz", "events/", ".", "a\x00b", "e\u0301", "\u00e9", "s a\nb 1 1",
    "s x " + "9" * 17 + " 1",
]  # fmt: skip


def value_of(case: Case, name: str, chance: random.Random) -> bytes:
    """Something else at one place of it, or one thing twice."""
    value = json.loads(case.read(name))
    within, key = value, None
    while isinstance(within, dict | list) and within and (key is None or chance.random() < 0.85):
        outer, key = within, chance.choice(list(within) if isinstance(within, dict) else range(len(within)))
        within = outer[key]
    if key is not None:
        number = within if type(within) is int else 1
        outer[key] = chance.choice(
            [*ODD, number + 1, number - 1, number * 256, [within], [within, within], bool(within)]
        )
        if isinstance(outer, list) and chance.random() < 0.3:
            outer.append(within)
        elif isinstance(outer, dict) and chance.random() < 0.2:
            outer[chance.choice(["constructor", "__proto__", "a", "\U0001f642", "\uff5e"])] = outer.pop(key)
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def alter_a_file(case: Case, chance: random.Random) -> None:
    name = chance.choice(
        [name for name in case.names if name.endswith((".json", ".note")) and name != "consistency.json"]
    )
    case.write(
        name, chance.choice([text_of, value_of, value_of] if name.endswith("json") else [text_of])(case, name, chance)
    )


def alter_the_map(case: Case, chance: random.Random) -> None:
    name = "heads/map.txt.gz"
    if (case.directory / name).exists():
        lines = gzip.decompress(case.read(name)).splitlines(keepends=True)
        at = chance.randrange(len(lines) or 1)
        ways = [
            lines[:at], [*lines, b"\n"], [*lines, b"x"], [*lines[:at], b"\r\n", *lines[at:]], lines[::-1], [b"\n" * 70_000],
            [b"x" * 70_000],
        ]  # fmt: skip
        case.write(name, b"".join(compressed(chance.choice(ways))))


def alter_the_folder(case: Case, chance: random.Random) -> None:
    """A folder where a file should be, an empty one, a name that is no text, something else than a file."""
    name = chance.choice(case.names)
    path = case.directory / name
    way = chance.randrange(6)
    if way < 3:
        case.write(name, None)
        [path.mkdir, lambda: path.symlink_to("/dev/null"), lambda: None][way]()
    elif way == 3:
        (case.directory / "empty" / "more").mkdir(parents=True, exist_ok=True)
    elif way == 4:
        case.write(f"\udcff{chance.choice(['', '.note'])}", b"")
    else:
        case.write(
            chance.choice(["\ufffd", "rotations.note", "events/000000.jsonl.gz.bak", "views", "tiles/0/1"]), b"x"
        )


def alter_the_events(case: Case, chance: random.Random) -> None:
    """Of an events file what no signature holds: how it is compressed, what follows."""
    name = chance.choice([entry["path"] for entry in case.index] or ["MANIFEST.json"])
    data = case.read(name)
    ways = [
        data + b"x", data[:-8], data[:-4], data[:-9], data[: len(data) // 2], data[:9], b"", data[:10], data + data,
        gzip.compress(b""),
    ]  # fmt: skip
    ways += [
        b"".join(compressed([b"\n" * 200_000, b"x" * 200_000])),
        b"".join(compressed([b"x" * 65_535, b"\n", b"x" * 65_536, b"\n"])),
    ]
    ways += [data[:-8] + bytes(8), b"\x1f\x8b\x08\x00" + data[4:9] + b"\x03" + data[10:]]
    case.write(name, chance.choice(ways))


FILES = [alter_a_file, alter_a_file, alter_a_file, alter_a_file, alter_the_map, alter_the_folder, alter_the_events]


def vouch(case: Case) -> None:
    """The manifest names what is there now."""
    manifest = json.loads(case.read("MANIFEST.json"))
    for entry in manifest["files"]:
        if (case.directory / entry["path"]).is_file():
            data = case.read(entry["path"])
            entry.update(size=len(data), sha256=sha256(data).hexdigest())
    case.write("MANIFEST.json", pretty({**manifest, "custody": case.custody}))


def complete(case: Case, size: int, chance: random.Random) -> None:
    """The log vouches for the manifest as it is."""
    house = case.house
    data = {"manifest_sha256": sha256(case.read("MANIFEST.json")).hexdigest()}
    odd = chance.choice(
        [*[None] * 5, {"version": 1.0}, {"type": 1}, {"schema": float("nan")}, {"version": True}, {"x": 10**400}]
    )
    house.heads.pop(house.export, None)
    last = house.append(house.export, "export.completed", data, more=odd)
    step = {"position": last, "event": house.states[-1].decode(), "proof": encoded(house.tree.inclusion(last, last))}
    text = line(step)
    case.write(
        "custody.jsonl",
        chance.choice(
            [*[text] * 9, text[:-1], text + b"\n", text.replace(b":1", b":1.0", 1), text.replace(b":", b": ", 1)]
        ),
    )
    case.write("consistency.json", pretty({"from": size, "to": last, "hashes": encoded(house.tree.growth(size, last))}))
    case.write("CHECKPOINT", house.note(last).encode())


def encoded(hashes: list[bytes]) -> list[str]:
    return [b64encode(one).decode() for one in hashes]


def sign_otherwise(case: Case, chance: random.Random) -> None:
    """A note with more, or less, than its one signature."""
    house, note = case.house, case.read("CHECKPOINT").decode()
    text, _, signed = note.rpartition("\n\n")
    strange = house.key()
    other = sign(house.checkpoint(house.size), strange).rpartition("\n\n")[2]
    raw = bytearray(strange.sign(text.encode() + b"\n"))
    ours = signed.split(" ")[-1]
    collision = b64encode(b64decode(ours)[:4] + raw).decode()
    start = f"\u2014 {house.origin} "
    ways = [
        f"{text}\n\n{signed}{other}", f"{text}\n\n{other}{signed}", f"{text}\n\n{signed}{signed}",
        f"{text}\n\n{start}{collision}\n",
        f"{text}\n\n{signed}{start}{'A' * 100_000}\n", f"{text}\n\n{start}AAAAAAA=\n", f"{text}\nmore\n\n{signed}",
        f"{text}\n\n{signed}\n",
        f"{text}\n\n{signed[:-1]}", f"{text}\r\n\n{signed}", f"{text}\n\n", "", "\n\n", f"\ufeff{note}",
        note.replace("\u2014", "-"), note * 2,
        f"{text}\n\n{signed[:-2]}\n", note.replace("=\n", "==\n"), note.replace("\n", "\n0", 1), note.replace("\n", "\n-", 1),
    ]  # fmt: skip
    case.write("CHECKPOINT", chance.choice(ways).encode())


class Made:
    """The bundle of a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        house, self.chance = Crafted(seed, epoch=1 + (seed % 4 == 3)), random.Random(seed)
        chance, self.tricks, kind = self.chance, [], KINDS[seed % 5]  # type: random.Random, list[str], str
        house.grow(chance.randrange(4, 40))
        for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
            trick = chance.choice(LINES)
            self.tricks.append(trick.__name__)
            craft(house, trick)
            house.grow(chance.randrange(3))
            house.rotate() if chance.random() < 0.15 else None
        house.forge = chance.choice([None] * 6 + FORGERIES)
        scope = scope_of(house, kind)
        contents = bundle(house, folder / "bundle", scope, per_file=chance.choice([7, 64]), custody=False, later=0)
        self.size, self.states = contents.tree_size, list(house.states)
        self.case, self.forged = Case(house, folder / "bundle", kind, custody=False), house.forged
        self.case.pinned = chance.randrange(-len(house.keys), 0)
        self.tricks += [house.forge.__name__] if house.forge else []

    def alter(self) -> None:
        """Files of it, and what vouches for them."""
        case, chance, house = self.case, self.chance, self.case.house
        trick = chance.choice(FILES)
        self.tricks.append(trick.__name__)
        trick(case, chance)
        case.custody = chance.random() < 0.5 and case.kind != "log"
        if "MANIFEST.json" not in case.before and (case.directory / "MANIFEST.json").is_file():
            vouch(case)
        if case.custody and (case.directory / "MANIFEST.json").is_file():
            complete(case, self.size, chance)
        if chance.random() < 0.1 and (case.directory / "CHECKPOINT").is_file():
            self.tricks.append("sign_otherwise")
            sign_otherwise(case, chance)
        del house.states[len(self.states) :], house.tree.leaves[len(self.states) :]

    def undo(self) -> None:
        self.case.undo()
        self.case.custody = False
