"""`crm-es demo` as a person meets it: it says where, with what token, and what to try; and what it says works."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from itertools import takewhile

import psycopg
import pytest

from crm_es.demo.queries import QUERIES, worth_trying
from tests.patience import PATIENT
from tests.waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow  # a demo is seeded, served and met by a browser


@pytest.fixture(scope="module")
def served(demo):
    """The lines it printed, up to its last one, while it serves."""
    settings, urls, _ = demo
    with serving(settings, urls) as printed:
        yield printed


@contextmanager
def serving(settings, urls):
    process = subprocess.Popen(
        [sys.executable, "-m", "crm_es", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(settings.data_dir, urls),
    )
    try:
        yield [line.rstrip() for line in takewhile(lambda line: "Ctrl-C" not in line, process.stdout)]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
        process.stdout.close()


def environment(data_dir, urls):
    own = {k: v for k, v in os.environ.items() if not k.startswith("CRM_")}  # noqa: TID251  # the child's, not ours
    return (
        own
        | PATIENT
        | {
            "CRM_DATA_DIR": str(data_dir),
            "CRM_DATABASE_URL": urls.app,
            "CRM_OWNER_DATABASE_URL": urls.owner,
            "CRM_PROJECTOR_DATABASE_URL": urls.projector,
        }
    )


def said(printed, name):
    return next(line.split()[1] for line in printed if line.startswith(name))


def ask(printed, query):
    request = urllib.request.Request(  # noqa: S310
        said(printed, "URL"),
        json.dumps({"query": query}).encode(),
        {"Authorization": f"Bearer {said(printed, 'Token')}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310
        found = json.load(answer)
    assert "errors" not in found, found
    return found["data"]


def test_it_prints_every_query_whole(served, demo):
    text = "\n".join(served)

    for about, query in worth_trying(demo[2]):
        assert f"# {about}" in text
        assert query in text


@pytest.mark.parametrize("number", range(len(QUERIES)), ids=[about for about, _ in QUERIES])
def test_each_query_answers_with_something_to_see(served, demo, number):
    _, query = worth_trying(demo[2])[number]

    answered = ask(served, query)

    pages = list(lists(answered))
    assert pages
    assert all(pages), answered


def lists(value):
    """Every page of records in the answer."""
    for name, part in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        if name in ("nodes", "edges"):
            yield part
        yield from lists(part)


def test_the_past_shows_fewer_contacts_than_today(served, demo):
    _, query = worth_trying(demo[2])[1]

    found = ask(served, query)

    assert 0 < found["then"]["totalCount"] < found["now"]["totalCount"]
    assert all(node["id"] != node["liveId"] for node in found["then"]["nodes"])


def test_a_browser_gets_the_page_for_trying(served):
    request = urllib.request.Request(said(served, "URL"), headers={"Accept": "text/html"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as page:  # noqa: S310
        assert "graphiql" in page.read().decode().lower()


def test_a_port_in_use_ends_it_before_anything_is_seeded(database, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as neighbour:
        port = neighbour.getsockname()[1]
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "crm_es", "demo", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=environment(tmp_path, database),
        )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().endswith(
        f"cannot listen on 127.0.0.1:{port} (Address already in use). Choose another with --port."
    )
    with psycopg.connect(database.owner) as connection:
        assert connection.execute("SELECT count(*) FROM es.events").fetchone() == (0,)
