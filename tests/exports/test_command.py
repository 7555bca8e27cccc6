"""`crm-es export`, as far as it refuses before it opens anything."""

import pytest
from click.testing import CliRunner

from crm_es.cli import crm_es
from crm_es.errors import InvalidInputError, UnavailableError


def test_a_purpose_that_is_no_text_is_refused(tmp_path):
    """Bytes that are no UTF-8 reach a program as halves of characters, which nothing could be signed of."""
    asked = ["export", "--workspace", "Acme", "--purpose", "audit \udcff", "--out", str(tmp_path / "out")]

    done = CliRunner().invoke(crm_es, asked)

    assert isinstance(done.exception, InvalidInputError)
    assert done.exception.rule == "export.no_text"


@pytest.mark.parametrize("asked", [["--purpose", " "], ["--purpose", "audit", "--from", "9", "--to", "3"]])
def test_what_is_refused_leaves_nothing_that_had_to_be_finished(tmp_path, asked):
    done = CliRunner().invoke(crm_es, ["export", "--workspace", "Acme", *asked, "--out", str(tmp_path / "out")])

    assert isinstance(done.exception, InvalidInputError)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    asked = ["export", "--workspace", "Acme", "--purpose", "audit", "--out", str(tmp_path / "file/out")]

    done = CliRunner().invoke(crm_es, asked)

    assert isinstance(done.exception, UnavailableError)
    assert str(tmp_path / "file") in done.exception.message
