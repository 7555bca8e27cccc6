"""Ways to falsify a bundle in place, each with the verdict that it must get; every one can be undone."""

import gzip
import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from crm_es.exports.files import GZIP_HEADER, compressed, line, pretty
from crm_es.ledger.checkpoint import Checkpoint, sign, vkey
from tests.verify.house import House

UNBOUND = ("consistency.json", "custody.jsonl", "ORIGIN", "PUBLIC_KEY")


@dataclass
class Case:
    """A written bundle. `pinned` is the number of the key that the verifier is told."""

    house: House
    directory: Path
    kind: str
    custody: bool
    pinned: int = -1

    def __post_init__(self) -> None:
        self.before: dict[str, bytes | None] = {}
        self.names = sorted(p.relative_to(self.directory).as_posix() for p in self.directory.rglob("*") if p.is_file())
        self.index = json.loads(self.read("events/index.json"))["files"]

    def read(self, name: str) -> bytes:
        return (self.directory / name).read_bytes()

    def write(self, name: str, data: bytes | None) -> None:
        path = self.directory / name
        self.before.setdefault(name, path.read_bytes() if path.is_file() else None)
        if path.is_dir():
            path.rmdir()
        if data is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(data)

    def vouched(self, name: str) -> bool:
        """Nothing vouches for the words of a manifest that the log does not bind, as --no-custody accepts."""
        return self.custody or name != "MANIFEST.json"

    def undo(self) -> None:
        for name, data in self.before.items():
            path = self.directory / name
            if path.is_dir():
                path.rmdir()
            if data is None or path.is_symlink():
                path.unlink(missing_ok=True)
            if data is not None:
                path.write_bytes(data)
        self.before.clear()

    def words(self, *mode: str) -> list[str]:
        """For the command line."""
        key = self.directory.parent / f"{self.directory.name}.key{self.pinned}"
        key.write_text(vkey("any name", self.house.public(self.pinned)))
        bound = [] if self.custody else ["--no-custody"]
        return [
            *(mode or ("full",)),
            str(self.directory),
            "--origin",
            self.house.origin,
            "--public-key",
            str(key),
            *bound,
        ]

    def positions(self, file: int) -> list[int]:
        return [p for first, last in self.index[file]["positions"] for p in range(first, last + 1)]

    def events_file(self, chance: random.Random) -> tuple[str, list[bytes], list[int]]:
        number = chance.randrange(len(self.index))
        name = self.index[number]["path"]
        return name, gzip.decompress(self.read(name)).splitlines(keepends=True), self.positions(number)


@dataclass(frozen=True)
class Verdict:
    code: int
    position: int | None = None
    file: str | Sequence[str] | None = None
    version: int | None = None

    def is_of(self, said: dict[str, Any], code: int) -> bool:
        files = (self.file,) if self.file is None or isinstance(self.file, str) else tuple(self.file)
        where = said["position"] == self.position and said["file"] in files
        return code == self.code and where and (self.version is None or said["version"] == self.version)


def of_file(case: Case, name: str, *, gone: bool = False) -> Verdict:
    """What an altered or a missing file outside events/ must be called."""
    if name.startswith("rotations/"):
        stem = name.rpartition(".")[0]
        if case.pinned == 0 and gone and name.endswith(".note"):
            return Verdict(3, file="CHECKPOINT")
        return Verdict(2 if gone else 1, file=(f"{stem}.note", f"{stem}.json"))
    if name == "CHECKPOINT":
        return Verdict(3, file=name)
    return Verdict(2 if gone else 1, file=name)


def first_wrong(case: Case, name: str, data: bytes) -> Verdict:
    """What a damaged events file must be called, by another reading of it than the verifier's."""
    number = next(at for at, entry in enumerate(case.index) if entry["path"] == name)
    right, positions = gzip.decompress(case.before[name] or b"").split(b"\n")[:-1], case.positions(number)
    inflating, text = zlib.decompressobj(-15), b""
    try:
        for at in range(len(GZIP_HEADER), len(data)):
            text += inflating.decompress(data[at : at + 1])
    except zlib.error:
        pass
    lines = text.split(b"\n")[:-1]
    wrong = next((at for at, line in enumerate(right) if lines[at : at + 1] != [line]), None)
    whole = len(data) >= len(case.before[name] or b"")
    if wrong is None:
        return Verdict(1, positions[-1]) if len(lines) > len(right) else Verdict(1 if whole else 2, file=name)
    return Verdict(1 if whole or wrong < len(lines) else 2, positions[wrong])


# -- single files


def flip_a_bit(case: Case, chance: random.Random) -> Verdict:
    name = chance.choice([name for name in case.names if case.vouched(name)])
    data = bytearray(case.read(name))
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    case.write(name, bytes(data))
    return first_wrong(case, name, bytes(data)) if name.endswith(".jsonl.gz") else of_file(case, name)


