"""The access log as the API shows it, to auditors: who read what, newest first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Any, Final, LiteralString
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Identifier
from strawberry import ID
from strawberry.extensions import FieldExtension

from crm_es.access.entry import MOST_IDS
from crm_es.api import finding, ids
from crm_es.api.enums import Action, EntityType
from crm_es.api.ids import NodeId
from crm_es.api.nodes import Node
from crm_es.api.rules import PARENT
from crm_es.api.scalars import Position
from crm_es.context import Context, Info
from crm_es.errors import InvalidInputError
from crm_es.projector.contract import Column, Index, Table
from crm_es.reads import filters, operands, records
from crm_es.reads.connections import connection_type
from crm_es.reads.declare import Source, column, computed, read_type
from crm_es.reads.filters import FilterField, filter_type
from crm_es.reads.model import read_of
from crm_es.reads.operands import IDFilter, StringFilter
from crm_es.reads.session import Moment
from crm_es.reads.sql import ACCESS, AND, TRUE, Query
from crm_es.workspaces import audit
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
        Column(name="kind", type="text"),
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
FEW: Final = 20_000
"""Operations: where more answered a record, a page of them is found soonest by walking the log."""
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
        description="The records answered, as they are now: the first 1,000. Of an export of many, the export and the workspace.",
    )
    node_count: int = computed(_first, ("node_count", *NODES), "How many records were answered.")
    fields: list[str] = column("fields", "Sensitive fields among what was answered.")
    rows: int = column("rows", "How many rows were read for it.")
    milliseconds: float = column("microseconds", "How long it took.", render=_milliseconds)
    allowed: bool = column("allowed", "False: permission was refused, to all of it or to a field.")
    code: str | None = column("code", "The first error's; `LOST`: so many rows before this one were lost.")


@dataclass(frozen=True, slots=True)
class Sought:
    """Whose reads are asked for, once it is known which they are.

    `nodes` are the records and all that they absorbed, `since` the position at which the first of them began. `found` are the
    operations; None: so many that the log is walked instead.
    """

    nodes: Sequence[UUID]
    since: int | None
    found: Sequence[UUID] | None
    is_null: bool | None

    def condition(self, query: Query, alias: LiteralString) -> Iterator[Composable]:
        if self.is_null is not None:
            nobody = SQL("({} = 0)").format(Identifier(alias, "node_count"))
            yield nobody if self.is_null else SQL("NOT {}").format(nobody)
        if self.found is not None:
            times = [datetime.fromtimestamp((id_.int >> 80) / 1_000, UTC) for id_ in self.found]
            yield SQL("{at} = ANY ({times}) AND {id} = ANY ({ids})").format(  # the index of times serves the list's order too
                at=Identifier(alias, "at"), times=query.bind(times, "timestamptz[]"),
                id=Identifier(alias, "id"), ids=query.bind([*self.found], "uuid[]"),
            )  # fmt: skip
        elif self.nodes:
            yield SQL(
                "({ids} && {nodes} OR ({place} >= {since} AND ({count} > {most} OR ({kind} = 'EXPORT' AND {own} = ANY ({ids})))))"
            ).format(
                ids=Identifier(alias, "node_ids"), nodes=query.bind([*self.nodes], "uuid[]"),
                place=Identifier(alias, "position"), since=query.bind(self.since, "bigint"),
                count=Identifier(alias, "node_count"), most=query.bind(MOST_IDS, "int"), kind=Identifier(alias, "kind"),
                own=Identifier(alias, "workspace_id"),
            )  # fmt: skip


def _on(query: Query, alias: LiteralString, sought: Sought) -> Composable:
    parts = [*sought.condition(query, alias)]
    return SQL("({})").format(AND.join(parts)) if parts else TRUE


class Seeking(FieldExtension):
    """Looks up, before the list is asked for, which operations answered the records that its filter names."""

    async def resolve_async(self, next_: Callable[..., Awaitable[Any]], source: Any, info: Info, **given: Any) -> Any:
        if given.get("filter"):
            try:
                await _seek(info.context, given["filter"])
            except InvalidInputError as exc:
                exc.at("filter")
                raise
        answer = await next_(source, info, **given)
        return await answer if isawaitable(answer) else answer


async def _seek(context: Context, asked: Any) -> None:
    """Raises: InvalidInputError."""
    if isinstance(asked.node_id, IDFilter):
        try:
            asked.node_id = await _sought(context.reads.present, asked.node_id)
        except InvalidInputError as exc:
            exc.at("nodeId")
            raise
    for name in ("and_", "or_", "not_"):
        inner = getattr(asked, name)
        for each in inner if isinstance(inner, list) else [inner] if inner else []:
            try:
                await _seek(context, each)
            except InvalidInputError as exc:
                exc.at(name.rstrip("_"))
                raise


async def _sought(moment: Moment, operand: IDFilter) -> Sought:
    """Raises: InvalidInputError."""
    said = dict(operands.given(operand))
    is_null = said.pop("is_null", None)
    if not said:
        return Sought((), None, None, is_null)
    lists = [(name.rstrip("_"), value if name == "in_" else [value]) for name, value in said.items()]
    wanted = set.intersection(*({ids.decode(id_, (name,)).id for id_ in value} for name, value in lists))
    query = moment.query()
    absorbed = query.joined(
        CONTACTS, "absorbed", ("id",), lambda row: SQL("{} = means.id").format(Identifier(row, "merged_into"))
    )
    began = query.select(
        audit.TRAIL, "e", ("position",), lambda: [SQL("{} = ANY (m.ids)").format(Identifier("e", "stream_id"))]
    )
    statement = SQL(
        "SELECT s.ids, s.since, access.answered(s.ids, s.since, {most}) FROM (SELECT m.ids, (SELECT min(began.position) FROM"
        " ({began}) AS began) AS since FROM (WITH RECURSIVE means (id) AS (SELECT unnest({wanted}) UNION SELECT absorbed.id"
        " FROM means CROSS JOIN {absorbed}) SELECT coalesce(array_agg(means.id), '{{}}') AS ids FROM means) AS m) AS s"
    ).format(most=query.bind(FEW, "int"), began=began, wanted=query.bind([*wanted], "uuid[]"), absorbed=absorbed)
    ((nodes, since, found),) = await moment.rows(query, statement)
    return Sought(nodes, since, found, is_null)


def sought(field: Any) -> Any:
    """The list, for which `nodeId` is looked up beforehand."""
    field.extensions = [*field.extensions, Seeking()]
    return field


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


NODE_ID: Final = (
    "Who saw these records, or what they have absorbed since: lists and histories count. With them comes what may have held them"
    " unnamed: exports of the workspace or of a range, and answers of more than 1,000 records."
)
AccessFilter: Any = filter_type(
    "AccessFilter",
    lambda: Access,
    actor_id=filters.said(by_any_id("actor_id"), "By members or API keys."),
    node_id=filters.said(FilterField(IDFilter, _on, columns=("node_ids",)), NODE_ID),
    field=filters.said(
        FilterField(StringFilter, _by_field, columns=("fields",)), "With a sensitive field, as `emails`."
    ),
    allowed=filters.said(FilterField(bool, _by_allowed, columns=("allowed",)), "False: refusals alone."),
    at=filters.said(filters.moment("at"), "When the answer was ready."),
)
AccessConnection = connection_type(Access)


async def find(context: Context, named: NodeId) -> Any:
    """By id, for AUDIT."""
    if context.permissions.scope(EntityType.CONTACT, Action.AUDIT) is None:
        return None
    return await records.load(context.reads.present, read_of(Access), named.id)
