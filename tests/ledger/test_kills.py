"""A sealer that is killed again and again while the log grows: nothing is signed twice differently, no epoch is opened."""

import os
import random
import subprocess
import sys
import threading

import pytest

from crm_es.serving.sealing import GIVES_WAY
from crm_es.threads import beside
from tests.ledger.logs import ORIGIN
from tests.waiting import eventually

pytestmark = pytest.mark.slow
KILLS = 20


def begun(here):
    settings = {
        "CRM_SEALER_DATABASE_URL": here.url,
        "CRM_SEALER_KEY": str(here.folder / "sealer.key"),
        "CRM_SEALER_MEMORY": str(here.folder / "sealer.sqlite"),
        "CRM_LOG_ORIGIN": ORIGIN,
        "CRM_DATA_DIR": str(here.folder),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "crm_es.serving.sealing"],
        stdin=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore", **settings},
    )


def growing(writer):
    """Somebody records all the time."""

    def record(stop):
        while not stop.wait(0.01):
            writer.fill(40)

    return beside(record, "writer")


def test_kills_at_any_moment_leave_one_history(here, writer, workspace):
    dice, seen = random.Random(4), {}  # noqa: S311
    polite = min(os.getpriority(os.PRIO_PROCESS, 0) + GIVES_WAY, 19)
    with growing(writer):
        for _ in range(KILLS):
            process = begun(here)
            wanted = len(here.checkpoints(workspace)) + dice.randint(1, 3)
            eventually(lambda wanted=wanted: len(here.checkpoints(workspace)) >= wanted)
            eventually(lambda process=process: os.getpriority(os.PRIO_PROCESS, process.pid) == polite)
            threading.Event().wait(dice.random() * 0.2)
            process.kill()
            process.wait()
            process.stdin.close()
            for origin, size, root in here.all_signed():
                assert seen.setdefault((origin, size), root) == root

    here.seal()

    assert here.agrees(workspace) == writer.fill(1) - 1
    assert here.ledger_events(workspace) == []
    assert all(seen.get((origin, size), root) == root for origin, size, root in here.all_signed())
    assert len(here.checkpoints(workspace)) > KILLS
