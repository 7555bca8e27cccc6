"""An installation that is hurt on purpose: which process to kill, how to write while it is down, what must hold after."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg

from crm_es.database.server import EmbeddedServer
from tests.commands.running import UNENCRYPTED, Serving, crm, token
from tests.gate import held
from tests.waiting import PATIENCE_SECONDS, ended, eventually


class Installation:
    """Workspace Acme in a data directory of its own."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.workspace = self.found("Acme")

    def found(self, name: str) -> UUID:
        return UUID(self.command("workspace", "create", name).splitlines()[-1])

    def beside(self, name: str) -> "Installation":
        """The same, seen from another workspace."""
        other = copy(self)
        other.workspace, other.token = self.found(name), token(self.data_dir, workspace=name)
        return other

    def command(self, *argv: str) -> str:
        done = crm(self.data_dir, *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def served(self) -> Iterator[Serving]:
        self.serving = Serving(self.data_dir, "--no-seal")  # its events come by the clock; what kills do to it: ledger/
        self.token = token(self.data_dir)
        try:
            yield self.serving
        finally:
            if self.serving.process.poll() is None:
                self.serving.stop()

    def client(self) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS, verify=UNENCRYPTED)

    def ask(self, query: str) -> Any:
        """The answer; asked again, as clients are told to, while the database comes back from a kill."""

        def told() -> Any:
            answer = self.serving.ask(query, self.token)
            assert {error["extensions"]["code"] for error in answer.get("errors", ())} <= {"TIMEOUT"}, answer
            return None if "errors" in answer else answer["data"]

        return eventually(told)

    # harm

    def kill_projector(self) -> None:
        self._kill("crm_es.serving.projecting")

    def kill_web(self) -> None:
        self._kill("crm_es.serving.web")

    def _kill(self, module: str) -> None:
        """Once there is one: it may just be started again."""
        eventually(lambda: any(killed(child) for child in self.serving.children() if runs(child, module)))

    def kill_database(self) -> None:
        os.kill(self.postmaster(), signal.SIGKILL)

    def postmaster(self) -> int:
        """Its cluster may stand elsewhere where we are root: the data directory then says where."""
        elsewhere = self.data_dir / "postgres-18.elsewhere"
        cluster = Path(elsewhere.read_text().strip()) if elsewhere.exists() else self.data_dir / "postgres-18"
        return int((cluster / "postmaster.pid").read_text().splitlines()[0])

    @contextmanager
    def held(self, position: int) -> Iterator[Callable[[], bool]]:
        """As `gate.held`, in our workspace."""
        with EmbeddedServer(self.data_dir) as urls, held(urls.owner, self.workspace, position) as reached:
            yield reached

    # what must hold

    def events(self) -> int:
        return int(self.sql("SELECT coalesce(max(sequence), 0) FROM es.head WHERE workspace_id = %s")[0][0])

    def positions(self) -> list[int]:
        """Of all events of the workspace, in order."""
        return [row[0] for row in self.sql("SELECT sequence FROM es.events WHERE workspace_id = %s ORDER BY 1")]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with EmbeddedServer(self.data_dir) as urls, psycopg.connect(urls.owner) as connection:
            return connection.execute(statement.encode(), [self.workspace]).fetchall()

    def check(self) -> None:
        """Positions are dense, read models are what a rebuild gives, reservations what the streams say."""
        positions = self.positions()
        assert positions == list(range(1, len(positions) + 1))
        self.serving.get_until("/readyz", 200)
        self.command("rebuild", "--check")


@dataclass
class Sender:
    """Sends mutations until each is acknowledged: after a TIMEOUT, or no answer, the same again with the same commandId."""

    installation: Installation
    acknowledged: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """Codes of errors; for requests that got no answer at all, `none`."""

    async def send(self, client: httpx.AsyncClient, document: str, form: dict[str, Any]) -> dict[str, Any]:
        """The payload."""
        command = str(uuid4())
        body = {"query": document, "variables": {"input": form | {"commandId": command}}}
        while True:
            await asyncio.sleep(0.05 if self.failures else 0)
            try:
                answer = (await client.post(self.installation.serving.url, json=body)).json()
            except httpx.TransportError:
                self.failures.append("none")
                continue
            if answer.get("errors"):
                self.failures.append(answer["errors"][0]["extensions"]["code"])
                assert self.failures[-1] == "TIMEOUT", (answer, "".join(self.installation.serving.said))
                continue
            (payload,) = answer["data"].values()
            assert payload["userErrors"] == [], payload
            self.acknowledged[command] = payload
            return payload


def runs(process: psutil.Process, module: str) -> bool:
    try:
        return module in process.cmdline()
    except psutil.Error:  # it is gone, or waits to be collected
        return False


def killed(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True


def gone(processes: list[psutil.Process]) -> bool:
    return bool(eventually(lambda: all(map(ended, processes))))
