"""A record at two moments side by side (`diff`), and where a value of it comes from (`explain`).

Values are folded from the record's stream, as history's are; whoever may read the record may ask.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Identifier
from strawberry import ID, UNSET

from crm_es.api import finding, ids
from crm_es.api.answers import as_json
from crm_es.api.ids import NodeId
from crm_es.api.nodes import AsOf, Entity
from crm_es.api.rules import PARENT, ruled
from crm_es.api.scalars import JSON
from crm_es.catalog import changeable_of
from crm_es.context import Context, Info
from crm_es.errors import CrmError, InvalidInputError
from crm_es.eventstore.event import ActorKind, Erased, Fact, changed_fields
from crm_es.reads import listing, records
from crm_es.reads.model import Connection, read_of
from crm_es.reads.session import Moment
from crm_es.reads.sql import Condition
from crm_es.workspaces import audit, folding
from crm_es.workspaces.audit import Event, EventConnection, FieldChange
from crm_es.workspaces.folding import Told, aggregate_of, told
from crm_es.workspaces.jobs import Import, import_of

LISTED: Final = Connection(target=lambda: Event, filter=False, order=False, default=(("position", "DESC"),))
NOTHING: Final[tuple[object, ...]] = (None, (), [], frozenset())
RULES: Final[Mapping[str, str]] = {"ticket.closed": "queue.autoCloseDays", "ticket.sla_breached": "slaPolicy.targets"}
"""What of the workspace's makes an automation record this topic."""

First = Annotated[int | None, strawberry.argument(description="So many from the start, or after `after`.")]
After = Annotated[str | None, strawberry.argument(description="A cursor of this list: what follows it.")]
Last = Annotated[int | None, strawberry.argument(description="So many from the end, or before `before`.")]
Before = Annotated[str | None, strawberry.argument(description="A cursor of this list: what precedes it.")]


@dataclass(frozen=True, slots=True)
class Ends:
    """A stream between two of its versions."""

    told: Told
    stream: UUID
    since: int
    until: int

    @property
    def names(self) -> Iterator[str]:
        """The fields that differ, or that were destroyed and set meanwhile, as the record lists them."""
        before, after = self.told.shown(self.since), self.told.shown(self.until)
        between = self.told.between(self.since, self.until)
        touched = {name for fact in between for name in changed_fields(fact.event)}
        anew = any(map(_says_anew, between)) and self.since > 0
        for name in dict.fromkeys((*after, *before)):
            was, now = before.get(name), after.get(name)
            if anew and name not in touched:
                continue
            if differ(was, now) or (isinstance(was, Erased) and isinstance(now, Erased)):
                yield name

    def changes(self, context: Context) -> Iterator[FieldChange]:
        entity_type = self.told.entity_type
        hidden, within = audit.masked_of(context, entity_type), aggregate_of(entity_type).within
        finding.note(context, finding.type_name(entity_type), {within.get(name, name) for name in self.names} - hidden)
        for name in self.names:
            was, now = self.told.shown(self.since).get(name), self.told.shown(self.until).get(name)
            yield audit.change(
                name, was, now, masked=within.get(name, name) in hidden,
                erased=isinstance(was, Erased) or isinstance(now, Erased),
            )  # fmt: skip


async def _events(  # noqa: PLR0917  # GraphQL arguments come by name
    self: "Diff", info: Info, first: First = UNSET, after: After = UNSET, last: Last = UNSET, before: Before = UNSET
) -> EventConnection:  # type: ignore[valid-type]  # made of Event
    ends, given = self.ends, {"first": first, "after": after, "last": last, "before": before}
    said = {name: value for name, value in given.items() if value is not UNSET}
    place = f"Diff.events {ends.stream} {ends.since} {ends.until}"
    present = info.context.reads.present
    ask = listing.asked(present, LISTED, place, said, holding=(_of(ends),))
    return listing.Listing(present, ask, (place, repr(said)), None)


