"""An export at the machine, checked as whoever receives it would."""

import subprocess
import sys
from pathlib import Path

from tests.commands.running import crm


def test_a_bundle_of_the_workspace_is_verified_by_what_lies_in_it(data_dir: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    out = tmp_path / "bundle"

    done = crm(data_dir, "export", "--workspace", "Acme", "--purpose", "audit 2026", "--out", str(out))

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out)
    origin, key = (out / "ORIGIN").read_text().strip(), str(out / "PUBLIC_KEY")
    argv = [sys.executable, str(out / "crm_verify.py"), "full", str(out), "--origin", origin, "--public-key", key]
    checked = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603
    assert checked.returncode == 0, checked.stdout
    assert "workspace.created" in (out / "views/audit_trail.csv").read_text()


def test_a_folder_with_something_in_it_is_left_alone(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    done = crm(data_dir, "export", "--workspace", "Acme", "--purpose", "audit", "--out", str(tmp_path))

    assert done.returncode == 1
    assert "There is something in" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
