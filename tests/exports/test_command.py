"""`crm-es export`, as far as it refuses."""

import subprocess
import sys
from uuid import uuid4

import pytest
from click.testing import CliRunner

from crm_es.cli import crm_es
from crm_es.commands.exporting import begun
from crm_es.errors import InvalidInputError, UnavailableError
from crm_es.exports.files import pretty, put
from crm_es.exports.making import plan_of
from crm_es.exports.work import locked
from crm_es.workspaces.export import Wanted


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


@pytest.mark.anyio
async def test_a_bundle_is_made_by_one_process_at_a_time(api, place, tmp_path):
    out, id_ = tmp_path / "out", uuid4()
    put(
        plan_of(out),
        pretty({"export": str(id_), "said": begun(api.workspace, Wanted(), purpose="audit", reason="audit")}),
    )
    env = {
        "CRM_DATA_DIR": str(place.settings.data_dir), "CRM_DATABASE_URL": place.urls.app,
        "CRM_OWNER_DATABASE_URL": place.urls.owner, "CRM_PROJECTOR_DATABASE_URL": place.urls.projector,
    }  # fmt: skip
    asked = ["--workspace", str(api.workspace), "--purpose", "audit", "--out", str(out)]

    with locked(place.urls.app, api.workspace, id_):
        done = subprocess.run(  # noqa: ASYNC221, S603
            [sys.executable, "-m", "crm_es", "export", *asked], env=env, capture_output=True, text=True, check=False
        )

    assert done.returncode == 1
    assert f"Another process is making {out} already." in done.stderr
    assert not out.exists()
