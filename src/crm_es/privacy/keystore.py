"""The key store: a root key wraps each workspace's key, which wraps data keys, which seal what is personal.

Who holds a key is not kept here but in the log's own database: an event names its key (`k`), `es.key_holder` is written in
the append that links a subject, and `es.doomed_key` in the append that makes a key obsolete. So whatever moment a process
dies at, the log and its holders agree, and an erasure finds every key from the subject's streams and its holder rows.
Keys come in blocks made durable *before* one of them seals anything: a failed append wastes a key and nothing else.
"""

import binascii
import contextlib
import os
import threading
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Self
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crm_es.errors import ConfigurationError, KeyUnavailableError
from crm_es.eventstore.event import ERASED, Erased
from crm_es.privacy.key_rows import KeyRow, KeyRows, open_rows
from crm_es.privacy.sealing import Key, mac, unwrap, wrap
from crm_es.uuids import new_ids

KEK_VERSION = 1
FIRST_BLOCK, BLOCK = 50, 1000  # a workspace that never writes again should not own a thousand keys
CACHE_SECONDS = 60.0
CACHE_SIZE = 20_000
ROOT_BYTES = 32


def root_key(file: Path, configured: str | None = None) -> bytes:
    """The configured key (64 hex digits), else the one in `file`, made on first use with mode 0600."""
    if configured is None:
        if not file.exists():
            _make_root_key(file)
        configured = file.read_text().strip()
    try:
        key = binascii.unhexlify(configured)
    except binascii.Error:
        key = b""
    if len(key) != ROOT_BYTES:
        raise ConfigurationError(f"The root key (CRM_ROOT_KEY, or {file}) must be {2 * ROOT_BYTES} hex digits.")
    return key


