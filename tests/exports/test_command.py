"""`crm-es export`, as far as it refuses before it opens anything."""

from click.testing import CliRunner

from crm_es.cli import crm_es
from crm_es.errors import InvalidInputError


def test_a_purpose_that_is_no_text_is_refused(tmp_path):
    """Bytes that are no UTF-8 reach a program as halves of characters, which nothing could be signed of."""
    asked = ["export", "--workspace", "Acme", "--purpose", "audit \udcff", "--out", str(tmp_path / "out")]

    done = CliRunner().invoke(crm_es, asked)

    assert isinstance(done.exception, InvalidInputError)
    assert done.exception.rule == "export.no_text"
