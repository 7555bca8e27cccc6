"""The workspace as an import meets it: mutations through the schema, in process; look-ups in the log itself, which never lag."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from graphql import GraphQLError

from crm_es.api import ids
from crm_es.catalog import AGGREGATES
from crm_es.context import Context, Engine
from crm_es.errors import CrmError, InvalidInputError, NotAllowedError
from crm_es.eventstore.aggregate import Aggregate, Ref
from crm_es.eventstore.event import Actor, ActorKind, ImportOrigin, Origin, WorkspaceId
from crm_es.imports.doors import Doors, FailedError
from crm_es.imports.mapping import RecordKey
from crm_es.imports.seams import RecordName
from crm_es.values import joint_key
from crm_es.workspaces.identity import Identity
from crm_es.workspaces.permissions import Permissions

CLIENT = "crm-es import"
REFUSALS: Mapping[str, type[CrmError]] = {"BAD_USER_INPUT": InvalidInputError, "FORBIDDEN": NotAllowedError}
"""What the schema says of one input. Anything else ends the run: the next row would fare no better."""
_BY_NAME = {aggregate.name: aggregate for aggregate in AGGREGATES}


class ImportStoppedError(CrmError):
    """Something failed that is no fault of a row."""

    rule = "import.stopped"

    def __init__(self, message: str) -> None:
        super().__init__(f"{message.rstrip()} What was recorded stays; run the import again to go on.")


def identity(workspace: WorkspaceId, run: UUID) -> Identity:
    """An import acts for whoever may run commands at this machine: it may do everything."""
    return Identity(
        workspace=workspace,
        actor=Actor(kind=ActorKind.IMPORT, id=run, auth="local"),
        member_id=None,
        api_key_id=None,
        role_keys=("admin",),
        permissions=Permissions.of(["admin"]),
        expires_at=None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaWorld:
    """`connection` is the application role's, its workspace set."""

    engine: Engine
    connection: psycopg.AsyncConnection[Any]
    identity: Identity
    run: UUID
    records: Mapping[str, RecordKey]
    doors: Doors
    first: bool = False
    """No row was recorded before: what the log says all the same of a command or a name is told when it is appended."""
    shared: dict[object, tuple[float, Any]] = field(default_factory=dict)

    @property
    def workspace(self) -> WorkspaceId:
        return self.identity.workspace

    async def do(
        self, mutation: str, input: Mapping[str, Any], rows: Sequence[int], *, fresh: bool
    ) -> Mapping[str, Any]:
        try:
            return await self.doors.enter(mutation, self._context(rows), input, fresh=fresh)
        except FailedError as exc:
            raise _failure(exc.errors) from exc

    def together(self) -> AbstractContextManager[None]:
        return self.engine.store.recorder.commits.gathering()

    def _context(self, rows: Sequence[int]) -> Context:
        """Every event says which row it came from."""
        source = ImportOrigin(id=self.run, row=rows[0], rows=tuple(rows))
        origin = Origin(client=CLIENT, import_=source)
        return Context(
            engine=self.engine, identity=self.identity, origin=origin, correlation_id=self.run, shared=self.shared
        )

    async def look_up(self, names: Collection[RecordName]) -> dict[RecordName, UUID]:
        """Several names may mean one record: a parent is a company of another row."""
        parts = {name for name in names if self.records[name.record].within}
        reserved = {name: self._reserved(name) for name in names if name not in parts}
        holders = await self.engine.store.holders(self.workspace, set(reserved.values()))
        found = {name: holders[value] for name, value in reserved.items() if value in holders}
        for aggregate, ids_ in self._by_aggregate(found):
            await self.engine.store.exists(self.workspace, aggregate, ids_)
        return found | {name: id_ for name in parts if (id_ := await self._part(name)) is not None}

    async def _part(self, name: RecordName) -> UUID | None:
        """A stage of its pipeline: what has no stream of its own is in the state of what it is a part of."""
        owner = self.records[self.records[name.record].within or ""]
        held = RecordName(record=owner.name, key=owner.key({}))
        for id_ in (await self.look_up([held])).values():
            loaded = await self.engine.store.load(_BY_NAME[owner.type.lower()], self.workspace, id_)
            stages = loaded.state.stages if loaded and owner.type == "Pipeline" else ()
            return next((one.id for one in stages if one.name.casefold() == name.key.casefold()), None)
        return None

    async def bring(self, names: Mapping[RecordName, UUID]) -> None:
        store = self.engine.store
        for aggregate, ids_ in self._by_aggregate(names):
            if away := ids_ - store.at_hand(self.workspace, aggregate, ids_):
                await store.load_many(aggregate, self.workspace, away)

    async def fields(self, names: Mapping[RecordName, UUID]) -> dict[RecordName, Mapping[str, str]]:
        store, there = self.engine.store, dict[UUID, Mapping[str, str]]()
        for aggregate, ids_ in self._by_aggregate(names):
            for id_, found in (await store.load_many(aggregate, self.workspace, ids_)).items():
                merged = aggregate.merged_into(found.state) is not None
                loaded = await store.load(aggregate, self.workspace, id_) if merged else found
                if loaded is not None:
                    there[id_] = {field: _text(value) for field, value in aggregate.fields(loaded.state).items()}
        return {name: there[id_] for name, id_ in names.items() if id_ in there}

    def _by_aggregate(self, names: Mapping[RecordName, UUID]) -> Iterator[tuple[Aggregate[Any, Any], set[UUID]]]:
        found: dict[str, set[UUID]] = {}
        for name, id_ in names.items():
            found.setdefault(self.records[name.record].type.lower(), set()).add(id_)
        return ((_BY_NAME[type_], ids_) for type_, ids_ in found.items())

    async def recorded(self, commands: Collection[UUID]) -> set[UUID]:
        if self.first:
            return set()
        cursor = await self.connection.execute(
            "SELECT command_id FROM es.command WHERE workspace_id = %s AND command_id = ANY (%s)",
            [self.workspace, list(commands)],
        )
        return {row[0] for row in await cursor.fetchall()}

    async def reverted(self, commands: Collection[UUID]) -> set[UUID]:
        cursor = await self.connection.execute(
            "SELECT command_id FROM es.reverted_command WHERE workspace_id = %s AND command_id = ANY (%s)",
            [self.workspace, list(commands)],
        )
        return {row[0] for row in await cursor.fetchall()}

    async def ingested(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        if self.first:
            return set()
        wanted = {("interaction", joint_key(*name)): name for name in names}
        return {wanted[value] for value in await self.engine.store.holders(self.workspace, wanted)}

    def global_id(self, name: RecordName, id: UUID) -> str:
        return ids.encode(self.records[name.record].type, id)

    def _reserved(self, name: RecordName) -> tuple[str, str]:
        """How the log knows the record: an external id with its type, or a name that is unique."""
        record = self.records[name.record]
        kind = record.type.lower()
        if record.by == "name":
            return kind, name.key.casefold()
        return "external_id", joint_key(kind, record.system, name.key)


def _failure(errors: Sequence[GraphQLError]) -> CrmError:
    error, extensions = errors[0], errors[0].extensions or {}
    refusal = REFUSALS.get(str(extensions.get("code")))
    if refusal is None:
        return ImportStoppedError(error.message)
    return refusal(error.message, rule=extensions.get("rule"), field=tuple(extensions.get("field", ())))


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Ref(type=type_, id=id_):
            return ids.encode(type_, id_)
        case _:
            return str(value)
