"""All read models as of a position, made anew in schemas of their own: for what history twins do not answer, and to compare with
them. Of one workspace. Nobody reads them but whoever asked; a killed replay is begun anew.
"""

import re
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import Connection
from psycopg.sql import SQL

from crm_es.errors import ConfigurationError, InvalidInputError
from crm_es.eventstore.event import Fact
from crm_es.projector import statistics, swap, tables
from crm_es.projector.contract import ReadModel
from crm_es.projector.leader import AT_A_STRETCH
from crm_es.projector.pages import PAGE, Decode, PageReader
from crm_es.projector.target import Target

LOCK_CLASS: Final = 4711008
PATIENCE_SECONDS: Final = 30.0
"""PostgreSQL notices within a statement that the replay before was killed."""
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
Report = Callable[[str, int, int], None]
"""(what, log id reached, the last one), after every page."""
Change = Callable[[Sequence[Fact]], Sequence[Fact]]
_OURS: Final = "crm_es"

# All events of an append share one recorded_at, and no two appends of a workspace share one.
_END_BEFORE: Final = """
SELECT e.sequence, e.notification_id, e.recorded_at
FROM es.events e
WHERE e.workspace_id = %(workspace)s
  AND e.recorded_at {comparison} %(moment)s
ORDER BY e.recorded_at DESC, e.sequence DESC
LIMIT 1
"""
_AT: Final = "SELECT recorded_at FROM es.events WHERE workspace_id = %(workspace)s AND sequence = %(position)s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """The last position of an append, where it stands in the house's log, and when it was recorded."""

    position: int
    log_id: int
    time: datetime | None


EMPTY: Final = Moment(position=0, log_id=0, time=None)


def at_position(connection: Connection[Any], workspace: UUID, position: int) -> Moment:
    """As `asOf` has it: in the middle of an append, the one before. Raises: InvalidInputError."""
    if position == 0:
        return EMPTY
    named = {"workspace": workspace, "position": position}
    at = connection.execute(_AT, named).fetchone()
    if at is None:
        raise InvalidInputError(f"The workspace has no position {position}.", rule="replay.position")
    after = connection.execute(_AT, named | {"position": position + 1}).fetchone()
    amid = after is not None and after == at
    return _last(connection, workspace, "<" if amid else "<=", at[0])


def at_time(connection: Connection[Any], workspace: UUID, time: datetime) -> Moment:
    """The last append recorded by then. Raises: InvalidInputError for the future."""
    clock = connection.execute("SELECT clock_timestamp() < %s", [time]).fetchone()
    if clock is None or clock[0]:
        raise InvalidInputError("This is in the future.", rule="replay.future")
    return _last(connection, workspace, "<=", time)


def _last(connection: Connection[Any], workspace: UUID, comparison: str, moment: datetime) -> Moment:
    statement = SQL(_END_BEFORE).format(comparison=SQL("<" if comparison == "<" else "<="))
    row = connection.execute(statement, {"workspace": workspace, "moment": moment}).fetchone()
    return EMPTY if row is None else Moment(position=row[0], log_id=row[1], time=row[2])


def _same(facts: Sequence[Fact]) -> Sequence[Fact]:
    return facts


@dataclass(kw_only=True, slots=True)
class Replay:
    """`models` into the schemas `<name>__<read model>`. `change` stands between the log and the read models."""

    url: str
    decode: Decode
    models: Sequence[ReadModel]
    name: str
    change: Change = field(default=_same)
    page_size: int = PAGE
    patience: float = PATIENCE_SECONDS

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name in {"es", "public"} or self.name.startswith("pg_"):
            message = f"{self.name} is no name for a schema: a letter, then up to 39 of a to z, 0 to 9 and _."
            raise InvalidInputError(message, rule="replay.schema")

    def schema(self, model: ReadModel) -> str:
        return f"{self.name}__{model.NAME}"

    def run(self, workspace: UUID, to: Moment, report: Report = lambda *_: None) -> int:
        """What an earlier replay of this name left is dropped. Answers how many events there were.

        Raises: ConfigurationError, where somebody else is at it or a schema is not ours.
        """
        with self._locked() as connection:
            self._drop(connection)
            with connection.transaction(), connection.cursor() as cursor:
                for model in self.models:
                    tables.create(cursor, model, self.schema(model))
            targets = [Target(model, self.schema(model), 0) for model in self.models]
            with PageReader(self.url, self.decode, size=self.page_size, workspace=workspace) as reader:
                events = self._fill(connection, reader, targets, to, report)
            statistics.renew(connection, [target.schema for target in targets])
            return events

    def drop(self) -> list[str]:
        """The schemas that were dropped. Raises: ConfigurationError."""
        with self._locked() as connection:
            return self._drop(connection)

    def _fill(
        self, connection: Connection[Any], reader: PageReader, targets: Iterable[Target], to: Moment, report: Report
    ) -> int:
        reached = events = 0
        while reached < to.log_id:
            before = reached
            for page in reader.read_on(reached, to.log_id, seconds=AT_A_STRETCH):
                facts = self.change(page.facts)
                with connection.pipeline(), connection.transaction():
                    for target in targets:
                        target.apply(connection, facts, reader.work)
                reached = page.last
                events += len(page.facts)
                report(self.name, reached, to.log_id)
            if reached == before:
                break
        return events

    def _locked(self) -> Connection[Any]:
        connection = psycopg.connect(self.url, autocommit=True)
        key = zlib.crc32(self.name.encode()) - 2**31
        deadline = time.monotonic() + self.patience
        while not self._lock(connection, key):
            if time.monotonic() >= deadline:
                connection.close()
                raise ConfigurationError(f"Another replay into {self.name} is running.")
            time.sleep(0.1)
        return connection

    @staticmethod
    def _lock(connection: Connection[Any], key: int) -> bool:
        row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [LOCK_CLASS, key]).fetchone()
        return row is not None and bool(row[0])

    def _drop(self, connection: Connection[Any]) -> list[str]:
        dropped = []
        with connection.transaction(), connection.cursor() as cursor:
            for model in self.models:
                schema = self.schema(model)
                if not swap.exists(cursor, schema):
                    continue
                if not (tables.made_as(cursor, schema) or "").startswith(_OURS):
                    raise ConfigurationError(f"Schema {schema} was not made by crm-es: give another name.")
                tables.drop(cursor, schema)
                dropped.append(schema)
        return dropped