def _of(ends: Ends) -> Condition:
    return lambda query, alias: SQL("{} = {} AND {} > {} AND {} <= {}").format(
        Identifier(alias, "stream_id"), query.bind(ends.stream, "uuid"),
        Identifier(alias, "version"), query.bind(ends.since, "integer"),
        Identifier(alias, "version"), query.bind(ends.until, "integer"),
    )  # fmt: skip


@ruled(PARENT)
@strawberry.type(description="A record at two moments.")
class Diff:
    from_: Entity | None = strawberry.field(
        name="from", description="At the first; null where there was none that you see."
    )
    to: Entity | None = strawberry.field(description="At the second; null where there is none that you see.")
    changes: list[FieldChange] = strawberry.field(description="The fields whose values differ, with those you may see.")
    events: EventConnection = strawberry.field(  # type: ignore[valid-type]  # made of Event
        resolver=_events, description="What happened to it in between, newest first."
    )
    ends: strawberry.Private[Ends]


async def diff(
    info: Info,
    id: Annotated[ID, strawberry.argument(description="The record's, present or past.")],
    from_: Annotated[AsOf, strawberry.argument(name="from", description="The first moment.")],
    to: Annotated[AsOf | None, strawberry.argument(description="The second; now, unless given.")] = UNSET,
) -> Diff | None:
    """A moment at which the viewer does not see the record has no values. Raises: InvalidInputError, AsOfOutOfRangeError."""
    named = ids.decode(id, ("id",))
    since, until = await _moment(info.context, "from", from_), await _moment(info.context, "to", to)
    if until.at is not None and since.at is not None and since.at > until.at:
        raise InvalidInputError("The first moment is after the second.", rule="diff.backwards", field=("to",))
    before, after = await asyncio.gather(_seen(named, since), _seen(named, until))
    if before is None and after is None:
        return None
    first, last = (0 if one is None else int(records.raw(one, "version")) for one in (before, after))
    known = await told(info.context, named.id, min(first, last), max(first, last))
    ends = Ends(known, named.id, first, last)
    return Diff(from_=before, to=after, changes=list(ends.changes(info.context)), ends=ends)


async def _moment(context: Context, name: str, as_of: AsOf | None) -> Moment:
    try:
        return await context.reads.moment(as_of)
    except CrmError as exc:
        exc.field = (name, *exc.field[1:])
        raise


async def _seen(named: NodeId, moment: Moment) -> Any:
    if named.type not in finding.KINDS.entities:
        return None
    return await records.load(moment, read_of(finding.KINDS.read[named.type]), named.id)


# -- where a value comes from


async def _import(self: "Explanation", info: Info) -> Import | None:
    run = self.fact.origin.import_
    return None if run is None else await import_of(info.context.reads.present, run.id)


@ruled(PARENT)
@strawberry.type(description="What set the value that stands.")
class Explanation:
    value: JSON | None = strawberry.field(description="The value, where you may see it.")
    masked: bool = strawberry.field(description="You may not see the value.")
    event: Event = strawberry.field(description="Who set it, when and why.")
    import_: Import | None = strawberry.field(name="import", resolver=_import, description="The file it came from.")
    import_row: int | None = strawberry.field(description="The row of that file, from 1.")
    rule: str | None = strawberry.field(
        description="What of the workspace's decided it: `queue.autoCloseDays`, `slaPolicy.targets`, `stage.retiredAt` (its deals"
        " went on), `stage.probability` (none was chosen for the deal)."
    )
    fact: strawberry.Private[Fact]


async def explain(
    info: Info,
    id: Annotated[ID, strawberry.argument(description="The record's, present or past.")],
    field: Annotated[str, strawberry.argument(description="A field's name, as in `history`.")],
    as_of: Annotated[AsOf | None, strawberry.argument(description="As it was recorded then.")] = UNSET,
) -> Explanation | None:
    """Null for a record that is not seen, and for a value that nothing ever set. Raises: InvalidInputError."""
    named = ids.decode(id, ("id",))
    record = await finding.entity(info.context, named, as_of)
    if record is None:
        return None
    field = _named(named.type, field)
    upto = int(records.raw(record, "version"))
    known = await _lately(info.context, named.id, upto)
    value, rule = known.shown(upto).get(field), None
    of_stage = field == "probability" and value is None
    if of_stage:
        value, rule = _chance(record), "stage.probability"
    found = await _set(info.context, named.id, upto, ("probability", "stage") if of_stage else (field,))
    if found is None:
        return None
    known, fact = found
    return await _explained(info.context, fact, value, field, rule or await _rule(info.context, known, fact))


