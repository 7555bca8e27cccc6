"""What the terminal says at the end of an import."""

from pathlib import Path

from crm_es.imports.session import Done
from crm_es.imports.tally import Rejection, Tally, Verdict
from crm_es.imports.telling import told


def refused(row, step="call", field="occurredAt", rule="cell.invalid", reason="called must be a date in ISO 8601."):
    return Rejection(line=row + 1, row=row, step=step, field=field, rule=rule, reason=reason)


def after(*rejections):
    tally = Tally(rows=1_000)
    tally.count("call", Verdict.RECORDED)
    for one in rejections:
        tally.reject(one)
    return Done(tally=tally, stopped=False, report=Path("a.b.rejected.csv") if rejections else None)


def test_refusals_are_grouped_by_reason_the_most_frequent_first():
    torn = refused(3, "file", "", "row.unreadable", "2 cells where 4 columns are expected.")
    other = refused(5, "file", "", "row.unreadable", "3 cells where 4 columns are expected.")
    many = [refused(row) for row in (20, 9, 8, 7, 6, 400)]

    said = told(after(torn, *many, other), dry_run=False).splitlines()

    assert said == [
        "1,000 rows, 8 refused.",
        "  step    recorded     already   unchanged",
        "  call           1           0           0",
        "Refused rows, all of them in a.b.rejected.csv:",
        "       6  call, occurredAt: called must be a date in ISO 8601. (cell.invalid; lines 7, 8, 9, 10, 21, …)",
        "       2  file: 2 cells where 4 columns are expected. (row.unreadable; lines 4, 6)",
    ]


def test_ten_reasons_are_told_and_the_rest_counted():
    rejections = [refused(row, rule=f"rule.{min(row, 13)}") for row in range(1, 15)]

    said = told(after(*rejections), dry_run=True).splitlines()

    assert said[4] == "       2  call, occurredAt: called must be a date in ISO 8601. (rule.13; lines 14, 15)"
    assert said[5].endswith("(rule.1; line 2)")
    assert said[14:] == ["       3  for 3 other reasons"]


def test_where_none_was_refused_nothing_is_said_of_it():
    assert "efused rows" not in told(after(), dry_run=False)
