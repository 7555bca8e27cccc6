"""How one personal value is sealed and opened: AES-256-GCM under a data key, bound to its place and to its key."""

import binascii
from hashlib import sha256
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crm_es.entropy import Pool
from crm_es.errors import KeyUnavailableError

COMMITMENT = 32  # bytes in front of the ciphertext


_NONCE = 12
_nonces = Pool(_NONCE)
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))
_BLOCK = 64


def mac(secret: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) of a secret of at most 64 bytes. `hmac.digest` lets another thread take the interpreter each
    time, which cost an import a tenth of its time."""
    block = secret.ljust(_BLOCK, b"\0")
    return sha256(block.translate(_OUTER) + sha256(block.translate(_INNER) + message).digest()).digest()


class Sealed(msgspec.Struct, frozen=True, gc=False):
    """A sealed value as it stands in an event. Its fields are in alphabetical order: the bytes are hashed.

    `c` is commitment || ciphertext || tag, `k` the key's id, `n` the nonce. GCM alone lets one ciphertext open under two
    keys; the commitment, an HMAC of the key, ties it to one.
    """

    pii: int = msgspec.field(name="$pii")
    c: str
    k: UUID
    n: str


class Key:
    """A data key, ready to use."""

    __slots__ = ("_cipher", "commitment", "id")

    def __init__(self, id: UUID, secret: bytes) -> None:
        self.id = id
        self.commitment = mac(secret, b"crm_es/1 commit")
        self._cipher = AESGCM(mac(secret, b"crm_es/1 encrypt"))

    def seal(self, plain: bytes, place: bytes) -> Sealed:
        """`place` is workspace|stream|version|field path: a sealed value opens nowhere else."""
        nonce = _nonces.take()
        body = self.commitment + self._cipher.encrypt(nonce, plain, place)
        return Sealed(1, _text(body), self.id, _text(nonce))

    def open(self, sealed: Sealed, place: bytes) -> bytes:
        """Raises: KeyUnavailableError when the value was not sealed with this key at this place."""
        body = binascii.a2b_base64(sealed.c)
        if body[:COMMITMENT] != self.commitment:  # no secret: it stands in the log
            raise KeyUnavailableError(f"Key {self.id} is not the one that sealed this value.")
        try:
            return self._cipher.decrypt(binascii.a2b_base64(sealed.n), body[COMMITMENT:], place)
        except InvalidTag as exc:
            raise KeyUnavailableError(f"A value sealed with key {self.id} was altered or moved.") from exc


def _text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode()


def wrap(secret: bytes, under: AESGCM, label: bytes) -> bytes:
    nonce = _nonces.take()
    return nonce + under.encrypt(nonce, secret, label)


def unwrap(wrapped: bytes, under: AESGCM, label: bytes) -> bytes:
    """Raises: KeyUnavailableError when `under` is not the key it was wrapped with."""
    try:
        return under.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], label)
    except InvalidTag as exc:
        raise KeyUnavailableError(
            "The root key does not open this key store. Is CRM_ROOT_KEY the one it was made with?"
        ) from exc
