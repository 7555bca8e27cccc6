"""The clocks by hand: an office in Berlin, nine to five; Monday 5 January 2026."""

from datetime import date
from uuid import UUID

from crm_es.service.calendar import Calendar, OpeningHours, moment
from crm_es.service.enums import HoldReason, Priority, SlaKind, SlaState, TicketStatus
from crm_es.service.sla import Breach, Clocks, Policy, SlaTarget, Transition, advance, has_breached, next_due, read
from tests.service.slow_clocks import utc


def run(transitions, policies):
    state = Clocks()
    for transition in transitions:
        state = advance(state, transition, policies)
    return state


BERLIN = Calendar(
    time_zone="Europe/Berlin",
    hours=tuple(OpeningHours(weekday=day, opens=9 * 60, closes=17 * 60) for day in range(1, 6)),
    holiday_dates=(date(2026, 1, 6),),
)
HOUR = 3_600
ONE, TWO = UUID(int=1), UUID(int=2)


def promise(id_, paused_by=(HoldReason.CUSTOMER,), **hours):
    targets = [
        SlaTarget(kind=SlaKind[name.upper()], priority=priority, seconds=int(given * HOUR))
        for name, each in hours.items()
        for priority, given in each.items()
    ]
    return Policy(id_, targets=targets, calendar=BERLIN, paused_by=paused_by)


NORMAL, URGENT = Priority.NORMAL, Priority.URGENT
POLICIES = {
    ONE: promise(
        ONE, first_response={NORMAL: 4, URGENT: 1}, next_response={NORMAL: 8}, resolution={NORMAL: 16, URGENT: 4}
    ),
    TWO: promise(TWO, paused_by=(), first_response={NORMAL: 2}, resolution={NORMAL: 24}),
}.__getitem__


def day(text):
    """`5 9:00` is the fifth of January 2026 at nine in Berlin, where it is an hour later than in UTC."""
    number, _, time = text.partition(" ")
    hour, _, minute = time.partition(":")
    return utc(2026, 1, int(number), int(hour) - 1, int(minute))


def opened(at="5 9:00", *more, **given):
    first = {"status": TicketStatus.NEW, "priority": NORMAL, "policy": ONE} | given
    return run([Transition(at=day(at), **first), *more], POLICIES)


def then(at, **given):
    return Transition(at=day(at), **given)


def held(at, reason=HoldReason.CUSTOMER):
    status = TicketStatus.PENDING if reason is HoldReason.CUSTOMER else TicketStatus.ON_HOLD
    return then(at, status=status, hold_reason=reason)


def resumed(at):
    return then(at, status=TicketStatus.OPEN)


def of(state, kind, now="5 9:00", cycle=1):
    return next(r for r in read(state, day(now), POLICIES) if (r.kind, r.cycle) == (kind, cycle))


FIRST, NEXT, RESOLUTION = SlaKind


def test_a_new_ticket_has_a_first_response_and_a_resolution_to_come():
    state = opened()

    assert [(r.kind, r.state, moment(r.due)) for r in read(state, day("5 9:00"), POLICIES)] == [
        (FIRST, SlaState.RUNNING, day("5 13:00")),
        (RESOLUTION, SlaState.RUNNING, day("7 17:00")),  # the sixth is a holiday
    ]
    assert moment(next_due(state)) == day("5 13:00")


def test_a_ticket_of_a_queue_without_a_policy_has_no_clocks():
    state = opened("5 9:00", then("5 10:00", asked=True), then("5 11:00", replied=True), policy=None)

    assert read(state, day("9 9:00"), POLICIES) == []
    assert next_due(state) is None


def test_an_answer_at_the_last_second_is_in_time_and_one_after_it_is_not():
    in_time = of(opened("5 9:00", then("5 13:00", replied=True)), FIRST, "9 9:00")
    late = of(opened("5 9:00", Transition(at=day("5 13:00").replace(second=1), replied=True)), FIRST, "9 9:00")

    assert (in_time.state, in_time.breached, moment(in_time.met)) == (SlaState.MET, None, day("5 13:00"))
    assert (late.state, moment(late.breached), late.elapsed) == (SlaState.BREACHED, day("5 13:00"), 4 * HOUR + 1)
    assert late.remaining == -1


