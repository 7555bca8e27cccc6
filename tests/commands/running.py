"""The command line in processes of its own, and a running `crm-es serve`."""

import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.patience import PATIENT
from tests.waiting import PATIENCE_SECONDS, eventually

CRM = [sys.executable, "-m", "crm_es"]
ADDRESS = re.compile(r"http://\S+/graphql")
UNENCRYPTED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For httpx, which otherwise reads the certificates of all authorities for every client: 28 ms of CPU."""


def environment(data_dir: Path) -> dict[str, str]:
    return PATIENT | {"PATH": "/usr/bin:/bin", "PYTHONWARNINGS": "ignore", "CRM_DATA_DIR": str(data_dir)}


def crm(data_dir: Path, *argv: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603
        [*CRM, *argv], env=environment(data_dir) | settings, capture_output=True, text=True, check=False, timeout=600
    )


def token(data_dir: Path, role: str = "admin", workspace: str = "Acme") -> str:
    return crm(data_dir, "token", "--workspace", workspace, "--role", role).stdout.splitlines()[-1]


class Serving:
    """A running `crm-es serve` on a free port."""

    def __init__(self, data_dir: Path, *argv: str, **settings: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            [*CRM, "serve", "--port", "0", *argv],
            env=environment(data_dir) | settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.said: list[str] = []
        listening = threading.Event()
        threading.Thread(target=self._listen, args=[listening], daemon=True).start()
        eventually(lambda: listening.is_set() or self.process.poll() is not None)
        assert listening.is_set(), f"serve did not listen: {self.said}"
        self.url = next(found[0] for line in self.said if (found := ADDRESS.search(line)))
        try:
            self.get_until("/readyz", 200)
        except BaseException:
            self.stop()
            raise

    def _listen(self, listening: threading.Event) -> None:
        """Reads whatever is said, to the end: a full pipe would hold everybody up. Pytest shows it where a test fails."""
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                self.said.append(line)
                sys.stderr.write(line)
                if ADDRESS.search(line):
                    listening.set()

    def get_until(self, path: str, status: int) -> httpx.Response:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = httpx.get(self.url.replace("/graphql", path), timeout=PATIENCE_SECONDS, verify=UNENCRYPTED)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == status:
                return answer
            assert time.monotonic() < deadline, answer and answer.text
            time.sleep(0.1)

    def ask(self, query: str, token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        asked = {"json": {"query": query}, "headers": headers, "timeout": PATIENCE_SECONDS, "verify": UNENCRYPTED}
        return httpx.post(self.url, **asked).json()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)
