"""Whatever is done to a bundle, both verifiers say so, and where."""

import random

import pytest

from tests.verify.judges import PLACE, OtherVerifier, verdict
from tests.verify.mutations import MUTATIONS, Case, Verdict

FEW, MANY = 25, 1_000


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


def agree(case: Case, other: OtherVerifier, count: int, seed: int) -> None:
    chance = random.Random(seed)
    assert all(other.verdict(case.words())[1][key] == verdict(case.words())[1][key] for key in ("result", *PLACE))
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
