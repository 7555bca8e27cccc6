"""Run by a Python that has aics-tlog and pymerkle, nothing of ours: do they agree with a bundle? Prints what they found."""

import base64
import gzip
import json
import sys
import tempfile
from pathlib import Path

from aics_tlog import (
    FileSystemTileReader,
    parse_note,
    parse_vkey,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
)
from aics_tlog.checkpoint import checkpoint_from_note
from aics_tlog.hashing import leaf_hash
from aics_tlog.tiles import consistency_proof_from_tiles, inclusion_proof_from_tiles, tree_root_from_tiles
from aics_tlog.verified import audit_tiles
from pymerkle import InmemoryTree


def decoded(hashes: list[str]) -> list[bytes]:
    return [base64.b64decode(each) for each in hashes]


def main(bundle: Path) -> dict[str, object]:
    manifest = json.loads((bundle / "MANIFEST.json").read_text())
    note = (bundle / "CHECKPOINT").read_bytes()
    checkpoint, _ = checkpoint_from_note(note)
    signed = verify_checkpoint(parse_note(note), parse_vkey((bundle / "PUBLIC_KEY").read_text().strip()))
    growth = json.loads((bundle / "consistency.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tile").symlink_to(bundle.resolve() / "tiles")
        reader, size = FileSystemTileReader(folder), manifest["treeSize"]
        root = tree_root_from_tiles(reader, size, size)
        audited = audit_tiles(reader, size, root, entries=False)
        grown = verify_consistency(size, checkpoint.size, root, checkpoint.root, decoded(growth["hashes"]))
        states = [
            line
            for file in sorted((bundle / "events").glob("*.gz"))
            for line in gzip.decompress(file.read_bytes()).split(b"\n")[:-1]
        ]
        included = [
            verify_inclusion(leaf_hash(state), at, size, inclusion_proof_from_tiles(reader, at, size), root)
            for at, state in enumerate(states)
        ]
        older = max(1, size // 3)
        old = tree_root_from_tiles(reader, older, size)
        followed = verify_consistency(older, size, old, root, consistency_proof_from_tiles(reader, older, size))
    steps = [json.loads(line) for line in (bundle / "custody.jsonl").read_text().splitlines()]
    proved = [
        verify_inclusion(
            leaf_hash(step["event"].encode()),
            step["position"] - 1,
            checkpoint.size,
            decoded(step["proof"]),
            checkpoint.root,
        )
        for step in steps
    ]
    tree = InmemoryTree(algorithm="sha256")
    for state in [*states, json.loads((bundle / "heads/sealed.json").read_text())["event"].encode()]:
        tree.append_entry(state)
    return {
        "signed": signed.ok,
        "audited": bool(audited),
        "grown": grown,
        "included": all(included) and len(included) == manifest["position"],
        "followed": followed,
        "proved": all(proved) and len(proved) > 1,
        "pymerkle": tree.get_root(size) == root,
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
