"""Time stamps, asked of an authority of our own: what openssl answers is taken and verified, anything else is not taken."""

import shutil
import subprocess
import threading
from base64 import b64decode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

from crm_es.errors import UnavailableError
from crm_es.ledger import anchoring
from crm_es.ledger.anchoring import Places, Shipment, ship
from crm_es.ledger.timestamps import ToTimestamps, new_nonce, request, status_of
from tests.ledger.test_anchoring import listening, sealed, told

SETTINGS = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
[signer]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = stamps
[stamps]
serial = {folder}/serial
signer_cert = {folder}/signer.pem
signer_key = {folder}/signer.key
certs = {folder}/authority.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = {digests}
accuracy = secs:1
ess_cert_id_chain = no
"""
HEAD = "crm.test/log\n7\nAAAA\n\n— crm.test/log BBBB\n"


def openssl(*arguments):
    done = ran(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def ran(*arguments):
    return subprocess.run([shutil.which("openssl"), *map(str, arguments)], capture_output=True, check=False)  # noqa: S603  # our own words


@dataclass
class Authority:
    """A certificate authority and a signer of time stamps, in files."""

    folder: Path

    def made(self):
        for digests in ("sha256", "sha512"):
            (self.folder / digests).write_text(SETTINGS.format(folder=self.folder, digests=digests))
        settings = ["-config", self.folder / "sha256"]
        new = [*settings, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-x509"]
        own = self.folder / "authority.pem", self.folder / "authority.key"
        openssl("req", *new, "-subj", "/CN=Authority", "-extensions", "authority", "-keyout", own[1], "-out", own[0])
        openssl(
            "req", *new, "-subj", "/CN=Stamps", "-extensions", "signer", "-CA", own[0], "-CAkey", own[1],
            "-keyout", self.folder / "signer.key", "-out", self.folder / "signer.pem",
        )  # fmt: skip
        (self.folder / "serial").write_text("01\n")
        return self

    def answer(self, query, *, digests="sha256"):
        asked = self.folder / "query.tsq"
        asked.write_bytes(query)
        return openssl("ts", "-reply", "-config", self.folder / digests, "-queryfile", asked)

    def another(self, data):
        """The answer to a question of somebody else's: another nonce, perhaps other data."""
        digest = sha256(data).hexdigest()
        return self.answer(openssl("ts", "-query", "-digest", digest, "-sha256", "-cert"))

    def verifies(self, line, note):
        """As the page for auditors has it."""
        stamp, data = self.folder / "note.tsr", self.folder / "note"
        stamp.write_bytes(b64decode(line["timestamp"]))
        data.write_bytes(note.encode())
        done = ran("ts", "-verify", "-data", data, "-in", stamp, "-CAfile", self.folder / "authority.pem")
        return done.returncode == 0 and b"Verification: OK" in done.stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("no openssl on this machine")  # CI has it and fails without: --must-run openssl
    return Authority(tmp_path_factory.mktemp("authority")).made()


@pytest.mark.openssl
def test_a_stamp_of_the_log_of_logs_is_kept_and_openssl_verifies_it(authority, here, database, tmp_path):
    sealed(here, database, 1)
    stamps = tmp_path / "stamps.jsonl"

    with listening(answer=authority.answer) as (url, got), psycopg.connect(database.app, autocommit=True) as app:
        ship(app, ToTimestamps(url, stamps), Places(tmp_path / "anchors.json"))

    (line,) = told(stamps)
    ((_, media, _),) = got
    assert media == "application/timestamp-query"
    assert authority.verifies(line, line["note"])
    assert not authority.verifies(line, line["note"].replace("log", "1og", 1))


@pytest.mark.openssl
def test_each_time_it_asks_with_a_nonce_of_its_own(authority, tmp_path):
    stamps = tmp_path / "stamps.jsonl"
    with listening(answer=authority.answer) as (url, got):
        for _ in range(2):
            ToTimestamps(url, stamps).take(Shipment([], HEAD))

    first, second = (body for _, _, body in got)
    assert first != second
    assert [authority.verifies(line, HEAD) for line in told(stamps)] == [True, True]


@pytest.mark.openssl
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda authority, query: authority.answer(query, digests="sha512"), "refused to stamp it: PKIStatus 2"),
        (lambda authority, _: authority.another(HEAD.encode()), "stamped something else"),
        (lambda authority, _: authority.another(b"another log"), "stamped something else"),
        (lambda authority, query: authority.answer(query)[:-40], "answered no time stamp"),
        (lambda _, query: query, "answered no time stamp"),
        (lambda authority, query: authority.answer(query) + b"x", "answered no time stamp"),
        (lambda *_: b"", "answered no time stamp"),
        (lambda *_: b"<html>welcome</html>", "answered no time stamp"),
    ],
    ids=["refused", "nonce", "imprint", "cut", "echo", "more", "empty", "page"],
)
def test_what_is_no_answer_to_the_question_is_not_taken(authority, tmp_path, answer, said):
    stamps = tmp_path / "stamps.jsonl"
    with (
        listening(answer=lambda query: answer(authority, query)) as (url, got),
        pytest.raises(UnavailableError, match=said),
    ):
        ToTimestamps(url, stamps).take(Shipment([], HEAD))

    assert len(got) == 1
    assert not stamps.exists()


@pytest.mark.parametrize("status", [302, 403, 500])
def test_another_status_is_no_stamp(tmp_path, status):
    with listening(status) as (url, _), pytest.raises(UnavailableError, match=f"status {status}"):
        ToTimestamps(url, tmp_path / "stamps.jsonl").take(Shipment([], HEAD))


def test_a_service_that_does_not_answer_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(anchoring, "SECONDS", 0.2)
    ended = threading.Event()

    def never(_):
        ended.wait()
        return b""

    with listening(answer=never) as (url, _):
        try:
            with pytest.raises(UnavailableError, match="did not take it"):
                ToTimestamps(url, tmp_path / "stamps.jsonl").take(Shipment([], HEAD))
        finally:
            ended.set()

    assert not (tmp_path / "stamps.jsonl").exists()


def test_a_request_is_that_of_rfc_3161():
    """As `openssl ts -query -sha256 -cert` writes it."""
    asked = request(bytes(32), bytes.fromhex("4000000000000001"))

    imprint = "3031300d060960864801650304020105000420" + "00" * 32
    assert asked.hex() == "3043020101" + imprint + "0208" + "4000000000000001" + "0101ff"


def test_a_nonce_has_one_spelling():
    nonces = {new_nonce() for _ in range(200)}

    assert len(nonces) == 200
    assert all(len(nonce) == 8 and 0x40 <= nonce[0] < 0x80 for nonce in nonces)


def test_a_status_is_read_of_whole_answers_alone():
    assert status_of(b"\x30\x05\x30\x03\x02\x01\x02") == 2
    assert status_of(b"\x30\x81\x05\x30\x03\x02\x01\x02") == 2
    for broken in (
        b"",
        b"\x30",
        b"\x30\x05\x30\x03\x02\x01",
        b"\x30\x06\x30\x03\x02\x01\x02",
        b"\x31\x05\x30\x03\x02\x01\x02",
    ):
        assert status_of(broken) is None
