"""A workspace to import into, and how to look at what came of it: through the schema, like everybody."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import pytest

from crm_es.app import engine
from crm_es.config import Settings
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.event import WorkspaceId
from crm_es.imports.session import Done, Request, run_import
from crm_es.imports.world import identity
from crm_es.schema import schema
from tests.gate import held
from tests.patience import PATIENT
from tests.waiting import eventually

OTHER_SESSIONS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
EXAMPLES = Path(__file__).parents[2] / "examples" / "mappings"


class Silent:
    """A display nobody looks at."""

    def begin_pass(self, number: int) -> None:
        pass

    def reach(self, line: int) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Office:
    settings: Settings
    urls: DatabaseUrls
    folder: Path
    name: str = "Office"
    ids: list[WorkspaceId] = field(default_factory=list)

    @property
    def workspace(self) -> WorkspaceId:
        return self.ids[0]

    @property
    def environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("CRM_")}  # noqa: TID251  # the child's, not ours
        return (
            own
            | PATIENT
            | {
                "CRM_DATA_DIR": str(self.settings.data_dir),
                "CRM_DATABASE_URL": self.urls.app,
                "CRM_OWNER_DATABASE_URL": self.urls.owner,
                "CRM_PROJECTOR_DATABASE_URL": self.urls.projector,
            }
        )

    def file(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        return path

    async def run(self, mapping: Path, file: Path, **options: Any) -> Done:
        """An import in this process."""
        request = Request(
            mapping=mapping,
            file=file,
            workspace=self.workspace,
            zone=ZoneInfo("UTC"),
            report_folder=self.folder,
            **options,
        )
        return await run_import(self.settings, self.urls, request, Silent(), lambda: False)

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """What the schema answers to an administrator."""
        async with engine(self.settings, self.urls) as running:
            context = running.resume(identity(self.workspace, uuid4()), client=None, host=None)
            result = await schema.execute(query, variables, context_value=context)
        assert result.errors is None, result.errors
        return json.loads(msgspec.json.encode(result.data, enc_hook=str))

    def command(self, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """`crm-es …` in a process of its own."""
        return subprocess.run(  # noqa: S603
            [sys.executable, "-m", "crm_es", *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
            **options,
        )

    def killed(self, *arguments: str, when: int) -> None:
        """`crm-es …`, killed when the workspace is to get its event number `when`, and forgotten by the database."""
        with held(self.urls.owner, self.workspace, when) as reached:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "crm_es", *arguments],
                env=self.environment,
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            eventually(reached)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        eventually(lambda: not self.sql(OTHER_SESSIONS))

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.urls.owner) as connection:
            return connection.execute(statement, parameters).fetchall()

    def events(self) -> int:
        """How many events the workspace has."""
        rows = self.sql("SELECT sequence FROM es.head WHERE workspace_id = %s", self.workspace)
        return rows[0][0] if rows else 0


def shared_data() -> Path:
    """The folder of real inputs beside the project. They are not ours to give away: who has none skips what needs them."""
    for parent in Path(__file__).parents:
        if (found := parent / "shared" / "data").exists():
            return found
    pytest.skip("the real inputs (../shared/data) are not on this machine")
