"""Contacts that look like one person, and what merging two of them would do."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL
from strawberry import ID, UNSET

from crm_es.api import finding, ids
from crm_es.api.answers import as_json
from crm_es.api.enums import Action, EntityType
from crm_es.api.ids import NodeId
from crm_es.api.nodes import Node, PageInfo
from crm_es.api.problems import UserError
from crm_es.api.refusals import REFUSALS, user_error
from crm_es.api.rules import Guard, needs, ruled
from crm_es.api.scalars import JSON
from crm_es.contacts import counters, merging
from crm_es.contacts.contact_aggregate import CONTACT
from crm_es.contacts.graphql import Contact
from crm_es.context import Context, Info
from crm_es.eventstore.aggregate import Loaded
from crm_es.interactions.timeline import ACTIVITY
from crm_es.reads import listing, records
from crm_es.reads.connections import connection_type
from crm_es.reads.cursor import bound_to
from crm_es.reads.listing import Edge
from crm_es.reads.model import read_of

READ: Final = needs(EntityType.CONTACT, Action.READ)
MOST: Final = 10_000
_PAIRS: Final = SQL("SELECT p.contact_id, p.other_id, p.score, p.matched_on FROM duplicates.pairs($1::uuid, $2::int) p")


@ruled(READ)
@strawberry.type(description="Two contacts that look like one person.")
class Duplicate(Node):
    contact: Contact = strawberry.field(description="One of them; the one asked for.")
    other: Contact = strawberry.field(description="The other.")
    score: float = strawberry.field(description="How likely, up to 1.")
    matched_on: list[str] = strawberry.field(description="What they share: email, phone, name.")


DuplicateConnection: Any = connection_type(Duplicate)


@dataclass(frozen=True, slots=True)
class Pair:
    contact: UUID
    other: UUID
    score: float
    matched_on: list[str]

    @property
    def place(self) -> tuple[float, UUID, UUID]:
        return -self.score, self.contact, self.other


@dataclass(frozen=True, slots=True)
class Pairs:
    """One page of pairs: what stands behind a DuplicateConnection."""

    found: list[Edge]
    info: PageInfo
    total: int

    async def edges(self) -> list[Edge]:
        return self.found

    async def nodes(self) -> list[Any]:
        return [edge.node for edge in self.found]

    async def page_info(self) -> PageInfo:
        return self.info

    async def total_count(self) -> int:
        return self.total


def _argument(description: str) -> Any:
    return strawberry.argument(description=description)


async def _duplicates(  # noqa: PLR0917  # GraphQL arguments come by name
    info: Info,
    contact_id: Annotated[ID | None, _argument("Of this contact alone.")] = UNSET,
    first: Annotated[int | None, _argument("So many from the start, or after `after`.")] = UNSET,
    after: Annotated[str | None, _argument("A cursor of this list.")] = UNSET,
    last: Annotated[int | None, _argument("So many from the end, or before `before`.")] = UNSET,
    before: Annotated[str | None, _argument("A cursor of this list.")] = UNSET,
) -> DuplicateConnection:
    """Raises: InvalidInputError, BadCursorError."""
    context = info.context
    paging = {"first": first, "after": after, "last": last, "before": before}
    size, backwards, cursor = listing.paging({k: v for k, v in paging.items() if v is not UNSET})
    contact = ids.expect(contact_id, "Contact", field=("contactId",)).id if contact_id else None
    bound = bound_to(context.workspace, "Query.duplicates", str(contact or ""), None)
    mark = None if cursor is None else context.reads.cursors.open(bound, cursor, 3)
    found = await _pairs(context, contact)
    part = [pair for pair in found if mark is None or (pair.place < mark if backwards else pair.place > mark)]
    page = (part[-size:] if size else []) if backwards else part[:size]
    made = [Edge(context.reads.cursors.seal(bound, pair.place), await _made(context, pair)) for pair in page]
    more, turned = len(part) > size, mark is not None
    return Pairs(made, _page_info(made, *((turned, more) if backwards else (more, turned))), len(found))


def _page_info(edges: list[Edge], ahead: bool, behind: bool) -> PageInfo:
    return PageInfo(
        has_next_page=ahead,
        has_previous_page=behind,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )


async def _pairs(context: Context, contact: UUID | None) -> list[Pair]:
    """All pairs of contacts that the viewer may both see, best first."""
    snapshot = await context.snapshot()
    context.reads.models.add("duplicates")
    pairs = [Pair(*row) for row in await snapshot.rows(_PAIRS, [contact, MOST])]
    both = {id_ for pair in pairs for id_ in (pair.contact, pair.other)}
    load = [records.load(context.reads.present, read_of(Contact), id_) for id_ in both]
    seen = {id_ for id_, found in zip(both, await asyncio.gather(*load), strict=True) if found is not None}
    return sorted((p for p in pairs if {p.contact, p.other} <= seen), key=lambda pair: pair.place)


async def _made(context: Context, pair: Pair) -> Duplicate:
    present, read = context.reads.present, read_of(Contact)
    two: list[Any] = [await records.load(present, read, id_) for id_ in (pair.contact, pair.other)]
    return Duplicate(
        id=ID(ids.encode("Duplicate", pair.contact, sub=pair.other)), contact=two[0], other=two[1], score=pair.score,
        matched_on=pair.matched_on,
    )  # fmt: skip


async def find_duplicate(context: Context, named: NodeId) -> Duplicate | None:
    """A pair by its id, as long as they look alike and nobody said they are two."""
    pair = next((pair for pair in await _pairs(context, named.id) if pair.other == named.sub), None)
    return None if pair is None else await _made(context, pair)


# What a merge would do


@ruled(READ)
@strawberry.type(description="A field in which the two differ.")
class MergeField:
    field: str = strawberry.field(description="Its name, as mergeContacts takes it.")
    survivor: JSON | None = strawberry.field(description="The survivor's value.")
    absorbed: JSON | None = strawberry.field(description="The absorbed contact's value.")
    proposed: ID = strawberry.field(description="Whose would stand if nothing is said.")


@ruled(READ)
@strawberry.type(description="What a merge would do, nothing done yet.")
class MergePreview:
    survivor: Contact = strawberry.field(description="The contact that would stay.")
    absorbed: Contact = strawberry.field(description="The contact that would go into it.")
    fields: list[MergeField] = strawberry.field(description="Where they differ.")
    interactions_moved: int = strawberry.field(description="How many interactions would change their timeline.")
    deals_moved: int = strawberry.field(description="How many deals, of those you may see, would change their contact.")
    tickets_moved: int = strawberry.field(description="How many tickets, of those you may see, would change theirs.")
    user_errors: list[UserError] = strawberry.field(description="Why it would be refused; empty when it would not.")


async def _merge_preview(
    info: Info,
    survivor_id: Annotated[ID, _argument("The contact that would stay.")],
    absorbed_id: Annotated[ID, _argument("The contact that would go into it.")],
) -> MergePreview | None:
    context, names = info.context, ("survivorId", "absorbedId")
    two = [ids.expect(id_, "Contact", field=(n,)).id for n, id_ in zip(names, (survivor_id, absorbed_id), strict=True)]
    present, read = context.reads.present, read_of(Contact)
    shown: list[Any] = [await records.load(present, read, id_) for id_ in two]
    loaded = await context.engine.store.load_many(CONTACT, context.workspace, two)
    if None in shown or len(loaded) < len(set(two)):
        return None
    fields, errors = _previewed(context, loaded[two[0]], loaded[two[1]])
    deals, tickets = await counters.at_stake(present, two[1])
    (counted,) = await records.load_columns(shown[1], ("interaction_count",), ACTIVITY)
    return MergePreview(
        survivor=shown[0], absorbed=shown[1], fields=fields, interactions_moved=counted or 0, deals_moved=deals,
        tickets_moved=tickets, user_errors=errors,
    )  # fmt: skip


def _previewed(
    context: Context, survivor: Loaded[Any], absorbed: Loaded[Any]
) -> tuple[list[MergeField], list[UserError]]:
    try:
        found = merging.merge_preview(survivor, absorbed)
    except REFUSALS as error:
        return [], [user_error(error)]
    masked = context.permissions.masked(EntityType.CONTACT)
    finding.note(context, "Contact", {_whole(one.field) for one in found} - masked)
    return [_field(one, hidden=_whole(one.field) in masked) for one in found], []


def _field(one: merging.MergeField, *, hidden: bool) -> MergeField:
    mine, theirs = (None if hidden else as_json(value) for value in (one.survivor, one.absorbed))
    return MergeField(field=one.field, survivor=mine, absorbed=theirs, proposed=ID(ids.encode("Contact", one.proposed)))


def _whole(field: str) -> str:
    """The field of Contact that a choice is about; the primary phone is no field of its own."""
    return CONTACT.within.get(field, field)


@strawberry.type
class DuplicateQueries:
    duplicates: DuplicateConnection = strawberry.field(
        resolver=_duplicates, description="Pairs that look like one person, best first.", extensions=[Guard(READ)]
    )
    merge_preview: MergePreview | None = strawberry.field(
        resolver=_merge_preview, description="What a merge would do; null where you may not see both.",
        extensions=[Guard(READ)],
    )  # fmt: skip
