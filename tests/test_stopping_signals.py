"""A signal to stop is heeded in whatever step the process is."""

import subprocess
import sys

from tests.waiting import PATIENCE_SECONDS

IN_THE_MIDST = """
import signal
from crm_es.serving.stopping import told_to_stop

stop = told_to_stop()
with stop._cond:  # as whoever waits holds it for a moment, twice in each wait
    signal.raise_signal(signal.SIGTERM)
assert stop.wait()
for _ in range(100_000):  # more than a pipe holds
    signal.raise_signal(signal.SIGINT)
"""


def test_a_signal_stops_whoever_is_about_to_wait():
    done = subprocess.run([sys.executable, "-c", IN_THE_MIDST], timeout=PATIENCE_SECONDS, check=False)  # noqa: S603

    assert done.returncode == 0
