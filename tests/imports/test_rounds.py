"""Rows made ready, and which of them go together."""

import asyncio
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from graphql import build_schema

from crm_es.errors import ConflictError
from crm_es.eventstore.commit import queued
from crm_es.imports.mapping import parse_mapping
from crm_es.imports.plan import make_plan
from crm_es.imports.reader import Row
from crm_es.imports.report import report_path, write_report
from crm_es.imports.rows import Prepared, prepare
from crm_es.imports.steps import in_order
from crm_es.imports.table import MappingError
from crm_es.imports.tally import Rejection
from tests.waiting import PATIENCE_SECONDS

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


STORIES = """
name = "desk"
key = ["case", "status", "minutes"]
follows = "case"
[[step]]
name = "first"
mutation = "open"
when = [{ previous = "status", empty = true }]
[step.input]
title = "first"
[[step]]
name = "again"
mutation = "open"
when = [{ repeated = ["status", "minutes"] }]
[step.input]
title = "again"
[[step]]
name = "moved"
mutation = "open"
when = [{ changed = ["status", "minutes"] }, { previous = "status", is_not = "" }]
[step.input]
title = "moved"
[[step]]
name = "reopened"
mutation = "open"
when = [{ previous = "status", is = "done" }, { column = "status", is_not = "done" }]
[step.input]
title = "reopened"
"""


def test_rows_are_compared_with_the_one_they_follow():
    mapping = parse_mapping(STORIES, source="desk.toml")
    plan = make_plan(mapping, SCHEMA, ("case", "status", "minutes"), ZoneInfo("UTC"), "desk.toml")
    rows = [("7", "new"), ("8", "new"), ("7", "new"), ("8", "done"), ("7", "done"), ("8", "new")]

    prepared = prepare(plan, [row(number, case, status) for number, (case, status) in enumerate(rows, 1)])

    assert [list(one.inputs) for one in prepared] == [
        ["first"], ["first"], ["again"], ["moved"], ["moved"], ["moved", "reopened"],
    ]  # fmt: skip


def test_words_that_mean_the_same_are_no_change():
    text = STORIES.replace(
        '{ repeated = ["status", "minutes"]', '{ map = { closed = "done" }, repeated = ["status", "minutes"]'
    )
    mapping = parse_mapping(text, source="desk.toml")
    plan = make_plan(mapping, SCHEMA, ("case", "status", "minutes"), ZoneInfo("UTC"), "desk.toml")

    prepared = list(prepare(plan, [row(1, "7", "done"), row(2, "7", "closed"), row(3, "7", "new")]))

    assert ["again" in one.inputs for one in prepared] == [False, True, False]


def test_a_column_that_rows_are_compared_by_must_be_there():
    mapping = parse_mapping(STORIES.replace('["status", "minutes"]', '["status", "minuets"]'), source="desk.toml")

    with pytest.raises(MappingError, match='no column "minuets"; did you mean "minutes"'):
        make_plan(mapping, SCHEMA, ("case", "status", "minutes"), ZoneInfo("UTC"), "desk.toml")


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


@pytest.mark.anyio
async def test_each_begins_when_the_one_before_has_appended_or_is_done_without():
    begun: list[int] = []
    first_is_answered = asyncio.Event()

    async def appends() -> str:
        begun.append(1)
        await asyncio.sleep(0)
        (queued.get() or pytest.fail)()
        await first_is_answered.wait()
        return "first"

    async def refuses() -> str:
        begun.append(2)
        return "second"

    async def last() -> str:
        begun.append(3)
        first_is_answered.set()
        return "third"

    assert await asyncio.wait_for(in_order([appends, refuses, last]), PATIENCE_SECONDS) == ["first", "second", "third"]
    assert begun == [1, 2, 3]


@pytest.mark.anyio
async def test_what_failed_is_raised_as_itself_and_the_others_are_given_up():
    given_up: list[bool] = []

    async def waits() -> None:
        (queued.get() or pytest.fail)()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(True)

    async def fails() -> None:
        raise ConflictError("Too fast.")

    with pytest.raises(ConflictError):
        await asyncio.wait_for(in_order([waits, fails]), PATIENCE_SECONDS)
    assert given_up == [True]


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