def test_time_alone_breaks_a_promise():
    state = opened()

    before, after = of(state, FIRST, "5 13:00"), of(state, FIRST, "5 14:00")

    assert (before.state, before.remaining) == (SlaState.RUNNING, 0)
    assert (after.state, after.remaining, moment(after.breached)) == (SlaState.BREACHED, -HOUR, day("5 13:00"))


def test_a_clock_stands_still_while_the_customer_is_waited_for():
    paused = opened("5 9:00", held("5 10:00"))
    going = opened("5 9:00", held("5 10:00"), resumed("7 12:00"))

    waiting = of(paused, FIRST, "9 9:00")
    assert (waiting.state, waiting.due, moment(waiting.paused)) == (SlaState.PAUSED, None, day("5 10:00"))
    assert (waiting.elapsed, next_due(paused)) == (HOUR, None)
    assert moment(of(going, FIRST, "7 12:00").due) == day("7 15:00")


def test_a_clock_goes_on_where_the_policy_does_not_pause_for_the_reason():
    assert of(opened("5 9:00", held("5 10:00", HoldReason.VENDOR)), FIRST).state is SlaState.RUNNING


def test_one_hold_follows_another_without_losing_when_it_began():
    state = opened("5 9:00", held("5 10:00"), held("5 11:00", HoldReason.CUSTOMER))

    assert moment(of(state, FIRST, "5 12:00").paused) == day("5 10:00")


def test_resolving_meets_the_resolution_and_stops_the_first_response():
    state = opened("5 9:00", then("5 11:00", status=TicketStatus.RESOLVED))

    assert of(state, RESOLUTION, "9 9:00").state is SlaState.MET
    assert (of(state, FIRST, "9 9:00").state, of(state, FIRST, "9 9:00").elapsed) == (SlaState.PAUSED, 2 * HOUR)


def test_reopening_begins_the_resolution_anew_and_nothing_else():
    state = opened(
        "5 9:00", then("5 10:00", replied=True), then("5 11:00", status=TicketStatus.RESOLVED), resumed("7 9:00")
    )

    assert of(state, RESOLUTION, "7 9:00").state is SlaState.MET
    again = of(state, RESOLUTION, "7 10:00", cycle=2)
    assert (again.state, again.elapsed, moment(again.due)) == (SlaState.RUNNING, HOUR, day("8 17:00"))
    assert [r.kind for r in read(state, day("7 9:00"), POLICIES)] == [FIRST, RESOLUTION, RESOLUTION]


def test_a_broken_promise_stays_broken_after_a_reopen():
    late = then("9 12:00", status=TicketStatus.RESOLVED)
    state = opened("5 9:00", late, resumed("12 9:00"), then("12 10:00", priority=URGENT))

    first = of(state, RESOLUTION, "12 10:00")
    assert (first.state, moment(first.breached), moment(first.met)) == (SlaState.BREACHED, day("7 17:00"), late.at)
    assert of(state, RESOLUTION, "12 10:00", cycle=2).target == 4 * HOUR
    assert has_breached(state)


def test_closing_without_a_solution_ends_the_resolution_too():
    assert of(opened("5 9:00", then("5 11:00", status=TicketStatus.CLOSED)), RESOLUTION).state is SlaState.MET


def test_a_merged_ticket_waits_as_it_was():
    merged = opened("5 9:00", then("5 10:00", merged=True))
    state = opened("5 9:00", then("5 10:00", merged=True), then("7 9:00", merged=False))

    assert [r.state for r in read(merged, day("9 9:00"), POLICIES)] == [SlaState.PAUSED, SlaState.PAUSED]
    assert moment(of(state, FIRST, "7 9:00").due) == day("7 12:00")


