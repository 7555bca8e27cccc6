"""Rows out of files of every shape, the broken ones too."""

from pathlib import Path

import pytest

from crm_es.imports.mapping import FileShape
from crm_es.imports.reader import FileError, columns_of, read_rows

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"


@pytest.fixture
def rows(tmp_path):
    def read(content: str | bytes, **shape):
        path = tmp_path / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(read_rows(path, FileShape(**shape)))

    return read


def test_csv_with_a_header_names_its_cells(rows):
    [first, second] = rows("name,city\n Ada , London\n王小明,北京\n")

    assert first.cells == {"name": "Ada", "city": "London"}
    assert (second.number, second.line, second.cells["name"]) == (2, 3, "王小明")


def test_a_byte_order_mark_is_no_part_of_the_first_column(rows):
    assert rows("\ufeffname\nAda\n")[0].cells == {"name": "Ada"}


def test_a_quoted_cell_may_hold_line_ends_and_its_row_starts_at_the_first(rows):
    first, second = rows('a,b\n"x\ny",2\n3,4\n')

    assert (first.line, first.cells["a"]) == (2, "x\ny")
    assert second.line == 4


def test_bad_rows_come_out_with_their_line_and_the_others_go_on(rows):
    short, broken, good = rows('a,b\n1\n"x"y,2\n3,4\n')

    assert short.problem == "1 cells where 2 columns are expected."
    assert "cannot be split" in broken.problem
    assert (broken.line, good.line, good.problem) == (3, 4, None)


def test_a_quote_never_closed_names_the_line_that_opened_it(rows):
    good, broken = rows('a,b\n1,2\n"x,3\n4,5\n')

    assert good.problem is None
    assert broken.line == 3
    assert "unexpected end of data" in broken.problem


def test_bytes_that_are_not_the_encoding_spoil_their_row_alone(rows):
    good, bad = rows(b"a\nfine\ncaf\xe9\n")

    assert good.problem is None
    assert bad.problem == "Column a is not utf-8. Set `encoding` in [file]."
    assert rows(b"a\ncaf\xe9\n", encoding="cp1252")[0].cells == {"a": "café"}


def test_blanks_separate_cells_however_many(rows):
    [row] = rows(" 00004 0001 19970101  2   29.33\r\n\n", format="blanks", header=False, columns=tuple("abcde"))

    assert list(row.cells.values()) == ["00004", "0001", "19970101", "2", "29.33"]


def test_json_lines_are_flat_and_keep_their_digits(rows):
    good, bad, other = rows(
        '{"id": 1.10, "name": {"first": "Ada"}, "tags": ["x", true], "none": null}\n{\n[1]\n',
        format="jsonl",
        header=False,
        columns=("id", "name.first", "tags.1", "none", "missing"),
    )

    assert good.cells == {"id": "1.10", "name.first": "Ada", "tags.1": "true", "none": "", "missing": ""}
    assert bad.problem.startswith("The line is not JSON")
    assert other.problem == "The line is not a JSON object."


def test_a_header_that_names_a_column_twice_is_refused(rows):
    with pytest.raises(FileError, match="names a twice"):
        rows("a,a\n1,2\n")


def test_an_empty_file_has_no_header(rows):
    with pytest.raises(FileError, match="the file is empty"):
        rows("")


def test_columns_are_known_before_a_row_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_text("a;b\n1;2\n")

    assert columns_of(path, FileShape(delimiter=";")) == ("a", "b")
    assert columns_of(path, FileShape(header=False, columns=("x",))) == ("x",)
    path.write_text("\n  a   b\n1 2\n")
    assert columns_of(path, FileShape(format="blanks")) == ("a", "b")


def test_bytes_that_are_no_text_in_the_encoding_are_told_with_the_mend(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"a,b\n1,2\n3")

    with pytest.raises(FileError, match="Set `encoding`"):
        columns_of(path, FileShape(encoding="utf-16-le"))
