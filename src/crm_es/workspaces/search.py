"""Finding records by what people type: `search`, best first. What matches is for `projections/search.py` to say."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL

from crm_es.api import finding
from crm_es.api.enums import Action, EntityType
from crm_es.api.ids import NodeId
from crm_es.api.nodes import Entity, PageInfo
from crm_es.api.rules import SIGNED_IN, ruled
from crm_es.context import Context, Info
from crm_es.errors import InvalidInputError
from crm_es.reads import listing
from crm_es.reads.cursor import bound_to
from crm_es.reads.model import read_of
from crm_es.text import bigrams, digits, fold
from crm_es.values import writable

MOST: Final = 200
LONGEST: Final = 200
_FIND: Final = SQL(
    "SELECT f.id, f.type, f.field, f.snippet, f.score FROM search.find($1, $2, $3::text[], $4::text[], $5) f"
)


@ruled(SIGNED_IN)
@strawberry.type(description="A record found, and why.")
class SearchEdge:
    cursor: str = strawberry.field(description="Its place in this list, for after and before.")
    node: Entity = strawberry.field(description="The record.")
    field: str | None = strawberry.field(
        description="The field that matched; `company` where it was the company's name."
    )
    snippet: str | None = strawberry.field(description="What matched. Never of a masked field.")
    score: float = strawberry.field(description="1 is an exact match.")


async def _nodes(self: "SearchConnection") -> list[Entity]:
    return [edge.node for edge in self.edges]


@ruled(SIGNED_IN)
@strawberry.type(description="A page of what was found, best first.")
class SearchConnection:
    edges: list[SearchEdge] = strawberry.field(description="The page, each record with what matched.")
    nodes: list[Entity] = strawberry.field(resolver=_nodes, description="The page's records alone.")
    page_info: PageInfo = strawberry.field(description="Whether more come before and after.")


@dataclass(frozen=True, slots=True)
class Hit:
    id: UUID
    type: str
    field: str
    snippet: str
    score: float

    @property
    def named(self) -> NodeId:
        return NodeId(self.type.title().replace("_", ""), self.id)


async def search(  # noqa: PLR0917  # GraphQL arguments come by name
    info: Info,
    text: Annotated[
        str, strawberry.argument(description="Names, emails, digits of a phone number, a company; typos allowed.")
    ],
    types: Annotated[
        list[EntityType] | None, strawberry.argument(description="Of these kinds alone.")
    ] = strawberry.UNSET,
    first: Annotated[
        int | None, strawberry.argument(description="So many from the start, or after `after`.")
    ] = strawberry.UNSET,
    after: Annotated[str | None, strawberry.argument(description="A cursor of this list.")] = strawberry.UNSET,
    last: Annotated[
        int | None, strawberry.argument(description="So many from the end, or before `before`.")
    ] = strawberry.UNSET,
    before: Annotated[str | None, strawberry.argument(description="A cursor of this list.")] = strawberry.UNSET,
) -> SearchConnection:
    """Raises: InvalidInputError, BadCursorError."""
    if len(text) > LONGEST:
        raise InvalidInputError(f"Search for {LONGEST} characters at most.", rule="search.too_long", field=("text",))
    if not writable(text):
        message = "No text holds U+0000 or half a surrogate pair."
        raise InvalidInputError(message, rule="text.unwritable", field=("text",))
    paging = {"first": first, "after": after, "last": last, "before": before}
    size, backwards, cursor = listing.paging({k: v for k, v in paging.items() if v is not strawberry.UNSET})
    context = info.context
    bound = bound_to(context.workspace, "Query.search", f"{fold(text)} {types or ''}", None)
    opened = None if cursor is None else context.reads.cursors.open(bound, cursor, 2)
    found = await _hits(context, fold(text.strip()), types or None)
    part = [hit for hit in found if opened is None or _beyond(hit, opened, backwards=backwards)]
    page = (part[-size:] if size else []) if backwards else part[:size]
    nodes = await asyncio.gather(*(finding.node(context, hit.named) for hit in page))
    edges = [
        SearchEdge(
            cursor=_cursor(context, bound, hit), node=node, field=hit.field, snippet=hit.snippet, score=hit.score
        )
        for hit, node in zip(page, nodes, strict=True)
        if node is not None
    ]
    context.trail.fields |= {edge.field for edge in edges if edge.field and _quoted(edge)}
    more, turned = len(part) > size, opened is not None
    return SearchConnection(edges=edges, page_info=_info(edges, more, turned, backwards=backwards))


async def _hits(context: Context, query: str, types: list[EntityType] | None) -> list[Hit]:
    """All that may be seen, best first: of kinds the viewer reads, never by a field that is masked for him."""
    readable = [each for each in EntityType if context.permissions.scope(each, Action.READ) is not None]
    wanted = [str(each) for each in readable if types is None or each in types]
    if not query or not wanted:
        return []
    snapshot = await context.snapshot()
    context.reads.models.add("search")
    rows = await snapshot.rows(_FIND, [query, digits(query), bigrams(query), wanted, MOST])
    hits = [Hit(*row) for row in rows]
    return [hit for hit in hits if hit.field not in context.permissions.masked(EntityType[hit.type])]


def _quoted(edge: SearchEdge) -> bool:
    """Whether the snippet is of a sensitive field."""
    return edge.field in read_of(type(edge.node)).sensitive


def _beyond(hit: Hit, opened: tuple[Any, ...], *, backwards: bool) -> bool:
    place, mark = (-hit.score, hit.id), (-opened[0], opened[1])
    return place < mark if backwards else place > mark


def _cursor(context: Context, bound: bytes, hit: Hit) -> str:
    return context.reads.cursors.seal(bound, (hit.score, hit.id))


def _info(edges: list[SearchEdge], more: bool, turned: bool, *, backwards: bool) -> PageInfo:
    ahead, behind = (turned, more) if backwards else (more, turned)
    return PageInfo(
        has_next_page=ahead,
        has_previous_page=behind,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )


__all__ = ["SearchConnection", "SearchEdge", "search"]