def test_what_the_customer_writes_wants_an_answer_once_there_was_a_first():
    early = opened("5 9:00", then("5 10:00", asked=True))
    state = opened(
        "5 9:00", then("5 10:00", replied=True), then("5 12:00", asked=True), then("5 13:00", asked=True),
        then("7 10:00", replied=True), then("7 11:00", replied=True), then("8 9:00", asked=True),
    )  # fmt: skip

    assert [r.kind for r in read(early, day("5 10:00"), POLICIES)] == [FIRST, RESOLUTION]
    assert of(state, NEXT, "8 10:00").state is SlaState.MET
    assert of(state, NEXT, "8 10:00").elapsed == 6 * HOUR
    assert of(state, NEXT, "8 10:00", cycle=2).elapsed == HOUR


def test_another_priority_gives_a_running_clock_another_target_and_keeps_its_time():
    state = opened("5 9:00", then("5 9:30", priority=URGENT))
    too_late = opened("5 9:00", then("5 11:00", priority=URGENT))

    assert (of(state, FIRST).target, moment(of(state, FIRST).due)) == (HOUR, day("5 10:00"))
    assert moment(of(too_late, FIRST, "5 11:00").due) == day("5 11:00")
    assert of(too_late, FIRST, "5 11:01").state is SlaState.BREACHED


def test_a_priority_without_a_promise_hides_the_clock_until_there_is_one_again():
    asked = (then("5 9:30", replied=True), then("5 10:00", asked=True), then("5 11:00", priority=URGENT))

    hidden = opened("5 9:00", *asked)
    back = opened("5 9:00", *asked, then("5 12:00", priority=NORMAL))

    assert NEXT not in [r.kind for r in read(hidden, day("9 9:00"), POLICIES)]
    assert of(back, NEXT, "5 13:00").elapsed == 3 * HOUR


def test_another_queue_brings_its_own_policy_and_the_time_already_counted_stays():
    state = opened("5 9:00", then("5 10:00", policy=TWO))

    clock = of(state, FIRST, "5 10:00")
    assert (clock.policy, clock.target, clock.elapsed, moment(clock.due)) == (TWO, 2 * HOUR, HOUR, day("5 11:00"))


def test_another_queue_can_let_a_waiting_clock_go_on():
    assert (
        of(opened("5 9:00", held("5 10:00"), then("5 12:00", policy=TWO)), FIRST, "5 12:00").state is SlaState.RUNNING
    )


def test_a_met_or_breached_clock_keeps_its_policy():
    state = opened("5 9:00", then("5 10:00", replied=True), then("9 9:00", policy=TWO))

    assert (of(state, FIRST, "9 9:00").policy, of(state, RESOLUTION, "9 9:00").policy) == (ONE, ONE)
    assert of(state, RESOLUTION, "9 9:00").state is SlaState.BREACHED


def test_a_policy_that_comes_later_counts_from_then_on():
    state = opened("5 9:00", then("5 12:00", policy=ONE), policy=None)

    assert moment(of(state, FIRST, "5 12:00").due) == day("5 16:00")


def test_an_overdue_clock_that_nobody_has_answered_is_the_next_to_work_on():
    state = opened("5 9:00", then("7 9:00", priority=NORMAL))

    assert moment(next_due(state)) == day("5 13:00")


def test_what_is_told_of_an_earlier_moment_does_not_undo_a_recorded_breach():
    breach = Breach(kind=FIRST, cycle=1, due=day("5 13:00"))

    state = opened("5 9:00", then("5 13:00", breach=breach), then("5 12:00", replied=True))

    clock = of(state, FIRST, "5 14:00")
    assert (clock.state, moment(clock.breached), moment(clock.met)) == (
        SlaState.BREACHED,
        day("5 13:00"),
        day("5 12:00"),
    )


def test_a_breach_of_a_clock_that_was_met_or_is_not_there_is_nothing():
    state = opened("5 9:00", then("5 12:00", replied=True))

    for kind, cycle in ((FIRST, 1), (NEXT, 1), (FIRST, 2)):
        breach = Breach(kind=kind, cycle=cycle, due=day("5 13:00"))
        assert advance(state, then("5 13:00", breach=breach), POLICIES) == state


def test_time_does_not_go_backwards():
    state = opened("5 12:00", then("5 10:00", status=TicketStatus.RESOLVED))

    assert (of(state, RESOLUTION, "9 9:00").elapsed, moment(of(state, RESOLUTION).met)) == (0, day("5 12:00"))
