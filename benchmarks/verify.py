"""`scripts/bench verify`: events a second and core that `crm_verify.py` gets through, and the most memory it takes: `full`, with
`--log-only`, and of the newer half of a log as the daily look takes it.

An invented log of purchases, 1 KB a state, a new stream for each event and a contact named in most: the heads map is as large as
it gets. `--bundle DIR` takes a bundle that is there. CPU seconds are of all its processes together, Python's start included;
memory is of the largest of them. The floor is what it costs to inflate the same events and compute their tree, reading nothing.
`--like DIR` takes the states of another bundle over and over instead, which only `--log-only` can look at: versions do not follow
one another. `--floor N` fails where `--log-only` is slower than N events a second and core.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice
from itertools import count as count_from
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crm_es.exports.bundle import BundleWriter, Contents, Purpose
from crm_es.ledger import crm_verify
from crm_es.ledger.checkpoint import Checkpoint, public_of, sign, vkey
from crm_es.ledger.merkle import Growing, Tile, leaf_hash

T = TypeVar("T")
CONTACTS = 4  # events a contact


class Log:
    """States one after the other, always the same; nothing of them is kept."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.chance = random.Random(1)
        self.workspace = self.uuid()

    def uuid(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))

    def states(self) -> Iterator[bytes]:
        self.chance.seed(2)
        contact = ""
        for position in range(1, self.count + 1):
            first = position % CONTACTS == 1
            stream = self.uuid()
            contact = stream if first else contact
            sealed = {
                "$pii": 1,
                "c": b64encode(self.chance.randbytes(90)).decode(),
                "k": self.uuid(),
                "n": "ue5vFp+FRtEdGWN0",
            }
            kind = "contact.registered" if first else "interaction.recorded"
            data = (
                {"display_name": sealed}
                if first
                else {"channel": "PURCHASE", "participants": [contact], "subject": sealed}
            )
            yield self.state(position, stream, kind, {**data, "amount": {"currency": "USD", "minor": "2933"}})

    def state(self, position: int, stream: str, kind: str, data: dict[str, object]) -> bytes:
        event = {
            "actor": {"auth": "machine", "id": None, "kind": "SYSTEM", "on_behalf_of": None, "session": None},
            "causation_id": None, "command_id": self.uuid(), "correlation_id": self.workspace, "data": data,
            "occurred_at": "1997-01-01T00:00:00Z",
            "origin": {"address": None, "client": "crm-es", "import": {"id": self.workspace, "row": position}},
            "reason": None, "recorded_at": f"2026-01-01T00:{position // 10**6 % 60:02}:00.{position % 10**6:06}Z",
            "schema": 1, "stream": stream, "type": kind, "version": 1, "via": None, "workspace": self.workspace,
        }  # fmt: skip
        return json.dumps(event, sort_keys=True, separators=(",", ":")).encode()


def write(log: Log, directory: Path) -> tuple[str, str]:
    """A bundle of all of it; the origin and the public key."""
    origin, key = f"bench.example/log/{log.workspace}", Ed25519PrivateKey.generate()
    tree, heads = Growing(), Growing()
    heads.add(leaf_hash(leaf.encode()) for leaf in leaves(log))
    tree.add(leaf_hash(state) for state in log.states())
    data = {"leaves": heads.size, "root": heads.root().hex(), "size": log.count, "streams": log.count, "subjects": 0}
    sealed = log.state(log.count + 1, log.workspace, "ledger.heads_sealed", data)
    tree.add([leaf_hash(sealed)])
    tiles = {(tile.level, tile.number): hashes for tile, hashes in tree.take()}
    directory.with_name("kept").write_text(half(log, origin, key))
    size = log.count + 1
    contents = Contents(
        origin=origin, workspace=UUID(log.workspace), scope={"kind": "workspace"}, position=log.count, tree_size=size,
        heads_position=size, heads_root=heads.root().hex(),
    )  # fmt: skip
    writer = BundleWriter(directory, contents)
    kinds = {True: "contact.registered", False: "interaction.recorded"}
    writer.events(lambda _: enumerate(log.states(), 1), lambda state: kinds[b'"contact.r' in state])

    def read(tile: Tile) -> bytes:
        return tiles[tile.level, tile.number]

    writer.tiles(read)
    writer.heads(sealed, leaves(log))
    writer.manifest(Purpose(requester="bench", purpose="bench", created_at="", tool="bench"), custody=False)
    checkpoint = Checkpoint(origin=origin, size=size, root=tree.root())
    public = vkey(origin, public_of(key))
    writer.seal(sign(checkpoint, key), checkpoint, public)
    return origin, public


def write_unread(count: int, like: Path, directory: Path) -> None:
    """A bundle of so many states of another, without heads."""
    files, workspace = (
        sorted((like / "events").glob("*.gz")),
        json.loads((like / "MANIFEST.json").read_bytes())["workspace"],
    )
    origin, key, tree = f"bench.example/log/{workspace}", Ed25519PrivateKey.generate(), Growing()

    def states() -> Iterator[bytes]:
        lines = chain.from_iterable(
            chain.from_iterable(crm_verify.Lines(path) for _ in count_from(0) for path in files)
        )
        return islice(lines, count)

    tree.add(map(leaf_hash, states()))
    tiles = {(tile.level, tile.number): hashes for tile, hashes in tree.take()}
    contents = Contents(
        origin=origin, workspace=UUID(workspace), scope={"kind": "log"}, position=count, tree_size=count, heads_position=0,
    )  # fmt: skip
    writer = BundleWriter(directory, contents)
    writer.events(lambda _: enumerate(states(), 1), lambda _: "unread")
    writer.tiles(lambda tile: tiles[tile.level, tile.number])
    writer.manifest(Purpose(requester="bench", purpose="bench", created_at="", tool="bench"), custody=False)
    checkpoint = Checkpoint(origin=origin, size=count, root=tree.root())
    writer.seal(sign(checkpoint, key), checkpoint, vkey(origin, public_of(key)))