def truncate(case: Case, chance: random.Random) -> Verdict:
    name = chance.choice([name for name in case.names if case.vouched(name)])
    data = case.read(name)[: chance.randrange(len(case.read(name)))]
    case.write(name, data)
    return first_wrong(case, name, data) if name.endswith(".jsonl.gz") else of_file(case, name)


def lose_a_file(case: Case, chance: random.Random) -> Verdict:
    name = chance.choice(case.names)
    case.write(name, None)
    if name.endswith(".jsonl.gz"):
        return Verdict(2, case.positions(int(name[7:13]))[0])
    return of_file(case, name, gone=True)


def add_a_file(case: Case, chance: random.Random) -> Verdict:
    name = chance.choice(
        ["events/999999.jsonl.gz", "tiles/0/x001/000", "heads/more.json", "hidden", "views/contacts.csv"]
    )
    case.write(name, chance.randbytes(9)) if (case.directory / name).parent.exists() else case.write("more", b"")
    return Verdict(1, file=next(iter(case.before)))


def lengthen(case: Case, chance: random.Random) -> Verdict:
    """White space, or an empty line, where it means nothing to most readers."""
    kept = [name for name in case.names if not name.startswith(("events/0", "tiles/", "rotations/"))]
    name = chance.choice([name for name in kept if case.vouched(name)])
    case.write(name, case.read(name) + chance.choice([b"\n", b" ", b"\r\n", b"\x00"]))
    return of_file(case, name)


def compress_otherwise(case: Case, chance: random.Random) -> Verdict:
    name, lines, _ = case.events_file(chance)
    data = gzip.compress(b"".join(lines), chance.choice([1, 9]), mtime=chance.randrange(1, 9))
    case.write(name, data)
    return Verdict(1, file=name)


def swap_tiles(case: Case, chance: random.Random) -> Verdict | None:
    tiles = [name for name in case.names if name.startswith("tiles/")]
    pairs = [(a, b) for a in tiles for b in tiles if a < b and case.read(a) != case.read(b)]
    if not pairs:
        return None
    one, other = chance.choice(pairs)
    first, second = case.read(one), case.read(other)
    case.write(one, second)
    case.write(other, first)
    return Verdict(1, file=(one, other))


# -- lines of events


def rewrite(case: Case, name: str, lines: Sequence[bytes]) -> None:
    case.write(name, b"".join(compressed(lines)))


def delete_an_event(case: Case, chance: random.Random) -> Verdict:
    name, lines, positions = case.events_file(chance)
    at = chance.randrange(len(lines))
    rewrite(case, name, lines[:at] + lines[at + 1 :])
    return Verdict(2, positions[at])


def remove_the_tail(case: Case, chance: random.Random) -> Verdict:
    name, lines, positions = case.events_file(chance)
    at = chance.randrange(len(lines))
    rewrite(case, name, lines[:at])
    return Verdict(2, positions[at])


def insert_an_event(case: Case, chance: random.Random) -> Verdict:
    name, lines, positions = case.events_file(chance)
    at = chance.randrange(len(lines) + 1)
    forged = lines[0].replace(b'"version":', b'"version":9')
    rewrite(case, name, [*lines[:at], forged, *lines[at:]])
    return Verdict(1, positions[min(at, len(positions) - 1)])


def duplicate_an_event(case: Case, chance: random.Random) -> Verdict:
    name, lines, positions = case.events_file(chance)
    at = chance.randrange(len(lines))
    rewrite(case, name, [*lines[: at + 1], *lines[at:]])
    return Verdict(1, positions[min(at + 1, len(positions) - 1)])


def swap_events(case: Case, chance: random.Random) -> Verdict | None:
    name, lines, positions = case.events_file(chance)
    if len(lines) < 2:
        return None
    a, b = sorted(chance.sample(range(len(lines)), 2))
    lines[a], lines[b] = lines[b], lines[a]
    rewrite(case, name, lines)
    return Verdict(1, positions[a])


def edit_an_event(case: Case, chance: random.Random) -> Verdict:
    """One byte, with every hash that needs no signature made to fit."""
    name, lines, positions = case.events_file(chance)
    at = chance.randrange(len(lines))
    edited = bytearray(lines[at])
    edited[chance.randrange(len(edited) - 1)] ^= 1 << chance.randrange(3)
    lines[at] = bytes(edited).replace(b"\n", b"?") + (
        b"" if edited.endswith(b"\n") and b"\n" not in edited[:-1] else b"\n"
    )
    if lines[at].endswith(b"?\n"):
        lines[at] = lines[at][:-2] + b"\n"
    rewrite(case, name, lines)
    if chance.random() < 0.5:
        rehash(case)
    return Verdict(1, positions[at])


def rehash(case: Case, **changes: Any) -> None:
    """Index and manifest as if the files were right."""
    index = json.loads(case.read("events/index.json"))
    for entry in index["files"]:
        entry["sha256"] = sha256(case.read(entry["path"])).hexdigest()
    case.write("events/index.json", pretty(index))
    manifest = json.loads(case.read("MANIFEST.json"))
    for entry in manifest["files"]:
        data = case.read(entry["path"])
        entry.update(size=len(data), sha256=sha256(data).hexdigest())
    case.write("MANIFEST.json", pretty({**manifest, **changes}))