class KeyStore:
    """Safe for threads. Everything but `cached` and `take` of a workspace that is `ready` may wait for the store."""

    def __init__(self, rows: KeyRows, root: bytes, *, cache_seconds: float = CACHE_SECONDS) -> None:
        self._rows = rows
        self._root = AESGCM(root)
        self._cache_seconds = cache_seconds
        self._lock = threading.RLock()
        self._minting = threading.Lock()  # taken before _lock, never inside it
        self._closing = False
        self._cache: dict[UUID, tuple[float, Key | Erased]] = {}
        self._spares: dict[UUID, list[Key]] = {}
        self._minted: dict[UUID, int] = {}
        self._refilling: set[UUID] = set()
        self._secrets: dict[str, bytes] = {}
        self._keks: dict[UUID, AESGCM] = {}

    @classmethod
    def open(cls, location: str | Path, root: bytes) -> Self:
        """`location` is a PostgreSQL URL or the path of a SQLite file. Raises: KeyUnavailableError."""
        return cls(open_rows(location), root)

    def close(self) -> None:
        """Give back the keys that sealed nothing."""
        with self._minting, self._lock:
            self._closing = True
            unused = [key.id for spares in self._spares.values() for key in spares]
            self._spares.clear()
            if unused:
                self._rows.drop_spares(unused)
            self._rows.close()

    # -- data keys

    def take(self, workspace: UUID) -> Key:
        """A key that has sealed nothing yet. It is durable already."""
        while True:
            with self._lock:
                spares = self._spares.get(workspace)
                if spares:
                    key = spares.pop()
                    if len(spares) < self._low(workspace):
                        self._refill_soon(workspace)
                    break
            self._refill(workspace)
        self._remember(key.id, key)
        return key

    def ready(self, workspace: UUID, keys: int = 1) -> bool:
        """Whether `take` this often, and `blind`, answer from memory."""
        return len(self._spares.get(workspace, ())) >= keys

    def key(self, key_id: UUID) -> Key | Erased:
        """The key, or `ERASED` where a tombstone was read. Raises: KeyUnavailableError for anything else."""
        return self.cached(key_id) or self.keys((key_id,))[key_id]

    def keys(self, key_ids: Iterable[UUID]) -> dict[UUID, Key | Erased]:
        """All of these; those that are not cached in one query. Raises: KeyUnavailableError, as `key` does."""
        found: dict[UUID, Key | Erased] = {}
        missing: list[UUID] = []
        for key_id in dict.fromkeys(key_ids):
            key = self.cached(key_id)
            if key is None:
                missing.append(key_id)
            else:
                found[key_id] = key
        for row in self._rows.keys(missing) if missing else ():
            found[row.key_id] = self._remember(row.key_id, self._opened(row))
        for key_id in missing:
            if key_id not in found:
                raise KeyUnavailableError(
                    f"The key store has neither key {key_id} nor its tombstone. Is it an older copy?"
                )
        return found

    def cached(self, key_id: UUID) -> Key | Erased | None:
        entry = self._cache.get(key_id)
        if entry is None or entry[0] < time.monotonic():
            return None
        return entry[1]

    def known(self, key_ids: Iterable[UUID]) -> set[UUID]:
        """Which of these have a key or a tombstone; opens none."""
        return {row.key_id for row in self._rows.keys(list(key_ids))}

    def destroy(self, key_ids: Sequence[UUID], erasure: UUID | None = None) -> int:
        """Shred keys: what they sealed is erased from then on, in every process within `CACHE_SECONDS`.

        Raises: KeyUnavailableError where something of them may be left; ask again.
        """
        with self._lock:
            for key_id in key_ids:  # read anew, should this fail half done
                self._cache.pop(key_id, None)
        done = self._rows.shred(key_ids, erasure)
        for key_id in key_ids:
            self._remember(key_id, ERASED)
        return done

    def forget_cached(self) -> None:
        """Read every key anew, at once: another process has destroyed some."""
        with self._lock:
            self._cache.clear()

    # -- secrets

    def blind(self, workspace: UUID, *parts: str | bytes) -> bytes:
        """An HMAC under the workspace's index key: finds equal values without telling them. Never stored in events."""
        secret = self._secrets.get(f"index/{workspace}") or self._secret(f"index/{workspace}")
        message = b"".join(len(raw).to_bytes(4, "big") + raw for raw in map(_raw, parts))
        return mac(secret, message)

    def pepper(self) -> bytes:
        """The installation's secret under API keys."""
        return self._secret("pepper")

    # -- inside

    def _low(self, workspace: UUID) -> int:
        """So few spares that the next block is made: a busy workspace can always take a whole one."""
        return BLOCK if self._minted.get(workspace, 0) > FIRST_BLOCK else FIRST_BLOCK // 5

    def _refill(self, workspace: UUID) -> None:
        with self._minting:
            if self._closing:
                raise KeyUnavailableError("The key store is closed.")
            if len(self._spares.get(workspace, ())) >= self._low(workspace):
                return  # somebody else has just done it
            minted = self._mint(workspace)
            self._secret(f"index/{workspace}")  # so that `blind` need not wait either
            with self._lock:
                self._spares.setdefault(workspace, []).extend(minted)

    def _refill_soon(self, workspace: UUID) -> None:
        """Beside the appends, so that the next thousand need not wait for it."""
        if not self._closing and workspace not in self._refilling:
            self._refilling.add(workspace)
            threading.Thread(target=self._refill_quietly, args=(workspace,), name="crm-keys", daemon=True).start()

    def _refill_quietly(self, workspace: UUID) -> None:
        try:
            self._refill(workspace)
        except KeyUnavailableError:
            return  # whoever takes the last spare will be told
        finally:
            self._refilling.discard(workspace)
        if len(self._spares.get(workspace, ())) < self._low(workspace):
            self._refill_soon(workspace)  # for whoever took some as this one ended

    def _mint(self, workspace: UUID) -> list[Key]:
        size = BLOCK if workspace in self._minted else FIRST_BLOCK
        self._minted[workspace] = self._minted.get(workspace, 0) + size
        kek = self._kek(workspace)
        keys: list[Key] = []
        rows: list[KeyRow] = []
        secrets = os.urandom(size * ROOT_BYTES)  # at once: each fetch lets another thread take the interpreter
        for place, key_id in enumerate(new_ids(size)):
            secret = secrets[place * ROOT_BYTES : (place + 1) * ROOT_BYTES]
            key = Key(key_id, secret)
            wrapped = wrap(secret, kek, _label(workspace, key_id))
            keys.append(key)
            rows.append(KeyRow(key_id, workspace, KEK_VERSION, wrapped, key.commitment))
        self._rows.add_keys(rows)
        return keys

    def _opened(self, row: KeyRow) -> Key | Erased:
        if row.wrapped is None:
            return ERASED
        secret = unwrap(row.wrapped, self._kek(row.workspace), _label(row.workspace, row.key_id))
        key = Key(row.key_id, secret)
        if key.commitment != row.commitment:
            raise KeyUnavailableError(f"Key {row.key_id} is not the one its commitment names.")
        return key

    def _remember(self, key_id: UUID, found: Key | Erased) -> Key | Erased:
        """What holds from now on: a tombstone is never replaced by a key that was read a moment too early."""
        with self._lock:
            if self._cache.get(key_id, (0.0, None))[1] is ERASED:
                found = ERASED
            if len(self._cache) >= CACHE_SIZE:
                for oldest in list(islice(self._cache, CACHE_SIZE // 10)):
                    del self._cache[oldest]
            self._cache.pop(key_id, None)
            self._cache[key_id] = (time.monotonic() + self._cache_seconds, found)
            return found

    def _kek(self, workspace: UUID) -> AESGCM:
        kek = self._keks.get(workspace)
        if kek is None:
            kek = self._keks[workspace] = AESGCM(self._secret(f"kek/{workspace}/{KEK_VERSION}"))
        return kek

    def _secret(self, name: str) -> bytes:
        if name not in self._secrets:
            wrapped = self._rows.secret(name)
            if wrapped is None:
                wrapped = self._rows.add_secret(name, wrap(os.urandom(32), self._root, name.encode()))
            self._secrets[name] = unwrap(wrapped, self._root, name.encode())
        return self._secrets[name]


def _make_root_key(file: Path) -> None:
    """Written beside and linked into place, so that a second process sees all of it or none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as new:
        new.write(os.urandom(ROOT_BYTES).hex())
        new.flush()
        os.fsync(new.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, file)
    draft.unlink()


def _label(workspace: UUID, key_id: UUID) -> bytes:
    return workspace.bytes + key_id.bytes


def _raw(part: str | bytes) -> bytes:
    return part.encode() if isinstance(part, str) else part
