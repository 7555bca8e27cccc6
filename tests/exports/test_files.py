"""The files of a view: what others read out of them is what was written."""

import csv
import io
import os
from datetime import UTC, date, datetime, timedelta

import pytest

from crm_es.exports.csv_file import CsvFile
from crm_es.exports.files import put, put_gzip
from crm_es.exports.parquet_file import ParquetFile
from crm_es.exports.view import Field, Kind, View, schema_of
from tests.exports import parquet_reader

VIEW = View(
    name="any",
    description="One column of each kind.",
    fields=tuple(Field(name=kind.name, kind=kind, description="…", personal=kind is Kind.TEXT) for kind in Kind),
)
BEGAN = datetime(1969, 12, 31, 23, tzinfo=UTC)
ROWS = [
    (None,) * 7
    if number % 4 == 0
    else (
        "é🙂" * (number % 5), -number, number % 3 == 0, date(1960, 1, 1) + timedelta(days=number),
        BEGAN + timedelta(hours=number, microseconds=7), f"{number}.50", f'["{number}"]',
    )
    for number in range(1_003)
]  # fmt: skip


def file_of(make, *pages):
    maker = make(VIEW)
    return maker.begin() + b"".join(maker.rows(page) for page in pages) + maker.end()


def test_parquet_holds_every_value_of_every_kind():
    read = parquet_reader.read(file_of(ParquetFile, ROWS[:600], ROWS[600:]))

    assert read == {kind.name: [row[place] for row in ROWS] for place, kind in enumerate(Kind)}


def test_parquet_of_no_rows_is_a_file():
    assert parquet_reader.read(file_of(ParquetFile)) == {kind.name: [] for kind in Kind}


@pytest.mark.parametrize("make", [CsvFile, ParquetFile])
def test_the_same_rows_are_the_same_bytes(make):
    assert file_of(make, ROWS) == file_of(make, ROWS)


def test_csv_is_read_back_by_anybody():
    text = file_of(CsvFile, [('a,"b"\r\nç', 7, True, date(2026, 3, 1), BEGAN, "-1.50", "[]"), (None,) * 7]).decode()

    head, first, empty = csv.reader(io.StringIO(text, newline=""))
    assert head == [kind.name for kind in Kind]
    assert first == ['a,"b"\r\nç', "7", "true", "2026-03-01", "1969-12-31T23:00:00Z", "-1.50", "[]"]
    assert empty == [""] * 7
    assert text.count("\r\n") == 4


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("http://x")'])
def test_no_text_of_a_csv_is_a_formula(text):
    (_, row) = csv.reader(
        io.StringIO(file_of(CsvFile, [(text, -1, None, None, None, "-2", None)]).decode(), newline="")
    )

    assert row[0] == f"'{text}"
    assert (row[1], row[5]) == ("-1", "-2")  # a number is none


def test_a_schema_says_what_is_about_people():
    schema = schema_of(VIEW)

    assert [(each["name"], each["type"]) for each in schema["fields"]] == [(kind.name, kind.value) for kind in Kind]
    assert [each["name"] for each in schema["fields"] if each["pii"]] == ["TEXT"]


def test_a_file_is_settled_when_all_of_it_was_handed_over(tmp_path, monkeypatch):
    """What still waits in the program's own memory is not on the disk, whatever the disk is asked for."""
    settled = []
    monkeypatch.setattr(os, "fsync", lambda handle: settled.append(os.fstat(handle).st_size))

    put(tmp_path / "CHECKPOINT", b"small")
    size, _ = put_gzip(tmp_path / "000000.jsonl.gz", [b"{}\n"])

    assert settled == [5, size]