# -- what was signed and promised


def sign_with_another_key(case: Case, chance: random.Random) -> Verdict:
    house, key = case.house, case.house.key()
    public = key.public_key().public_bytes_raw()
    case.write("CHECKPOINT", sign(house.checkpoint(size_of(case)), key).encode())
    if chance.random() < 0.5:
        case.write("PUBLIC_KEY", f"{vkey(house.origin, public)}\n".encode())
    return Verdict(3, file="CHECKPOINT")


def fork(case: Case, chance: random.Random) -> Verdict:
    """The house itself signs another history of the same size."""
    forked = Checkpoint(origin=case.house.origin, size=size_of(case), root=chance.randbytes(32))
    case.write("CHECKPOINT", sign(forked, case.house.keys[-1][1]).encode())
    return Verdict(1, file="CHECKPOINT")


def replay(case: Case, chance: random.Random) -> Verdict | None:
    """An older checkpoint, as honest as it is."""
    rotated = max(since for since, _ in case.house.keys)
    if rotated + 1 >= size_of(case):
        return None
    size = chance.randrange(rotated + 1, size_of(case))
    case.write("CHECKPOINT", case.house.note(size).encode())
    return Verdict(2, size + 1)


def other_log(case: Case, chance: random.Random) -> Verdict:
    """Signed by the right key, for another workspace."""
    origin = case.house.origin_base + case.house.uuid()
    given = Checkpoint(origin=origin, size=size_of(case), root=chance.randbytes(32))
    case.write("CHECKPOINT", sign(given, case.house.keys[-1][1]).encode())
    return Verdict(3, file="CHECKPOINT")


def change_the_manifest(case: Case, chance: random.Random) -> Verdict | None:
    if not case.custody:
        return None
    manifest = json.loads(case.read("MANIFEST.json"))
    changes: list[dict[str, Any]] = [
        {"purpose": "another"},
        {"requester": "somebody else"},
        {"position": manifest["position"] - 1},
        {"treeSize": manifest["treeSize"] + 1},
        {"counts": {"events": 0, "byType": {}}},
        {"scope": {"kind": "range", "from": 1, "to": 1}},
        {"files": manifest["files"][1:]},
        {"custody": False},
        {"more": 1},
    ]
    case.write("MANIFEST.json", pretty({**manifest, **chance.choice(changes)}))
    return Verdict(1, file="MANIFEST.json")


def drop_a_step(case: Case, chance: random.Random) -> Verdict | None:
    if not case.custody:
        return None
    steps = case.read("custody.jsonl").splitlines(keepends=True)
    del steps[chance.randrange(len(steps))]
    case.write("custody.jsonl", b"".join(steps))
    return Verdict(2, file="custody.jsonl")


def size_of(case: Case) -> int:
    return int(case.read("CHECKPOINT").split(b"\n")[1])


# -- what a bundle of one stream or subject leaves out, with everything else made to fit


def drop_from_proofs(case: Case, chance: random.Random) -> Verdict | None:
    """A stream of the subject that is not named any more."""
    if case.kind != "subject":
        return None
    proofs = json.loads(case.read("heads/proofs.json"))
    subject, streams = chance.choice(list(proofs["subjects"].items()))
    gone = chance.choice(streams)
    proofs["subjects"][subject] = [stream for stream in streams if stream != gone]
    proofs["leaves"] = [leaf for leaf in proofs["leaves"] if not leaf["leaf"].startswith(f"s {gone}")]
    case.write("heads/proofs.json", pretty(proofs))
    if case.custody:
        return Verdict(1, file="heads/proofs.json")
    rehash(case)
    return Verdict(2, file="heads/proofs.json")


def rewrite_custody(case: Case, chance: random.Random) -> Verdict | None:
    if not case.custody:
        return None
    steps = [json.loads(step) for step in case.read("custody.jsonl").splitlines()]
    event = json.loads(steps[-1]["event"])
    event["data"]["manifest_sha256"] = chance.randbytes(32).hex()
    steps[-1]["event"] = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    case.write("custody.jsonl", b"".join(map(line, steps)))
    return Verdict(1, file="custody.jsonl")


Mutation = Callable[[Case, random.Random], Verdict | None]
MUTATIONS: list[Mutation] = [
    flip_a_bit, flip_a_bit, flip_a_bit, truncate, lose_a_file, add_a_file, lengthen, compress_otherwise, swap_tiles,
    delete_an_event, remove_the_tail, insert_an_event, duplicate_an_event, swap_events, edit_an_event,
    sign_with_another_key, fork, replay, other_log, change_the_manifest, drop_a_step, drop_from_proofs, rewrite_custody,
]  # fmt: skip
