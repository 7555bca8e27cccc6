"""Checkpoints leave the house: each once at least, in order, and to nobody they were not meant for."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import psycopg
import pytest

from crm_es.errors import ConfigurationError, UnavailableError
from crm_es.ledger import anchoring
from crm_es.ledger.anchoring import Places, ToFile, ToWebhook, ship
from crm_es.ledger.checkpoint import parse
from tests.ledger.logs import ORIGIN, Writer


@contextmanager
def listening(status=200, answer=lambda _: b"", **headers):
    """A web server that writes down what it is sent."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((self.path, self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer(got[-1][2]))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def app(database):
    with psycopg.connect(database.app, autocommit=True) as connection:
        yield connection


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path / "anchors.json")


def sealed(here, database, workspaces):
    for _ in range(workspaces):
        Writer(database.app, uuid4()).fill(2)
    here.seal()


def told(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_gets_every_checkpoint_once_and_the_one_that_covers_them(here, database, app, places, tmp_path):
    target = ToFile(tmp_path / "anchored.jsonl")
    sealed(here, database, 3)

    first = ship(app, target, places)
    nothing = ship(app, target, places)
    sealed(here, database, 2)
    second = ship(app, target, Places(tmp_path / "anchors.json"))

    lines = told(target.path)
    assert (first, nothing, second) == (3, 0, 2)
    assert [line.get("number") for line in lines] == [1, 2, 3, None, 4, 5, None]
    heads = [parse(line["note"])[0] for line in lines if "number" not in line]
    assert [(head.origin, head.size) for head in heads] == [(f"{ORIGIN}/log", 3), (f"{ORIGIN}/log", 5)]


def test_where_nothing_was_signed_nothing_leaves(app, places, tmp_path):
    assert ship(app, ToFile(tmp_path / "anchored.jsonl"), places) == 0
    assert not (tmp_path / "anchored.jsonl").exists()


def test_a_webhook_is_sent_pages_until_it_has_all(here, database, app, places, monkeypatch):
    monkeypatch.setattr(anchoring, "PAGE", 2)
    sealed(here, database, 3)

    with listening() as (url, got):
        shipped = ship(app, ToWebhook(f"{url}/hook?a=b"), places)

    assert shipped == 3
    assert {(path, media) for path, media, _ in got} == {("/hook?a=b", "application/json")}
    assert [[note["number"] for note in json.loads(body)["notes"]] for _, _, body in got] == [[1, 2], [3]]


@pytest.mark.parametrize("status", [500, 302, 404])
def test_what_a_webhook_did_not_take_is_sent_again(here, database, app, places, status):
    sealed(here, database, 1)
    with listening(status, Location="http://169.254.169.254/") as (url, got):
        target = ToWebhook(url)
        with pytest.raises(UnavailableError, match=f"status {status}"):
            ship(app, target, places)

    assert len(got) == 1
    assert places[target.name] == 0


def test_one_that_is_not_there_is_said_to_be(here, database, app, places):
    sealed(here, database, 1)
    with listening() as (url, _):
        pass

    with pytest.raises(UnavailableError, match="did not take it"):
        ship(app, ToWebhook(url), places)


def test_only_the_web_is_posted_to(here, database, app, places):
    sealed(here, database, 1)

    with pytest.raises(ConfigurationError, match="expected a URL"):
        ship(app, ToWebhook("file:///etc/passwd"), places)
