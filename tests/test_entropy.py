"""Random values are given out once; ids of the moment sort by it."""

import subprocess
import sys
import threading
from collections import Counter

from crm_es.entropy import Pool
from crm_es.uuids import new_id, random_id


def test_no_value_is_given_out_twice_whoever_asks():
    pool, taken = Pool(8), []
    askers = [threading.Thread(target=lambda: taken.extend(pool.take() for _ in range(500))) for _ in range(4)]

    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()

    assert Counter(map(len, taken)) == {8: 2_000}
    assert len(set(taken)) == 2_000


FORKED = """
import os
from crm_es.entropy import Pool

pool, (read, write) = Pool(8), os.pipe()
pool.take()
if os.fork() == 0:
    os.write(write, b"".join(pool.take() for _ in range(99)))
    os._exit(0)
os.wait()
theirs = os.read(read, 8 * 99)
print(len({theirs[n : n + 8] for n in range(0, len(theirs), 8)} | {pool.take() for _ in range(99)}))
"""


def test_a_forked_process_shares_no_value_with_its_parent():
    said = subprocess.run([sys.executable, "-c", FORKED], check=True, capture_output=True, text=True)  # noqa: S603

    assert said.stdout.strip() == "198"


def test_ids_say_their_version_and_differ():
    assert {(new_id().version, new_id().variant), (random_id().version, random_id().variant)} == {
        (7, "specified in RFC 4122"),
        (4, "specified in RFC 4122"),
    }
    assert len({random_id() for _ in range(1_000)} | {new_id() for _ in range(1_000)}) == 2_000
