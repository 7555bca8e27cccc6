"""Checkpoints: the size and root of a log as a signed note, in the forms of C2SP signed-note and tlog-checkpoint."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from crm_es.ledger.merkle import HASH

ED25519 = b"\x01"
KEY_ID = 4
DASH = "\N{EM DASH} "
LONGEST_NOTE = 1 << 16


class NoteError(Exception):
    """A note that is not one, or that the given key did not sign under the given origin."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a log says of itself. Its public key goes by the same name, the origin."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        return f"{DASH}{self.name} {b64encode(self.key_id + self.signature).decode()}\n"


def key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:KEY_ID]


def vkey(name: str, public: bytes) -> str:
    """A public key as C2SP writes it: `name+key id+key`."""
    return f"{name}+{key_id(name, public).hex()}+{b64encode(ED25519 + public).decode()}"


def parse_vkey(text: str) -> tuple[str, bytes]:
    """The name and the 32 bytes of the key. Raises NoteError."""
    name, _, rest = text.strip().partition("+")
    hexed, _, encoded = rest.partition("+")
    key = _decoded(encoded)
    if not name or key[:1] != ED25519 or len(key) != 33 or hexed != key_id(name, key[1:]).hex():  # noqa: PLR2004
        raise NoteError(f"{text.strip()!r} is not an Ed25519 key in the form of C2SP signed-note.")
    return name, key[1:]


def public_of(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def sign(checkpoint: Checkpoint, *keys: Ed25519PrivateKey) -> str:
    """The note: two keys where one follows the other."""
    text = checkpoint.text
    lines = [
        Signature(
            name=checkpoint.origin,
            key_id=key_id(checkpoint.origin, public_of(key)),
            signature=key.sign(text.encode()),
        ).line
        for key in keys
    ]
    return f"{text}\n{''.join(lines)}"


def parse(note: str) -> tuple[Checkpoint, Sequence[Signature]]:
    """A note's words, believed of nobody yet. Raises NoteError; extension lines are none of ours and refused."""
    text, blank, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not blank or len(note) > LONGEST_NOTE or len(lines) != 3 or not signatures.endswith("\n"):  # noqa: PLR2004
        raise NoteError("Not a signed checkpoint of three lines.")
    origin, size, root = lines
    if not origin or not (size.isascii() and size.isdigit()) or size != str(int(size)) or len(_decoded(root)) != HASH:
        raise NoteError("A checkpoint is an origin, a size and a root of 32 bytes.")
    signed = [_signature(line) for line in signatures.removesuffix("\n").split("\n")]
    return Checkpoint(origin=origin, size=int(size), root=_decoded(root)), signed


def verify(note: str, *, origin: str, public: bytes) -> Checkpoint:
    """The checkpoint that this key signed under this origin. Raises NoteError."""
    checkpoint, signatures = parse(note)
    if checkpoint.origin != origin:
        raise NoteError(f"The checkpoint is of {checkpoint.origin!r}, not of {origin!r}.")
    wanted = key_id(origin, public)
    key = Ed25519PublicKey.from_public_bytes(public)
    for signature in signatures:
        if signature.name == origin and signature.key_id == wanted:
            try:
                key.verify(signature.signature, checkpoint.text.encode())
            except InvalidSignature as exc:
                raise NoteError("The signature is not of this key.") from exc
            return checkpoint
    raise NoteError("No signature by this key.")


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(DASH).partition(" ")
    value = _decoded(encoded)
    if not line.startswith(DASH) or not space or not name or len(value) <= KEY_ID:
        raise NoteError("Not a signature line.")
    return Signature(name=name, key_id=value[:KEY_ID], signature=value[KEY_ID:])


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as exc:
        raise NoteError("Not base64.") from exc
