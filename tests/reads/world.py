"""A workspace of the small CRM: rows as the projector would write them, and the operations that read them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.sql import SQL, Identifier, Placeholder
from psycopg.types.json import Jsonb

from crm_es.access.trail import Trail
from crm_es.api import ids
from crm_es.database.urls import DatabaseUrls
from crm_es.projector import tables
from crm_es.projector.contract import Table
from crm_es.reads.driver import ReadConnections, Snapshot
from crm_es.reads.session import Reads
from crm_es.workspaces.actions import Action, EntityType, Scope
from tests.reads import small

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class Granted:
    """Permissions: everything in the whole workspace, unless told otherwise."""

    scopes: Mapping[EntityType, Scope | None] = field(default_factory=dict)
    hidden: Mapping[EntityType, frozenset[str]] = field(default_factory=dict)

    def scope(self, type: EntityType, action: Action) -> Scope | None:
        return self.scopes.get(type, Scope.WORKSPACE) if action == Action.READ else None

    def masked(self, type: EntityType) -> frozenset[str]:
        return self.hidden.get(type, frozenset())


def build(urls: DatabaseUrls) -> None:
    """Make the small read model, once a database."""
    with psycopg.connect(urls.projector) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regnamespace('small') IS NULL")
        if cursor.fetchone() == (True,):
            tables.create(cursor, small, "small")  # type: ignore[arg-type]
    with psycopg.connect(urls.owner) as connection:
        connection.execute(
            "INSERT INTO es.bookmark (read_model, version, log_id) VALUES ('small', 1, 0) ON CONFLICT DO NOTHING"
        )


class World:
    def __init__(self, urls: DatabaseUrls, reading: ReadConnections) -> None:
        self.workspace = uuid4()
        self.urls = urls
        self.reading = reading
        self.position = 0
        self.snapshot: Snapshot | None = None
        self.trail = Trail()
        self._writing = psycopg.connect(urls.owner, autocommit=True)
        self._writing.execute("SELECT set_config('app.workspace', %s, false)", [str(self.workspace)])

    def close(self) -> None:
        self._writing.close()

    def append(self, count: int = 1, *, projected: bool = True) -> int:
        """Record an append of so many events, and move the bookmark over it."""
        with self._writing.transaction():
            self._writing.execute("SET LOCAL session_replication_role = replica")  # nobody looks at the bytes
            self._writing.execute(
                "INSERT INTO es.events (originator_id, originator_version, topic, state, workspace_id, sequence, recorded_at,"
                " command_id) SELECT gen_random_uuid(), 1, 'x.y', '', %s, n, %s, gen_random_uuid()"
                " FROM generate_series(%s::bigint, %s::bigint) n",
                [self.workspace, self.time(self.position + count), self.position + 1, self.position + count],
            )
        self.position += count
        if projected:
            self.project()
        return self.position

    def project(self) -> None:
        """Move the bookmark over what was recorded."""
        self._writing.execute(
            "UPDATE es.bookmark SET log_id = (SELECT max(notification_id) FROM es.events) WHERE read_model = 'small'"
        )

    def time(self, position: int) -> datetime:
        return START + timedelta(hours=position)

    def insert(self, table: Table, **given: Any) -> UUID:
        """A row at a new position; columns not given get something plausible."""
        position = self.append()
        row = {**self._plausible(table, position), **given}
        self._execute(
            SQL("INSERT INTO small.{} ({}) VALUES ({})").format(
                Identifier(table.name),
                SQL(", ").join(map(Identifier, row)),
                SQL(", ").join(map(Placeholder, row)),
            ),
            row,
        )
        return row.get("id")  # type: ignore[return-value]

    def contact(self, **given: Any) -> UUID:
        """A contact with its row of activity, as every contact has one."""
        counted = {name: given.pop(name) for name in ("meeting_count", "last_met_at") if name in given}
        id_ = self.insert(small.CONTACT, **given)
        self.insert(small.ACTIVITY, id=id_, **{"meeting_count": 0, **counted})
        return id_

    def update(self, table: Table, key: Mapping[str, Any], **given: Any) -> int:
        """Change a row at a new position; its old version goes to the twin."""
        position = self.append()
        row = {"position": position, **given}
        if any(column.name == "updated_at" for column in table.columns):
            row["updated_at"] = self.time(position)
        self._execute(
            SQL("UPDATE small.{} SET {} WHERE workspace_id = %(w)s AND {}").format(
                Identifier(table.name),
                SQL(", ").join(SQL("{} = {}").format(Identifier(name), Placeholder(name)) for name in row),
                SQL(" AND ").join(SQL("{} = {}").format(Identifier(n), Placeholder("key_" + n)) for n in key),
            ),
            {**row, "w": self.workspace, **{"key_" + name: value for name, value in key.items()}},
        )
        return position

    def _execute(self, statement: Any, row: Mapping[str, Any]) -> None:
        adapted = {
            name: Jsonb(value) if name == "phones" and value is not None else value for name, value in row.items()
        }
        self._writing.execute(statement, adapted)

    def _plausible(self, table: Table, position: int) -> dict[str, Any]:
        known = {
            "id": uuid4(), "version": 1, "record_status": "ACTIVE", "created_at": self.time(position),
            "updated_at": self.time(position), "removed": False, "stage": "LEAD", "private": False,
            "occurred_at": self.time(position), "subject": "Coffee", "name": "Acme", "is_primary": False,
        }  # fmt: skip
        columns = {column.name for column in table.columns}
        return {
            "workspace_id": self.workspace,
            "position": position,
            **{name: value for name, value in known.items() if name in columns},
        }

    @asynccontextmanager
    async def operation(self, **options: Any) -> AsyncIterator[Reads]:
        snapshot = Snapshot(self.reading, options.pop("workspace", self.workspace))

        async def opened() -> Snapshot:
            return snapshot

        self.snapshot, self.trail = snapshot, Trail()
        try:
            yield Reads(
                snapshot=opened, workspace=snapshot.workspace, now=options.pop("now", NOW), cursor_key=bytes(32),
                permissions=options.pop("permissions", Granted()), trail=self.trail, **options,
            )  # fmt: skip
        finally:
            await snapshot.close()

    async def ask(self, query: str, variables: Mapping[str, Any] | None = None, **options: Any) -> Any:
        """Data; errors are raised."""
        result = await self.result(query, variables, **options)
        if result.errors:
            raise result.errors[0].original_error or result.errors[0]
        return result.data

    async def result(self, query: str, variables: Mapping[str, Any] | None = None, **options: Any) -> Any:
        async with self.operation(**options) as reads:
            return await small.schema.execute(
                query, variable_values=dict(variables or {}), context_value=SimpleNamespace(reads=reads)
            )

    @property
    def statements(self) -> int:
        """How many the last operation ran."""
        assert self.snapshot is not None
        return len(self.snapshot.statements)


def gid(type_: str, id_: UUID, at: int | None = None) -> str:
    return ids.encode(type_, id_, at)
