"""Programs of others read our tiles, checkpoints and proofs. They need Python 3.12, hence an environment of their own."""

import fcntl
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.verify.conftest import written

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parents[1] / ".venv/outside"


def newer_python() -> str | None:
    """A Python 3.12: on the path, or one of pyenv's."""
    found = [shutil.which("python3.12"), *sorted(Path.home().glob(".pyenv/versions/3.12.*/bin/python"))]
    for each in filter(None, found):
        if subprocess.run([each, "-c", ""], capture_output=True, check=False).returncode == 0:
            return str(each)
    return None


@pytest.fixture(scope="module")
def outside() -> Path:
    """The Python of an environment with what requirements.txt names, made where it is not there yet."""
    python = newer_python()
    if python is None:
        pytest.skip("no Python 3.12 on this machine")  # CI has it and fails without: --must-run python312
    with (HERE / "requirements.txt").open() as requirements:
        fcntl.flock(requirements, fcntl.LOCK_EX)  # one worker installs
        if not (ENVIRONMENT / "made").exists():
            subprocess.run([python, "-m", "venv", "--clear", ENVIRONMENT], check=True)
            install = [ENVIRONMENT / "bin/python", "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"]
            subprocess.run(install, check=True)
            (ENVIRONMENT / "made").touch()
    return ENVIRONMENT / "bin/python"


@pytest.mark.slow
@pytest.mark.python312
@pytest.mark.parametrize("events", [3, 255, 256, 300, 900])
def test_others_read_what_we_write(tmp_path: Path, outside: Path, events: int) -> None:
    case = written(tmp_path, 60 + events, "workspace", events=events, custody=True, rotated=False)

    done = subprocess.run([outside, HERE / "reading.py", case.directory], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert all(said.values()), said
