"""Time stamps of RFC 3161 for the log of logs: asked for with a nonce, and taken only as an answer to what was asked.

Who signed a stamp is for its reader to check, by certificates of their own choice: `openssl ts -verify` (`docs/auditing.md`).
"""

import secrets
from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from crm_es.errors import UnavailableError
from crm_es.ledger.anchoring import Shipment, post, write

QUERY: Final = "application/timestamp-query"
NONCE: Final = 8
# Of a TimeStampReq (RFC 3161, 2.4.1) in DER: version 1 and a SHA-256 imprint up to the hash; certReq true.
_IMPRINT: Final = bytes.fromhex("0201013031300d060960864801650304020105000420")
_CERTIFICATES: Final = b"\x01\x01\xff"
_GRANTED: Final = frozenset({0, 1})


@dataclass(frozen=True, slots=True)
class ToTimestamps:
    """The log of logs' checkpoint is stamped; the answer is kept verbatim in a file."""

    url: str
    path: Path

    @property
    def name(self) -> str:
        return f"timestamps:{self.url}"

    def take(self, shipment: Shipment) -> None:
        stamp = self._stamp(shipment.head.encode())
        write(self.path, [{"note": shipment.head, "timestamp": b64encode(stamp).decode()}])

    def _stamp(self, data: bytes) -> bytes:
        """Raises: UnavailableError."""
        digest, nonce = sha256(data).digest(), new_nonce()
        answer = post(self.url, request(digest, nonce), QUERY)
        status = status_of(answer)
        if status is None:
            raise UnavailableError(f"{self.url} answered no time stamp.")
        if status not in _GRANTED:
            raise UnavailableError(f"{self.url} refused to stamp it: PKIStatus {status}.")
        if digest not in answer or _integer(nonce) not in answer:
            raise UnavailableError(f"{self.url} stamped something else.")
        return answer


def new_nonce() -> bytes:
    """Its first byte is that of a positive integer which needs them all: DER has no other spelling of it."""
    first, *rest = secrets.token_bytes(NONCE)
    return bytes([first & 0x3F | 0x40, *rest])


def request(digest: bytes, nonce: bytes) -> bytes:
    body = _IMPRINT + digest + _integer(nonce) + _CERTIFICATES
    return b"\x30" + bytes([len(body)]) + body


def _integer(value: bytes) -> bytes:
    return b"\x02" + bytes([len(value)]) + value


def status_of(answer: bytes) -> int | None:
    """The PKIStatus of a whole TimeStampResp: the first integer of its first sequence."""
    at, end = _inside(answer, 0)
    at, _ = _inside(answer, at) if end == len(answer) else (0, 0)
    return answer[at + 2] if at and answer[at : at + 2] == b"\x02\x01" and len(answer) > at + 2 else None


def _inside(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the sequence at `at` begins and ends; (0, 0): there is none."""
    if der[at : at + 1] != b"\x30" or len(der) < at + 2:
        return 0, 0
    first = der[at + 1]
    more = first & 0x7F if first & 0x80 else 0
    begins = at + 2 + more
    return begins, begins + (int.from_bytes(der[at + 2 : begins]) if more else first)
