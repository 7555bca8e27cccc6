"""The clocks against a slow calculator that shares nothing with them, on generated histories."""

import pytest

from crm_es.service.calendar import moment, seconds
from crm_es.service.enums import SlaState
from crm_es.service.sla import Breach, Clocks, Transition, advance, read
from tests.service import slow_clocks
from tests.service.ticket_lives import WORLDS, lives


def run(transitions, policies):
    state = Clocks()
    for transition in transitions:
        state = advance(state, transition, policies)
    return state


def shown(state, now, policies):
    """As the slow calculator answers."""

    def moments(second):
        return None if second is None else moment(second)

    return [
        {
            "kind": r.kind, "cycle": r.cycle, "policy": r.policy, "target": r.target, "elapsed": r.elapsed, "state": r.state,
            "remaining": r.remaining, "due": moments(r.due), "paused": moments(r.paused), "breached": moments(r.breached),
            "met": moments(r.met),
        }
        for r in read(state, now, policies)
    ]  # fmt: skip


def in_order(clocks):
    return sorted(clocks, key=lambda clock: (clock["kind"], clock["cycle"]))


@pytest.mark.parametrize("seed", range(len(WORLDS)), ids=[f"{zone} {since:%B}" for zone, _, since in WORLDS])
def test_generated_histories_agree_with_the_slow_calculator_to_the_second(seed):
    states = dict.fromkeys(SlaState, 0)

    for history, policies in lives(seed, 64):  # 512 in all
        state = run(history.transitions, policies)
        told = in_order(shown(state, history.now, policies))
        assert told == in_order(slow_clocks.read(history.slow, history.now)), history.slow
        for clock in told:
            states[clock["state"]] += 1

    assert min(states.values()) > 5


@pytest.mark.parametrize("seed", range(3))
def test_what_the_timer_records_changes_nothing_that_time_has_not_changed_already(seed):
    recorded = 0

    for history, policies in lives(seed, 40):
        plain, timed = Clocks(), Clocks()
        for transition in history.transitions:
            for breach in due_before(timed, transition.at):
                timed = advance(timed, Transition(at=breach.due, breach=breach), policies)
                recorded += 1
            plain, timed = (advance(state, transition, policies) for state in (plain, timed))
        assert shown(timed, history.now, policies) == shown(plain, history.now, policies)

    assert recorded > 10


def due_before(state, at):
    return [
        Breach(kind=clock.kind, cycle=clock.cycle, due=moment(clock.due))
        for clock in state.clocks
        if clock.since is not None and clock.due is not None and not clock.settled and clock.due < seconds(at)
    ]
