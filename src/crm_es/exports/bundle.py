"""Writes the provable part of a bundle, as docs/bundle-format.md has it: from iterators, never holding more than one events file.

A bundle grows in `<directory>.part` and gets its name when it is whole. Killed at any moment, the next run goes on: files that
are finished are recognised by their hash and come out the same.
"""

import json
import os
import shutil
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from crm_es.exports.files import hash_of, line, pretty, put, put_gzip, settle
from crm_es.ledger.checkpoint import Checkpoint
from crm_es.ledger.merkle import WIDTH, Tile, edge_of

PER_FILE: Final = 16_384
DEMO: Final = (
    "This is a demo workspace: the people in it and the times its events say they were recorded at are invented."
)
EVERYTHING: Final = frozenset({"workspace", "log"})
_PROGRESS: Final = ".progress"
NOTES: Final = ".views"
"""How far the views are, while the bundle grows."""

Events = Callable[[int], Iterable[tuple[int, bytes | None]]]
"""Positions and states of the scope after a position, in order. None: there should be an event, and it is gone; b"" where the
log itself holds it to be lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What a bundle is of: `position` is where the heads were sealed, `heads_position` the event that says so (0: none yet),
    `tree_size` the tree that the tiles are of."""

    origin: str
    workspace: UUID
    scope: Mapping[str, Any]
    position: int
    tree_size: int
    heads_position: int
    heads_root: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Purpose:
    """Who asked for it, what for, and who agreed: as MANIFEST.json says it."""

    requester: str
    purpose: str
    created_at: str
    tool: str
    query: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    approver: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadProof:
    """A leaf of the heads map with what leads from it to the map's root."""

    index: int
    leaf: str
    hashes: Sequence[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Proven:
    """A recorded event with its inclusion proof in the tree of the checkpoint."""

    position: int
    state: bytes
    proof: Sequence[bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotation:
    """A checkpoint that two keys signed, the event that says why, and that the log went on from there."""

    size: int
    note: str
    state: bytes
    proof: Sequence[bytes]
    consistency: Sequence[bytes]


class BundleWriter:
    """Call in this order: events, tiles, heads, whatever else the bundle shall hold, manifest, seal."""

    def __init__(self, directory: Path, contents: Contents, *, per_file: int = PER_FILE) -> None:
        self.directory, self.contents, self._per_file = directory, contents, per_file
        self.folder = directory.with_name(f"{directory.name}.part")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._index = list(self._finished())
        put(self.folder / _PROGRESS, b"".join(map(line, self._index)))  # without what is not believed

    def events(
        self, events: Events, types: Callable[[bytes], str], told: Callable[[int], None] = lambda _: None
    ) -> None:
        """The states, 16,384 to a file, from where an earlier run stopped. `told` hears how many events are done."""
        done = sum(entry["events"] for entry in self._index)
        rows = iter(events(self._index[-1]["positions"][-1][1] if self._index else 0))
        while page := list(islice(rows, self._per_file)):
            name = f"events/{len(self._index):06}.jsonl.gz"
            _, sha256 = put_gzip(self.folder / name, (state + b"\n" for _, state in page if state is not None))
            kinds: dict[str, int] = {}
            for kind in (types(state) for _, state in page if state):
                kinds[kind] = kinds.get(kind, 0) + 1
            entry = {"path": name, "events": len(page), "positions": _runs(p for p, _ in page), "sha256": sha256}
            self._index.append({**entry, "types": kinds})
            with (self.folder / _PROGRESS).open("ab") as progress:
                progress.write(line(self._index[-1]))
            done += len(page)
            told(done)
        index = [{name: value for name, value in entry.items() if name != "types"} for entry in self._index]
        put(self.folder / "events/index.json", pretty({"eventsPerFile": self._per_file, "files": index}))

    def tiles(self, read: Callable[[Tile], bytes]) -> None:
        """Every tile for a whole log, else those over its events and over the right edge."""
        size, everything = self.contents.tree_size, self.contents.scope["kind"] in EVERYTHING
        runs = [[1, size]] if everything else [run for entry in self._index for run in entry["positions"]]
        runs = [*runs, [self.contents.heads_position] * 2] if self.contents.heads_position else runs
        for tile in tiles_over(runs, size):
            path = self.folder / f"tiles/{tile.path.removeprefix('tile/')}"
            put(path, read(tile)[: tile.width * 32], lasting=False)
        os.sync()  # thousands of small files: once for all of them

    def heads(self, sealed: bytes, leaves: Iterable[str]) -> None:
        """For the whole log: the event that sealed the heads, and every leaf of their map."""
        self._sealed(sealed)
        path = self.folder / "heads/map.txt.gz"
        if not path.exists():
            put_gzip(path, (f"{leaf}\n".encode() for leaf in leaves))

    def head_proofs(
        self, sealed: bytes, proofs: Sequence[HeadProof] = (), subjects: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """For a range or a log (without proofs), a stream, a subject (with all its streams)."""
        self._sealed(sealed)
        if proofs:
            leaves = [{"index": one.index, "leaf": one.leaf, "hashes": _encoded(one.hashes)} for one in proofs]
            put(self.folder / "heads/proofs.json", pretty({"leaves": leaves, "subjects": subjects or {}}))

    def manifest(self, purpose: Purpose, *, custody: bool, rotations: Sequence[int] = (), demo: bool = False) -> bytes:
        """Lists every file there is by now. Its SHA-256 is what `export.completed` records."""
        put(self.folder / "crm_verify.py", files("crm_es.ledger").joinpath("crm_verify.py").read_bytes())
        put(self.folder / "README.md", _readme(self.contents, demo=demo).encode())
        said, kinds = self.contents, self.counts
        value = {
            "format": 1,
            "origin": said.origin,
            "workspace": str(said.workspace),
            "scope": dict(said.scope),
            "position": said.position,
            "treeSize": said.tree_size,
            "headsPosition": said.heads_position,
            "headsRoot": said.heads_root,
            "counts": {"events": sum(kinds.values()), "byType": kinds},
            "custody": custody,
            "demo": demo,
            "rotations": list(rotations),
            "query": dict(purpose.query),
            "requester": purpose.requester,
            "purpose": purpose.purpose,
            "reason": purpose.reason,
            "approver": purpose.approver,
            "createdAt": purpose.created_at,
            "tool": purpose.tool,
            "files": list(self._listed()),
        }
        data = pretty(value)
        put(self.folder / "MANIFEST.json", data)
        return data

    def seal(
        self,
        note: str,
        checkpoint: Checkpoint,
        public_key: str,
        *,
        growth: Sequence[bytes] = (),
        custody: Sequence[Proven] = (),
        rotations: Sequence[Rotation] = (),
    ) -> Path:
        """The signed side: `growth` leads from the tiles' tree to the checkpoint's. Gives the bundle its name."""
        consistency = {"from": self.contents.tree_size, "to": checkpoint.size, "hashes": _encoded(growth)}
        put(self.folder / "consistency.json", pretty(consistency))
        for each in rotations:
            put(self.folder / f"rotations/{each.size}.note", each.note.encode())
            proof = {
                "event": each.state.decode(),
                "proof": _encoded(each.proof),
                "consistency": _encoded(each.consistency),
            }
            put(self.folder / f"rotations/{each.size}.json", pretty(proof))
        if custody:
            steps = [
                line({"position": step.position, "event": step.state.decode(), "proof": _encoded(step.proof)})
                for step in custody
            ]
            put(self.folder / "custody.jsonl", b"".join(steps))
        put(self.folder / "ORIGIN", f"{checkpoint.origin}\n".encode())
        put(self.folder / "PUBLIC_KEY", f"{public_key}\n".encode())
        put(self.folder / "CHECKPOINT", note.encode())
        (self.folder / _PROGRESS).unlink(missing_ok=True)
        shutil.rmtree(self.folder / NOTES, ignore_errors=True)
        settle(self.folder)
        self.folder.rename(self.directory)
        settle(self.directory.parent)
        return self.directory

    @property
    def counts(self) -> dict[str, int]:
        """Events by type, of those written."""
        kinds: dict[str, int] = {}
        for entry in self._index:
            for kind, number in entry["types"].items():
                kinds[kind] = kinds.get(kind, 0) + number
        return kinds

    def _sealed(self, state: bytes) -> None:
        sealed = {"position": self.contents.heads_position, "event": state.decode()}
        put(self.folder / "heads/sealed.json", pretty(sealed))

    def _finished(self) -> Iterator[dict[str, Any]]:
        """What an earlier run has noted, as far as its files are what it noted."""
        with suppress(FileNotFoundError, ValueError):
            for noted in (self.folder / _PROGRESS).read_bytes().splitlines():
                entry = json.loads(noted)
                if hash_of(self.folder / entry["path"])[1] != entry["sha256"]:
                    return
                yield entry

    def _listed(self) -> Iterator[dict[str, Any]]:
        signed = {"MANIFEST.json", "CHECKPOINT", "consistency.json", "custody.jsonl", "ORIGIN", "PUBLIC_KEY", _PROGRESS}
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            name = path.relative_to(self.folder).as_posix()
            if name not in signed and not name.startswith(("rotations/", f"{NOTES}/")) and not name.endswith(".part"):
                size, sha256 = hash_of(path)
                yield {"path": name, "size": size, "sha256": sha256}


def tiles_over(runs: Iterable[Sequence[int]], size: int) -> Iterator[Tile]:
    """The tiles of a tree that stand over these positions, and those of its right edge."""
    row: set[int] = set()
    for first, last in runs:
        row.update(range((first - 1) // WIDTH, (last - 1) // WIDTH + 1))
    edge, level, count = {tile.level: tile for tile in edge_of(size)}, 0, size
    while count:
        row = {number for number in row if number * WIDTH < count} | ({edge[level].number} if level in edge else set())
        for number in sorted(row):
            yield Tile(level, number, min(WIDTH, count - number * WIDTH))
        row, level, count = {number // WIDTH for number in row}, level + 1, count // WIDTH


def _runs(positions: Iterable[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for position in positions:
        if runs and runs[-1][1] == position - 1:
            runs[-1][1] = position
        else:
            runs.append([position, position])
    return runs


def _encoded(hashes: Sequence[bytes]) -> list[str]:
    return [b64encode(each).decode() for each in hashes]


def _readme(contents: Contents, *, demo: bool) -> str:
    text = files("crm_es.exports").joinpath("BUNDLE_README.md").read_text()
    head, _, rest = text.partition("\n\n")
    marked = f"{head}\n\n**{DEMO}**\n\n{rest}" if demo else text
    return marked.replace("{origin}", contents.origin).replace("{position}", str(contents.position))
