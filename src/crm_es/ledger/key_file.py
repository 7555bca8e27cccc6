"""The sealer's private keys, in a file that nobody else may read: one base64 line a key, the newest last.

Two lines stand there while the newer key is being announced in every log; then the older is dropped.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crm_es.errors import ConfigurationError
from crm_es.ledger.checkpoint import public_of


class KeyFile:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_at: tuple[int, int] | None = None
        self._keys: dict[bytes, Ed25519PrivateKey] = {}

    def exists(self) -> bool:
        return self.path.exists()

    def make(self) -> None:
        """A first key. Raises: ConfigurationError."""
        self._write([Ed25519PrivateKey.generate()])

    def add(self) -> bytes:
        """A further key, the newest from now on; its public half."""
        new = Ed25519PrivateKey.generate()
        self._write([*self.private().values(), new])
        return public_of(new)

    def drop_all_but(self, public: bytes) -> None:
        self._write([self.private()[public]])

    def private(self) -> Mapping[bytes, Ed25519PrivateKey]:
        """By public half, the newest last; read again when the file has changed. Raises: ConfigurationError."""
        try:
            found = self.path.stat()
            if found.st_mode & 0o077:
                raise ConfigurationError(
                    f"CRM_SEALER_KEY: {self.path} can be read by others. Was it copied? `chmod 600` it, and rotate the key."
                )
            if self._read_at != (found.st_mtime_ns, found.st_ino):
                lines = self.path.read_text().split()
                self._keys = {public_of(key): key for key in map(_parsed, lines)}
                self._read_at = (found.st_mtime_ns, found.st_ino)
        except OSError as exc:
            raise ConfigurationError(f"CRM_SEALER_KEY: {self.path} cannot be read ({exc.strerror}).") from exc
        except ValueError as exc:
            raise ConfigurationError(f"CRM_SEALER_KEY: {self.path} is no file of Ed25519 keys.") from exc
        if not self._keys:
            raise ConfigurationError(f"CRM_SEALER_KEY: {self.path} holds no key.")
        return self._keys

    @property
    def newest(self) -> bytes:
        return list(self.private())[-1]

    def _write(self, keys: Sequence[Ed25519PrivateKey]) -> None:
        """All or nothing, and on the disk before anything is signed."""
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            beside.unlink(missing_ok=True)
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w") as new:
                new.writelines(f"{b64encode(key.private_bytes_raw()).decode()}\n" for key in keys)
                new.flush()
                os.fsync(new.fileno())
            beside.rename(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        except OSError as exc:
            raise ConfigurationError(f"CRM_SEALER_KEY: {self.path} cannot be written ({exc.strerror}).") from exc


def _parsed(line: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(b64decode(line, validate=True))
