"""Verifies a bundle of crm_es offline. One file; needs Python 3.9 or later and `cryptography`, nothing else.

    python crm_verify.py full DIR --origin ORIGIN --public-key FILE        everything in the bundle
    python crm_verify.py since CHECKPOINT DIR --origin … --public-key …    the same, and that it continues this older checkpoint
    python crm_verify.py since CHECKPOINT DIR --new --log-only …           each new byte as it was signed, whatever it says
    python crm_verify.py sample 100 DIR --origin … --public-key …          a hundred events, chosen at random
    python crm_verify.py locate DIR OTHER                                  the first position at which two logs differ

Trust comes from ORIGIN and FILE alone: keep both outside the bundle. Exit codes: 0 all holds; 1 bytes contradict a signed
hash; 2 something promised is missing; 3 no valid signature, or unreadable. The last line printed is the verdict as JSON.
docs/bundle-format.md says what each file means; RFC 6962 what a root is.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import mmap
import os
import random
import re
import struct
import sys
import tempfile
import zlib
from bisect import bisect_right
from collections import Counter
from functools import cache, lru_cache
from itertools import accumulate, chain, groupby, islice, zip_longest
from operator import gt, itemgetter
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError as missing:  # Python's own exit code would be 1: tampered with
    if __name__ != "__main__":
        raise
    print(json.dumps({"result": "unverifiable", "position": None, "file": None, "reason": str(missing)}))
    sys.exit(3)

OK, TAMPERED, INCOMPLETE, UNVERIFIABLE = range(4)
RESULTS = ("ok", "tampered", "incomplete", "unverifiable")
LARGEST_STATE = 65_535
UNBOUND = {"MANIFEST.json", "CHECKPOINT", "consistency.json", "custody.jsonl", "ORIGIN", "PUBLIC_KEY"}
GZIP_HEADER = bytes.fromhex("1f8b08000000000000ff")
LARGEST_FILE = 1 << 28  # of those that are read whole
MOST_EVENTS = 65_536  # in a file
LARGEST_NUMBER = (1 << 53) - 1
DEEPEST = 600  # so far JSON is nested: a parser of Python's stops before a thousand
MAP = "heads/map.txt.gz"
NOTHING = {"scope": None, "upto": None, "sealed": None}
FEW = ("stream", "subject")  # scopes of which only what events say tells what belongs to them
WHOLE = "which positions are lost", "versions from file to file", "heads map", "counts of types"  # takes all events
UNREAD = (
    "whether each line is an event of this workspace", "recorded times", "versions", "heads map", "counts of types", "views"
)  # fmt: skip
Runs = Sequence[Sequence[int]]
sha256 = hashlib.sha256


class Problem(Exception):
    """What is wrong. `rank`: of two with one code the lower is named; 0 is an event that contradicts its signed hash."""

    def __init__(self, code: int, reason: str, *, rank: int = 3, **where: Any) -> None:
        super().__init__(code, reason)
        self.code, self.reason, self.where = code, reason, where
        self.rank = min(rank, 2) if where.get("position") else rank

    def __reduce__(self) -> Any:
        return _problem, (self.code, self.reason, self.rank, self.where)


def _problem(code: int, reason: str, rank: int, where: Dict[str, Any]) -> Problem:
    return Problem(code, reason, rank=rank, **where)


# -- Trees: RFC 6962 section 2.1; proofs as RFC 9162 sections 2.1.3.2 and 2.1.4.2 check them


LEAF, NODE, PAIRS = sha256(b"\x00"), sha256(b"\x01"), struct.Struct("64s")


def hashes_of(kind: Any, entries: Iterable[bytes]) -> bytes:
    """The hashes of leaves or of nodes, one after the other. To copy what has read the first byte is the fastest way."""
    copy, hashes = kind.copy, []
    for entry in entries:
        digest = copy()
        digest.update(entry)
        hashes.append(digest.digest())
    return b"".join(hashes)


def leaf_hash(entry: bytes) -> bytes:
    return hashes_of(LEAF, [entry])


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashes_of(NODE, [left + right])


def fold(row: bytes) -> bytes:
    """The root over hashes written one after the other; the last may stand for a smaller tree than the others."""
    while len(row) > 32:
        even = len(row) & -64
        row = hashes_of(NODE, chain.from_iterable(PAIRS.iter_unpack(row[:even]))) + row[even:]
    return row or sha256().digest()


def root_by_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> Optional[bytes]:
    if not 0 <= index < size:
        return None
    node, last, root = index, size - 1, leaf
    for sibling in proof:
        if not last:
            return None
        if node & 1 or node == last:
            root = node_hash(sibling, root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        node, last = node >> 1, last >> 1
    return None if last else root


def consistent(first: int, old: bytes, second: int, new: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `second` leaves begins with the tree of `first`."""
    if not 0 < first < second:
        return first == second and old == new and not proof
    hashes = list(proof) if first & (first - 1) else [old, *proof]
    if not hashes:
        return False
    node, last = first - 1, second - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    left = right = hashes[0]
    for sibling in hashes[1:]:
        if not last:
            return False
        if node & 1 or node == last:
            left, right = node_hash(sibling, left), node_hash(sibling, right)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            right = node_hash(right, sibling)
        node, last = node >> 1, last >> 1
    return not last and left == old and right == new


class Leaves:
    """The root over entries that come in batches, keeping one hash for each 4,096."""

    def __init__(self) -> None:
        self.count, self._row, self._blocks = 0, b"", b""

    def add(self, entries: Sequence[bytes]) -> None:
        self.count += len(entries)
        self._row += hashes_of(LEAF, entries)
        block = 4096 * 32
        end = len(self._row) // block * block
        self._blocks += b"".join(fold(self._row[at : at + block]) for at in range(0, end, block))
        self._row = self._row[end:]

    def root(self) -> bytes:
        return fold(self._blocks + fold(self._row)) if self._row else fold(self._blocks)


# -- Notes and keys: C2SP signed-note and tlog-checkpoint


class Note(NamedTuple):
    origin: str
    size: int
    root: bytes
    text: bytes
    signatures: List[bytes]


def decoded(text: str) -> bytes:
    """Base64 that could not have been written another way."""
    value = base64.b64decode(text, validate=True)
    if base64.b64encode(value).decode() != text:
        raise ValueError("not canonical base64")
    return value


def key_id(origin: str, key: bytes) -> bytes:
    return sha256(origin.encode() + b"\n\x01" + key).digest()[:4]


def vkey(origin: str, key: bytes) -> str:
    return f"{origin}+{key_id(origin, key).hex()}+{base64.b64encode(bytes([1]) + key).decode()}"


def vkey_bytes(text: str) -> bytes:
    """The key in a vkey; whose name it goes by does not matter."""
    _, _, encoded = text.split("+", 2)
    value = decoded(encoded)
    if value[:1] != b"\x01" or len(value) != 33:
        raise ValueError("not an Ed25519 vkey")
    return value[1:]


def pinned_key(data: bytes) -> bytes:
    if data.startswith(b"-----BEGIN"):
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415  # takes its time

        key = load_pem_public_key(data)
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("not an Ed25519 key")
        return key.public_bytes_raw()
    text = data.decode().strip(" \t\r\n")
    found = decoded(text) if len(text) == 44 else vkey_bytes(text)
    if len(found) != 32:
        raise ValueError("not 32 bytes")
    return found


def parse_note(data: bytes) -> Note:
    """Exactly what a log writes: three lines, an empty one, signatures under its own name. Raises ValueError."""
    text, _, signed = data.decode().partition("\n\n")
    origin, size, root = text.split("\n")
    lines = signed.split("\n")
    start = f"\N{EM DASH} {origin} "
    if not origin or size != str(int(size)) or not 0 <= int(size) <= LARGEST_NUMBER or len(decoded(root)) != 32:
        raise ValueError("not a checkpoint")
    if lines.pop() or not lines or not all(line.startswith(start) for line in lines):
        raise ValueError("not signed under its origin")
    signatures = [decoded(line[len(start) :]) for line in lines]
    return Note(origin, int(size), decoded(root), text.encode() + b"\n", signatures)


def signed_by(note: Note, *keys: bytes) -> bool:
    """By all of these keys in this order, and by nobody else."""
    if len(keys) != len(note.signatures):
        return False
    for key, signature in zip(keys, note.signatures):
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature[4:], note.text)
        except InvalidSignature:
            return False
        if signature[:4] != key_id(note.origin, key):
            return False
    return True


# -- The bundle and its small files


def canonical(value: Any, indent: Optional[int] = None) -> str:
    separators = (",", ": " if indent else ":")
    return json.dumps(value, sort_keys=True, indent=indent, separators=separators, ensure_ascii=False)


def whole(text: str) -> int:
    """The one kind of number there is: what every reader of JSON reads alike."""
    if abs(int(text)) > LARGEST_NUMBER:
        raise ValueError("too large a number")
    return int(text)


def levels(value: Any) -> int:
    """How far it is nested."""
    row, number = [value], 0
    while row:
        inner = [each.values() if isinstance(each, dict) else each for each in row if isinstance(each, (dict, list))]
        row, number = list(chain.from_iterable(inner)), number + bool(inner)
    return number


def written(data: bytes, name: str, indent: Optional[int] = 2) -> Any:
    """The value of JSON that has the one form in which it is written: of a file, or without indentation of a line."""
    try:
        value = json.loads(data, parse_int=whole, parse_float=whole, parse_constant=whole)
        end = "\n" if indent else ""
        right = levels(value) <= DEEPEST and data == f"{canonical(value, indent)}{end}".encode()
    except (ValueError, RecursionError):
        right = False
    if not right:
        raise Problem(TAMPERED, "is not JSON in the form it was written in", file=name)
    return value


def refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


