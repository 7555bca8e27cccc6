"""Rows made ready and cut into what may run together."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from graphql import build_schema

from crm_es.imports.mapping import parse_mapping
from crm_es.imports.plan import make_plan
from crm_es.imports.reader import Row
from crm_es.imports.report import report_path, write_report
from crm_es.imports.steps import turns
from crm_es.imports.tally import Rejection
from crm_es.imports.waves import Prepared, cut, prepare

SCHEMA = build_schema("""
type Ticket { id: ID! }
type Query { ticket: Ticket }
type Payload { position: String }
input OpenInput { title: String! }
input CloseInput { id: ID!, minutes: Int }
type Mutation { open(input: OpenInput!): Payload! close(input: CloseInput!): Payload! }
""")
MAPPING = """
name = "desk"
key = ["case", "status"]
[record.ticket]
type = "Ticket"
system = "desk"
value = "{case}"
[[step]]
mutation = "open"
when = [{ record = "ticket", exists = false }]
[step.input]
title = { template = "Case {case}" }
[[step]]
mutation = "close"
when = [{ column = "status", is = "done" }, { record = "ticket", field = "status", is = "OPEN" }]
[step.input]
id = { record = "ticket" }
minutes = { column = "minutes" }
"""


@pytest.fixture
def plan():
    mapping = parse_mapping(MAPPING, source="desk.toml")
    return make_plan(mapping, SCHEMA, ("case", "status", "minutes"), ZoneInfo("UTC"), "desk.toml")


def row(number: int, case: str, status: str = "new", minutes: str = "1", problem: str | None = None) -> Row:
    cells = {"case": case, "status": status, "minutes": minutes}
    return Row(number=number, line=number + 1, cells=cells, problem=problem)


def test_a_row_carries_the_inputs_of_the_steps_its_columns_ask_for(plan):
    new, done = prepare(plan, [row(1, "7"), row(2, "7", "done")])

    assert new.inputs.keys() == {"open"}
    assert done.inputs.keys() == {"open", "close"}
    assert done.names["ticket"].key == "7"


def test_a_bad_cell_of_a_later_step_refuses_the_whole_row(plan):
    [refused] = prepare(plan, [row(1, "7", "done", minutes="a while")])

    assert isinstance(refused, Rejection)
    assert (refused.line, refused.step, refused.field) == (2, "close", "minutes")


def test_a_cell_no_step_asks_for_may_be_anything(plan):
    [fine] = prepare(plan, [row(1, "7", "new", minutes="a while")])

    assert isinstance(fine, Prepared)


def test_unreadable_rows_and_taken_keys_are_refused(plan):
    torn, _, other = prepare(plan, [row(1, "7", problem="Torn."), row(2, "8"), row(3, "8", minutes="2")])

    assert (torn.rule, torn.reason) == ("row.unreadable", "Torn.")
    assert other.rule == "row.key_taken"


def test_a_row_that_asks_what_an_earlier_one_changed_begins_a_wave(plan):
    rows = [row(1, "7"), row(2, "8"), row(3, "7", "done"), row(4, "9")]

    waves = list(cut(plan, prepare(plan, rows), 200))

    assert [[one.row.number for one in wave] for wave in waves] == [[1, 2], [3, 4]]


def test_waves_are_no_longer_than_an_append_may_be(plan):
    rows = [row(n, str(n)) for n in range(1, 6)]

    assert [len(wave) for wave in cut(plan, prepare(plan, rows), 2)] == [2, 2, 1]


def test_rows_that_speak_of_one_record_take_turns_in_the_order_of_the_file(plan):
    rows = list(prepare(plan, [row(1, "7"), row(2, "8"), row(3, "7", "b"), row(4, "7", "c"), row(5, "9")]))
    opening, _ = plan.steps

    taken = [[one.row.number for one in turn] for turn in turns(opening, rows)]

    assert taken == [[1, 2, 5], [3], [4]]


def test_the_report_is_in_the_order_of_the_file_and_goes_when_nothing_is_refused(tmp_path):
    path = report_path(Path("in/desk.csv"), "desk", tmp_path)
    later, earlier = (
        Rejection(line=n + 1, row=n, step="open", field="title", rule="cell.invalid", reason="No.") for n in (9, 2)
    )

    write_report(path, [later, earlier])

    assert path.name == "desk.desk.rejected.csv"
    assert [line.split(",")[1] for line in path.read_text().splitlines()] == ["row", "2", "9"]

    write_report(path, [])

    assert not path.exists()
