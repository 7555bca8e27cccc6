"""A format of dates that is not the file's is found before the first row is recorded."""

from zoneinfo import ZoneInfo

import pytest
from graphql import build_schema

from crm_es.imports.dates import FIRST, DateFormatError, check_dates
from crm_es.imports.mapping import parse_mapping
from crm_es.imports.plan import make_plan
from crm_es.imports.reader import columns_of
from tests.imports.test_import import PEOPLE

SCHEMA = build_schema("""
scalar DateTime scalar Date
type Query { ok: Boolean }
type Payload { position: String }
input DealInput { name: String!, openedAt: DateTime, days: [Date!] }
type Mutation { open(input: DealInput!): Payload! }
""")
MAPPING = """
name = "deals"
[[step]]
mutation = "open"
when = [{{ column = "stage", is = "Engaging" }}]
[step.input]
name = {{ column = "id" }}
{dates}
"""


@pytest.fixture
def check(tmp_path):
    def checking(rows, dates, *, stage="Engaging"):
        mapping = parse_mapping(MAPPING.format(dates=dates), source="deals.toml")
        file = tmp_path / "deals.csv"
        lines = [f"{number},{stage},{row}" for number, row in enumerate(rows)]
        file.write_text("\n".join(["id,stage,engaged,time", *lines]))
        plan = make_plan(mapping, SCHEMA, columns_of(file, mapping.shape), ZoneInfo("UTC"), "deals.toml")
        check_dates(plan, file, "deals.toml")

    return checking


def of(form=None, column='column = "engaged"'):
    said = f', format = "{form}"' if form else ""
    return f"openedAt = {{ {column}{said} }}"


def test_a_format_that_fits_some_rows_by_chance_is_found_by_the_one_that_fits_all(check):
    rows = ["02/03/2017,", "10/12/2016,", "10/20/2016,", ",", "01/31/2017,"]

    with pytest.raises(DateFormatError) as refused:
        check(rows, of("%d/%m/%Y"))

    assert refused.value.rule == "mapping.date_format"
    assert refused.value.message == (
        "deals.toml is not a mapping that can run:\n"
        '  step[1].input.openedAt: line 4 has "10/20/2016" in engaged, which is no date in the format %d/%m/%Y;'
        ' format = "%m/%d/%Y" fits it and all others of the first 1,000 rows'
    )


@pytest.mark.parametrize(
    ("form", "row", "mend"),
    [
        (None, "10/20/2016,", 'in ISO 8601; format = "%m/%d/%Y"'),
        ("%Y%m%d", "2016-10-20T10:00:00Z,", "in the format %Y%m%d; leaving out `format`"),
        (None, "20.10.2016 17:30,", 'format = "%d.%m.%Y %H:%M"'),
        ("%d/%m/%Y", "10-12-2016,", 'format = "%d-%m-%Y" or format = "%m-%d-%Y"'),
    ],
)
def test_what_would_fit_is_named(check, form, row, mend):
    with pytest.raises(DateFormatError) as refused:
        check([row], of(form))

    assert mend in refused.value.message


def test_dates_of_two_columns_and_of_lists_are_looked_at_too(check):
    both = of(None, 'template = "{engaged} {time}"')
    dates = f'{both}\ndays = {{ column = "engaged", split = " " }}'

    with pytest.raises(DateFormatError) as refused:
        check(["20.10.2016,17:30:05"], dates)

    assert "in engaged/time" in refused.value.message
    assert "step[1].input.days" in refused.value.message


def test_where_none_is_read_and_no_format_is_known_it_says_so(check):
    with pytest.raises(
        DateFormatError, match="which is no date in ISO 8601, nor are the other 2 of the first rows; set"
    ):
        check(["week 1,", "week 2,", "week 3,"], of())


@pytest.mark.parametrize(
    "rows",
    [
        ["24.12.2016,", "31.31.2016,", "25.12.2016,"],
        ["soon,"],
        [",", ","],
        ["24.12.2016,"] * FIRST + ["12/24/2016,"] * 3,
    ],
)
def test_a_bad_date_among_others_is_the_affair_of_its_row(check, rows):
    check(rows, of("%d.%m.%Y"))


def test_dates_that_no_step_asks_for_may_be_anything(check):
    check(["soon,"] * 5, of(), stage="Prospecting")


@pytest.mark.anyio
async def test_nothing_runs_by_a_mapping_with_the_wrong_format(office):
    mapping = office.file("people.toml", PEOPLE)
    file = office.file("people.csv", "id,name,email,called\n1,Ada,,12/24/2019\n2,Bob,,02/03/2019\n")
    before = office.events()

    for dry_run in (True, False):
        with pytest.raises(DateFormatError, match="%m/%d/%Y"):
            await office.run(mapping, file, dry_run=dry_run)

    assert office.events() == before
    assert office.sql("SELECT count(*) FROM es.import_run") == [(0,)]