PLAIN = json.JSONDecoder(parse_int=float, parse_constant=refused)  # numbers as every reader of JSON can hold them
SCAN: Callable[[str, int], Tuple[Any, int]] = json.JSONDecoder(parse_constant=refused).scan_once  # type: ignore[attr-defined]


def understood(data: bytes, form: Any) -> Any:
    """An event, however it is written. Raises ValueError where it is none of that form."""
    try:
        event = PLAIN.decode(data.decode())
    except RecursionError:
        raise ValueError("nested too deep") from None
    if levels(event) > DEEPEST or not fits(event, form):
        raise ValueError("does not say what it must")
    return event


def is_base64(value: Any) -> bool:
    with contextlib.suppress(ValueError, TypeError):
        return isinstance(value, str) and len(decoded(value)) >= 0
    return False


def is_whole(value: Any) -> bool:
    """However it is written: 1.0 is one too."""
    return type(value) in (int, float) and abs(value) <= LARGEST_NUMBER and value == int(value)


def is_number(value: Any) -> bool:
    """What the log writes as a number or, where it may grow large, as digits."""
    digits = isinstance(value, str) and re.fullmatch("[0-9]{1,15}", value)
    return bool(digits) or (is_whole(value) and value >= 0)


def is_number_or_none(value: Any) -> bool:
    return value is None or is_number(value)


def is_leaf(value: Any) -> bool:
    """Of the heads map."""
    form = "s [^ ]+ [0-9]{1,15} [0-9]{1,15}|p [^ ]+ [0-9]{1,15} [0-9a-f]{64}"
    return isinstance(value, str) and re.fullmatch(form, value) is not None


MANIFEST = {
    "format": int, "origin": str, "workspace": str, "scope": {"kind": str}, "position": int, "treeSize": int,
    "headsPosition": int, "headsRoot": str, "counts": {"events": int, "byType": {str: int}}, "custody": bool,
    "rotations": [int], "files": [{"path": str, "size": int, "sha256": str}],
}  # fmt: skip
SCOPES: Dict[str, Any] = {
    "workspace": {}, "log": {}, "range": {"from": int, "to": int}, "stream": {"id": str}, "subject": {"id": str},
}  # fmt: skip
INDEX = {"eventsPerFile": int, "files": [{"positions": [[int, int]]}]}
GROWTH = {"from": int, "to": int, "hashes": [is_base64]}
ROTATION = {"event": str, "proof": [is_base64], "consistency": [is_base64]}
STEP = {"position": int, "event": str, "proof": [is_base64]}
SEALED = {"position": int, "event": str}
HEADS = {"size": is_number, "root": str, "leaves": is_number}
PROOFS = {"leaves": [{"leaf": is_leaf, "index": int, "hashes": [is_base64]}], "subjects": {str: [str]}}
EPOCH = {"epoch": is_number, "lost_from": is_number_or_none, "lost_to": is_number_or_none}
TURN = {"type": str, "data": {"old_key": str, "new_key": str}}
TOLD = {"version": is_whole, "stream": str, "type": str}
COMPLETED = {"data": {"manifest_sha256": str}}
SEALING = {"data": HEADS, "workspace": str, "type": str, "recorded_at": str}
ABSORBED = {"absorbed_ids": [str]}


def fits(value: Any, form: Any) -> bool:
    """Whether a JSON value is of a type, or what a function says of it. A list: all of its one form, or each of its own.
    An object: with these names, or with `str` for any name."""
    if isinstance(form, type):
        return type(value) is form
    if isinstance(form, list):
        each = form * len(value) if type(value) is list and len(form) == 1 else form
        return type(value) is list and len(value) == len(each) and all(map(fits, value, each))
    if isinstance(form, dict):
        forms = dict.fromkeys(value, form[str]) if type(value) is dict and str in form else form
        return type(value) is dict and all(name in value and fits(value[name], forms[name]) for name in forms)
    return bool(form(value))


def formed(value: Any, form: Any, name: str) -> Any:
    if not fits(value, form):
        raise Problem(TAMPERED, "does not say what it must", file=name)
    return value


@contextlib.contextmanager
def parsing(name: str) -> Iterator[None]:
    """What cannot be read as it must was altered. Around what reads, and nothing else: a mistake of ours is no alteration."""
    try:
        yield
    except ValueError as error:
        raise Problem(TAMPERED, f"is not as it was written: {error}", file=name) from None


def epoch_of(origin: str) -> Tuple[str, int]:
    """A log that lost history goes on as ORIGIN/2, then ORIGIN/3."""
    found = re.fullmatch(r"(.*)/([2-9]|[1-9][0-9]{1,8})", origin)
    return (found[1], int(found[2])) if found else (origin, 1)


def file_hash(path: Path) -> Tuple[int, str]:
    with path.open("rb", buffering=0) as file:
        digest = sha256()
        for piece in iter(lambda: file.read(1 << 16), b""):
            digest.update(piece)
        return file.tell(), digest.hexdigest()


class Map(NamedTuple):
    """A list of heads."""

    root: str = ""
    digest: bytes = b""  # of the text, if it is whole
    leaves: int = 0


