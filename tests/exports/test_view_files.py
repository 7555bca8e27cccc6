"""The files of a view, killed after any row group: the next run goes on behind its last note and ends with the same bytes."""

import random

import pytest

from crm_es.exports import view_files
from crm_es.exports.view import Field, Kind, View
from crm_es.exports.view_files import ViewFiles
from tests.exports import parquet_reader

VIEW = View(
    name="trail", description="Several rows a position.",
    fields=(Field(name="position", kind=Kind.INTEGER, description="…"), Field(name="text", kind=Kind.TEXT, description="…")),
)  # fmt: skip
DICE = random.Random(1)  # noqa: S311  # the same every time
ROWS = [
    (position, f"={position}.{n}" if n else None) for position in range(1, 200) for n in range(DICE.randrange(1, 7))
]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(view_files, "GROUP", 10)
    monkeypatch.setattr(view_files, "NOTED", 3)


def pages(since, asked):
    """In pages of seven rows and more, none parting a position."""
    asked.append(since)
    held = []
    for row in (row for row in ROWS if since is None or row[0] >= since):
        if len(held) >= 7 and held[-1][0] != row[0]:
            yield held
            held = []
        held.append(row)
    yield held


def write(folder, groups=None):
    """Until it is killed after so many groups; the positions it began at."""
    asked, files = [], ViewFiles(folder, VIEW)
    writing = files.write(lambda since: pages(since, asked))
    for number, _ in enumerate(writing, 1):
        if number == groups:
            writing.close()
    return asked


def all_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "views").iterdir()}


@pytest.fixture
def whole(tmp_path):
    write(tmp_path / "whole")
    return all_of(tmp_path / "whole")


def test_a_view_holds_all_rows(whole):
    assert parquet_reader.read(whole["trail.parquet"])["text"] == [row[1] for row in ROWS]
    assert set(whole) == {"trail.csv", "trail.parquet"}


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 30, len(ROWS) // 10 + 1])
def test_a_killed_view_goes_on_behind_its_last_note(tmp_path, whole, groups):
    write(tmp_path / "killed", groups)
    noted = min(groups // 3 * 30, len(ROWS))

    (since,) = write(tmp_path / "killed")

    assert since == (ROWS[noted - 1][0] if noted else None)
    assert all_of(tmp_path / "killed") == whole


def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path, whole):
    while not ViewFiles(tmp_path / "killed", VIEW).whole:
        write(tmp_path / "killed", DICE.randrange(3, 8))

    assert all_of(tmp_path / "killed") == whole
    assert ViewFiles(tmp_path / "killed", VIEW).rows == len(ROWS)


def test_torn_notes_are_not_believed(tmp_path, whole):
    write(tmp_path / "killed", 14)
    notes = tmp_path / "killed/.views/trail.jsonl"
    notes.write_bytes(notes.read_bytes()[:-5])

    (since,) = write(tmp_path / "killed", 9)
    assert since == ROWS[3 * 30 - 1][0]
    write(tmp_path / "killed")

    assert all_of(tmp_path / "killed") == whole


def test_notes_of_what_the_disk_lost_are_not_believed(tmp_path, whole):
    write(tmp_path / "killed", 14)
    beside = tmp_path / "killed/views/trail.csv.part"
    beside.write_bytes(beside.read_bytes()[:100])

    assert write(tmp_path / "killed") == [None]
    assert all_of(tmp_path / "killed") == whole


def test_a_view_killed_between_its_two_names_is_finished(tmp_path, whole):
    write(tmp_path / "killed")
    named = tmp_path / "killed/views/trail.parquet"
    named.rename(named.with_name("trail.parquet.part"))

    write(tmp_path / "killed")

    assert all_of(tmp_path / "killed") == whole