def half(log: Log, origin: str, key: Ed25519PrivateKey) -> str:
    """A checkpoint that an auditor may have kept."""
    tree, size = Growing(), log.count // 2
    tree.add(leaf_hash(state) for state in islice(log.states(), size))
    return sign(Checkpoint(origin=origin, size=size, root=tree.root()), key)


def leaves(log: Log) -> Iterator[str]:
    """The heads map: each stream is of one event, each contact has its own and those that follow it."""
    positions, named, contact = dict[str, int](), dict[str, list[str]](), ""
    for position, state in enumerate(log.states(), 1):
        stream = json.loads(state)["stream"]
        positions[stream] = position
        contact = stream if position % CONTACTS == 1 else contact
        named.setdefault(contact, []).append(stream)
    for one in sorted(named):
        digest = crm_verify.sha256("\n".join(sorted(named[one])).encode()).hexdigest()
        yield f"p {one} {len(named[one])} {digest}"
    for stream in sorted(positions):
        yield f"s {stream} 1 {positions[stream]}"


class Given(NamedTuple):
    bundle: Path
    origin: str
    key: Path
    events: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=250_000)
    parser.add_argument("--like", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--floor", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        bundle = given.bundle or Path(folder) / "bundle"
        if not given.bundle:
            apart(*((write_unread, given.events, given.like) if given.like else (write, Log(given.events))), bundle)
        events = json.loads((bundle / "MANIFEST.json").read_bytes())["counts"]["events"]
        measured = Given(bundle, (bundle / "ORIGIN").read_text().strip(), bundle / "PUBLIC_KEY", events)
        speed = measure(measured, given.rounds, unread=bool(given.like))
    if speed < given.floor:
        sys.exit(f"--log-only: {speed:,.0f} events/s and core, {given.floor:,} are wanted")


def measure(given: Given, rounds: int, *, unread: bool) -> float:
    """Events a second and core with `--log-only`."""
    sizes, inflated, hashed = zip(*(apart(floor, given.bundle) for _ in range(rounds)), strict=True)
    print(f"{given.events:,} events, {sizes[0] / given.events:,.0f} bytes each")
    for name, seconds in (("inflate", min(inflated)), ("and the tree (RFC 6962)", min(hashed))):
        print(f"floor: {name}: {given.events / seconds:,.0f} events/s and core")
    print(f"to start: {min(run('full', '--help')[1] for _ in range(rounds)):.2f} s")
    cores = 1, os.cpu_count() or 1
    for jobs in () if unread else cores:
        told(given, jobs, rounds, "full")
    speed, *_ = [told(given, jobs, rounds, "full", "--log-only") for jobs in cores]
    kept = given.bundle.with_name("kept")
    if kept.exists():
        told(given, 1, rounds, "since", str(kept), "--new", "--log-only", part=2)
    return speed


def told(given: Given, jobs: int, rounds: int, mode: str, *words: str, part: int = 1) -> float:
    """The median round; `part`: into how many parts the log falls of which one is looked at."""
    cpu, wall, memory = sorted(measured(given, jobs, mode, *words) for _ in range(rounds))[rounds // 2]
    events = given.events / part
    name = " ".join([mode, *(word for word in words if word.startswith("--"))])
    print(
        f"{name}, {jobs} processes: {events / cpu:,.0f} events/s and core, {events / wall:,.0f}/s, {memory:.0f} MB the largest"
    )
    return events / cpu


def apart(work: Callable[..., T], *given: object) -> T:
    """In another process: a child's memory is counted from that of its parent on."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(work, *given).result()


def floor(bundle: Path) -> tuple[int, float, float]:
    """Bytes of all states; CPU seconds to inflate them, and to compute leaves and nodes of their tree as well."""
    paths = sorted((bundle / "events").glob("*.gz"))
    start, size = time.process_time(), 0
    for path in paths:
        inflating = zlib.decompressobj(31)
        with path.open("rb") as file:
            while piece := file.read(1 << 15):
                size += len(inflating.decompress(piece))
    inflated, leaves = time.process_time(), crm_verify.Leaves()
    for path in paths:
        for lines in crm_verify.Lines(path):
            leaves.add(lines)
    leaves.root()
    return size, inflated - start, time.process_time() - inflated


def measured(given: Given, jobs: int, *words: str) -> tuple[float, float, float]:
    trusted = ["--origin", given.origin, "--public-key", str(given.key), "--no-custody"]
    said, *used = run(*words[:2], str(given.bundle), *words[2:], *trusted, "--jobs", str(jobs))
    verdict = json.loads(said.splitlines()[-1])
    assert (verdict["result"], verdict["events"]) == ("ok", given.events), said
    return used[0], used[1], used[2]


def run(*words: str) -> tuple[str, float, float, float]:
    """What the verifier says, its CPU and wall seconds, its MB."""
    start = time.perf_counter()
    program = [sys.executable, crm_verify.__file__, *words]
    running = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)  # noqa: S603  # the verifier
    said = running.stdout.read() if running.stdout else ""
    _, _, used = os.wait4(running.pid, 0)
    return said, used.ru_utime + used.ru_stime, time.perf_counter() - start, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
