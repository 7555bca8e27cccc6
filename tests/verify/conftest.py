"""Bundles of every scope, written once for all tests that falsify them and put them right again."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.verify.house import House, bundle
from tests.verify.judges import OtherVerifier
from tests.verify.mutations import Case

KINDS = ("workspace", "log", "range", "stream", "subject")


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
        while not (contacts := [stream for stream, what in house.kinds.items() if what == "contact"]):
            house.grow(1)
        house.leaves(house.size)
        return {"kind": kind, "id": max(contacts, key=lambda one: len(house.named[one]))}
    return {"kind": kind}


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("bundles")
    return [
        written(
            folder,
            seed,
            kind,
            events=20 + 97 * seed % 700,
            custody=kind != "log" and seed % 3 > 0,
            rotated=seed % 4 > 1,
        )
        for seed, kind in enumerate(KINDS * 2)
    ]


@pytest.fixture(scope="session")
def other() -> Iterator[OtherVerifier]:
    if not shutil.which("node"):
        pytest.skip("no Node on this machine")  # CI has it and fails without: --must-run node
    running = OtherVerifier()
    yield running
    running.stop()
