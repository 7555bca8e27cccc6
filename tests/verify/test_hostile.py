"""Bundles made to mislead the verifier, to keep it busy for ever, or to speak past the auditor; and honest ones of odd shape."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from crm_es.exports.files import GZIP_HEADER, compressed, pretty
from crm_es.ledger import crm_verify
from crm_es.ledger.checkpoint import Checkpoint, sign
from tests.verify.conftest import Both, bundled, of
from tests.verify.house import House
from tests.verify.mutations import Case, rehash, size_of
from tests.verify.test_completeness import forget_custody


def forged(case: Case, **changes: Any) -> None:
    manifest = json.loads(case.read("MANIFEST.json"))
    case.write("MANIFEST.json", pretty({**manifest, **changes}))


# -- what keeps a verifier busy


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), os.mkfifo])
@pytest.mark.parametrize("name", ["CHECKPOINT", "tiles/0/more", "views"])
def test_what_is_no_plain_file_is_not_opened(
    tmp_path: Path, both: Both, make: Callable[[Path], None], name: str
) -> None:
    case = of(tmp_path)
    (case.directory / name).unlink(missing_ok=True)
    make(case.directory / name)

    code, said = both(case.words())

    assert (code, said["file"]) == (3, name)


HUGE = 10**15


@pytest.mark.parametrize(
    "changes",
    [
        {"position": HUGE},
        {"treeSize": HUGE},
        {"treeSize": HUGE, "headsPosition": HUGE, "position": HUGE - 1},
        {"treeSize": -5},
        {"headsPosition": 0},
        {"treeSize": 0, "position": 0, "headsPosition": 0},
        {"scope": {"kind": "range", "from": 1, "to": HUGE}},
        {"treeSize": True},
        {"treeSize": "7"},
    ],
)
@pytest.mark.parametrize("custody", [False, True])
def test_sizes_that_cannot_be_are_refused_at_once(
    tmp_path: Path, both: Both, changes: dict[str, Any], custody: bool
) -> None:
    case = of(tmp_path, custody=custody)
    forged(case, **changes)

    code, said = both(case.words())

    assert code == 1
    assert said["file"] in ("MANIFEST.json", "events/index.json")


def test_an_index_that_promises_too_much_is_refused_at_once(tmp_path: Path, both: Both) -> None:
    case = of(tmp_path, "stream", custody=False)
    index = json.loads(case.read("events/index.json"))
    index["eventsPerFile"] = HUGE
    index["files"][0].update(events=HUGE, positions=[[1, HUGE]])
    case.write("events/index.json", pretty(index))
    rehash(case, treeSize=HUGE, headsPosition=HUGE)

    code, said = both(case.words())

    assert (code, said["file"]) == (1, "events/index.json")


@pytest.mark.parametrize("position", [0, -1, HUGE])
def test_heads_at_no_position_are_refused_at_once(tmp_path: Path, both: Both, position: int) -> None:
    case = of(tmp_path, custody=False)
    sealed = json.loads(case.read("heads/sealed.json"))
    case.write("heads/sealed.json", pretty({**sealed, "position": position}))
    rehash(case)

    code, said = both(case.words())

    assert (code, said["file"]) == (1, "heads/sealed.json")


@pytest.mark.parametrize("byte", [b"\n", b"\x00"])
def test_a_file_that_swells_is_not_read_to_its_end(tmp_path: Path, byte: bytes) -> None:
    """64 MiB of it would be two gigabytes of hashes."""
    case = of(tmp_path)
    case.write(case.index[0]["path"], b"".join(compressed(byte * (1 << 20) for _ in range(64))))
    program = "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); sys.argv.pop(0);"
    run = "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"

    done = subprocess.run(
        [sys.executable, "-c", program + run, crm_verify.__file__, *case.words(), "--jobs", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1, (done.stdout[-300:], done.stderr[-300:])
    assert json.loads(done.stdout.splitlines()[-1])["position"] == 1


@pytest.mark.parametrize("name", ["events/000000.jsonl.gz", "heads/map.txt.gz"])
def test_a_file_that_swells_is_judged_alike(tmp_path: Path, both: Both, name: str) -> None:
    case = of(tmp_path, custody=False)
    case.write(name, b"".join(compressed(b"x\n" * (1 << 19) for _ in range(32))))
    rehash(case)

    code, said = both(case.words())

    assert (code, said["file"]) == (1, None if name.startswith("events") else name)


def test_a_file_too_large_to_be_read_whole_is_not(tmp_path: Path, both: Both) -> None:
    case = of(tmp_path)
    with (case.directory / "custody.jsonl").open("r+b") as file:
        file.truncate(crm_verify.LARGEST_FILE + 1)  # a hole: no disk is used

    assert both(case.words())[0] == 3


# -- forms


@pytest.mark.parametrize("tail", [b"junk", gzip.compress(b"{}\n", mtime=0), GZIP_HEADER])
def test_nothing_may_follow_a_gzip_member(tmp_path: Path, both: Both, tail: bytes) -> None:
    case = of(tmp_path, custody=False)
    name = case.index[-1]["path"]
    case.write(name, case.read(name) + tail)
    rehash(case)

    code, said = both(case.words())

    assert (code, said["file"]) == (1, name)


@pytest.mark.parametrize("change", [lambda d: b"\xef\xbb\xbf" + d, lambda d: d.replace(b"\n", b"\r\n")])
@pytest.mark.parametrize("name", ["CHECKPOINT", "MANIFEST.json", "events/index.json", "custody.jsonl"])
def test_texts_have_one_form(tmp_path: Path, both: Both, change: Callable[[bytes], bytes], name: str) -> None:
    case = of(tmp_path)
    case.write(name, change(case.read(name)))

    code, said = both(case.words())

    assert (code, said["file"]) == (3 if name == "CHECKPOINT" else 1, name)


@pytest.mark.parametrize("value", ["1.5", "1e3", "9007199254740993", "-0", "NaN", '"\\ud800"', '{"\\udc00":1}'])
def test_what_readers_of_json_read_differently_is_refused(tmp_path: Path, both: Both, value: str) -> None:
    case = of(tmp_path, custody=False)
    forged(case, query=None)
    case.write("MANIFEST.json", case.read("MANIFEST.json").replace(b'"query": null', f'"query": {value}'.encode()))

    code, said = both(case.words())

    assert (code, said["file"]) == (1, "MANIFEST.json")


def test_keys_are_sorted_alike_by_both(tmp_path: Path, both: Both) -> None:
    case = of(tmp_path, custody=False)
    forged(
        case, query={"10": {}, "9": [], "": 1, "\U0001f642": [1], "__proto__": {"a": [[]]}}, purpose="\u2028\x7f\x01/é"
    )

    assert both(case.words())[0] == 0


def test_a_size_no_reader_can_count_to_is_no_checkpoint(tmp_path: Path, both: Both) -> None:
    case = of(tmp_path)
    great = Checkpoint(origin=case.house.origin, size=1 << 53, root=bytes(32))
    case.write("CHECKPOINT", sign(great, case.house.keys[-1][1]).encode())

    assert both(case.words())[0] == 3


def test_a_file_beside_the_rotations_is_an_alteration(tmp_path: Path, both: Both) -> None:
    case = of(tmp_path, rotated=True)
    case.write("rotations/7.json", b"{}")

    code, said = both(case.words())

    assert (code, said["file"]) == (1, "rotations/7.json")


def test_no_name_of_a_file_stops_the_verdict(tmp_path: Path) -> None:
    """Nor does one reach the auditor's screen as it is."""
    case = of(tmp_path)
    (case.directory / 'é\x1b[2J\n{"result": "ok"}').write_bytes(b"")
    done = subprocess.run(
        [sys.executable, crm_verify.__file__, *case.words()],
        env={"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["result"] == "tampered"


# -- keys and epochs


@pytest.mark.parametrize("pinned", [0, 1])
def test_the_old_key_signs_nothing_after_its_successor_began(tmp_path: Path, both: Both, pinned: int) -> None:
    case = of(tmp_path, rotated=True)
    case.pinned = pinned
    case.write("CHECKPOINT", sign(case.house.checkpoint(size_of(case)), case.house.keys[0][1]).encode())

    assert both(case.words())[0] == 3


def epoch(seed: int, lost: set[int], *, said: tuple[int, int], escaped: str = "") -> House:
    """The second epoch of a log of twenty events that lost some; its event says which."""
    house = House(seed, epoch=2)
    for number in range(1, 21):
        if number in lost:
            house.states.append(b"")
            house.tree.add(b"")
        else:
            house.append(house.uuid(), "deal.opened", {})
    data = {
        "epoch": 2, "old_origin": house.origin.removesuffix("/2"), "old_size": 20, "old_root": "00" * 32,
        "lost_from": said[0], "lost_to": said[1],
    }  # fmt: skip
    house.append(house.ledger, "ledger.epoch_opened", data, escaped=escaped)
    return house


def test_an_old_checkpoint_names_what_the_new_epoch_lost(tmp_path: Path, both: Both) -> None:
    """Also to an auditor who has heard of the new epoch: the checkpoint is of the old one."""
    old, house = House(9), epoch(9, set(), said=(14, 20))
    old.grow(60)
    old.keys = house.keys
    kept = tmp_path / "kept"
    case = bundled(house, tmp_path / "whole", {"kind": "workspace"})

    for size in (20, 60):
        kept.write_text(old.note(size))
        code, said = both(case.words("since", str(kept)))

        assert (code, said["position"]) == (2, 14)


def test_places_of_lost_events_are_those_the_epoch_names(tmp_path: Path, both: Both) -> None:
    house = epoch(11, {5, 6}, said=(5, 6))
    fine = bundled(house, tmp_path / "fine", {"kind": "workspace"})
    house = epoch(11, {5, 6, 9}, said=(5, 6))
    more = bundled(house, tmp_path / "more", {"kind": "workspace"})

    assert both(fine.words())[0] == 0
    code, said = both(more.words())
    assert (code, said["position"]) == (1, 9)


def test_the_map_of_an_epoch_that_lost_events_is_looked_at_too(tmp_path: Path, both: Both) -> None:
    house = epoch(12, {5}, said=(5, 5))
    case = bundled(house, tmp_path / "whole", {"kind": "workspace"})
    false = b"".join(compressed([b"s nothing 1 1\n"]))
    case.write("heads/map.txt.gz", false)
    forget_custody(case)
    rehash(case)
    case.custody = False

    code, said = both(case.words())

    assert (code, said["file"]) == (1, "heads/map.txt.gz")


# -- a stranger


def test_without_its_package_it_verifies_nothing(tmp_path: Path) -> None:
    """An exit code of 1, which is Python's for what it cannot import, would call the bundle altered."""
    case = of(tmp_path)
    words = [sys.executable, "-I", "-S", crm_verify.__file__, *case.words()]

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert (done.returncode, json.loads(done.stdout)["result"]) == (3, "unverifiable")
    assert "cryptography" in done.stdout


def test_the_readme_of_a_bundle_is_enough(tmp_path: Path) -> None:
    """Its commands as they stand, in the folder; only pip's line is done by hand."""
    case = of(tmp_path)
    block = case.read("README.md").decode().split("\n\n    ", 1)[1].split("\n\n", 1)[0]
    key = tmp_path / "published.key"
    key.write_bytes(case.read("PUBLIC_KEY"))
    packages = Path(sys.modules["cryptography"].__file__ or "").parents[1]
    here = f"echo {packages} > $(echo ~/checking/lib/python*/site-packages)/here.pth"
    block = block.replace("~/checking/bin/pip install cryptography", here).replace("venv ", "venv --without-pip ")
    block = block.replace("ORIGIN", case.house.origin).replace("FILE", str(key))
    home = {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}

    done = subprocess.run(
        ["/bin/sh", "-e", "-c", block], cwd=case.directory, env=home, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, (block, done.stdout, done.stderr)
    assert json.loads(done.stdout.splitlines()[-1])["scope"] == {"kind": "workspace"}
    assert sha256(case.read("crm_verify.py")).digest() == sha256(Path(crm_verify.__file__).read_bytes()).digest()
