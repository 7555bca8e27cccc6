"""Whatever is done to a bundle, both verifiers say so, and where."""

import contextlib
import io
import json
import random
from typing import Any

import pytest

from crm_es.ledger import crm_verify
from tests.verify.mutations import MUTATIONS, Case, Verdict

FEW, MANY = 25, 1_000


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
