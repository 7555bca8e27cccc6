"""An export of one contact, of one stream or of a range proves its completeness: whatever is left out is missed, however well
the rest is made to fit. Only what needs the log's key cannot be made to fit."""

import gzip
import json
import random
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from crm_es.exports.files import compressed, pretty
from tests.verify.conftest import written
from tests.verify.judges import verdict
from tests.verify.mutations import Case

FEW, MANY = 6, 1_000


def without(case: Case, copy: Path, gone: set[int], scope: dict[str, object] | None = None) -> Case:
    """The bundle rewritten as if these positions had never been asked for: events, index, counts, manifest."""
    shutil.copytree(case.directory, copy)
    forged = Case(case.house, copy, case.kind, custody=False, pinned=case.pinned)
    kept = [p for number in range(len(case.index)) for p in case.positions(number) if p not in gone]
    each = json.loads(case.read("events/index.json"))["eventsPerFile"]
    for entry in case.index:
        (copy / entry["path"]).unlink()
    index = []
    for number, start in enumerate(range(0, len(kept), each)):
        page = kept[start : start + each]
        path, data = (
            f"events/{number:06}.jsonl.gz",
            b"".join(compressed(case.house.states[p - 1] + b"\n" for p in page)),
        )
        (copy / path).write_bytes(data)
        index.append({"path": path, "events": len(page), "positions": runs(page), "sha256": sha256(data).hexdigest()})
    (copy / "events/index.json").write_bytes(pretty({"eventsPerFile": each, "files": index}))
    manifest = json.loads(case.read("MANIFEST.json"))
    types = [json.loads(case.house.states[p - 1])["type"] for p in kept]
    counts = {"events": len(kept), "byType": {kind: types.count(kind) for kind in set(types)}}
    left = [file for file in manifest["files"] if not file["path"].startswith("events/")]
    names = ["events/index.json", *(entry["path"] for entry in index)]
    fresh = [
        {"path": n, "size": (copy / n).stat().st_size, "sha256": sha256((copy / n).read_bytes()).hexdigest()}
        for n in names
    ]
    changed = {**manifest, "counts": counts, "files": left + fresh, "scope": scope or manifest["scope"]}
    (copy / "MANIFEST.json").write_bytes(pretty(changed))
    return forged


def runs(positions: list[int]) -> list[list[int]]:
    found: list[list[int]] = []
    for position in positions:
        if found and found[-1][1] == position - 1:
            found[-1][1] = position
        else:
            found.append([position, position])
    return found


def something(case: Case, chance: random.Random) -> set[int]:
    """One event, one stream, the tail, or all."""
    everything = [p for number in range(len(case.index)) for p in case.positions(number)]
    one = chance.choice(everything)
    stream = json.loads(case.house.states[one - 1])["stream"]
    return chance.choice(
        [
            {one},
            {p for p in everything if json.loads(case.house.states[p - 1])["stream"] == stream},
            set(everything[everything.index(one) :]),
            set(everything),
        ]
    )


def trial(folder: Path, case: Case, seed: int) -> None:
    chance = random.Random(seed)
    gone = something(case, chance)
    forged = without(case, folder / "forged", gone)

    told = verdict(forged.words())
    forget_custody(forged)
    alone = verdict(forged.words())
    shutil.rmtree(folder / "forged")

    assert (told[0], told[1]["file"]) == (1, "MANIFEST.json")
    assert alone[0] in (1, 2), (case.kind, seed, alone)
    if case.kind != "range":
        assert (alone[0], alone[1]["version"] is None) == (2, False), (case.kind, seed, alone)


def forget_custody(forged: Case) -> None:
    (forged.directory / "custody.jsonl").unlink()
    manifest = json.loads(forged.read("MANIFEST.json"))
    (forged.directory / "MANIFEST.json").write_bytes(pretty({**manifest, "custody": False}))


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("partial")
    kinds = ["range", "stream", "subject"]
    cases = [
        written(folder, 40 + at, kind, events=60 * at + 40, custody=True, rotated=at % 2 > 0, per_file=16)
        for at, kind in enumerate(kinds * 3)
    ]
    for case in cases:
        assert verdict(case.words())[0] == 0
    return cases


@pytest.mark.parametrize("number", range(9))
def test_what_is_left_out_is_missed(tmp_path: Path, partial: list[Case], number: int) -> None:
    for seed in range(FEW):
        trial(tmp_path, partial[number], seed)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(9))
def test_a_thousand_things_left_out_are_missed(tmp_path: Path, partial: list[Case], number: int) -> None:
    for seed in range(MANY // 9 + 1):
        trial(tmp_path, partial[number], seed + 1_000)


def test_a_subject_must_have_all_the_streams_that_were_sealed(tmp_path: Path, partial: list[Case]) -> None:
    """Even where the stream is dropped from the proofs too."""
    case = partial[8]
    subjects = json.loads(case.read("heads/proofs.json"))["subjects"]
    for dropped in {stream for streams in subjects.values() for stream in streams}:
        gone = {
            p for number in range(len(case.index)) for p in case.positions(number)
            if json.loads(case.house.states[p - 1])["stream"] == dropped
        }  # fmt: skip
        forged = without(case, tmp_path / dropped, gone)
        proofs = json.loads(forged.read("heads/proofs.json"))
        for streams in proofs["subjects"].values():
            streams[:] = [stream for stream in streams if stream != dropped]
        proofs["leaves"] = [leaf for leaf in proofs["leaves"] if not leaf["leaf"].startswith(f"s {dropped}")]
        data = pretty(proofs)
        (forged.directory / "heads/proofs.json").write_bytes(data)
        manifest = json.loads(forged.read("MANIFEST.json"))
        for file in manifest["files"]:
            if file["path"] == "heads/proofs.json":
                file.update(size=len(data), sha256=sha256(data).hexdigest())
        (forged.directory / "MANIFEST.json").write_bytes(pretty(manifest))
        forget_custody(forged)

        code, said = verdict(forged.words())

        assert (code, said["file"]) == (2, "heads/proofs.json")


def test_the_same_events_are_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        case = written(tmp_path / folder, 77, "subject", events=200, custody=True, rotated=False)

    files = {name for name in case.names if not name.startswith(("rotations", "CHECKPOINT"))}
    assert all((tmp_path / "one/subject-77" / name).read_bytes() == case.read(name) for name in files)
    assert gzip.decompress(case.read(case.index[0]["path"])).endswith(b"}\n")
