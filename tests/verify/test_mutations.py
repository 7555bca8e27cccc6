"""Whatever is done to a bundle, both verifiers say so, and where."""

import random
from typing import Any

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


def check(case: Case, count: int, other: OtherVerifier | None = None) -> None:
    """With `other` both must say the same, of the same bundle at the same time. So must who reads no event."""
    chance = random.Random(case.house.seed)
    assert judged(case.words(), other)[0] == 0
    for number in range(count):
        name, expected = falsified(case, chance)
        touched = sorted(case.before)
        unread = number % 4 == 0 or count == FEW
        try:
            code, said = judged(case.words(), other)
            log = judged([*case.words(), "--log-only"], other) if unread else None
        finally:
            case.undo()

        told = case.kind, case.house.seed, name, touched, expected
        assert expected.is_of(said, code), (*told, said)
        assert log is None or unread_of(case, expected, name).is_of(log[1], log[0]), (*told, log)


def unread_of(case: Case, expected: Verdict, name: str) -> Verdict:
    """Of what only the heads map shows, that a bundle of one contact is not proved without it."""
    return Verdict(3, file="MANIFEST.json") if name == "drop_from_proofs" and not case.custody else expected


def judged(words: list[str], other: OtherVerifier | None) -> tuple[int, dict[str, Any]]:
    if other is None:
        return verdict(words)
    other.ask(words)
    code, said = verdict(words)
    again, theirs = other.answer()
    assert (again, [theirs.get(key) for key in PLACE]) == (code, [said.get(key) for key in PLACE]), (
        words,
        said,
        theirs,
    )
    return code, said


@pytest.mark.parametrize("number", range(10))
def test_every_mutation_is_detected_and_named(cases: list[Case], number: int) -> None:
    check(cases[number], FEW)


@pytest.mark.node
@pytest.mark.parametrize("number", range(10))
def test_both_verifiers_detect_it_and_name_the_same_place(cases: list[Case], other: OtherVerifier, number: int) -> None:
    check(cases[number], FEW, other)


@pytest.mark.slow
@pytest.mark.node
@pytest.mark.parametrize("number", range(10))
def test_ten_thousand_mutations_are_detected_and_named_by_both(
    cases: list[Case], other: OtherVerifier, number: int
) -> None:
    check(cases[number], MANY, other)
