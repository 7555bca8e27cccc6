"""What is honest passes: logs of any size and growth, in every mode, as a function and as a program."""

import ast
import json
import random
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from crm_es.ledger import crm_verify
from crm_es.ledger.checkpoint import vkey
from tests.verify.conftest import KINDS, written
from tests.verify.house import House, bundle
from tests.verify.judges import verdict
from tests.verify.mutations import Case

SOURCE = Path(crm_verify.__file__)
MOST_FILES = 100
"""Of events in a bundle: what is in them is what takes thought, and opening them what takes time."""


def honest(folder: Path, seed: int) -> Case:
    chance = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    events = chance.choice([7, 30, 63, 64, 65, 255, 256, 257, 300, 511, 512, chance.randrange(7, 900)])
    custody, rotated = kind != "log" and chance.random() < 0.8, chance.random() < 0.4
    per_file = max(chance.choice([1, 7, 64, 256, 16_384]), events // MOST_FILES)
    return written(folder, seed, kind, events=events, custody=custody, rotated=rotated, per_file=per_file)


@pytest.mark.parametrize("seed", range(100, 130))
def test_an_honest_log_raises_no_alarm(tmp_path: Path, seed: int) -> None:
    case = honest(tmp_path, seed)

    code, said = verdict(case.words())
    unread = verdict([*case.words(), "--log-only"])[0]

    assert (code, said["result"]) == (0, "ok"), said
    assert unread == (3 if case.kind in ("stream", "subject") else 0)


@pytest.mark.slow
@pytest.mark.parametrize("hundred", range(10))
def test_a_thousand_honest_logs_raise_no_alarm(tmp_path: Path, hundred: int) -> None:
    for seed in range(1_000 + hundred * 100, 1_100 + hundred * 100):
        case = honest(tmp_path, seed)
        code, said = verdict(case.words())
        unread = verdict([*case.words(), "--log-only"])

        assert code == 0, (seed, said)
        assert unread[0] == (3 if case.kind in ("stream", "subject") else 0), (seed, unread)


def test_the_verifier_imports_nothing_of_ours() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 9))

    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) == {"cryptography"}


def test_the_verifier_in_a_bundle_is_a_program_that_says_what_it_found(cases: list[Case]) -> None:
    case = cases[0]
    program = [sys.executable, "-I", str(case.directory / "crm_verify.py"), *case.words()]

    right = subprocess.run(program, capture_output=True, text=True, check=False)
    case.write("tiles/0/000", None) if (case.directory / "tiles/0/000").exists() else case.write(
        "heads/sealed.json", None
    )
    wrong = subprocess.run(program, capture_output=True, text=True, check=False)
    case.undo()

    assert (right.returncode, right.stderr) == (0, "")
    assert json.loads(right.stdout.splitlines()[-1])["result"] == "ok"
    assert wrong.returncode == 2


@pytest.mark.parametrize("words", [[], ["full"], ["full", "/nowhere", "--origin", "o"], ["guess", "/nowhere"]])
def test_what_it_does_not_understand_is_unverifiable(words: list[str]) -> None:
    done = subprocess.run([sys.executable, str(SOURCE), *words], capture_output=True, text=True, check=False)

    assert done.returncode == 3


@pytest.mark.parametrize("form", ["vkey", "base64", "PEM"])
def test_the_key_may_be_written_in_three_ways(cases: list[Case], form: str) -> None:
    case = cases[0]
    key = case.house.keys[case.pinned][1].public_key()
    file = case.directory.parent / form
    pem = "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n"
    der = bytes.fromhex("302a300506032b6570032100") + key.public_bytes_raw()
    forms = {
        "vkey": vkey("whatever", key.public_bytes_raw()),
        "base64": b64encode(key.public_bytes_raw()).decode(),
        "PEM": pem.format(b64encode(der).decode()),
    }
    file.write_text(forms[form])
    words = case.words()
    words[words.index("--public-key") + 1] = str(file)

    assert verdict(words)[0] == 0


def test_one_key_of_a_rotated_log_leads_to_the_other(tmp_path: Path) -> None:
    for seed in (2, 3):
        case = written(tmp_path, seed, "workspace", events=40, custody=True, rotated=True)
        for case.pinned in (0, 1):
            assert verdict(case.words())[0] == 0


def test_a_new_epoch_is_lost_history_to_who_knows_the_old_one(tmp_path: Path) -> None:
    case = written(tmp_path, 7, "workspace", events=40, custody=True, rotated=False)
    house = House(8, epoch=2)
    house.grow(30)
    later = written_by(house, tmp_path / "later")
    words = later.words()
    words[words.index("--origin") + 1] = house.origin.removesuffix("/2")

    assert verdict(later.words())[0] == 0
    assert verdict(case.words())[0] == 0
    assert verdict(words)[0] == 2


def written_by(house: House, directory: Path) -> Case:
    bundle(house, directory, {"kind": "workspace"})
    return Case(house, directory, "workspace", custody=True)


def test_an_older_checkpoint_must_be_continued(tmp_path: Path) -> None:
    case = written(tmp_path, 4, "workspace", events=300, custody=True, rotated=False)
    size = int(case.read("CHECKPOINT").split(b"\n")[1])
    house, old = case.house, tmp_path / "old"
    forked = House(4)
    forked.grow(100)

    for kept in (1, 255, 256, 257, 300, size):
        old.write_text(house.note(kept))
        assert verdict(case.words("since", str(old)))[0] == 0, kept
        assert verdict([*case.words("since", str(old)), "--new"])[0] == 0, kept
    house.grow(5)
    old.write_text(house.note(size + 5))
    longer = verdict(case.words("since", str(old)))
    forked.grow(1)
    forked.keys = house.keys
    forked.append(forked.export, "export.requested", {})
    old.write_text(forked.note(forked.size))
    other = verdict(case.words("since", str(old)))

    assert (longer[0], longer[1]["position"]) == (2, size + 1)
    assert (other[0], other[1]["file"]) == (1, str(old))


def test_a_sample_is_taken_of_some_events(cases: list[Case]) -> None:
    case = cases[5]
    name = case.index[0]["path"]

    fine = verdict([*case.words("sample", "5"), "--seed", "1"])
    case.write(name, case.read(name)[:-9])
    caught = verdict(case.words("sample", "100000"))
    case.undo()

    assert fine[0] == 0
    assert caught[0] == 2


def test_two_logs_are_told_apart_by_their_tiles(tmp_path: Path) -> None:
    one = written(tmp_path, 5, "workspace", events=700, custody=True, rotated=False)
    same = written(tmp_path / "again", 5, "workspace", events=700, custody=True, rotated=False)
    name = "tiles/0/001"
    data = bytearray(same.read(name))
    data[77 * 32] ^= 1

    equal = verdict(["locate", str(one.directory), str(same.directory)])
    same.write(name, bytes(data))
    upper = next(name for name in same.names if name.startswith("tiles/1/"))
    same.write(upper, bytes(32 * 2))
    different = verdict(["locate", str(one.directory), str(same.directory)])

    assert equal[0] == 0
    assert (different[0], different[1]["position"]) == (1, 256 + 77 + 1)
