"""The workspace as an import meets it: mutations through the schema, in process; look-ups in the log itself, which never lag."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
from graphql import GraphQLError

from crm_es.api import ids
from crm_es.api.execution import CrmSchema
from crm_es.catalog import AGGREGATES
from crm_es.context import Engine
from crm_es.errors import CrmError, InvalidInputError, NotAllowedError
from crm_es.eventstore.aggregate import Ref
from crm_es.eventstore.event import Actor, ActorKind, ImportOrigin, WorkspaceId
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
    schema: CrmSchema
    connection: psycopg.AsyncConnection[Any]
    identity: Identity
    run: UUID
    records: Mapping[str, RecordKey]

    @property
    def workspace(self) -> WorkspaceId:
        return self.identity.workspace

    async def execute(self, document: str, input: Mapping[str, Any], rows: Sequence[int]) -> Mapping[str, Any]:
        """The mutation's payload. Every event says which row it came from. Raises: CrmError."""
        context = self.engine.resume(self.identity, client=CLIENT, host=None)
        source = ImportOrigin(id=self.run, row=rows[0], rows=tuple(rows))
        context.origin = replace(context.origin, import_=source)
        result = await self.schema.execute(document, {"input": input}, context_value=context)
        if result.errors or not result.data:
            raise _failure(result.errors or [])
        payload: Mapping[str, Any] = next(iter(result.data.values()))
        return payload

    async def look_up(self, names: Collection[RecordName]) -> dict[RecordName, UUID]:
        """Several names may mean one record: a parent is a company of another row."""
        parts = {name for name in names if self.records[name.record].within}
        reserved = {name: self._reserved(name) for name in names if name not in parts}
        held = await self.engine.store.holders(self.workspace, set(reserved.values()))
        found = {name: held[value] for name, value in reserved.items() if value in held}
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

    async def fields(self, names: Mapping[RecordName, UUID]) -> dict[RecordName, Mapping[str, str]]:
        found: dict[RecordName, Mapping[str, str]] = {}
        for name, stream in names.items():
            aggregate = _BY_NAME[self.records[name.record].type.lower()]
            loaded = await self.engine.store.load(aggregate, self.workspace, stream)
            if loaded is not None:
                found[name] = {field: _text(value) for field, value in aggregate.fields(loaded.state).items()}
        return found

    async def recorded(self, commands: Collection[UUID]) -> set[UUID]:
        cursor = await self.connection.execute(
            "SELECT command_id FROM es.command WHERE workspace_id = %s AND command_id = ANY (%s)",
            [self.workspace, list(commands)],
        )
        return {row[0] for row in await cursor.fetchall()}

    async def ingested(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
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
    if not errors:
        return ImportStoppedError("The schema gave no answer.")
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
