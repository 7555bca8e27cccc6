"""Importing the log of a service desk, 65,533 lines, from start to the last read model; then whether everything is there.

    sh scripts/bench incidents [--file ../shared/data/service-desk/incidents.csv] [--instants 200]

The command runs as for everybody, in a process of its own, on an embedded server. Depths are compared with counts over the file.
"""

import argparse
import asyncio
import csv
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import psycopg

from crm_es.app import engine
from crm_es.config import Settings
from crm_es.context import Engine
from crm_es.database.doors import current, owner_url
from crm_es.database.urls import DatabaseUrls
from crm_es.eventstore.event import WorkspaceId
from crm_es.imports.world import identity
from crm_es.schema import schema

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data" / "service-desk" / "incidents.csv"
KNOWN = {"2012-03-31": 315, "2012-04-30": 1_997, "2012-05-10": 570, "2012-05-23": 8}
ALIASES = 25  # of one document
COUNTS = """{ tickets { totalCount }
  workLog: interactions(filter: { type: { eq: NOTE } }) { totalCount }
  inOtherWords: interactions(filter: { type: { eq: OTHER } }) { totalCount } }"""


class Line(NamedTuple):
    case: str
    status: str
    at: datetime


def lines_of(file: Path) -> list[Line]:
    with file.open(encoding="utf-8", newline="") as lines:
        return [Line(r["case_id"], r["status"], datetime.fromisoformat(r["changed_at"])) for r in csv.DictReader(lines)]


def open_at(lines: Sequence[Line], at: datetime) -> int:
    last = {line.case: line.status for line in lines if line.at <= at}
    return sum(status != "Completed" for status in last.values())


def instants(lines: Sequence[Line], count: int) -> list[datetime]:
    """The known ones, moments at random, and those at which something happened, give or take a second."""
    dice = random.Random(1)  # no secret
    first, last = min(line.at for line in lines), max(line.at for line in lines)
    anywhere = [first + (last - first) * dice.random() for _ in range(count // 2)]
    there = [dice.choice(lines).at + timedelta(seconds=dice.choice((-1, 0, 1))) for _ in range(count - count // 2)]
    return [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in KNOWN] + anywhere + there


async def ask(running: Engine, workspace: WorkspaceId, document: str) -> Any:
    context = running.resume(identity(workspace, uuid4()), client=None, host=None)
    result = await schema.execute(document, {}, context_value=context)
    if result.errors:
        raise SystemExit(f"{result.errors[0].message}")
    return json.loads(msgspec.json.encode(result.data, enc_hook=str))


async def check(urls: DatabaseUrls, settings: Settings, lines: Sequence[Line], count: int) -> None:
    with psycopg.connect(owner_url(urls)) as connection:
        [(workspace,)] = connection.execute("SELECT workspace_id FROM es.head").fetchall()
        topics = Counter(topic for (topic,) in connection.execute("SELECT topic FROM es.events"))
    async with engine(replace(settings, minute_limit=False), urls) as running:
        print(json.dumps(await ask(running, WorkspaceId(workspace), COUNTS)))
        wrong, asked = 0, instants(lines, count)
        for start in range(0, len(asked), ALIASES):
            part = asked[start : start + ALIASES]
            depths = " ".join(f'd{n}: depth(at: "{at.isoformat()}")' for n, at in enumerate(part))
            [queue] = (await ask(running, workspace, f"{{ queues {{ nodes {{ {depths} }} }} }}"))["queues"]["nodes"]
            wrong += sum(queue[f"d{n}"] != open_at(lines, at) for n, at in enumerate(part))
    known = {day: open_at(lines, datetime.fromisoformat(day).replace(tzinfo=UTC)) for day in KNOWN}
    print(f"{topics['ticket.reopened']} reopenings, {sum(topics.values()):,} events")
    print(f"depth at {len(asked)} instants: {wrong} wrong{'' if known == KNOWN else '; this is another file'}")
    if wrong:
        raise SystemExit("The queue is not as deep as the file says.")


def imported(file: Path) -> float:
    """Seconds that the command takes, from its start to its end."""
    command = [sys.executable, "-m", "crm_es"]
    subprocess.run([*command, "workspace", "create", "Desk"], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    mapping = ROOT / "examples" / "mappings" / "incidents.toml"
    begun = time.monotonic()
    done = subprocess.run(  # noqa: S603
        [*command, "import", str(mapping), str(file), "--workspace", "Desk"],
        check=False,
        capture_output=True,
        text=True,
    )
    took = time.monotonic() - begun
    print(done.stdout, end="")
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--file", type=Path, default=DATA)
    parser.add_argument("--instants", type=int, default=200)
    options = parser.parse_args()
    lines, file = lines_of(options.file), options.file.resolve()
    with tempfile.TemporaryDirectory(prefix="crm-es-bench-") as directory:
        Path(directory).chmod(0o711)
        os.environ |= {"CRM_DATA_DIR": str(Path(directory) / "data"), "CRM_ENV": "development"}  # noqa: TID251
        os.chdir(directory)
        settings = Settings.from_environment()
        with current(settings) as urls:
            took = imported(file)
            most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"{len(lines):,} lines in {took:.1f} s: {len(lines) / took:,.0f} a second; {most:,.0f} MB at most")
            asyncio.run(check(urls, settings, lines, options.instants))


if __name__ == "__main__":
    main()
