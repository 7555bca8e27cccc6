"""Whatever stands in a bundle's JSON where something else is meant, both verifiers name the file, and neither stumbles."""

import json
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from crm_es.exports.files import line, pretty
from crm_es.ledger import crm_verify
from tests.verify.conftest import KINDS, Both, of
from tests.verify.judges import verdict
from tests.verify.mutations import Case

FEW, MANY = 12, 60
ODD: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    10**15,
    "",
    "x",
    "1",
    "🙂",
    [],
    {},
    [1],
    [[]],
    [None],
    {"a": 1},
    {"kind": "x"},
]


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in it."""
    yield way
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(each, (*way, key))


def with_odd(value: Any, chance: random.Random) -> Any:
    *way, last = chance.choice([way for way in places(value) if way])
    within = value
    for key in way:
        within = within[key]
    if chance.random() < 0.2:
        del within[last]
    else:
        within[last] = chance.choice(ODD)
    return value


def falsify(case: Case, name: str, chance: random.Random) -> None:
    """With the manifest's hash made to fit."""
    if name == "custody.jsonl":
        steps = case.read(name).splitlines()
        at = chance.randrange(len(steps))
        case.write(name, b"".join([*(s + b"\n" for s in steps[:at]), line(with_odd(json.loads(steps[at]), chance))]))
        return
    case.write(name, pretty(with_odd(json.loads(case.read(name)), chance)))
    if name != "MANIFEST.json":
        manifest, data = json.loads(case.read("MANIFEST.json")), case.read(name)
        for file in manifest["files"]:
            file.update(size=len(data), sha256=sha256(data).hexdigest()) if file["path"] == name else None
        case.write("MANIFEST.json", pretty(manifest))


def check(case: Case, both: Both, count: int) -> None:
    chance = random.Random(case.house.seed)
    names = [name for name in case.names if name.endswith((".json", "custody.jsonl"))]
    for _ in range(count):
        name = chance.choice(names)
        falsify(case, name, chance)
        written = case.read(name)
        try:
            code, said = both([*case.words(), "--no-custody"])
        finally:
            case.undo()

        assert (code == 0) == (said["reason"] == "everything holds"), (name, written, said)
        assert "failed" not in said["reason"], (name, written, said)


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_makes_a_verifier_stumble(tmp_path: Path, both: Both, kind: str) -> None:
    check(of(tmp_path, kind, custody=kind == "subject", rotated=True), both, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_value_of_thousands_makes_a_verifier_stumble(tmp_path: Path, both: Both, kind: str) -> None:
    check(of(tmp_path, kind, seed=21, custody=kind == "range", rotated=True), both, MANY)


def test_a_mistake_of_the_verifiers_own_is_no_alteration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: Any) -> bool:
        raise ValueError("of ours")

    case = of(tmp_path)
    monkeypatch.setattr(crm_verify, "consistent", mistaken)

    code, said = verdict(case.words())

    assert (code, said["result"]) == (3, "unverifiable")
    assert "of ours" in said["reason"]
