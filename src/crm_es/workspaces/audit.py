"""Who changed what, when and why: the audit trail as the API shows it.

The trail's read model has no values; those before and after an event are folded from its stream on reading, each stream once
an operation.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, LiteralString
from uuid import UUID

import msgspec
import strawberry
from psycopg.sql import SQL, Identifier
from strawberry import ID

from crm_es.api import finding, ids
from crm_es.api.answers import as_json
from crm_es.api.enums import Action, ActorKind, EntityType
from crm_es.api.ids import NodeId
from crm_es.api.nodes import AsOf, Entity, Node
from crm_es.api.rules import PARENT, ruled
from crm_es.api.scalars import JSON, Position
from crm_es.context import Context, Info
from crm_es.eventstore.aggregate import Ref
from crm_es.eventstore.event import Erased, Fact, changed_fields
from crm_es.reads import filters, listing, pages, records
from crm_es.reads.connections import connection_type
from crm_es.reads.declare import Orders, Source, column, computed, named, named_value, read_type
from crm_es.reads.filters import filter_type
from crm_es.reads.model import read_of
from crm_es.reads.pages import Listed, Window
from crm_es.reads.session import Moment, Reads
from crm_es.reads.sql import Condition
from crm_es.workspaces import event_filters
from crm_es.workspaces.folding import Told, aggregate_of, changed, told
from crm_es.workspaces.graphql import ApiKey, Member
from crm_es.workspaces.log import InclusionProof, of_event
from projections import audit_trail

TRAIL: Final = Source("audit_trail", audit_trail.EVENT)


async def _fact(self: Any, info: Info) -> Fact:
    return (await _told_of(self, info)).fact(records.raw(self, "version"))


async def _told_of(self: Any, info: Info) -> Told:
    """Its record just before it and just after."""
    version = records.raw(self, "version")
    return await told(info.context, records.raw(self, "stream_id"), version - 1, version)


# -- a field's change


async def _from_node(self: "FieldChange", info: Info) -> Node | None:
    return await _named(self.before, info)


async def _to_node(self: "FieldChange", info: Info) -> Node | None:
    return await _named(self.after, info)


async def _named(value: object, info: Info) -> Node | None:
    if not isinstance(value, Ref):
        return None
    found: Node | None = await finding.node(info.context, NodeId(value.type, value.id))
    return found


@ruled(PARENT)
@strawberry.type(description="One field that an event changed, as the API would answer it before and after.")
class FieldChange:
    field: str = strawberry.field(
        description="Its name in the API; `primaryPhone` is the number marked among `phones`."
    )
    from_: JSON | None = strawberry.field(name="from", description="Before.")
    to: JSON | None = strawberry.field(description="After.")
    from_node: Node | None = strawberry.field(resolver=_from_node, description="Before, when the value is an id.")
    to_node: Node | None = strawberry.field(resolver=_to_node, description="After, when the value is an id.")
    erased: bool = strawberry.field(description="The values were destroyed for ever.")
    masked: bool = strawberry.field(description="You may not see the values.")
    before: strawberry.Private[object]
    after: strawberry.Private[object]


async def _changes(self: Any, info: Info) -> list[FieldChange]:
    known, version = await _told_of(self, info), records.raw(self, "version")
    before, after = known.shown(version - 1), known.shown(version)
    fact, entity_type = known.fact(version), records.raw(self, "entity_type")
    hidden, aggregate = masked_of(info.context, entity_type), aggregate_of(entity_type)
    names = changed(fact, before, after, hidden=hidden)
    finding.note(info.context, finding.about(self), {*names} - hidden)
    return [
        change(
            name, before.get(name), after.get(name), masked=aggregate.within.get(name, name) in hidden,
            erased=bool(fact.erased) and (after.get(name) is None or isinstance(after.get(name), Erased)),
        )
        for name in names
        if name not in aggregate.elsewhere
    ]  # fmt: skip


def change(name: str, before: object, after: object, *, masked: bool, erased: bool) -> FieldChange:
    if masked:
        before = after = None
        erased = False
    return FieldChange(
        field=name, from_=as_json(before), to=as_json(after), erased=erased, masked=masked, before=before, after=after
    )


def masked_of(context: Context, entity_type: str) -> frozenset[str]:
    known = entity_type.upper() in EntityType.__members__
    return context.permissions.masked(EntityType[entity_type.upper()]) if known else frozenset()


# -- who and where from


@dataclass(frozen=True, slots=True)
class _Who:
    """Shown as they were known at a moment."""

    moment: Moment
    id: UUID | None


def _a(kind: ActorKind) -> Any:
    """The record of an actor of this kind."""
    return lambda actor: (actor.who.moment, actor.who.id) if actor.kind == kind and actor.who.id else None


_MEMBER: Final = named(lambda: Member, _a(ActorKind.MEMBER), "The person.")
_KEY: Final = named(lambda: ApiKey, _a(ActorKind.API_KEY), "The program's key.")


@ruled(PARENT)
@strawberry.type(
    description="Who caused something. No `id`: the same member acts in many ways, and caches would mix them."
)
class Actor:
    kind: ActorKind = strawberry.field(description="A person, a program, or crm-es itself.")
    name: str | None = named_value("name", (_MEMBER, _KEY), "What to call them.")
    member: Member | None = _MEMBER
    api_key: ApiKey | None = _KEY
    on_behalf_of: "Actor | None" = strawberry.field(description="Whom they acted for.")
    authenticated_by: str | None = strawberry.field(description="How they proved who they are.")
    who: strawberry.Private[_Who]


@ruled(PARENT)
@strawberry.type(description="Where an event came from.")
class Origin:
    client: str | None = strawberry.field(description="What the client called itself.")
    address: str | None = strawberry.field(description="Its network, cut to /24 or /48; for AUDIT alone.")


def actor(moment: Moment, kind: str, id_: UUID | None, behalf: UUID | None, auth: str | None) -> Actor:
    """Who caused something, as they were known at a moment."""
    principal = None if behalf is None else actor(moment, ActorKind.MEMBER, behalf, None, None)
    return Actor(kind=ActorKind(kind), on_behalf_of=principal, authenticated_by=auth, who=_Who(moment, id_))


def _actor(moment: Moment, *who: Any) -> Actor:
    return actor(moment.reads.present, *who)


def _origin(moment: Moment, _stream: UUID, client: str | None, address: str | None) -> Origin:
    return Origin(client=client, address=address if _audits(moment.reads) else None)


def _audits(of: Context | Reads) -> bool:
    """Whether the viewer reads the whole trail."""
    return of.permissions.scope(EntityType.CONTACT, Action.AUDIT) is not None


# -- the event


async def _reason(self: Any, info: Info) -> str | None:
    reason = (await _fact(self, info)).reason
    return reason if isinstance(reason, str) else None


async def _data(
    self: Any,
    info: Info,
    upcast: Annotated[bool, strawberry.argument(description="As understood today; false: as recorded, sealed.")] = True,
) -> JSON | None:
    if not _audits(info.context):
        return None
    if upcast:
        fact = await _fact(self, info)
        finding.note(info.context, finding.about(self), changed_fields(fact.event))
        return JSON(as_json(fact.event))
    stream, version = records.raw(self, "stream_id"), records.raw(self, "version")
    stored = await info.context.engine.store.stored(info.context.workspace, stream, version)
    return None if stored is None else JSON(msgspec.json.decode(stored)["data"])


async def _live(self: Any, info: Info) -> Entity | None:
    return await _shown(self, info, None)


async def _before(self: Any, info: Info) -> Entity | None:
    return await _shown(self, info, await info.context.reads.moment_at(records.raw(self, "position") - 1))


async def _after(self: Any, info: Info) -> Entity | None:
    """At the end of the append the event is part of: half a command is never visible."""
    end = AsOf(time=records.raw(self, "recorded_at"), position=strawberry.UNSET)
    return await _shown(self, info, await info.context.reads.moment(end))


async def _shown(self: Any, info: Info, moment: Moment | None) -> Entity | None:
    cls = finding.KINDS.read.get(finding.about(self))
    if cls is None or not issubclass(cls, Entity):
        return None
    found: Entity | None = await records.load(
        moment or info.context.reads.present, read_of(cls), records.raw(self, "stream_id")
    )
    return found


# -- filters


EventFilter = filter_type(
    "EventFilter",
    lambda: Event,
    type=filters.said(
        event_filters.by_topic("type"), "By the topic: `deal.won`, or all of deals by `startsWith: deal.`"
    ),
    entity_id=filters.said(event_filters.by_any_id("stream_id"), "Of these records, by ids of any type."),
    actor_id=filters.said(event_filters.by_any_id("actor_id"), "By members or API keys."),
    field=filters.said(
        event_filters.by_field("fields", "type"), "That changed a field of this name, or what it follows from."
    ),
    command_id=filters.said(
        filters.equals("command_id", UUID, "uuid"), "By one request; of a batch done row by row, each row has its own."
    ),
    correlation_id=filters.said(
        filters.equals("correlation_id", UUID, "uuid"), "All that belongs together: of an import, its `commandId`."
    ),
    position=filters.position("position"),
    occurred_at=filters.said(filters.moment("occurred_at"), "When it happened in the world."),
    recorded_at=filters.said(filters.moment("recorded_at"), "When it was recorded."),
)


def _event_id(stream: UUID, version: int, _entity_type: str) -> str:
    return ids.encode("Event", stream, sub=version)


def _told(resolver: Any, description: str) -> Any:
    return strawberry.field(resolver=resolver, description=description, metadata={"rule": PARENT})


@read_type(
    TRAIL,
    key="position",
    filter=lambda: EventFilter,
    about=("entity_type", "stream_id"),
    orders=Orders(columns={"POSITION": "position", "OCCURRED_AT": "occurred_at"}, default=(("POSITION", "ASC"),)),
)
class Event(Node):
    """An immutable fact about one record: who, what, when, where from and why."""

    id: ID = computed(_event_id, ("stream_id", "version", "entity_type"), "Its global id; the same at any moment.")
    position: Position = column("position", "Its place in the workspace's log.")
    type: str = column("type", "Its topic, as `contact.registered`.")
    stream_id: UUID = column("stream_id", "The record's stream.")
    version: int = column("version", "Its place in the stream, from 1.")
    entity: Entity | None = _told(_live, "The record as it is now.")
    entity_before: Entity | None = _told(_before, "The record just before.")
    entity_after: Entity | None = _told(_after, "The record just after, with all that was recorded together.")
    occurred_at: datetime = column("occurred_at", "When it happened in the world.")
    recorded_at: datetime = column("recorded_at", "When it was recorded; rises strictly.")
    actor: Actor = computed(
        _actor,
        ("actor_kind", "actor_id", "on_behalf_of", "authenticated_by"),
        "Who caused it.",
        contextual=True,
        present=True,
    )
    origin: Origin | None = computed(
        _origin, ("stream_id", "client", "address"), "Where it came from.", contextual=True
    )
    reason: str | None = _told(_reason, "Why, in the words of whoever did it.")
    command_id: UUID | None = column("command_id", "The request that caused it, and all it caused.")
    correlation_id: UUID | None = column("correlation_id", "What belongs together across requests.")
    causation_id: UUID | None = column("causation_id", "Its direct cause.")
    changes: list[FieldChange] = _told(_changes, "The fields it changed, with the values you may see.")
    data: JSON | None = _told(_data, "The whole of what it says; for AUDIT alone.")
    proof: InclusionProof | None = of_event()


EventConnection = connection_type(Event)


# -- finding events


def having(column_name: LiteralString, value: object, type_: LiteralString) -> Condition:
    return lambda query, alias: SQL("{} = {}").format(Identifier(alias, column_name), query.bind(value, type_))


def behind(position: int) -> Condition:
    return lambda query, alias: SQL("{} > {}").format(Identifier(alias, "position"), query.bind(position, "bigint"))


def position_of(event: Any) -> int:
    return int(records.raw(event, "position"))


async def select(moment: Moment, *conditions: Condition, most: int = 1) -> list[Any]:
    """Events that meet all conditions, in the order of the log."""
    read, query = read_of(Event), moment.query()
    key = listing.key_of(read, None, "position", descending=False)
    listed = Listed(read=read, via=None, keys=(key,), conditions=conditions)
    rows = await moment.rows(query, pages.page(query, listed, Window(limit=most), read.columns, None))
    return [records.made(read, row, moment) for row in rows]


async def find(context: Context, named: NodeId) -> Any:
    """By id: for who may read the record it is about, and for AUDIT."""
    if not isinstance(named.sub, int):
        return None
    present = context.reads.present
    found = await select(present, having("stream_id", named.id, "uuid"), having("version", named.sub, "bigint"))
    if not found or _audits(context):
        return found[0] if found else None
    cls = finding.KINDS.read.get(finding.about(found[0]))
    about = None if cls is None else await records.load(present, read_of(cls), named.id)
    return None if about is None else found[0]


async def at_position(
    info: Info, position: Annotated[Position, strawberry.argument(description="Its place in the log.")]
) -> Event | None:
    found = await select(info.context.reads.present, having("position", position, "bigint"))
    return found[0] if found else None
