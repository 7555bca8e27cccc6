"""The access log as the API shows it, to auditors: who read what, newest first."""

import asyncio
from datetime import datetime
from typing import Any, Final, LiteralString

import strawberry
from psycopg.sql import SQL, Composable, Identifier
from strawberry import ID

from crm_es.api import finding, ids
from crm_es.api.enums import Action, EntityType
from crm_es.api.ids import NodeId
from crm_es.api.nodes import Node
from crm_es.api.rules import PARENT
from crm_es.api.scalars import Position
from crm_es.context import Context, Info
from crm_es.projector.contract import Column, Index, Table
from crm_es.reads import filters, operands, records
from crm_es.reads.connections import connection_type
from crm_es.reads.declare import Source, column, computed, read_type
from crm_es.reads.filters import FilterField, filter_type
from crm_es.reads.model import read_of
from crm_es.reads.operands import IDFilter, StringFilter
from crm_es.reads.sql import ACCESS, AND, TRUE, Query
from crm_es.workspaces.audit import Actor, actor
from crm_es.workspaces.event_filters import by_any_id
from projections import contact_profiles
from projections.contact_profiles.tables import CONTACT

ENTRY: Final = Table(
    name="entry",
    columns=(
        Column(name="id", type="uuid"),
        Column(name="at", type="timestamptz"),
        Column(name="actor_kind", type="text"),
        Column(name="actor_id", type="uuid", null=True),
        Column(name="on_behalf_of", type="uuid", null=True),
        Column(name="authenticated_by", type="text", null=True),
        Column(name="operation", type="text"),
        Column(name="operation_hash", type="bytea"),
        Column(name="purpose", type="text", null=True),
        Column(name="node_types", type="text[]"),
        Column(name="node_counts", type="int[]"),
        Column(name="node_ids", type="uuid[]"),
        Column(name="node_count", type="int"),
        Column(name="fields", type="text[]"),
        Column(name="rows", type="int"),
        Column(name="microseconds", type="bigint"),
        Column(name="allowed", type="boolean"),
        Column(name="code", type="text", null=True),
    ),
    versioned=False,
    indexes=(Index(name="at", columns=("at",), order=True), Index(name="actor_id", columns=("actor_id", "at"))),
)
"""What is read of its rows; a migration makes the table."""
NODES: Final = ("node_types", "node_counts", "node_ids")
CONTACTS: Final = Source(contact_profiles.NAME, CONTACT)


def _actor(moment: Any, *who: Any) -> Actor:
    return actor(moment.reads.present, *who)


def _first(count: int, *_nodes: Any) -> int:
    """The columns behind it are read for `nodes`."""
    return count


def _milliseconds(microseconds: int) -> float:
    return microseconds / 1000


async def _nodes(self: Any, info: Info) -> list[Node]:
    """Those that the auditor may see too, as they are now."""
    types, counts, found_ids = (records.raw(self, name) for name in NODES)
    kinds = [type_ for type_, count in zip(types, counts, strict=True) for _ in range(count)]
    named = [NodeId(type_, id_) for type_, id_ in zip(kinds, found_ids, strict=True)]
    found = await asyncio.gather(*(finding.node(info.context, each) for each in named))
    return [node for node in found if node is not None]


@read_type(Source(ACCESS, ENTRY), filter=lambda: AccessFilter)
class Access(Node):
    """One operation: who read what, when and what for."""

    id: ID = column("id", "Its global id; the same at any moment.", render=lambda id_: ids.encode("Access", id_))
    at: datetime = column("at", "When the answer was ready.")
    position: Position = column("position", "The position shown; 0 where nothing was read.")
    actor: Actor = computed(
        _actor, ("actor_kind", "actor_id", "on_behalf_of", "authenticated_by"), "Who asked.", contextual=True
    )
    operation: str = column("operation", "Its name; of an anonymous one, its root fields.")
    operation_hash: str = column(
        "operation_hash", "SHA-256 of its document in hex, layout and literals aside.", render=bytes.hex
    )
    purpose: str | None = column("purpose", "What for, in the reader's words.")
    nodes: list[Node] = strawberry.field(
        resolver=_nodes,
        metadata={"rule": PARENT},
        description="The records answered, as they are now: the first 1,000.",
    )
    node_count: int = computed(_first, ("node_count", *NODES), "How many records were answered.")
    fields: list[str] = column("fields", "Sensitive fields among what was answered.")
    rows: int = column("rows", "How many rows were read for it.")
    milliseconds: float = column("microseconds", "How long it took.", render=_milliseconds)
    allowed: bool = column("allowed", "False: permission was refused, to all of it or to a field.")
    code: str | None = column("code", "The first error's; `LOST`: so many rows before this one were lost.")


def _on(query: Query, alias: LiteralString, operand: Any) -> Composable:
    parts = [_answered(query, alias, name, value) for name, value in operands.given(operand)]
    return SQL("({})").format(AND.join(parts)) if parts else TRUE


def _answered(query: Query, alias: LiteralString, name: str, value: Any) -> Composable:
    """Operations that answered a record, or one that it has absorbed since: a list that held it counts."""
    if name == "is_null":
        return SQL("({} = 0) = {}").format(Identifier(alias, "node_count"), query.bind(value, "boolean"))
    wanted = query.bind(
        value if name == "in_" else [value], "uuid[]", lambda many: [ids.decode(id_).id for id_ in many]
    )
    absorbed = query.joined(
        CONTACTS, "absorbed", ("id",), lambda row: SQL("{} = means.id").format(Identifier(row, "merged_into"))
    )
    return SQL(
        "{id} = ANY ((SELECT access.reads_of(ARRAY(WITH RECURSIVE means (id) AS (SELECT unnest({wanted}) UNION"
        " SELECT absorbed.id FROM means CROSS JOIN {absorbed}) SELECT means.id FROM means)))::uuid[])"
    ).format(id=Identifier(alias, "id"), wanted=wanted, absorbed=absorbed)


def _by_field(query: Query, alias: LiteralString, operand: Any) -> Composable:
    """With what lets an index of sensitive reads alone serve it."""
    met = operands.some_item(query, Identifier(alias, "fields"), operand)
    if any(name == "is_null" for name, _ in operands.given(operand)):
        return met
    return SQL("({} <> '{{}}' AND {})").format(Identifier(alias, "fields"), met)


def _by_allowed(query: Query, alias: LiteralString, operand: Any) -> Composable:
    """Written out, so that the index of refusals serves it. The list is never compiled: the value is known."""
    del query
    return SQL("{}" if operand else "NOT {}").format(Identifier(alias, "allowed"))


AccessFilter: Any = filter_type(
    "AccessFilter",
    lambda: Access,
    actor_id=by_any_id("actor_id"),
    node_id=FilterField(IDFilter, _on, columns=("node_ids",)),
    field=FilterField(StringFilter, _by_field, columns=("fields",)),
    allowed=FilterField(bool, _by_allowed, columns=("allowed",)),
    at=filters.moment("at"),
)
AccessConnection = connection_type(Access)


async def find(context: Context, named: NodeId) -> Any:
    """By id, for AUDIT."""
    if context.permissions.scope(EntityType.CONTACT, Action.AUDIT) is None:
        return None
    return await records.load(context.reads.present, read_of(Access), named.id)
