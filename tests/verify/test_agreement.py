"""Whatever is in a bundle, and whoever signed it: the verifiers say the same, the first in both its ways of reading.

`python -m tests.verify.test_agreement FIRST LAST` tries the bundles of more seeds."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_es.exports.files import pretty
from crm_es.ledger import crm_verify
from tests.verify.conftest import Both
from tests.verify.crafted import HARMLESS, Crafted, Event, craft, plain
from tests.verify.house import House, bundle, event_in
from tests.verify.judges import PLACE, SECOND, OtherVerifier, verdict
from tests.verify.mutations import Case
from tests.verify.tampering import Made, vouch
from tests.verify.test_reading import AsJson

FEW = 5
ALTERATIONS = 3


def agreed(words: list[str], other: OtherVerifier, told: Any) -> int:
    other.ask(words)
    said = {"short": verdict(words)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crm_verify, "Reading", AsJson)
        said["long"] = verdict(words)
    said["second"] = other.answer()
    places = {json.dumps([code, *(each.get(key) for key in PLACE)]) for code, each in said.values()}
    assert len(places) == 1, (told, words, said)
    assert not any("verifier failed" in each["reason"] for _, each in said.values()), (told, words, said)
    return said["short"][0]


def ways(made: Made, folder: Path) -> Iterator[list[str]]:
    """Of looking at it."""
    kept = folder / "kept"
    kept.write_text(made.case.house.note(made.chance.randrange(len(made.states)) + 1))
    yield made.case.words()
    yield [*made.case.words(), "--log-only"]
    yield made.case.words("sample", "99999")
    yield [*made.case.words("since", str(kept)), "--new"]


def look(folder: Path, seed: int, other: OtherVerifier) -> None:
    folder.mkdir()
    made = Made(folder, seed)
    code, *_ = [agreed(words, other, (seed, made.tricks)) for words in ways(made, folder)]
    strange = not all(map(event_in, made.states))
    if made.case.kind in ("workspace", "log"):
        assert code or not (strange or made.forged), (seed, made.tricks)
        assert not code or strange or made.forged or {*made.tricks} - HARMLESS, (seed, made.tricks)
    for _ in range(ALTERATIONS):
        made.alter()
        words = made.chance.choice(list(ways(made, folder)))
        try:
            agreed(words, other, (seed, made.tricks))
        finally:
            made.undo()


@pytest.mark.node
@pytest.mark.parametrize("seed", range(0, 25, FEW))
def test_what_the_sealer_signed_is_judged_alike(tmp_path: Path, other: OtherVerifier, seed: int) -> None:
    for at in range(seed, seed + FEW):
        look(tmp_path / str(at), at, other)


# -- what they had judged differently


def signed(folder: Path, house: House, kind: str = "workspace") -> Case:
    house.grow(3)
    bundle(house, folder / "bundle", {"kind": kind}, custody=False)
    return Case(house, folder / "bundle", kind, custody=False)


def grown(seed: int = 8) -> Crafted:
    house = Crafted(seed)
    house.grow(20)
    return house


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b'"text":"see', b'"text":see'),
        (b'"actor":{', b'"actor":{,'),
        (b'"reason":', b'"reason"::'),
        (b'"text":"see', b'"text":"\xff'),
        (b'"text":"see', b'"text":"\x1f'),
        (b'"text":"see', b'"text":NaN,"a":"see'),
        (b'"text":"see', b'"text":"\\x'),
        (b'"text":"see', b'"text":01,"a":"see'),
        (b'"data":{', b'"data":{}{'),
        (b'{"actor"', b'\xef\xbb\xbf{"actor"'),
    ],
)
def test_a_fault_of_json_anywhere_makes_no_event(tmp_path: Path, both: Both, right: bytes, wrong: bytes) -> None:
    house = grown()
    craft(house, lambda event, chance: plain(event, chance).replace(right, wrong, 1))
    at = house.size
    assert wrong in house.states[-1]

    code, said = both(signed(tmp_path, house).words())

    assert (code, said["position"], said["reason"]) == (1, at, "is no event")


def test_a_type_may_be_called_as_languages_call_theirs(tmp_path: Path, both: Both) -> None:
    house = grown()
    craft(house, lambda event, chance: plain({**event, "type": "__proto__"}, chance))

    assert both(signed(tmp_path, house).words())[0] == 0


def nested(event: Event) -> Event:
    """Somebody named where only a careless reader looks."""
    inner = {"occurred_at": None, "recorded_at": event["recorded_at"], "data": [event["someone"]]}
    return {**event, "data": {}, "origin": inner, "actor": inner}


def test_keys_of_the_envelope_within_another_mean_nothing(tmp_path: Path, both: Both) -> None:
    house = grown()
    craft(house, lambda event, chance: plain(nested(event), chance))

    assert both(signed(tmp_path, house).words())[0] == 0


def test_a_sealed_map_that_names_too_many_is_false(tmp_path: Path, both: Both) -> None:
    """It is that of events which say in their data what this one says beside it."""
    house, other = grown(), grown()
    craft(house, lambda event, chance: plain(nested(event), chance))
    craft(other, lambda event, chance: plain({**nested(event), "data": [event["someone"]]}, chance))
    house.grow(3)
    other.grow(3)
    house.forge = lambda *_: House.leaves(other, house.size - 1)

    code, said = both(signed(tmp_path, house).words())

    assert (code, said["reason"]) == (1, "the heads that were sealed here are not those of the events")


@pytest.mark.parametrize("epochs", [1, 0])
def test_a_stream_goes_no_further_than_the_heads_that_prove_it(tmp_path: Path, both: Both, epochs: int) -> None:
    case = Made(tmp_path, 3).case
    index = json.loads(case.read("events/index.json"))
    assert case.kind == "stream"
    index["files"][-1]["positions"] += [[case.house.size, case.house.size]] if epochs else []
    case.write("events/index.json", pretty(index))
    vouch(case)

    code, said = both(case.words())

    assert (code, said["file"]) == ((1, "events/index.json") if epochs else (0, None))


@pytest.mark.node
def test_a_mistake_of_the_second_verifiers_own_is_no_alteration(tmp_path: Path) -> None:
    program = f"""
        import {{ Tiles }} from "{SECOND.with_name("tree.mjs")}";
        import {{ verify }} from "{SECOND}";
        Tiles.prototype.root = () => undefined.mistake;
        console.log(JSON.stringify(await verify({json.dumps(signed(tmp_path, grown()).words())})));
    """
    node = [shutil.which("node") or "", "--input-type=module", "-e", program]

    said = json.loads(subprocess.run(node, capture_output=True, text=True, check=True).stdout)

    assert said["result"] == "unverifiable"
    assert said["reason"].startswith("the verifier failed: TypeError")


def main(first: int, last: int) -> None:
    other = OtherVerifier()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, last):
            look(Path(folder) / str(seed), seed, other)
            shutil.rmtree(Path(folder) / str(seed))
    other.stop()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
