"""Cursors: the order keys and the id of a row, sealed, since keys can hold names. Good for one list, order, asOf, workspace.

AES-GCM-SIV under a key of the workspace: the same row has the same cursor, and no nonce can repeat with harm.
"""

import base64
import binascii
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crm_es.reads.errors import BadCursorError

_VERSION = b"1"
_NONCE = bytes(12)
_LONGEST = 4096


class Cursors:
    """Seals and opens cursors under a key derived from the workspace's (32 bytes)."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCMSIV(HKDF(SHA256(), 32, None, b"crm_es cursor 1").derive(key))

    @staticmethod
    @lru_cache(maxsize=1024)
    def of(key: bytes) -> "Cursors":
        """The same, kept: deriving costs more than sealing."""
        return Cursors(key)

    def seal(self, bound: bytes, keys: Sequence[Any]) -> str:
        """`bound` is the list, order, moment and workspace the cursor is good for."""
        plain = msgspec.msgpack.encode([_plain(key) for key in keys])
        sealed = self._cipher.encrypt(_NONCE, plain, _VERSION + bound)
        return base64.urlsafe_b64encode(_VERSION + sealed).rstrip(b"=").decode()

    def open(self, bound: bytes, cursor: str, count: int) -> tuple[Any, ...]:
        """The keys, then the id: `count` values. Raises: BadCursorError."""
        try:
            raw = base64.b64decode(cursor[:_LONGEST] + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            plain = self._cipher.decrypt(_NONCE, raw[1:], raw[:1] + bound)
            keys = tuple(_typed(key) for key in msgspec.msgpack.decode(plain))
        except (binascii.Error, ValueError, InvalidTag, msgspec.DecodeError) as exc:
            raise BadCursorError from exc
        if raw[:1] != _VERSION or len(keys) != count:
            raise BadCursorError
        return keys


def bound_to(workspace: UUID, field: str, order: str, at: int | None) -> bytes:
    """What a cursor is good for, as bytes."""
    return "\0".join((str(workspace), field, order, "" if at is None else str(at))).encode()


_TAGS: tuple[tuple[type[Any], str], ...] = ((UUID, "u"), (datetime, "t"), (date, "d"), (Decimal, "n"))


def _plain(key: Any) -> Any:
    for kind, tag in _TAGS:
        if isinstance(key, kind):
            return [tag, key.isoformat() if isinstance(key, date) else str(key)]
    return key


def _typed(key: Any) -> Any:
    if not isinstance(key, list):
        return key
    tag, text = key
    match tag:
        case "u":
            return UUID(text)
        case "t":
            return datetime.fromisoformat(text)
        case "d":
            return date.fromisoformat(text)
        case _:
            return Decimal(text)
