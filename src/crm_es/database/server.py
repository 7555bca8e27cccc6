"""The embedded PostgreSQL of a data directory, shared by every process that works there.

Any command starts it if none runs; the last one out stops it. Two lock files carry that, and outlive nobody: a killed
process loses its locks, never the data.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from crm_es.database.cluster import Cluster
from crm_es.database.place import EMBEDDED_VERSION, cluster_path, reachable_binaries, server_user
from crm_es.database.urls import DatabaseUrls, socket_urls
from crm_es.errors import ConfigurationError


class EmbeddedServer:
    """`start` gives the three URLs; every `start` has its `stop`."""

    def __init__(self, data_dir: Path, *, version: int = EMBEDDED_VERSION, durable: bool = True) -> None:
        self.data_dir = data_dir.absolute()
        self._version = version
        self._durable = durable
        self._using: int | None = None

    def start(self) -> DatabaseUrls:
        """Join the server, starting it if need be. Safe to call again: a server that died is started again."""
        self._make_data_dir()
        with self._changing():
            if self._using is None:
                self._using = self._open("users.lock")
                fcntl.flock(self._using, fcntl.LOCK_SH)
            cluster = self._cluster()
            cluster.initialise()
            if not cluster.accepts():
                cluster.launch()
            cluster.make_database()
            return socket_urls(str(cluster.socket_directory()))

    def stop(self) -> bool:
        """Leave the server; true if we were the last and it was stopped."""
        if self._using is None:
            return False
        with self._changing():
            try:
                fcntl.flock(self._using, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._cluster().halt()
            except BlockingIOError:
                return False
            finally:
                os.close(self._using)
                self._using = None
            return True

    def revive(self) -> None:
        """Start the server again if it died under those who use it. The caller is one of them; its address stays."""
        if self._cluster().accepts():
            return
        with self._changing():
            if not self._cluster().accepts():
                self._cluster().launch()

    def __enter__(self) -> DatabaseUrls:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _cluster(self) -> Cluster:
        path = cluster_path(self.data_dir, self._version)
        user = server_user(path)
        binaries = reachable_binaries(self._version, user)
        return Cluster(path=path, binaries=binaries, version=self._version, user=user, durable=self._durable)

    def _make_data_dir(self) -> None:
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigurationError(f"CRM_DATA_DIR: {self.data_dir} cannot be made ({exc.strerror}).") from exc
        if not os.access(self.data_dir, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"CRM_DATA_DIR: {self.data_dir} is not yours to write. Choose a folder of your own."
            )

    def _open(self, name: str) -> int:
        try:
            return os.open(self.data_dir / name, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError as exc:
            raise ConfigurationError(
                f"CRM_DATA_DIR: {self.data_dir / name} belongs to another user. Run as that user, or choose another folder."
            ) from exc

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        lock = self._open("server.lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


__all__ = ["EmbeddedServer"]
