"""Bundles of every scope, written once for all tests that falsify them and put them right again."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.verify.house import House, bundle
from tests.verify.judges import PLACE, OtherVerifier, verdict
from tests.verify.mutations import Case

Both = Callable[..., tuple[int, dict[str, Any]]]
KINDS = ("workspace", "log", "range", "stream", "subject")
SIZES = (20, 117, 214, 311, 408, 270, 280, 699, 96, 193)
"""Of the logs of all kinds twice: within a tile of 256 and beyond. What holds the whole log takes longest to judge."""


def written(
    folder: Path, seed: int, kind: str, *, events: int, custody: bool, rotated: bool, per_file: int = 64
) -> Case:
    """A house of its own for each."""
    house = House(seed)
    house.grow(events)
    if rotated:
        house.rotate()
        house.grow(3)
    directory = folder / f"{kind}-{seed}"
    bundle(house, directory, scope_of(house, kind), per_file=per_file, custody=custody)
    return Case(house, directory, kind, custody, pinned=-(seed % 2) if rotated else -1)


def scope_of(house: House, kind: str) -> dict[str, Any]:
    if kind == "range":
        first = house.chance.randrange(1, house.size + 1)
        return {"kind": kind, "from": first, "to": house.chance.randrange(first, house.size + 1)}
    if kind == "stream":
        return {"kind": kind, "id": house.chance.choice(list(house.kinds))}
    if kind == "subject":
        while len(contacts := [stream for stream, what in house.kinds.items() if what == "contact"]) < 4:
            house.grow(1)
        house.leaves(house.size)
        one, *others = sorted(contacts, key=lambda each: len(house.named[each]), reverse=True)
        if house.seed % 2:  # it absorbs one that has absorbed, and one that it gives back
            house.merge(others[0], others[1])
            house.merge(one, others[0])
            house.merge(one, others[2])
            house.release(one, others[2])
            house.grow(3)
        return {"kind": kind, "id": one}
    return {"kind": kind}


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("bundles")
    return [
        written(
            folder,
            seed,
            kind,
            events=events,
            custody=kind != "log" and seed % 3 > 0,
            rotated=seed % 4 > 1,
        )
        for seed, (kind, events) in enumerate(zip(KINDS * 2, SIZES, strict=True))
    ]


@pytest.fixture(scope="session")
def other() -> Iterator[OtherVerifier]:
    if not shutil.which("node"):
        pytest.skip("no Node on this machine")  # CI has it and fails without: --must-run node
    running = OtherVerifier()
    yield running
    running.stop()


@pytest.fixture
def both(request: pytest.FixtureRequest) -> Both:
    """The verdict of the two verifiers, of the first alone where there is no Node."""
    other: OtherVerifier | None = request.getfixturevalue("other") if shutil.which("node") else None

    def judge(words: list[str]) -> tuple[int, dict[str, Any]]:
        code, said = verdict(words)
        if other:
            again, theirs = other.verdict(words)
            assert (again, {key: theirs.get(key) for key in PLACE}) == (code, {key: said.get(key) for key in PLACE})
        return code, said

    return judge


def of(folder: Path, kind: str = "workspace", *, seed: int = 3, custody: bool = True, rotated: bool = False) -> Case:
    return written(folder, seed, kind, events=90, custody=custody, rotated=rotated)


def bundled(house: House, directory: Path, scope: dict[str, Any]) -> Case:
    bundle(house, directory, scope)
    return Case(house, directory, scope["kind"], custody=True)
