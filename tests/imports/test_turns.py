"""Whose turn it is."""

from collections.abc import Mapping
from itertools import islice
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from crm_es.imports.seams import RecordName
from crm_es.imports.turns import Going, Turns


def named(key: str) -> RecordName:
    return RecordName(record="ticket", key=key)


def going(number: int, own: str = "", others: str = "", steps: int = 1) -> Going:
    """A row that must have the records `own` for itself and needs `others`: a letter each."""
    row: Any = SimpleNamespace(row=SimpleNamespace(number=number, line=number + 1), rejected=False, line=number + 1)
    plan: list[Any] = list(range(steps))
    mine = frozenset(map(named, own))
    return Going(row=row, steps=plan, own=mine, others=frozenset(map(named, others)) - mine)


def numbers(found: list[Going]) -> list[int]:
    return [one.number for one in found]


def turns_of(*rows: Going, known: str = "") -> tuple[Turns, dict[RecordName, None]]:
    seen = dict.fromkeys(map(named, known))
    turns = Turns(seen)
    for row in rows:
        turns.admit(row)
    return turns, seen


def step(turns: Turns, found: list[Going]) -> None:
    for one in found:
        one.steps.pop()
        turns.back(one)


def test_rows_of_a_record_that_nobody_knows_yet_wait_for_the_first_of_them():
    turns, known = turns_of(going(1, others="a"), going(2, others="b"), going(3, others="a"), going(4, others="c"))

    first = turns.free(10)
    known |= dict.fromkeys(map(named, "abc"))
    turns.learnt(map(named, "abc"))

    assert numbers(first) == [1, 2, 4]
    assert numbers(turns.free(10)) == [3]


def test_rows_of_a_record_that_changes_go_one_after_the_other():
    turns, _ = turns_of(going(1, others="a"), going(2, own="a"), going(3, own="a"), going(4, own="b"), known="ab")

    first = turns.free(10)
    assert numbers(first) == [1, 2, 4]
    step(turns, first)
    assert numbers(turns.free(10)) == [3]


def test_a_row_that_waits_holds_back_those_behind_it():
    turns, _ = turns_of(going(1, own="a"), going(2, own="ab"), going(3, others="b"), going(4, others="c"), known="abc")

    assert numbers(turns.free(10)) == [1, 4]


def test_a_row_with_another_step_before_it_keeps_what_it_has():
    turns, _ = turns_of(going(1, own="a", steps=2), going(2, own="a"), known="a")

    order = []
    while turns:
        found = turns.free(10)
        order += numbers(found)
        step(turns, found)

    assert order == [1, 1, 2]


def test_a_record_that_is_not_known_any_more_holds_back_again():
    turns, known = turns_of(going(1, own="a"), going(2, others="a"), going(3, others="a"), known="a")

    first = turns.free(10)
    del known[named("a")]
    step(turns, first)

    assert numbers(turns.free(10)) == [2]


def test_the_first_line_that_is_not_done_is_told():
    turns, _ = turns_of(going(1), going(2, steps=2), going(3))
    step(turns, turns.free(10))

    assert (len(turns), turns.line) == (1, 3)


def test_a_row_without_steps_is_done():
    turns, _ = turns_of(going(1, steps=0))

    assert len(turns) == 0


def slowly(rows: list[Going], known: Mapping[RecordName, None], at_most: int) -> list[int]:
    """The rule as it is said, looking at all rows above."""
    found, taken, changed = list[int](), set[RecordName](), set[RecordName]()
    for one in rows:
        names = one.own | (one.others - known.keys())
        if len(found) < at_most and taken.isdisjoint(names) and changed.isdisjoint(one.others):
            found.append(one.number)
        taken |= names
        changed |= one.own
    return found


@pytest.mark.parametrize("seed", range(30))
def test_rows_go_as_if_each_looked_at_all_above_it(seed):
    chance = Random(seed)  # noqa: S311  # no secret
    letters = "abcdef"[: chance.randint(1, 6)]
    turns, known = turns_of()
    rows: list[Going] = []
    for number in range(60):
        own, others = ("".join(chance.sample(letters, chance.randint(0, min(2, len(letters))))) for _ in range(2))
        rows.append(going(number, own, others, steps=chance.randint(1, 3)))
    coming, there, rounds = iter(rows), list[Going](), 0
    while new := [*there, *islice(coming, 20 - len(there))]:
        for row in new[len(there) :]:
            turns.admit(row)
        there = new
        at_most = chance.randint(1, 8)
        expected = slowly(there, known, at_most)
        found = turns.free(at_most)
        assert numbers(found) == expected
        learnt = {name for one in found for name in one.own | one.others if chance.random() < 0.7}
        known |= dict.fromkeys(learnt)
        turns.learnt(learnt)
        for one in found:
            if one.own and chance.random() < 0.5:
                known.pop(min(one.own), None)
        step(turns, found)
        there = [one for one in there if not one.done]
        rounds += 1
        assert rounds < 1_000