class Bundle:
    """A directory and what was found wrong with it so far."""

    def __init__(
        self, directory: str, *, origin: str, custody: bool = True, log_only: bool = False, jobs: int = 1
    ) -> None:
        self.directory, self.origin, self.custody, self.jobs = directory, origin, custody, jobs
        self.log_only = log_only
        self.key = b""
        self.problems: List[Problem] = []
        self.found: Set[str] = set()  # files
        self.altered: Set[str] = set()  # files that are not what the manifest says
        self.custody_holds = False
        self.custody_trouble: Optional[Problem] = None
        self.gaps: List[Problem] = []  # in versions
        self.detached: List[Problem] = []  # rotations that CHECKPOINT does not continue, if it is the right one
        self.note = Note("", 0, b"", b"", [])
        self.keys: List[Tuple[int, bytes]] = []  # a key, and the size it follows from
        self.manifest: Dict[str, Any] = {}
        self.runs: List[Runs] = []  # positions by events file
        self.scoped = False  # whether they are known
        self.sealed: Dict[str, Any] = {}
        self.map = Map()
        self.time: Optional[str] = None  # of the event that sealed the heads
        self.epoch = epoch_of(origin)[1]  # the last one whose history the auditor knows
        self.said, self.sampled = "everything holds", False
        self.unchecked: List[str] = []

    def add(self, problem: Problem) -> None:
        self.problems.append(problem)

    def read(self, name: str, code: int = INCOMPLETE) -> bytes:
        if name not in self.found:
            raise Problem(code, "is missing", file=name)
        try:
            path = Path(self.directory) / name
            if path.stat().st_size <= LARGEST_FILE:
                return path.read_bytes()
        except OSError as error:
            raise Problem(UNVERIFIABLE, f"cannot be read: {error.strerror}", file=name) from None
        raise Problem(UNVERIFIABLE, "is too large to be read", file=name)

    def json(self, name: str, form: Any) -> Any:
        return formed(written(self.read(name), name), form, name)

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """A problem is noted and the verifier goes on."""
        try:
            yield
        except Problem as problem:
            self.add(problem)

    # -- what there is

    def check_folder(self) -> None:
        """Files and folders, and nothing that leads elsewhere or never ends."""
        folders, unnamed, odd = [""], [], []  # type: List[str], List[str], List[str]
        while folders and Path(self.directory).is_dir():
            folder = folders.pop()
            with os.scandir(Path(self.directory) / folder) as entries:
                for entry in entries:
                    name = os.fsencode(folder + entry.name).decode(errors="replace")
                    if name != folder + entry.name:
                        unnamed.append(name)
                    elif entry.is_dir(follow_symlinks=False):
                        folders.append(f"{name}/")
                    else:
                        (self.found.add if entry.is_file(follow_symlinks=False) else odd.append)(name)
        if odd:
            raise Problem(UNVERIFIABLE, "is neither a file nor a folder", file=min(odd))
        for name in sorted(unnamed):
            self.add(Problem(TAMPERED, "is not in the manifest, which has names in UTF-8", file=name))

    # -- who signed

    def check_signature(self) -> None:
        """CHECKPOINT by the pinned key, or by one that rotations lead to. Nothing can be said without it."""
        data = self.read("CHECKPOINT", UNVERIFIABLE)
        try:
            self.note = parse_note(data)
        except ValueError as error:
            raise Problem(UNVERIFIABLE, f"is no signed checkpoint: {error}", file="CHECKPOINT") from None
        self._check_origin()
        self.keys = self._keys()
        if not self.signed(self.note):
            raise Problem(UNVERIFIABLE, "is not signed by the pinned key", file="CHECKPOINT")
        for name, right in (("ORIGIN", self.note.origin), ("PUBLIC_KEY", vkey(self.note.origin, self.keys[-1][1]))):
            with self.noting():
                if self.read(name) != f"{right}\n".encode():
                    raise Problem(TAMPERED, "is not that of CHECKPOINT", file=name)

    def signed(self, note: Note) -> bool:
        """By the key that was in force at its size, and by both at the size where one follows the other."""
        after = [key for since, key in self.keys if since <= note.size]
        both = len(after) > 1 and self.keys[len(after) - 1][0] == note.size
        return note.origin == self.note.origin and signed_by(note, *after[-2 if both else -1 :])

    def _check_origin(self) -> None:
        if self.note.origin == self.origin:
            return
        base, epoch = epoch_of(self.origin)
        if self.note.origin != f"{base}/{epoch_of(self.note.origin)[1]}" or epoch_of(self.note.origin)[1] <= epoch:
            raise Problem(UNVERIFIABLE, f"is of {self.note.origin}, not of {self.origin}", file="CHECKPOINT")
        self.add(Problem(INCOMPLETE, "history was lost: the log went on in a new epoch", file="CHECKPOINT", rank=2))

    def _keys(self) -> List[Tuple[int, bytes]]:
        """The chain of keys that the rotations in the bundle make, if the pinned key is one of them."""
        keys: List[Tuple[int, bytes]] = []
        for name in sorted(self._turns(), key=lambda name: (len(name.encode()), name)):
            with self.noting():
                size, old, new = self._rotation(name)
                if keys and keys[-1][1] != old:
                    raise Problem(TAMPERED, "does not follow from the rotation before", file=name)
                keys += [(size, new)] if keys else [(0, old), (size, new)]
        return keys if self.key in [key for _, key in keys] else [(0, self.key)]

    def _turns(self) -> List[str]:
        return [name for name in self.found if re.fullmatch("rotations/[^/]+[.]note", name)]

    def _rotation(self, name: str) -> Tuple[int, bytes, bytes]:
        data, proof = self.read(name), self.json(f"{name[:-5]}.json", ROTATION)
        event = proof["event"].encode()
        with parsing(name):
            note, said = parse_note(data), understood(event, TURN)
            kind, old, new = said["type"], vkey_bytes(said["data"]["old_key"]), vkey_bytes(said["data"]["new_key"])
        hashes, growth = [[decoded(each) for each in proof[field]] for field in ("proof", "consistency")]
        holds = (
            set(proof) == {"event", "proof", "consistency"}
            and name == f"rotations/{note.size}.note"
            and note.origin == self.note.origin
            and signed_by(note, old, new)
            and root_by_inclusion(leaf_hash(event), note.size - 1, note.size, hashes) == note.root
            and kind == "ledger.key_rotated"
        )
        if not holds:
            raise Problem(TAMPERED, "does not hand one key over to the other", file=name)
        if not consistent(note.size, note.root, self.note.size, self.note.root, growth):
            self.detached.append(Problem(TAMPERED, "is of another history than CHECKPOINT", file=name))
        return note.size, old, new

    # -- what was promised

    def check_manifest(self) -> None:
        data = self.read("MANIFEST.json")
        try:
            promised = self._custody()
        except Problem as problem:
            promised, self.custody_trouble = None, problem
        self.custody_holds = promised is not None
        if promised not in (None, sha256(data).hexdigest()):
            self.add(Problem(TAMPERED, "is not the one custody.jsonl ends with", file="MANIFEST.json", rank=1))
        m = self.manifest = formed(written(data, "MANIFEST.json"), MANIFEST, "MANIFEST.json")
        if m["custody"] and "custody.jsonl" not in self.found:
            self.add(Problem(INCOMPLETE, "is missing", file="custody.jsonl"))
        elif not m["custody"] and self.custody:
            self.add(Problem(UNVERIFIABLE, "is not bound by the log; --no-custody accepts that", file="MANIFEST.json"))
        right = m["format"] == 1 and m["origin"] == self.note.origin
        if not right or epoch_of(m["origin"])[0].rpartition("/")[2] != m["workspace"]:
            raise Problem(TAMPERED, "is of another log than CHECKPOINT", file="MANIFEST.json")
        sizes = m["headsPosition"], m["position"], m["treeSize"]
        sealed = m["headsPosition"] or m["scope"]["kind"] == "log"
        if min(*sizes, m["treeSize"] - 1) < 0 or max(sizes) > m["treeSize"] or not sealed:
            raise Problem(TAMPERED, "has sizes that cannot be", file="MANIFEST.json")
        for size in m["rotations"]:
            if f"rotations/{size}.note" not in self.found:
                self.add(Problem(INCOMPLETE, "is missing", file=f"rotations/{size}.note"))

    def _custody(self) -> Optional[str]:
        """Each step of the export with its proof; the last names the manifest's hash."""
        name = "custody.jsonl"
        if name not in self.found:
            return None
        lines = self.read(name).split(b"\n")
        if lines.pop() or not lines:
            raise Problem(TAMPERED, "does not end where a line does", file=name)
        event: Dict[str, Any] = {}
        for version, line in enumerate(lines, 1):
            step, before = formed(written(line, name, None), STEP, name), event
            entry, proof = step["event"].encode(), [decoded(each) for each in step["proof"]]
            root = root_by_inclusion(leaf_hash(entry), step["position"] - 1, self.note.size, proof)
            if root != self.note.root or set(step) != {"position", "event", "proof"}:
                raise Problem(TAMPERED, f"line {version} is not in the signed log", file=name)
            with parsing(name):
                event = understood(entry, TOLD)
            if event["version"] != version or before.get("stream", event["stream"]) != event["stream"]:
                raise Problem(INCOMPLETE, f"version {version} of the export is missing", file=name)
        if event["type"] != "export.completed":
            raise Problem(INCOMPLETE, "does not end with the completion", file=name)
        return str(formed(event, COMPLETED, name)["data"]["manifest_sha256"])

    def check_files(self) -> None:
        """Every file that is not of events/ against the manifest; those are hashed where they are read. Who reads no event
        does not hash what is told of them either: it is more than the events."""
        top = Path(self.directory)
        found, listed = self.found, {file["path"]: file for file in self.manifest["files"]}
        turns = {name[10:-5] for name in self._turns()} | set(map(str, self.manifest["rotations"]))
        unbound = UNBOUND | {f"rotations/{size}.{kind}" for size in turns for kind in ("note", "json")}
        for name in sorted(found - set(listed)):
            if name not in unbound:
                self.add(Problem(TAMPERED, "is not in the manifest", file=name))
        for name in sorted(set(listed) - found):
            if not name.startswith("events/") or name == "events/index.json":
                self.add(Problem(INCOMPLETE, "is missing", file=name))
        for name in sorted(set(listed) & found):
            if (name.endswith(".jsonl.gz") and name.startswith("events/")) or (
                self.log_only and name.startswith("views/")
            ):
                continue
            if file_hash(Path(f"{top}/{name}")) != (listed[name]["size"], listed[name]["sha256"]):
                self.altered.add(name)
                self.add(Problem(TAMPERED, "is not what the manifest says", file=name))

    # -- tiles

    def check_tiles(self) -> None:
        """Each tile that is needed is there, and each full one is what the tile above says."""
        tiles, m = Tiles(self.directory, self.manifest["treeSize"]), self.manifest
        everything = m["scope"]["kind"] in ("workspace", "log")
        last = (tiles.size - 1) >> 8
        if everything and last >= len(m["files"]):
            raise Problem(TAMPERED, "lists fewer files than its tree has tiles", file="MANIFEST.json")
        row: Set[int] = set()
        for first, end in chain(*self.runs):
            row.update(range((first - 1) >> 8, ((end - 1) >> 8) + 1))
        untouched = set(range(last + 1)) - row if everything else {(m["headsPosition"] - 1) >> 8} - row
        row, level = row | untouched, 0
        while tiles.size >> (8 * level):
            count = tiles.size >> (8 * level)
            row = {number for number in row if number * 256 < count} | ({count >> 8} if count % 256 else set())
            for number in sorted(row):
                if tiles.name(level, number) not in self.found:
                    if tiles.name(level, number) not in {problem.where.get("file") for problem in self.problems}:
                        self.add(Problem(INCOMPLETE, "is missing", file=tiles.name(level, number)))
                elif level or number in untouched:
                    with self.noting():
                        tiles.proven(level, number)
            row, level = {number >> 8 for number in row}, level + 1

    def check_growth(self) -> None:
        """The tiles' right edge comes to a root that the tree of CHECKPOINT contains."""
        tiles, note = Tiles(self.directory, self.manifest["treeSize"]), self.note
        root, to, holds = tiles.root(tiles.size), 0, False
        with self.noting():
            growth = self.json("consistency.json", GROWTH)
            to, hashes = growth["to"], [decoded(each) for each in growth["hashes"]]
            same = set(growth) == {"from", "to", "hashes"} and growth["from"] == tiles.size and to == note.size
            holds = same and consistent(tiles.size, root, note.size, note.root, hashes)
        if "consistency.json" not in self.found:
            return
        blamed = self.altered & {tiles.name(level, number) for level, number in tiles.edge(tiles.size)}
        if holds or blamed:
            self.problems += [self.custody_trouble] if self.custody_trouble else []
            self.problems += self.detached
        elif self.custody_holds or (not self.custody_trouble and (tiles.size, root) == (note.size, note.root)):
            self.add(Problem(TAMPERED, "does not lead from the tiles to CHECKPOINT", file="consistency.json"))
        elif note.size < max(tiles.size, to):
            reason = f"is older than the bundle, which goes on to {max(tiles.size, to)}"
            self.add(Problem(INCOMPLETE, reason, file="CHECKPOINT", position=note.size + 1, rank=1))
        else:
            self.add(Problem(TAMPERED, "is of another history than the tiles", file="CHECKPOINT", rank=1))

    def check_since(self, name: str) -> int:
        """That this history continues the one of an older checkpoint, kept elsewhere."""
        try:
            older = parse_note(Path(name).read_bytes())
        except (ValueError, OSError) as error:
            raise Problem(UNVERIFIABLE, f"is no signed checkpoint: {error}", file=name) from None
        same_log = epoch_of(older.origin)[0] == epoch_of(self.note.origin)[0]
        if not same_log or not (self.signed(older) or any(signed_by(older, key) for _, key in self.keys)):
            raise Problem(UNVERIFIABLE, "is not signed by a key of this log", file=name)
        tiles, end = Tiles(self.directory, self.manifest["treeSize"]), self.note.size
        self.epoch = min(self.epoch, epoch_of(older.origin)[1])
        if older.size > end:
            reason = f"the log ends at {end} and was signed up to {older.size}"
            raise Problem(INCOMPLETE, reason, position=end + 1)
        if tiles.size < older.size < end:
            raise Problem(UNVERIFIABLE, f"the bundle's tiles end at {tiles.size}, before {older.size}", file=name)
        try:
            root = self.note.root if older.size == end else tiles.root(older.size)
        except Problem as problem:
            raise Problem(
                UNVERIFIABLE, f"the tiles up to {older.size} are not in this bundle", **problem.where
            ) from None
        if root != older.root:
            code = TAMPERED if older.origin == self.note.origin else INCOMPLETE
            raise Problem(
                code, f"positions 1 to {older.size} are not the history that was signed then", rank=2, file=name
            )
        self.epoch = epoch_of(self.origin)[1]
        return older.size

    # -- events

    def check_scope(self) -> None:
        """Which positions each events file must hold."""
        scope, m = self.manifest["scope"], self.manifest
        ends = {"workspace": (1, m["position"]), "log": (1, m["treeSize"])}
        form, absorbed = SCOPES.get(scope["kind"], {"no": "scope"}), scope.get("absorbed", [])
        is_scope = fits(scope, form) and fits(absorbed, [str])
        is_range = is_scope and scope["kind"] == "range"
        first, last = (scope["from"], scope["to"]) if is_range else ends.get(scope["kind"], (1, 0))
        if not is_scope or not 0 < first <= last + 1:
            raise Problem(TAMPERED, "has a scope that is none", file="MANIFEST.json")
        if "events/index.json" in self.altered:
            return
        written_index = self.json("events/index.json", INDEX)
        each, index = written_index["eventsPerFile"], written_index["files"]
        if not 0 < each <= MOST_EVENTS or last - first + 1 > each * len(index):
            raise Problem(TAMPERED, "is not the index of these files", file="events/index.json")
        self.runs = [[[start, min(start + each - 1, last)]] for start in range(first, last + 1, each)]
        if scope["kind"] in FEW:
            self.runs = [file["positions"] for file in index]
        end = m["position"] if scope["kind"] in FEW else m["treeSize"]
        edges = [0, *(position for run in chain(*self.runs) for position in run), end + 1]
        ascending = all(a < b for a, b in zip(edges[::2], edges[1::2])) and all(
            a <= b for a, b in zip(edges[1::2], edges[2::2])
        )
        listed = {file["path"]: file["sha256"] for file in m["files"]}
        right = [
            {"path": name, "events": count(runs), "positions": [list(run) for run in runs], "sha256": listed.get(name)}
            for name, runs in zip(map(events_name, range(len(self.runs))), self.runs)
        ]
        sizes = list(map(count, self.runs))
        full = all(size == each for size in sizes[:-1]) and all(0 < size <= each for size in sizes[-1:])
        if not ascending or not full or canonical(index) != canonical(right):
            self.runs = []
            raise Problem(TAMPERED, "is not the index of these files", file="events/index.json")
        if scope["kind"] == "log" and last < self.note.size:
            self.add(Problem(INCOMPLETE, f"the log was signed up to {self.note.size}", position=last + 1))
        self.scoped = True

    def check_events(self, after: int, spill: Optional[str]) -> List[EventsFile]:
        """Every events file with positions after this one. With a folder to spill to, what the heads map needs goes there."""
        m = self.manifest
        listed = {file["path"]: (file["size"], file["sha256"]) for file in m["files"]}
        known = bool(self.sealed) and self.map.root == self.sealed["root"]
        epoch = epoch_of(self.note.origin)[1] if self.log_only else None
        common = self.altered, m["position"], self.gap_code(), spill, known, f"{os.getpid()} {random.random()}"
        jobs = [
            EventsJob(
                self.directory,
                number,
                runs,
                m["treeSize"],
                m["workspace"],
                listed.get(events_name(number), (0, "")),
                *common,
                epoch=epoch,
            )
            for number, runs in enumerate(self.runs)
            if runs and runs[-1][1] > after
        ]
        files = list(self.parallel(check_events_file, jobs))
        lost = any(file.lost for file in files)
        if lost and epoch_of(self.note.origin)[1] == 1:
            self.add(Problem(TAMPERED, "has lines without an event", file="events/index.json"))
        for before, file in zip([None, *files], files):
            self.problems += file.problems
            self.gaps += [] if lost else file.gaps
            if before and before.times[1] > file.times[0] > "":
                first = self.runs[file.number][0][0]
                self.add(Problem(TAMPERED, "is recorded earlier than the event before", position=first))
        return files

    def parallel(self, work: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterator[Any]:
        if self.jobs == 1 or len(jobs) < 2:
            yield from map(work, jobs)
            return
        from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415  # takes its time

        with ProcessPoolExecutor(min(self.jobs, len(jobs))) as pool:
            yield from pool.map(work, jobs)

    def check_epochs(self, files: Sequence[EventsFile]) -> None:
        """What was lost before the epochs that the auditor does not know of."""
        opened = [(p, data) for file in files for p, kind, data in file.ledger if kind == "ledger.epoch_opened"]
        for position, data in opened:
            formed(data, EPOCH, "events/index.json")
            if int(data["epoch"]) > self.epoch:
                reason = f"lost up to {data['lost_to']}, says the event at {position}"
                self.add(Problem(INCOMPLETE, reason, position=int(data["lost_from"] or 0) or position))
        gone = [(int(data["lost_from"] or 1), int(data["lost_to"] or 0)) for _, data in opened]
        for position in chain(*(file.lost for file in files)):
            if opened and not any(first <= position <= last for first, last in gone):
                self.add(Problem(TAMPERED, "is no event, and no epoch says that it was lost", position=position))

    def check_counts(self, files: Sequence[EventsFile]) -> None:
        types: Counter[str] = Counter()
        for file in files:
            types.update(file.types)
        there = sum(map(count, self.runs)) - sum(len(file.lost) for file in files)
        counts = self.manifest["counts"]
        if counts["events"] != there or (not self.log_only and counts["byType"] != dict(types)):
            self.add(Problem(TAMPERED, "counts other events than there are", file="MANIFEST.json"))
        if self.log_only:
            return
        named = [position for file in files for position, kind, _ in file.ledger if kind == "ledger.heads_sealed"]
        if self.manifest["scope"]["kind"] == "log" and self.manifest["headsPosition"] != max(named, default=0):
            self.add(Problem(TAMPERED, "does not name the newest heads", file="MANIFEST.json"))

    # -- heads

    def check_sealed(self) -> None:
        """The event that sealed the heads is in the log, and says what the manifest says."""
        m, name = self.manifest, "heads/sealed.json"
        if not m["headsPosition"] and m["scope"]["kind"] == "log":
            return
        sealed, tiles = self.json(name, SEALED), Tiles(self.directory, m["treeSize"])
        index, event = sealed["position"] - 1, sealed["event"].encode()
        if not 0 <= index < tiles.size:
            raise Problem(TAMPERED, "is not at a position of the log", file=name)
        data = tiles.proven(0, index >> 8)
        if tiles.name(0, index >> 8) not in self.altered and data[(index & 255) * 32 :][:32] != leaf_hash(event):
            raise Problem(TAMPERED, "is not the event that was recorded", file=name)
        with parsing(name):
            event = understood(event, SEALING)
        said = {field: event["data"][field] if field == "root" else int(event["data"][field]) for field in HEADS}
        known = (m["headsPosition"], m["position"], m["headsRoot"], m["workspace"], "ledger.heads_sealed")
        if (sealed["position"], said["size"], said["root"], event["workspace"], event["type"]) != known:
            raise Problem(TAMPERED, "does not seal the heads that the manifest names", file=name)
        if m["scope"]["kind"] != "log" and m["headsPosition"] != m["treeSize"]:
            raise Problem(TAMPERED, "has a tree of another size than its heads ask for", file="MANIFEST.json")
        self.sealed, self.time = said, str(event["recorded_at"])

    def check_versions(self, folder: str, lost: bool) -> Dict[str, Tuple[int, int]]:
        """Versions follow one another in each stream. The leaves of the heads map are made on the way."""
        kind = self.manifest["scope"]["kind"]
        heads: Dict[str, Tuple[int, int]] = {}
        parts = spans(folder, self.gap_code(), kind != "range", kind in ("workspace", "log"))
        for problems, some in self.parallel(fold_span, parts):
            self.gaps += [] if lost else problems
            heads.update(some)
        return heads

    def gap_code(self) -> int:
        """Versions that are not there: left out of a bundle of some streams, or of the log that was signed."""
        return INCOMPLETE if self.manifest["scope"]["kind"] in FEW else TAMPERED

    def read_map(self) -> None:
        """What the bundle's own list of heads comes to."""
        lines, digest, leaves = Lines(Path(self.directory) / MAP), sha256(), Leaves()
        for batch in lines if MAP in self.found else []:
            digest.update(b"\n".join([*batch, b""]))
            leaves.add(batch)
            if leaves.count > self.sealed["leaves"]:  # whatever follows
                return
        self.map = Map(leaves.root().hex(), digest.digest() if lines.end == "whole" else b"", leaves.count)

    def check_map(self, folder: str) -> None:
        """The heads map recomputed from the events: its root is the sealed one, and the file has its leaves."""
        parts = [path for kind in "ps" for path in sorted(Path(folder).glob(f"{kind}-*"))]
        digest, leaves, there = sha256(), Leaves(), MAP in self.found
        for path in parts:
            digest.update(path.read_bytes())
        made = self.map if self.map.digest == digest.digest() else None
        for path in [] if made else parts:
            leaves.add(path.read_bytes().split(b"\n")[:-1])
        root = made.root if made else leaves.root().hex()
        if root != self.sealed["root"] and MAP not in self.altered:
            reason = "the heads that were sealed here are not those of the events"
            self.add(Problem(TAMPERED, reason, position=self.manifest["headsPosition"]))
        elif there and (not made or made.leaves != self.sealed["leaves"]):
            self.add(Problem(TAMPERED, "is not the map that the events make", file=MAP))
        elif not there and self.manifest["scope"]["kind"] != "log":
            self.add(Problem(INCOMPLETE, "is missing", file=MAP))

    def check_proofs(self, heads: Dict[str, Tuple[int, int]]) -> None:
        """The sealed head of each stream of this bundle, and that these are all streams of its subject."""
        name, scope, sealed = "heads/proofs.json", self.manifest["scope"], self.sealed
        proofs, leaves = self.json(name, PROOFS), {}
        for proof in proofs["leaves"]:
            leaf, hashes = proof["leaf"].encode(), [decoded(each) for each in proof["hashes"]]
            root = root_by_inclusion(leaf_hash(leaf), proof["index"], sealed["leaves"], hashes)
            if not root or root.hex() != sealed["root"]:
                raise Problem(TAMPERED, "has a leaf that is not in the sealed map", file=name)
            kind, stream, *numbers = proof["leaf"].split(" ")
            leaves[kind, stream] = numbers
        wanted, few = {scope["id"]}, len(self.problems)
        if scope["kind"] == "subject":
            subjects = [scope["id"], *scope.get("absorbed", [])]
            wanted = set(chain(*(self._streams_of(one, proofs["subjects"], leaves) for one in subjects)))
            if len(proofs["subjects"]) > len(subjects):
                raise Problem(TAMPERED, "names subjects that are not in the scope", file=name)
        elif proofs["subjects"]:
            raise Problem(TAMPERED, "names subjects in a bundle of one stream", file=name)
        for stream in sorted(wanted):
            if ("s", stream) not in leaves:
                raise Problem(INCOMPLETE, f"has no sealed head of {stream}", file=name)
            version, position = map(int, leaves.pop(("s", stream)))
            there, last = heads.pop(stream, (0, 0))
            if there < version:
                where = {"position": position} if there + 1 == version else {}
                reason = f"the stream has {version} versions, {there} are here"
                self.add(Problem(INCOMPLETE, reason, stream=stream, version=there + 1, **where))
            elif (there, last) != (version, position):
                self.add(Problem(TAMPERED, "goes on after its sealed head", stream=stream, position=last))
        if leaves or heads:
            raise Problem(TAMPERED, "speaks of streams that are not in the scope", file=name)
        if scope["kind"] == "subject" and len(self.problems) == few:
            self._check_absorbed(scope)

    def _streams_of(self, subject: str, named: Dict[str, List[str]], leaves: Dict[Tuple[str, str], List[str]]) -> Any:
        """As the bundle names them, which are those that were sealed."""
        name = "heads/proofs.json"
        if subject not in named or ("p", subject) not in leaves:
            raise Problem(INCOMPLETE, f"does not prove which streams {subject} has", file=name)
        streams, (number, digest) = named[subject], leaves.pop(("p", subject))
        if len(set(streams)) < int(number):
            raise Problem(INCOMPLETE, f"the subject has {number} streams, {len(streams)} are named", file=name)
        if sha256("\n".join(sorted(streams)).encode()).hexdigest() != digest:
            raise Problem(TAMPERED, "names other streams of the subject than were sealed", file=name)
        return streams

    def _check_absorbed(self, scope: Dict[str, Any]) -> None:
        """Whom the contact's own stream says that it holds, its streams are here too: and nobody else's."""
        held: Set[str] = set()
        files = (Lines(Path(self.directory) / events_name(number)) for number in range(len(self.runs)))
        for line in filter(None, chain.from_iterable(chain.from_iterable(files))):
            event = PLAIN.decode(line.decode())
            if event["stream"] == scope["id"] and event["type"] in ("contact.merged", "contact.released"):
                others = set(formed(event.get("data"), ABSORBED, "heads/proofs.json")["absorbed_ids"])
                held = held | others if event["type"] == "contact.merged" else held - others
        if held - set(scope.get("absorbed", [])):
            missing = ", ".join(sorted(held - set(scope.get("absorbed", []))))
            raise Problem(INCOMPLETE, f"leaves out whom the contact has absorbed: {missing}", file="MANIFEST.json")
        if scope != {"kind": "subject", "id": scope["id"], **({"absorbed": sorted(held)} if held else {})}:
            raise Problem(TAMPERED, "has a scope that is not this contact's", file="MANIFEST.json")

    # -- all of it

    def check(
        self, since: Optional[str] = None, new: bool = False, sample: int = 0, seed: Optional[str] = None
    ) -> None:
        with self.noting():
            self.check_folder()
            self.check_signature()
            self.check_manifest()
            self.check_files()
            with self.noting():
                self.check_scope()
            if self.log_only and self.manifest["scope"]["kind"] in FEW:
                reason = "is of some streams, and only what events say tells which: leave out --log-only"
                self.add(Problem(UNVERIFIABLE, reason, file="MANIFEST.json"))
            self.check_tiles()
            with self.noting():
                self.check_growth()
            with self.noting():
                self.check_sealed()
            after = 0
            if since is not None:
                with self.noting():
                    after = self.check_since(since)
            if self.scoped:  # of few streams only the whole proves that nothing is left out
                few = self.manifest["scope"]["kind"] in FEW
                self.check_rest(after if new and not few else 0, sample, seed)

    def check_rest(self, after: int, sample: int, seed: Optional[str]) -> None:
        if sample:
            self.said, self.sampled = "the sample holds", True
            self.leave("events that were not chosen", *WHOLE)
            self.sample(sample, random.Random(seed))
        elif after:
            self.said = f"what came after {after} holds"
            self.leave(f"events up to {after}", *WHOLE)
            self.check_events(after, None)
        elif self.log_only:
            self.check_whole(self.check_events(0, None), None)
        else:
            if self.sealed:
                self.read_map()
            with tempfile.TemporaryDirectory(prefix="crm-verify-") as folder:
                self.check_whole(self.check_events(0, folder), folder)
        if self.log_only:
            some = f" after {after}" if after else ""
            self.said = f"each byte{some} is what was signed, in its place; what events say was not read"
            self.leave(*UNREAD)
        self.problems += self.gaps

    def leave(self, *unchecked: str) -> None:
        """What the verdict must name, for nobody to take it for more than it is."""
        self.unchecked += [each for each in unchecked if each not in self.unchecked]

    def check_whole(self, files: Sequence[EventsFile], folder: Optional[str]) -> None:
        """What takes all events; with what they say, if that was spilled into a folder."""
        if not any(problem.where.get("position") for problem in self.problems):
            with self.noting():
                self.check_counts(files)
            if folder is not None:
                self.check_heads(folder, any(file.lost for file in files))
        with self.noting():
            self.check_epochs(files)

    def check_heads(self, folder: str, lost: bool) -> None:
        kind, heads = self.manifest["scope"]["kind"], self.check_versions(folder, lost)
        if self.sealed and kind in ("workspace", "log"):
            self.check_map(folder)
        elif self.sealed and kind in FEW:
            with self.noting():
                self.check_proofs(heads)

    def sample(self, number: int, chance: random.Random) -> None:
        """Some events against their tiles; a file in which one fails is looked at whole."""
        total = sum(map(count, self.runs))
        chosen = sorted(chance.sample(range(total), min(number, total)))
        ends = list(accumulate(map(count, self.runs)))
        files = {bisect_right(ends, place) for place in chosen}
        kept, self.runs = self.runs, [runs if at in files else [] for at, runs in enumerate(self.runs)]
        self.check_events(0, None)
        self.runs = kept

    def verdict(self) -> Dict[str, Any]:
        """The worst that was found; of equals the event that contradicts its hash, then the first position, then a file."""
        worst = min(self.problems, key=lambda p: (p.code, p.rank, p.where.get("position") or 1 << 62), default=None)
        code, where = (worst.code, worst.where) if worst else (OK, {})
        said = {name: where.get(name) for name in ("position", "file", "stream", "version")}
        if said["position"]:
            said["file"] = None
        reason = worst.reason if worst else self.said
        events = sum(map(count, self.runs))
        proved = {
            "reason": reason,
            "size": self.note.size,
            "events": events,
            "read": "log" if self.log_only else "events",
            **(NOTHING if worst or self.sampled else self.complete()),
            "notChecked": None if worst else self.unchecked,
        }
        return {"result": RESULTS[code], **said, **proved}

    def complete(self) -> Dict[str, Any]:
        """What none is missing of, up to which position, and when the heads were recorded that say so."""
        m, scope = self.manifest, self.manifest["scope"]
        ends = {"log": m["treeSize"], "range": scope.get("to")}
        return {"scope": scope, "upto": ends.get(scope["kind"], m["position"]), "sealed": self.time}


class Tiles:
    """The tiles of a tree, as C2SP tlog-tiles lays them out."""

    def __init__(self, directory: str, size: int, folder: str = "tiles") -> None:
        self.directory, self.size, self.folder = directory, size, folder
        self.read, self.proven = lru_cache(64)(self._read), lru_cache(64)(self._proven)

    def width(self, level: int, number: int) -> int:
        return min(256, (self.size >> (8 * level)) - number * 256)

    def name(self, level: int, number: int) -> str:
        groups, rest = [f"{number % 1000:03}"], number // 1000
        while rest:
            groups, rest = [f"x{rest % 1000:03}", *groups], rest // 1000
        width = self.width(level, number)
        return f"{self.folder}/{level}/{'/'.join(groups)}" + ("" if width == 256 else f".p/{width}")

    def _read(self, level: int, number: int) -> bytes:
        name = self.name(level, number)
        try:
            with Path(f"{self.directory}/{name}").open("rb", buffering=0) as file:
                data = file.read(32 * self.width(level, number) + 1)
        except OSError:
            raise Problem(INCOMPLETE, "is missing", file=name) from None
        if len(data) != 32 * self.width(level, number):
            raise Problem(TAMPERED, "has another length than its tile", file=name)
        return data

    def _proven(self, level: int, number: int) -> bytes:
        """A tile that the tile above vouches for; the right edge is held by the root."""
        data = self.read(level, number)
        if self.width(level, number) == 256:
            place = number % 256 * 32
            if fold(data) != self.read(level + 1, number >> 8)[place : place + 32]:
                raise Problem(TAMPERED, "is not what the tile above says", file=self.name(level, number))
        return data

    def edge(self, size: int) -> List[Tuple[int, int]]:
        """The tiles that the root of a tree of that size is folded from."""
        levels = range((size.bit_length() + 7) // 8)
        return [(level, size >> (8 * level + 8)) for level in levels if (size >> (8 * level)) % 256]

    def root(self, size: int) -> bytes:
        rest = b""
        for level, number in self.edge(size):
            row = self.read(level, number)[: (size >> (8 * level)) % 256 * 32]
            rest = fold(row + rest)
        return rest or sha256().digest()


# -- Events

UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z"
FIELDS = itemgetter("recorded_at", "stream", "type", "version", "workspace")
PLAIN_TEXT = r'[^"\\\x00-\x1f]*'
TEXT = f'"{PLAIN_TEXT}"'
WORD = f"(?:null|{TEXT})"  # or nothing
HEAD = re.compile(
    rf'{{"actor":{{"auth":{WORD},"id":{WORD},"kind":{WORD},"on_behalf_of":{WORD},"session":{WORD}}},"causation_id":{WORD},'
    rf'"command_id":{WORD},"correlation_id":{WORD},"data":'
)
REASON = rf'(?:null|"{PLAIN_TEXT}(?:\\["\\/bfnrt]{PLAIN_TEXT})*"|{{"[$]pii":1,"c":{TEXT},"k":{TEXT},"n":{TEXT}}})'
TAIL = re.compile(
    rf',"occurred_at":{WORD},"origin":{{"address":{WORD},"client":{WORD},"import":(?:null|{{"id":{TEXT},"row":[1-9][0-9]*}})}},'
    rf'"reason":{REASON},"recorded_at":"([^"]*)","schema":[0-9],"stream":"([^"]*)","type":"([a-z_.]+)",'
    rf'"version":([1-9][0-9]{{0,14}}),"via":{WORD},"workspace":"([^"]*)"}}'
)
MENTION = re.compile(r'-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"(?<=[^\\]"([0-9a-f]{8}.{28})")(?!\s*:)')
TIME_FORM, UUID_FORM = b"0000-00-00T00:00:00.000000Z", b"00000000-0000-0000-0000-000000000000"
DIGITS, HEX = bytes.maketrans(b"123456789", b"0" * 9), bytes.maketrans(b"123456789abcdef", b"0" * 15)
EVENT = {
    "recorded_at": lambda value: isinstance(value, str) and re.fullmatch(TIME, value),
    "stream": lambda value: isinstance(value, str) and re.fullmatch(UUID, value),
    "type": lambda value: isinstance(value, str) and re.fullmatch("[a-z_.]+", value),
    "version": lambda value: is_whole(value) and value > 0,
    "workspace": lambda _: True,
}  # fmt: skip
STREAM = struct.Struct(">36sQQQQQB")  # stream, positions: first, as a contact, last; versions: first, last; flags
ENTRY = struct.Struct(">36s36sQ")  # who is mentioned, in which stream, where last
MASK = (1 << 22) - 1


class EventsJob(NamedTuple):
    directory: str
    number: int
    runs: Runs
    size: int
    workspace: str
    listed: Tuple[int, str]  # size and hash in the manifest
    altered: Set[str]
    upto: int
    gap: int  # the code of a gap in versions
    spill: Optional[str]
    known: bool  # whether the bundle's map of heads is the sealed one
    run: str
    epoch: Optional[int] = None  # of the log, where its events are not read


class EventsFile(NamedTuple):
    number: int
    problems: List[Problem]
    times: Tuple[str, str]
    types: Dict[str, int]
    ledger: List[Tuple[int, str, Dict[str, Any]]]  # what the log says of itself
    lost: List[int]  # positions that a new epoch holds to be lost
    gaps: List[Problem]  # in versions; where positions are lost there may be some


def events_name(number: int) -> str:
    return f"events/{number:06}.jsonl.gz"


def count(runs: Runs) -> int:
    return sum(last - first + 1 for first, last in runs)


class Lines:
    """The lines of a gzip file in batches; then how it ended, its size and its hash."""

    def __init__(self, path: Path) -> None:
        self.path, self.end, self.size, self.sha256 = path, "whole", 0, ""

    def __iter__(self) -> Iterator[List[bytes]]:
        digest, rest = sha256(), b""
        with self.path.open("rb") as file:
            header = file.read(len(GZIP_HEADER))
            for text in self._inflated(self._hashed(file, digest, header)):
                lines = text.split(b"\n")
                lines[0] = rest + lines[0]  # the text is long: it is not copied for that
                sizes = map(len, lines if sparse(text) or len(lines[0]) > LARGEST_STATE else ())
                long = next((at for at, size in enumerate(sizes) if size > LARGEST_STATE), None)
                rest = lines.pop()
                yield lines[:long]
                if long is not None:
                    self.end = "damaged"
                    break
        self.sha256 = digest.hexdigest()
        if self.end == "whole" and (rest or header != GZIP_HEADER):
            self.end = "damaged"

    def _hashed(self, file: Any, digest: Any, header: bytes) -> Iterator[bytes]:
        digest.update(header)
        for piece in iter(lambda: file.read(1 << 15), b""):
            digest.update(piece)
            yield piece
        self.size = file.tell()

    def _inflated(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """As far as it can be inflated: in a damaged piece up to the last byte before the one that makes no sense."""
        inflating, trailer = zlib.decompressobj(-15), b""
        for piece in pieces:
            if self.end == "whole" and not inflating.eof:
                before, tail = inflating.copy(), piece
                try:
                    while tail and not inflating.eof:
                        yield inflating.decompress(tail, 1 << 20)
                        before, tail = inflating.copy(), inflating.unconsumed_tail
                    trailer = inflating.unused_data
                except zlib.error:
                    self.end = "damaged"
                    yield from _until_error(before, tail)
            else:
                trailer += piece[:9]
        if self.end == "whole" and len(trailer) != 8:
            self.end = "cut" if len(trailer) < 8 else "damaged"


def sparse(text: bytes) -> bool:
    """Whether a line may be too long: if it is, a block of half that length has no end of one."""
    block = LARGEST_STATE // 2
    return len(text) < block or any(text.find(b"\n", at, at + block) < 0 for at in range(0, len(text), block))


def _until_error(inflating: Any, tail: bytes) -> Iterator[bytes]:
    with contextlib.suppress(zlib.error):
        for at in range(len(tail)):
            yield inflating.decompress(tail[at : at + 1])


def check_events_file(job: EventsJob) -> EventsFile:
    """The lines of one file against the leaves of their tiles, then what they say of themselves."""
    name, problems, hashes = events_name(job.number), [], bytearray()  # type: str, List[Problem], bytearray
    found: Any = Reading(job) if job.epoch is None else Skimming(job)
    lines, most = Lines(Path(job.directory) / name), 2 * count(job.runs) + MOST_EVENTS
    try:
        for lot in lines:
            batch = lot[: most - len(hashes) // 32]
            hashes += hashes_of(LEAF, batch)
            found.read(batch)
            if len(hashes) == 32 * most:
                break
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        problems.append(Problem(INCOMPLETE, "is missing", position=job.runs[0][0], file=name))
        return EventsFile(job.number, problems, ("", ""), {}, [], [], [])
    expected = expected_hashes(job, bytes(hashes), problems)
    if hashes != expected:
        end = "damaged" if lines.end == "cut" and lines.size >= job.listed[0] else lines.end
        problems += judged(job, split_hashes(bytes(hashes)), split_hashes(expected), end)
        return EventsFile(job.number, problems, ("", ""), {}, [], [], [])
    if lines.end == "cut" and lines.size < job.listed[0]:
        problems.append(Problem(INCOMPLETE, "does not end as it should", file=name))
    elif lines.end != "whole" or job.listed != (lines.size, lines.sha256):
        problems.append(Problem(TAMPERED, "is not what the manifest says", file=name))
    found.finish()
    return EventsFile(
        job.number, problems + found.problems, found.times, found.types, found.ledger, found.lost, found.gaps
    )


def split_hashes(row: bytes) -> List[bytes]:
    return [row[at : at + 32] for at in range(0, len(row), 32)]


def expected_hashes(job: EventsJob, hashes: bytes, problems: List[Problem]) -> bytes:
    """What the tiles say. Where a tile cannot be believed, what the lines say: the tile is named instead of them."""
    tiles, expected = Tiles(job.directory, job.size), bytearray()
    for first, last in job.runs:
        start = first - 1
        while start < last:
            number, stop = start >> 8, min(last, (start | 255) + 1)
            at, length = len(expected), (stop - start) * 32
            piece = hashes[at : at + length].ljust(length, b"\x00")
            try:
                if tiles.name(0, number) not in job.altered:
                    piece = tiles.proven(0, number)[(start & 255) * 32 :][:length]
            except Problem as problem:
                problems.append(problem)
            expected += piece
            start = stop
    return bytes(expected)


def judged(job: EventsJob, hashes: Sequence[bytes], expected: Sequence[bytes], end: str) -> Iterator[Problem]:
    """What happened to a file whose lines are not the expected ones, and where first."""
    name = events_name(job.number)
    at = next(number for number, (a, b) in enumerate(zip_longest(hashes, expected)) if a != b)
    positions = [position for first, last in job.runs for position in range(first, last + 1)]
    position = positions[min(at, len(positions) - 1)]
    missing, more = Counter(expected) - Counter(hashes), Counter(hashes) - Counter(expected)
    if missing and not more and end != "damaged" and [each for each in expected if each not in missing] == list(hashes):
        yield Problem(INCOMPLETE, "is missing", position=position, file=name)
    elif missing and (more or end == "damaged"):
        yield Problem(TAMPERED, "is not the event that was recorded", position=position, file=name, rank=0)
    else:
        yield Problem(TAMPERED, "is not the event that stands here", position=position, file=name)


class Skimming:
    """Of events that are not read: positions without one and, where a log lost history, the events that say what."""

    def __init__(self, job: EventsJob) -> None:
        self.problems: List[Problem] = []
        self.times, self.types, self.gaps = ("", ""), {}, []  # type: Tuple[str, str], Dict[str, int], List[Problem]
        self.ledger: List[Tuple[int, str, Dict[str, Any]]] = []
        self.lost: List[int] = []
        self._later = (job.epoch or 1) > 1
        self._ahead: Iterator[int] = chain(*(range(first, last + 1) for first, last in job.runs))

    def read(self, lines: Sequence[bytes]) -> None:
        positions = list(islice(self._ahead, len(lines)))
        if b"" in lines:
            self.lost += [position for line, position in zip(lines, positions) if not line]
        for line, position in zip(lines, positions) if self._later else ():
            if b"epoch_opened" in line or b"\\u" in line:
                with contextlib.suppress(ValueError):
                    event = understood(line, EVENT)
                    opens = event["type"] == "ledger.epoch_opened"
                    self.ledger += [(position, event["type"], event.get("data"))] if opens else []

    def finish(self) -> None:
        """Nothing was kept."""


class Events(NamedTuple):
    """What a batch of events says, a column for each field."""

    times: Sequence[str] = ()
    streams: Sequence[str] = ()
    kinds: Sequence[str] = ()
    versions: Sequence[int] = ()
    named: Sequence[Sequence[str]] = ()  # uuids in the data


class Reading:
    """What the events of a file say, as JSON says it: around the data in the one way in which we write it, else by a parser.

    Whom the data names is found in its text: in JSON, what stands between a quote that no backslash precedes and the next is a
    string, and a key if a colon follows. Where letters of it could be written as escapes, the values are walked through.
    """

    def __init__(self, job: EventsJob) -> None:
        self.problems: List[Problem] = []
        self.times = "", ""  # of the first and of the last
        self.types: Dict[str, int] = {}
        self.ledger: List[Tuple[int, str, Dict[str, Any]]] = []
        self.lost: List[int] = []
        self.gaps: List[Problem] = []
        self._job = job
        self._ahead: Iterator[int] = chain(*(range(first, last + 1) for first, last in job.runs))
        self._positions, self._streams, self._versions = [], [], []  # type: List[int], List[str], List[int]
        self._kinds: List[str] = []
        self._mentions: List[bytes] = []
        self._contacts = contacts_named(job.directory, job.known, job.run) if job.spill else None

    def read(self, lines: Sequence[bytes]) -> None:
        """Stops at what is no event: its hash says more than its words."""
        positions = list(islice(self._ahead, len(lines)))
        if b"" in lines:
            self.lost += [position for line, position in zip(lines, positions) if not line]
            positions = [position for line, position in zip(lines, positions) if line]
            lines = [line for line in lines if line]
        lines = lines[: len(positions)]
        self._keep(self._events(lines, positions), positions)

    def _events(self, lines: Sequence[bytes], positions: Sequence[int]) -> Events:
        """As many at a time as are written as usual."""
        try:
            return self._as_usual(lines, positions)
        except (ValueError, AttributeError, RecursionError, StopIteration):  # the last where JSON ends too early
            middle = len(lines) // 2
        if len(lines) < 8:
            return self._one_by_one(lines, positions)
        first = self._events(lines[:middle], positions)
        if len(first.times) < middle:
            return first
        columns: Any = zip(first, self._events(lines[middle:], positions[middle:]))
        return Events(*((*one, *other) for one, other in columns))

    def _as_usual(self, lines: Sequence[bytes], positions: Sequence[int]) -> Events:
        """Raises what `_events` catches where one is not."""
        texts = list(map(bytes.decode, lines))
        begins = [head.end() for head in map(HEAD.match, texts)]  # type: ignore[union-attr]
        ends = [SCAN(text, begin)[1] for text, begin in zip(texts, begins)]
        tails = [tail.groups() for tail in map(TAIL.fullmatch, texts, ends)]  # type: ignore[union-attr]
        times, streams, kinds, versions, workspaces = zip(*tails)
        escaped = any("\\u00" in text for text in texts if "\\" in text)
        right = (
            alike(times, TIME_FORM, DIGITS)
            and alike(streams, UUID_FORM, HEX)
            and {*workspaces} == {self._job.workspace}
        )
        if escaped or not right or any(map(is_deep, lines)):
            raise ValueError("not as usual")
        if any(kind[:7] == "ledger." for kind in {*kinds}):
            told = zip(positions, kinds, texts, begins)
            self.ledger += [(at, kind, SCAN(text, begin)[0]) for at, kind, text, begin in told if kind[:7] == "ledger."]
        named = list(map(MENTION.findall, texts, begins, ends)) if self._contacts is not None else ()
        return Events(times, streams, kinds, list(map(int, versions)), named)

    def _one_by_one(self, lines: Sequence[bytes], positions: Sequence[int]) -> Events:
        """However they are written; up to what is none."""
        events: List[Any] = []
        for line, position in zip(lines, positions):
            try:
                event = understood(line, EVENT)
            except ValueError:
                self._wrong("is no event", position)
                self._ahead = iter(())
                break
            time, stream, kind, version, workspace = FIELDS(event)
            if workspace != self._job.workspace:
                self._wrong("is of another workspace", position)
            if kind.startswith("ledger."):
                self.ledger.append((position, kind, event.get("data")))
            events.append((time, stream, kind, int(version), list(uuids(event.get("data")))))
        return Events(*zip(*events))

    def _keep(self, events: Events, positions: List[int]) -> None:
        before = [self.times[1], *events.times]
        if any(map(gt, before, events.times)):
            for last, time, position in zip(before, events.times, positions):
                if time < last:
                    self._wrong("is recorded earlier than the event before", position)
        if events.times:
            self.times = self.times[0] or events.times[0], events.times[-1]
        self._positions += positions[: len(events.streams)]
        self._streams += events.streams
        self._kinds += events.kinds
        self._versions += events.versions
        contacts = self._contacts or b""
        early = bisect_right(positions, self._job.upto) if contacts else 0
        self._mentions += [
            (one + stream).encode() + position.to_bytes(8, "big")
            for named, stream, position in zip(events.named[:early], events.streams, positions)
            for one in named
            if contacts[hash(one) & MASK]
        ]

    def _wrong(self, reason: str, position: int) -> None:
        self.problems.append(Problem(TAMPERED, reason, position=position))

    def finish(self) -> None:
        """Gaps in versions; for the heads map, what this file adds to each stream and says of each contact, sorted."""
        self.types = dict(Counter(self._kinds))
        if len({*self._streams}) < len(self._streams):
            self._check_versions()
        middle = bisect_right(self._positions, self._job.upto)
        heads = [*self._heads(slice(middle), 0), *self._heads(slice(middle, None), 2)]
        for kind, records in (("streams", heads), ("mentions", self._mentions)):
            if self._job.spill is not None:
                (Path(self._job.spill) / f"{kind}-{self._job.number:06}").write_bytes(b"".join(sorted(records)))

    def _heads(self, part: slice, late: int) -> Iterator[bytes]:
        """A record for each stream with events there."""
        streams, versions, positions = self._streams[part], self._versions[part], self._positions[part]
        places, flags = range(len(streams)), {kind: late + (kind[:8] == "contact.") for kind in self.types}
        last = dict(zip(streams, places))
        if len(last) == len(streams):
            marks = map(flags.__getitem__, self._kinds[part])
            return map(
                STREAM.pack, map(str.encode, streams), positions, positions, positions, versions, versions, marks
            )
        first = dict(zip(reversed(streams), reversed(places)))
        kinds = zip(reversed(streams), reversed(self._kinds[part]), reversed(places))
        born = {stream: at for stream, kind, at in kinds if kind[:8] == "contact."}
        starts, ends = [first[stream] for stream in last], last.values()
        return map(
            STREAM.pack,
            map(str.encode, last),
            map(positions.__getitem__, starts),
            map(positions.__getitem__, map(born.get, last, starts)),
            map(positions.__getitem__, ends),
            map(versions.__getitem__, starts),
            map(versions.__getitem__, ends),
            [(stream in born) + late for stream in last],
        )

    def _check_versions(self) -> None:
        known: Dict[str, int] = {}
        for stream, version, position in zip(self._streams, self._versions, self._positions):
            before = known.get(stream, version - 1)
            if version != before + 1:
                self.gaps.append(gap(stream, before, version, position, self._job.gap))
            known[stream] = version


def gap(stream: str, before: int, version: int, position: int, code: int) -> Problem:
    where = {"position": position} if code == TAMPERED else {}  # where the missing one stood nobody here knows
    reason = f"version {before + 1} of {stream} is not there, version {version} is"
    return Problem(code, reason, stream=stream, version=before + 1, **where)


def alike(values: Sequence[str], form: bytes, table: bytes) -> bool:
    """Whether each is that form with digits for noughts."""
    return {*map(len, values)} == {len(form)} and "".join(values).encode().translate(table) == form * len(values)


def is_deep(line: bytes) -> bool:
    """Whether it could be nested too deep: there is room for that, and as many brackets."""
    return len(line) > 2 * DEEPEST and line.count(b"{") + line.count(b"[") > DEEPEST


def uuids(value: Any) -> Iterator[str]:
    """Every uuid that stands as a string somewhere in a JSON value."""
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, (dict, list)):
            rest += each.values() if isinstance(each, dict) else each
        elif isinstance(each, str) and re.fullmatch(UUID, each):
            yield each


@lru_cache(1)
def contacts_named(directory: str, known: bool, _run: str) -> bytearray:
    """A mask that is set at the hash of each contact the heads map names: what it lets through needlessly does no harm.
    Without a map that was sealed it lets everything through."""
    mask = bytearray(MASK + 1) if known else bytearray(b"\x01") * (MASK + 1)
    for lines in Lines(Path(directory) / MAP) if known else []:
        for line in lines:
            mask[hash(line[2:38].decode(errors="replace")) & MASK] = 1
        if lines[-1:] > [b"q"]:  # streams come after contacts
            break
    return mask


# -- The heads map


class Span(NamedTuple):
    """Streams between two uuids, so that a log of any length is looked at in parts."""

    folder: str
    number: int
    first: bytes
    last: bytes  # the first of the next
    code: int  # of a gap in versions
    whole: bool  # whether streams begin with their first version here
    mapped: bool  # whether the heads map is made of these


def spans(folder: str, code: int, whole: bool, mapped: bool, target: int = 50_000) -> List[Span]:
    """Parts of about that many records, cut where a sample of them says."""
    sample, total = [], 0  # type: List[bytes], int
    for path in Path(folder).iterdir():
        width = STREAM.size if path.name.startswith("streams") else ENTRY.size
        with open_records(path) as records:
            total += len(records) // width
            sample += [records[at : at + 36] for at in range(0, len(records), width * 1024)]
    sample.sort()
    number = max(1, total // target)
    cuts = sorted({sample[len(sample) * part // number] for part in range(1, number)})
    return [
        Span(folder, at, first, last, code, whole, mapped)
        for at, (first, last) in enumerate(zip([b"", *cuts], [*cuts, b"\xff"]))
    ]


@contextlib.contextmanager
def open_records(path: Path) -> Iterator[Any]:
    if not path.stat().st_size:
        yield b""
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as records:
        yield records


def slices(span: Span, kind: str, width: int) -> List[bytes]:
    """The records of this kind in the span, from every file, sorted."""
    found: List[bytes] = []
    for path in sorted(Path(span.folder).glob(f"{kind}-*")):
        with open_records(path) as records:
            ends = []
            for bound in (span.first, span.last):
                low, high = 0, len(records) // width
                while low < high:
                    middle = (low + high) // 2
                    if records[middle * width : middle * width + 36] < bound:
                        low = middle + 1
                    else:
                        high = middle
                ends.append(low * width)
            part = bytes(records[ends[0] : ends[1]])
        found += [part[at : at + width] for at in range(0, len(part), width)]
    return sorted(found)


class Head(NamedTuple):
    """What is said of a stream by one file, or by all."""

    stream: bytes
    start: int  # positions
    born: int  # of a contact, that of the first event that says so
    end: int
    first: int  # version
    last: int
    flags: int  # 1: of a contact; 2: after what the heads map is of


def fold_span(span: Span) -> Tuple[List[Problem], Dict[str, Tuple[int, int]]]:
    """The leaves of these contacts and streams, into files; for a bundle of few streams also their heads."""
    problems: List[Problem] = []
    heads: List[Any] = list(STREAM.iter_unpack(b"".join(slices(span, "streams", STREAM.size))))
    streams, _, _, _, firsts, _, flags = zip(*heads) if heads else ((), (), (), (), (), (), ())
    if len(set(streams)) < len(heads) or {*firsts} - {1} or max(flags, default=0) > 1:
        heads = list(joined(map(Head._make, heads), span, problems))
    since = {stream: born for stream, _, born, _, _, _, flag in heads if flag}
    named = {contact: {contact} for contact in since}
    for contact, stream, position in ENTRY.iter_unpack(b"".join(slices(span, "mentions", ENTRY.size))):
        if position >= since.get(contact, position + 1):
            named[contact].add(stream)
    contacts = [
        b"p %b %d %b" % (contact, len(streams), sha256(b"\n".join(sorted(streams))).hexdigest().encode())
        for contact, streams in named.items()
    ]
    leaves = [b"s %b %d %d" % (stream, last, end) for stream, _, _, end, _, last, _ in heads]
    for kind, lines in (("p", contacts), ("s", leaves)):
        (Path(span.folder) / f"{kind}-{span.number:06}").write_bytes(b"\n".join([*lines, b""]))
    return problems, {} if span.mapped else {head[0].decode(): (head[5], head[3]) for head in heads}


def joined(heads: Iterable[Head], span: Span, problems: List[Problem]) -> Iterator[Head]:
    """One head for each stream, of what several files say of it in order; and what is not there between them."""
    for stream, parts in groupby(heads, lambda head: head.stream):
        before, early = 0, []  # type: int, List[Head]
        for part in parts:
            if part.first != before + 1 and (before or span.whole):
                problems.append(gap(stream.decode(), before, part.first, part.start, span.code))
            before, early = part.last, early if part.flags > 1 else [*early, part]
        if early:
            first = next((part for part in early if part.flags), early[0])
            yield first._replace(last=early[-1].last, end=early[-1].end)


# -- Two logs side by side, and the command line


TILE = re.compile("((?:x[0-9]{3}/){0,3}[0-9]{3})(?:[.]p/([0-9]{1,3}))?")


def tiles_in(directory: str) -> Tiles:
    """The tiles of a bundle, or of any folder laid out as C2SP has it."""
    top = next(
        (path for path in (Path(directory) / "tiles", Path(directory) / "tile") if path.is_dir()), Path(directory)
    )
    size, row = 0, top / "0"
    for path in row.rglob("*"):
        found = TILE.fullmatch(path.relative_to(row).as_posix())
        if found and path.is_file():
            size = max(size, int(re.sub("[^0-9]", "", found[1])) * 256 + int(found[2] or 256))
    return Tiles(str(top.parent), size, top.name)


def locate(one: str, other: str) -> Dict[str, Any]:
    """The first position at which two logs differ. Tiles whose hash in the tile above is the same are not read."""
    trees = tiles_in(one), tiles_in(other)
    common = min(tree.size for tree in trees)
    said: Dict[str, Any] = {
        "position": None,
        "file": None,
        "stream": None,
        "version": None,
        "size": common,
        "events": 0,
    }
    if not common:
        return {"result": RESULTS[UNVERIFIABLE], **said, "reason": "no tiles"}
    for number in range((common + 255) >> 8):
        width, place = min(256, common - number * 256), number % 256 * 32
        with contextlib.suppress(Problem):
            if width == 256 and len({tree.read(1, number >> 8)[place : place + 32] for tree in trees}) == 1:
                continue
        try:
            a, b = (tree.read(0, number)[: width * 32] for tree in trees)
        except Problem as problem:
            reason = f"{problem.where['file']} {problem.reason}"
            return {"result": RESULTS[INCOMPLETE], **said, "position": number * 256 + 1, "reason": reason}
        at = next((at for at in range(0, len(a), 32) if a[at : at + 32] != b[at : at + 32]), None)
        if at is not None:
            position = number * 256 + at // 32 + 1
            return {"result": RESULTS[TAMPERED], **said, "position": position, "reason": "the logs differ from here on"}
    sizes = " and ".join(str(tree.size) for tree in trees)
    return {"result": RESULTS[OK], **said, "reason": f"the logs, of {sizes} events, are the same up to {common}"}


def some(text: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError("not a number of events")
    return int(text)


@cache
def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    modes = parser.add_subparsers(dest="mode", required=True, metavar="MODE")
    for mode, first in (("full", None), ("since", "checkpoint"), ("sample", "number"), ("locate", None)):
        each = modes.add_parser(mode)
        if first:
            each.add_argument(first, type=some if first == "number" else str)
        each.add_argument("directory")
        if mode == "locate":
            each.add_argument("other")
            continue
        each.add_argument("--origin", required=True, help="the log's name, as its operator published it")
        each.add_argument("--public-key", required=True, help="a file: a vkey, 32 bytes in base64, or PEM")
        each.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
        each.add_argument("--no-custody", action="store_true", help="accept a manifest that the log does not vouch for")
        if mode == "since":
            each.add_argument("--new", action="store_true", help="look only at the events after the checkpoint")
        if mode != "sample":
            each.add_argument("--log-only", action="store_true", help="prove every byte and its place, and read none")
        if mode == "sample":
            each.add_argument("--seed", help="choose the same events again")
    return parser


def verify(words: Optional[Sequence[str]] = None) -> Dict[str, Any]:
    """The verdict on these arguments; what else was found is printed."""
    given = command_line().parse_args(words)
    if given.mode == "locate":
        return locate(given.directory, given.other)
    log_only, custody = getattr(given, "log_only", False), not given.no_custody
    bundle = Bundle(given.directory, origin=given.origin, custody=custody, log_only=log_only, jobs=max(1, given.jobs))
    try:
        bundle.key = pinned_key(Path(given.public_key).read_bytes())
    except (OSError, ValueError) as error:
        bundle.add(Problem(UNVERIFIABLE, f"holds no Ed25519 key: {error}", file=given.public_key))
        return bundle.verdict()
    options = {name: getattr(given, name, None) for name in ("new", "seed")}
    bundle.check(getattr(given, "checkpoint", None), bool(options["new"]), getattr(given, "number", 0), options["seed"])
    for problem in bundle.problems[:100]:
        place = " ".join(f"{name} {value}" for name, value in problem.where.items())
        print(json.dumps(f"{RESULTS[problem.code]}: {place}: {problem.reason}")[1:-1])  # whatever a file is called
    return bundle.verdict()


def main(words: Optional[Sequence[str]] = None) -> int:
    """The exit code. Whatever goes wrong in here proves nothing: that is 3."""
    try:
        verdict = verify(words)
    except SystemExit as stop:
        return UNVERIFIABLE if stop.code else OK
    except Exception as error:  # noqa: BLE001  # an exit code of 1 would call the bundle tampered with
        reason = f"the verifier failed: {type(error).__name__}: {error}"
        verdict = {"result": RESULTS[UNVERIFIABLE], "position": None, "file": None, "reason": reason}
    print(json.dumps(verdict, sort_keys=True))
    return RESULTS.index(verdict["result"])


if __name__ == "__main__":
    sys.exit(main())
