"""A house without a database: invents an honest log of any size and growth, signs it, and writes bundles of it."""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crm_es.exports.bundle import BundleWriter, Contents, HeadProof, Proven, Purpose, Rotation
from crm_es.ledger.checkpoint import Checkpoint, public_of, sign, vkey
from crm_es.ledger.merkle import WIDTH, Tile, leaf_hash, root_of
from crm_es.ledger.proofs import consistency_proof, inclusion_proof, root

DEEPEST = 600
TOPICS = {
    "contact": ("contact.registered", "contact.updated", "contact.email_added"),
    "interaction": ("interaction.recorded", "interaction.edited"),
    "deal": ("deal.opened", "deal.stage_changed", "deal.won"),
}


class Tree:
    """Leaf hashes, and the tiles over the first so many of them."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self._rows: dict[tuple[int, int], bytes] = {}

    def add(self, entry: bytes) -> None:
        self.leaves.append(leaf_hash(entry))

    def _node(self, level: int, number: int) -> bytes:
        if not level:
            return self.leaves[number]
        if (level, number) not in self._rows:
            below = [self._node(level - 1, number * WIDTH + at) for at in range(WIDTH)]
            self._rows[level, number] = root_of(below)
        return self._rows[level, number]

    def read(self, tile: Tile) -> bytes:
        return b"".join(self._node(tile.level, tile.number * WIDTH + at) for at in range(tile.width))

    def root(self, size: int) -> bytes:
        return root(self.read, size)

    def inclusion(self, position: int, size: int) -> list[bytes]:
        return inclusion_proof(self.read, position - 1, size)

    def growth(self, first: int, second: int) -> list[bytes]:
        return consistency_proof(self.read, first, second)


@dataclass
class House:
    """One workspace's log. `lost` starts another epoch's name; keys are old to new, each with the size it follows from."""

    seed: int
    origin_base: str = "example.org/log/"
    epoch: int = 1
    states: list[bytes] = field(default_factory=list)
    heads: dict[str, tuple[int, int]] = field(default_factory=dict)  # stream: version, position

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.workspace = self.uuid()
        self.ledger, self.export = self.uuid(), self.uuid()
        self.tree, self.clock = Tree(), 1_700_000_000_000_000 + self.chance.randrange(10**12)
        self.keys = [(0, self.key())]
        self.kinds: dict[str, str] = {}

    def uuid(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.chance.randbytes(32))

    @property
    def origin(self) -> str:
        return f"{self.origin_base}{self.workspace}" + (f"/{self.epoch}" if self.epoch > 1 else "")

    @property
    def size(self) -> int:
        return len(self.states)

    # -- growing

    def append(
        self,
        stream: str,
        topic: str,
        data: dict[str, Any],
        *,
        together: bool = False,
        escaped: str = "",
        more: dict[str, Any] | None = None,
    ) -> int:
        """Position of the event. Events that stand together were recorded at one moment. `escaped` is written as JSON may.
        `more` are fields of the event as nobody writes them."""
        self.clock += 0 if together and self.states else self.chance.randrange(1, 10**6)
        version = self.heads.get(stream, (0, 0))[0] + 1
        second, micro = divmod(self.clock, 10**6)
        day, rest = divmod(second, 86_400)
        on = f"{1970 + day // 372}-{1 + day % 372 // 31:02}-{1 + day % 31:02}"
        time = f"{on}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}.{micro:06}Z"
        event = {
            "actor": {"auth": "jwt", "id": self.uuid(), "kind": "MEMBER", "on_behalf_of": None, "session": "s1"},
            "causation_id": None,
            "command_id": self.uuid(),
            "correlation_id": self.uuid(),
            "data": data,
            "occurred_at": self.chance.choice([None, time]),
            "origin": {"address": "192.0.2.0/24", "client": "crm", "import": None},
            "reason": self.chance.choice(
                [None, 'because "},"data":{', {"$pii": 1, "c": "AAAA", "k": self.uuid(), "n": "AA"}]
            ),
            "recorded_at": time,
            "schema": 1,
            "stream": stream,
            "type": topic,
            "version": version,
            "via": self.chance.choice([None, self.uuid(), *list(self.heads)[:1]]),
            "workspace": self.workspace,
            **(more or {}),
        }
        state = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        state = state.replace(escaped.encode(), escapes(escaped)) if escaped else state
        self.states.append(state)
        self.tree.add(state)
        self.heads[stream] = version, self.size
        return self.size

    def grow(self, count: int) -> None:
        """Business: contacts, and streams that speak of them in one field or another, some before they are there."""
        for _ in range(count):
            known = [stream for stream, kind in self.kinds.items() if kind == "contact"]
            old = self.kinds and self.chance.random() < 0.6
            stream = self.chance.choice(list(self.kinds)) if old else self.uuid()
            kind = self.kinds.setdefault(stream, self.chance.choice(list(TOPICS)))
            named = [self.chance.choice([*known, self.uuid()]) for _ in range(self.chance.randrange(3))]
            data: dict[str, Any] = {"title": self.chance.choice(["你好 🙂", 'a "quote" \\', "", *named])}
            for one in named:
                place = self.chance.randrange(5)
                if place == 0:
                    data["contact_id"] = one
                elif place == 1:
                    data.setdefault("participants", []).append({"contact": one, "role": "to"})
                elif place == 2:
                    data[one] = 1  # a key is no mention
                elif place == 3:
                    data["note"] = f'see "{one}"'  # nor is a part of a text
                else:
                    data["list"] = [1, [one, None], {"$pii": 1, "k": one}]
            self.append(stream, self.chance.choice(TOPICS[kind]), data, together=self.chance.random() < 0.3)

    def merge(self, survivor: str, absorbed: str) -> None:
        """As the house's own merge: all that the absorbed one means from now on stands in the survivor's stream."""
        everybody = [absorbed, *self.absorbed(absorbed)]
        self.append(survivor, "contact.merged", {"absorbed_id": absorbed, "absorbed_ids": everybody})
        self.append(absorbed, "contact.absorbed", {"survivor_id": survivor}, together=True)

    def release(self, survivor: str, absorbed: str) -> None:
        everybody = [absorbed, *self.absorbed(absorbed)]
        self.append(survivor, "contact.released", {"absorbed_id": absorbed, "absorbed_ids": everybody})
        self.append(absorbed, "contact.unmerged", {"survivor_id": survivor}, together=True)

    def absorbed(self, contact: str) -> list[str]:
        """Whom it has absorbed and not given back."""
        held: set[str] = set()
        for event in filter(None, map(event_in, self.states)):
            match event["stream"], event["type"]:
                case (stream, "contact.merged") if stream == contact:
                    held |= absorbed_in(event)
                case (stream, "contact.released") if stream == contact:
                    held -= absorbed_in(event)
        return sorted(held)

    def seal_heads(self) -> int:
        leaves = self.leaves(self.size)
        tree = Tree()
        for leaf in leaves:
            tree.add(leaf.encode())
        data = {
            "leaves": len(leaves),
            "root": tree.root(len(leaves)).hex(),
            "size": self.size,
            "streams": sum(leaf[:1] == "s" for leaf in leaves),
            "subjects": sum(leaf[:1] == "p" for leaf in leaves),
        }
        return self.append(self.ledger, "ledger.heads_sealed", data)

    def rotate(self) -> int:
        old, new = self.keys[-1][1], self.key()
        names = {"old_key": vkey(self.origin, public_of(old)), "new_key": vkey(self.origin, public_of(new))}
        self.keys.append((self.append(self.ledger, "ledger.key_rotated", names), new))
        return self.size

    # -- what it says of itself

    def leaves(self, size: int) -> list[str]:
        """The heads map as the page says it, from whole events."""
        heads: dict[str, tuple[int, int]] = {}
        first: dict[str, int] = {}
        contacts: set[str] = set()
        read = enumerate(map(event_in, self.states[:size]), 1)
        events = [(position, event) for position, event in read if event]
        for position, event in events:
            heads[event["stream"]] = int(event["version"]), position
            if event["type"].startswith("contact."):
                first.setdefault(event["stream"], position)
                contacts.add(event["stream"])
        named = {contact: {contact} for contact in contacts}
        for position, event in events:
            for text in strings(event.get("data")):
                if text in named and first[text] <= position:
                    named[text].add(event["stream"])
        self.named = named
        subjects = [
            f"p {one} {len(streams)} {sha256(chr(10).join(sorted(streams)).encode()).hexdigest()}"
            for one, streams in named.items()
        ]
        return sorted([*subjects, *(f"s {stream} {v} {p}" for stream, (v, p) in heads.items())])

    def checkpoint(self, size: int) -> Checkpoint:
        return Checkpoint(origin=self.origin, size=size, root=self.tree.root(size))

    def note(self, size: int) -> str:
        """Signed by the key of that size; by two where one follows the other."""
        ruling = [key for since, key in self.keys if since <= size]
        both = len(ruling) > 1 and any(since == size for since, _ in self.keys)
        return sign(self.checkpoint(size), *ruling[-2 if both else -1 :])

    def public(self, number: int = -1) -> bytes:
        return public_of(self.keys[number][1])

    def rotations(self, size: int) -> list[Rotation]:
        return [
            Rotation(
                size=at,
                note=self.note(at),
                state=self.states[at - 1],
                proof=self.tree.inclusion(at, at),
                consistency=self.tree.growth(at, size),
            )
            for at, _ in self.keys[1:]
            if at <= size
        ]


def escapes(text: str) -> bytes:
    """Another way to write the same string."""
    return "".join(f"\\u{ord(one):04x}" for one in text).encode()


def absorbed_in(event: dict[str, Any]) -> set[str]:
    """Nobody where the data is not what it must be."""
    ids = event["data"].get("absorbed_ids") if isinstance(event.get("data"), dict) else None
    return {one for one in ids if isinstance(one, str)} if isinstance(ids, list) else set()


def strings(value: Any) -> Iterator[str]:
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, list | dict):
            rest += each if isinstance(each, list) else each.values()


FORMS = {
    "stream": "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "recorded_at": "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z",
    "type": "[a-z_.]+",
}


@lru_cache(maxsize=1024)
def event_in(state: bytes) -> dict[str, Any] | None:
    """What docs/bundle-format.md calls an event, read the plainest way there is, once for all who only look at it;
    None where a line is none."""
    try:
        event = json.loads(state.decode(), parse_constant=float.fromhex, parse_int=float)
        right = all(re.fullmatch(form, event[name]) for name, form in FORMS.items())
        version, known = event["version"], isinstance(event["workspace"], str)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    counted = type(version) is float and version.is_integer() and 0 < version < 1 << 53
    return event if right and counted and known and len(state) <= 65_535 and depth(event) <= DEEPEST else None


def depth(value: Any) -> int:
    """Of JSON; one level at a time, as it may be very deep."""
    row, levels = [value], 0
    while inner := [each for each in row if isinstance(each, dict | list)]:
        row, levels = [one for each in inner for one in (each.values() if isinstance(each, dict) else each)], levels + 1
    return levels


def topic_of(state: bytes) -> str:
    return str((event_in(state) or {"type": "none"})["type"])


def stream_of(house: House, position: int) -> str | None:
    """None where history lost the event."""
    return (event_in(house.states[position - 1]) or {}).get("stream")


def bundle(
    house: House, directory: Path, scope: dict[str, Any], *, per_file: int = 64, later: int = 3, custody: bool = True
) -> Contents:
    """Seals, writes, completes: as an export does. `later`: how far the log has gone on by then."""
    log = scope["kind"] == "log"
    house.append(house.export, "export.requested", {"scope": scope["kind"]}) if custody else None
    position = house.size
    absorbed = house.absorbed(scope["id"]) if scope["kind"] == "subject" and "absorbed" not in scope else []
    scope = {**scope, "absorbed": absorbed} if absorbed else scope
    at = house.seal_heads()
    leaves = house.leaves(position)
    house.grow(later if log else 0)
    size = house.size if log else at
    sealed = json.loads(house.states[at - 1])
    contents = Contents(
        origin=house.origin, workspace=UUID(house.workspace), scope=scope, position=position, tree_size=size,
        heads_position=at, heads_root=sealed["data"]["root"],
    )  # fmt: skip
    writer = BundleWriter(directory, contents, per_file=per_file)
    writer.events(lambda after: ((p, house.states[p - 1]) for p in positions(house, contents) if p > after), topic_of)
    writer.tiles(house.tree.read)
    if scope["kind"] in ("workspace", "log"):
        writer.heads(house.states[at - 1], leaves)
    else:
        writer.head_proofs(house.states[at - 1], *proofs(house, scope, leaves))
    purpose = Purpose(requester="auditor", purpose="a test", created_at="2026-01-01T00:00:00Z", tool="crm-es 0")
    known = [since for since, _ in house.keys[1:]]
    manifest = writer.manifest(purpose, custody=custody, rotations=known)
    if custody:
        house.append(house.export, "export.completed", {"manifest_sha256": sha256(manifest).hexdigest()})
        house.grow(later)
    end = house.size
    steps = [p for p in range(1, end + 1) if custody and stream_of(house, p) == house.export]
    writer.seal(
        house.note(end),
        house.checkpoint(end),
        vkey(house.origin, house.public()),
        growth=house.tree.growth(size, end),
        custody=[Proven(position=p, state=house.states[p - 1], proof=house.tree.inclusion(p, end)) for p in steps],
        rotations=house.rotations(end),
    )
    return contents


def positions(house: House, contents: Contents) -> list[int]:
    scope, end = contents.scope, contents.position
    if scope["kind"] == "log":
        return list(range(1, contents.tree_size + 1))
    if scope["kind"] == "workspace":
        return list(range(1, end + 1))
    if scope["kind"] == "range":
        return list(range(scope["from"], scope["to"] + 1))
    streams = (
        {scope["id"]} if scope["kind"] == "stream" else {one for each in people(scope) for one in house.named[each]}
    )
    return [p for p in range(1, end + 1) if stream_of(house, p) in streams]


def proofs(house: House, scope: dict[str, Any], leaves: list[str]) -> tuple[list[HeadProof], dict[str, list[str]]]:
    if scope["kind"] == "range":
        return [], {}
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf.encode())
    subjects = {one: sorted(house.named[one]) for one in people(scope)} if scope["kind"] == "subject" else {}
    streams = {one for each in subjects.values() for one in each} or {scope["id"]}
    wanted = {*(("s", stream) for stream in streams), *(("p", one) for one in subjects)}
    found = [(at, leaf) for at, leaf in enumerate(leaves) if tuple(leaf.split(" ")[:2]) in wanted]
    made = [HeadProof(index=at, leaf=leaf, hashes=tree.inclusion(at + 1, len(leaves))) for at, leaf in found]
    return made, subjects


def people(scope: dict[str, Any]) -> list[str]:
    return [scope["id"], *scope.get("absorbed", ())]
