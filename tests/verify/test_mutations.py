"""Whatever is done to a bundle, both verifiers say so, and where."""

import contextlib
import io
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crm_es.ledger import crm_verify
from tests.verify.mutations import MUTATIONS, Case, Verdict

FEW, MANY = 25, 1_000
SECOND = Path(__file__).parents[2] / "tools/verify-js/verify.mjs"
PLACE = ("position", "file", "stream", "version", "size")


def verdict(words: list[str]) -> tuple[int, dict[str, Any]]:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = crm_verify.main(words if words[0] == "locate" else [*words, "--jobs", "1"])
    return code, json.loads(printed.getvalue().splitlines()[-1])


def falsified(case: Case, chance: random.Random) -> tuple[str, Verdict]:
    while True:
        mutation = chance.choice(MUTATIONS)
        expected = mutation(case, chance)
        if expected:
            return mutation.__name__, expected


def check(case: Case, count: int) -> None:
    chance = random.Random(case.house.seed)
    assert verdict(case.words())[0] == 0
    for _ in range(count):
        name, expected = falsified(case, chance)
        touched = sorted(case.before)
        code, said = verdict(case.words())
        case.undo()

        assert expected.is_of(said, code), (case.kind, case.house.seed, name, touched, expected, said)


@pytest.mark.parametrize("number", range(10))
def test_every_mutation_is_detected_and_named(cases: list[Case], number: int) -> None:
    check(cases[number], FEW)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_ten_thousand_mutations_are_detected_and_named(cases: list[Case], number: int) -> None:
    check(cases[number], MANY)


class OtherVerifier:
    """The one in JavaScript, kept running."""

    def __init__(self) -> None:
        self._node = subprocess.Popen(
            [shutil.which("node") or "", str(SECOND), "--lines"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def verdict(self, words: list[str]) -> tuple[int, dict[str, Any]]:
        assert self._node.stdin
        assert self._node.stdout
        self._node.stdin.write(f"{json.dumps(words)}\n")
        self._node.stdin.flush()
        said = json.loads(self._node.stdout.readline())
        return crm_verify.RESULTS.index(said["result"]), said

    def stop(self) -> None:
        self._node.communicate()


@pytest.fixture(scope="session")
def other() -> Iterator[OtherVerifier]:
    if not shutil.which("node"):
        pytest.skip("no Node on this machine")  # CI has it and fails without: --must-run node
    running = OtherVerifier()
    yield running
    running.stop()


def agree(case: Case, other: OtherVerifier, count: int, seed: int) -> None:
    chance = random.Random(seed)
    assert other.verdict(case.words())[0] == 0
    for _ in range(count):
        name, expected = falsified(case, chance)
        touched = sorted(case.before)
        one, two = verdict(case.words()), other.verdict(case.words())
        case.undo()

        places = [{key: said.get(key) for key in PLACE} for _, said in (one, two)]
        assert (one[0], places[0]) == (two[0], places[1]), (
            case.kind,
            case.house.seed,
            name,
            touched,
            expected,
            one,
            two,
        )


@pytest.mark.node
@pytest.mark.parametrize("number", range(10))
def test_both_verifiers_agree(cases: list[Case], other: OtherVerifier, number: int) -> None:
    agree(cases[number], other, FEW, number)


@pytest.mark.slow
@pytest.mark.node
@pytest.mark.parametrize("number", range(10))
def test_both_verifiers_agree_many_times(cases: list[Case], other: OtherVerifier, number: int) -> None:
    agree(cases[number], other, MANY // 5, number + 100)