async def _lately(context: Context, stream: UUID, upto: int) -> Told:
    return await told(context, stream, max(0, upto - folding.STRIDE), upto)


async def _set(context: Context, stream: UUID, upto: int, names: Sequence[str]) -> tuple[Told, Fact] | None:
    """What gave the last of these fields its value, looked for from the end on."""
    while upto:
        known = await _lately(context, stream, upto)
        if found := [version for name in names if (version := setter(known, name, upto))]:
            return known, known.fact(max(found))
        upto = known.base
    return None


def _chance(deal: Any) -> float | None:
    found = records.raw(deal, "probability")
    return None if found is None else float(found)


async def _rule(context: Context, known: Told, fact: Fact) -> str | None:
    """What of the workspace's made this happen, where it was nobody's own deed."""
    if fact.actor.kind is ActorKind.AUTOMATION:
        return RULES.get(fact.topic, fact.topic)
    if fact.topic != "deal.moved" or fact.causation_id is None:
        return None
    was = known.state(fact.version - 1)
    pipeline = await context.engine.store.load(aggregate_of("pipeline"), context.workspace, was.pipeline_id)
    retired = {stage.id for stage, _ in pipeline.state.retired} if pipeline else set()
    return "stage.retiredAt" if was.stage_id in retired else None


def _named(type_name: str, field: str) -> str:
    """As events name it; inputs call an owner `ownerId`. Raises: InvalidInputError."""
    known = changeable_of(type_name)
    for name in (field, field.removesuffix("Id")):
        if name in known:
            return name
    message = f"No event of a {type_name} changes {field}. Those are {', '.join(sorted(known))}."
    raise InvalidInputError(message, rule="explain.unknown_field", field=("field",))


def setter(known: Told, field: str, upto: int) -> int | None:
    """The version at which the value came that stands at `upto`, if it is told; of what the fold cannot tell, the last to touch
    it.

    An event names no field that it leaves at its default, nor one that follows from others (the name of a contact who has but
    a family name), and yet sets them.
    """
    elsewhere = field in aggregate_of(known.entity_type).elsewhere
    for fact in reversed(known.between(known.base, upto)):
        was, now = known.shown(fact.version - 1).get(field), known.shown(fact.version).get(field)
        named = field in changed_fields(fact.event)
        if named and (elsewhere or fact.erased):
            return fact.version
        if differ(was, now) and (named or not _says_anew(fact)):
            return fact.version
    return None


def _says_anew(fact: Fact) -> bool:
    """Whether it repeats under a new key what it keeps."""
    return bool(getattr(type(fact.event), "NEW_KEY", False))


def differ(was: object, now: object) -> bool:
    """An empty list is as good as none."""
    return was != now and not (was in NOTHING and now in NOTHING)


async def _explained(context: Context, fact: Fact, value: object, field: str, rule: str | None) -> Explanation:
    entity_type, run = fact.topic.partition(".")[0], fact.origin.import_
    whole = aggregate_of(entity_type).within.get(field, field)
    masked = whole in audit.masked_of(context, entity_type)
    if not masked:
        finding.note(context, finding.type_name(entity_type), (whole,))
    of_stream, of_version = (
        audit.having("stream_id", fact.stream, "uuid"),
        audit.having("version", fact.version, "bigint"),
    )
    (event,) = await audit.select(context.reads.present, of_stream, of_version)
    return Explanation(
        value=None if masked else as_json(value), masked=masked, event=event, import_row=None if run is None else run.row,
        rule=rule, fact=fact,
    )  # fmt: skip
