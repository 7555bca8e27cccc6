"""What changed since: for caches that sync (`changes`) and screens that stay current (subscriptions).

A record comes once, at its newest; in between nothing is kept, the last state never gets lost.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Composable, Composed, Identifier
from strawberry import ID

from crm_es.api import finding, ids
from crm_es.api.enums import Action, ChangeKind, EntityType
from crm_es.api.ids import NodeId, decode
from crm_es.api.nodes import Node, PageInfo
from crm_es.api.rules import SIGNED_IN, permit, ruled
from crm_es.api.scalars import Position
from crm_es.context import Context, Info
from crm_es.reads import asof, filters, listing
from crm_es.reads.connections import connection_type
from crm_es.reads.cursor import bound_to
from crm_es.reads.declare import Source
from crm_es.reads.driver import Bookmark
from crm_es.reads.listing import Edge
from crm_es.reads.sql import AND, Query
from crm_es.workspaces import audit, watched_jobs
from crm_es.workspaces.watched_jobs import Watched
from projections import changes

RECORD: Final = Source("changes", changes.RECORD)
CONTAINED: Final = Source("changes", changes.CONTAINED)
MEANING: Final = Source("changes", changes.MEANING)
BATCH: Final = 100
PATIENCE_SECONDS: Final = 30.0
_COLUMNS: Final = SQL("r.id, r.type, r.version, r.gone, r.command_id, r.position")


async def _node(self: "Change", info: Info) -> Node | None:
    if self.gone:
        return None
    found: Node | None = await finding.node(info.context, self.named)
    return found


async def _kind(self: "Change", info: Info) -> ChangeKind:
    """What is out of the viewer's sight is gone too."""
    return ChangeKind.GONE if await _node(self, info) is None else ChangeKind.CHANGED


@ruled(SIGNED_IN)
@strawberry.type(description="That a record changed, or is there no longer for the one who asked.")
class Change(Node):
    position: Position = strawberry.field(description="Where in the log.")
    kind: ChangeKind = strawberry.field(resolver=_kind, description="Changed, or gone.")
    node_id: ID = strawberry.field(description="The record's id, gone or not.")
    type: EntityType = strawberry.field(description="What kind of record.")
    version: int | None = strawberry.field(description="The record's version.")
    command_id: UUID | None = strawberry.field(description="The request that did it: to know one's own echo.")
    node: Node | None = strawberry.field(resolver=_node, description="The record as it is now; null when gone.")
    gone: strawberry.Private[bool]
    named: strawberry.Private[NodeId]


ChangeConnection: Any = connection_type(Change)


Place = tuple[int, UUID]
"""Where a change stands among all: its position, and its record's id, since a merge brings many at one position."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose changes: of these types, of these records or in these containers; all that may be read where neither is named."""

    types: Sequence[str]
    ids: Sequence[UUID] | None
    within: Sequence[UUID] | None


def _asked(context: Context, types: Any, ids_: Any, within: Any) -> Asked:
    """Raises: InvalidInputError for malformed ids."""
    readable = [each for each in EntityType if context.permissions.scope(each, Action.READ) is not None]
    wanted = [str(each) for each in readable if types in (None, strawberry.UNSET) or each in types]
    return Asked(wanted, _uuids(ids_, "ids"), _uuids(within, "within"))


def _uuids(given: Any, field: str) -> list[UUID] | None:
    """An empty list asks for none; leaving it out asks for all."""
    if given is None or given is strawberry.UNSET:
        return None
    return [ids.decode(each, (field, str(place))).id for place, each in enumerate(given)]


@dataclass(frozen=True, slots=True)
class Containers:
    """The ids under which records stand in the containers asked for: now, and those that were merged away or given back since."""

    live: Sequence[UUID]
    left: Sequence[UUID]


async def _containers(context: Context, asked: Asked, since: int) -> Containers | None:
    """None: containers were not asked for."""
    if asked.within is None:
        return None
    query = context.reads.present.query()
    wanted = query.bind(asked.within, "uuid[]")
    found = query.select(
        MEANING, "m", ("id", "means_id", "left_it", "position"), lambda: [SQL("m.means_id = ANY ({})").format(wanted)]
    )
    rows = await context.reads.present.rows(query, found)
    ended = {id_ for id_, means, left_it, _ in rows if id_ == means and left_it}
    live = {id_ for id_, _, left_it, _ in rows if not left_it} | {id_ for id_ in asked.within if id_ not in ended}
    return Containers([*live], [id_ for id_, _, left_it, position in rows if left_it and position > since])


def _rows(query: Query, found: Composed, outside: Composable, *, limit: int, backwards: bool) -> Composed:
    way = SQL(" DESC" if backwards else "")
    return SQL("SELECT {}, {} FROM {} ORDER BY r.position{}, r.id{} LIMIT {}").format(
        _COLUMNS, outside, found, way, way, query.bind(limit, "int")
    )


def _found(
    query: Query, asked: Asked, within: Containers | None, since: int, *, behind: Place | None = None, below: Place | None = None
) -> Composed:  # fmt: skip
    table, where = query.rows_of(RECORD, "r")
    after = query.bind(since, "bigint")
    where += [SQL("r.position > {}").format(after), SQL("r.type = ANY ({})").format(query.bind(asked.types, "text[]"))]
    if behind is not None:
        where.append(SQL("(r.position, r.id) > ({}, {})").format(*_bound(query, behind)))
    if below is not None:
        where.append(SQL("(r.position, r.id) < ({}, {})").format(*_bound(query, below)))
    if asked.ids is not None:
        where.append(SQL("r.id = ANY ({})").format(query.bind(asked.ids, "uuid[]")))
    if within is not None:
        just = SQL("(NOT {0}.left_it OR {0}.position > {1})")
        where.append(_inside(query, [*within.live, *within.left], just, after))
    return SQL("{} WHERE {}").format(table, AND.join(where))


def _bound(query: Query, place: Place) -> tuple[Composable, Composable]:
    return query.bind(place[0], "bigint"), query.bind(place[1], "uuid")


def _outside(query: Query, within: Containers | None) -> Composable:
    """Whether the record has left all the containers asked for."""
    if within is None:
        return SQL("false")
    return SQL("NOT {}").format(_inside(query, within.live, SQL("NOT {0}.left_it"), SQL("")))


def _inside(query: Query, containers: Sequence[UUID], condition: SQL, after: Composable) -> Composable:
    wanted = query.bind(containers, "uuid[]")

    def joined(row: Any) -> list[Composable]:
        alias = Identifier(row)
        return [
            SQL("{}.id = r.id").format(alias),
            SQL("{}.container_id = ANY ({})").format(alias, wanted),
            condition.format(alias, after),
        ]

    return query.exists(CONTAINED, joined)


async def _load(
    context: Context, asked: Asked, since: int, *, behind: Place | None = None, below: Place | None = None,
    limit: int, backwards: bool = False,
) -> list[Change]:  # fmt: skip
    within = await _containers(context, asked, since)
    query = context.reads.present.query()
    found = _found(query, asked, within, since, behind=behind, below=below)
    statement = _rows(query, found, _outside(query, within), limit=limit, backwards=backwards)
    return [_change(row) for row in await context.reads.present.rows(query, statement)]


def _change(row: tuple[Any, ...]) -> Change:
    id_, type_, version, gone, command_id, position, outside = row
    name = type_.title().replace("_", "")
    return Change(
        id=ID(ids.encode("Change", id_, sub=position)),
        position=Position(position),
        node_id=ID(ids.encode(name, id_)),
        type=EntityType[type_],
        version=version,
        command_id=command_id,
        gone=gone or outside,
        named=NodeId(name, id_),
    )


def _of_job(named: NodeId, position: int) -> Change:
    """No event: it has no version, and nobody's command did it."""
    return Change(
        id=ID(ids.encode("Change", named.id, sub=position)),
        position=Position(position),
        node_id=ID(ids.encode(named.type, named.id)),
        type=watched_jobs.TYPES[named.type],
        version=None,
        command_id=None,
        gone=False,
        named=named,
    )


def _place(change: Change) -> Place:
    return change.position, change.named.id


# -- the list


class Page:
    """What stands behind a ChangeConnection."""

    def __init__(self, context: Context, asked: Asked, since: int, given: dict[str, Any]) -> None:
        """Raises: InvalidInputError, BadCursorError."""
        self._context, self._asked, self._since = context, asked, since
        self._size, self._backwards, cursor = listing.paging(given)
        said = f"{since} {asked.types} {asked.ids} {asked.within}"
        self._bound = bound_to(context.workspace, "Query.changes", said, None)
        opened = None if cursor is None else context.reads.cursors.open(self._bound, cursor, 2)
        self._cursor: Place | None = None if opened is None else (opened[0], opened[1])
        self._loading: asyncio.Task[list[Change]] | None = None

    async def edges(self) -> list[Edge]:
        return [Edge(self._sealed(each), each) for each in await self.nodes()]

    async def nodes(self) -> list[Change]:
        return (await self._loaded())[0]

    async def page_info(self) -> PageInfo:
        page, more = await self._loaded()
        ahead, behind = (self._cursor is not None, more) if self._backwards else (more, self._cursor is not None)
        return PageInfo(
            has_next_page=ahead,
            has_previous_page=behind,
            start_cursor=self._sealed(page[0]) if page else None,
            end_cursor=self._sealed(page[-1]) if page else None,
        )

    async def total_count(self) -> int:
        moment, within = self._context.reads.present, await _containers(self._context, self._asked, self._since)
        query = moment.query()
        found = _found(query, self._asked, within, self._since)
        rows = await moment.rows(query, SQL("SELECT count(*) FROM {}").format(found))
        return int(rows[0][0])

    async def _loaded(self) -> tuple[list[Change], bool]:
        if self._loading is None:
            self._loading = asyncio.ensure_future(self._load())
        found = await self._loading
        page = found[: self._size]
        return (page[::-1] if self._backwards else page), len(found) > self._size

    async def _load(self) -> list[Change]:
        behind, below = (None, self._cursor) if self._backwards else (self._cursor, None)
        return await _load(
            self._context, self._asked, self._since, behind=behind, below=below, limit=self._size + 1,
            backwards=self._backwards,
        )  # fmt: skip

    def _sealed(self, change: Change) -> str:
        return self._context.reads.cursors.seal(self._bound, _place(change))


Types = Annotated[list[EntityType] | None, strawberry.argument(description="Of these kinds alone.")]
Within = Annotated[
    list[ID] | None,
    strawberry.argument(
        description="What is, or just was, in one of these: contacts, companies, pipelines, stages, queues."
    ),
]


async def changes_since(  # noqa: PLR0917  # GraphQL arguments come by name
    info: Info,
    since: Annotated[Position, strawberry.argument(description="A position you have seen; 0 for all.")],
    types: Types = strawberry.UNSET,
    within: Within = strawberry.UNSET,
    first: Annotated[
        int | None, strawberry.argument(description="So many from the start, or after `after`.")
    ] = strawberry.UNSET,
    after: Annotated[str | None, strawberry.argument(description="A cursor of this list.")] = strawberry.UNSET,
    last: Annotated[
        int | None, strawberry.argument(description="So many from the end, or before `before`.")
    ] = strawberry.UNSET,
    before: Annotated[str | None, strawberry.argument(description="A cursor of this list.")] = strawberry.UNSET,
) -> ChangeConnection:
    paging = {"first": first, "after": after, "last": last, "before": before}
    given = {name: value for name, value in paging.items() if value is not strawberry.UNSET}
    asked = _asked(info.context, types, None, within)
    await _check_recorded(info.context, "changes", int(since), "since")
    return Page(info.context, asked, int(since), given)


async def find(context: Context, named: NodeId) -> Any:
    """A change as it was told, as long as nothing newer happened to its record."""
    if not isinstance(named.sub, int):
        return None
    found = await _load(context, _asked(context, None, [ids.encode("Contact", named.id)], None), named.sub - 1, limit=1)
    if found:
        return found[0] if found[0].position == named.sub else None
    job = await watched_jobs.of_id(context, named.id)
    return None if job is None else _of_job(job, named.sub)


# -- the subscriptions


async def follow(
    context: Context, model: str, after: int | None, load: Callable[[int, Any], Awaitable[Sequence[Any]]],
    jobs: Watched | None = None,
) -> AsyncGenerator[Any, None]:  # fmt: skip
    """What `load` finds behind a position and the last it found there, in order, page after page, for ever; each page on a
    snapshot of its own. And how the `jobs` move, as of each snapshot.

    Nothing is missed: a page is followed from the position that the read model showed in that same snapshot.
    """
    reached, last = after, None
    while True:
        await context.renew()
        bookmark = (await context.reads.bookmarks()).get(model, Bookmark(0, 0))
        reached = bookmark.position if reached is None else reached
        found = await load(reached, last)
        for each in found:
            yield each
        if len(found) == BATCH:
            last = found[-1]
            continue
        reached, last = max(reached, bookmark.position), None
        for named in await jobs.moved(context) if jobs else ():
            yield _of_job(named, bookmark.position)
        await context.close()
        patience = PATIENCE_SECONDS if jobs is None or jobs.resting else watched_jobs.LOOK_SECONDS
        await context.engine.progress.wait(bookmark.log_id + 1, (model,), patience)


async def follow_events(
    info: Info,
    filter: Annotated[audit.EventFilter | None, strawberry.argument(description="Which.")] = strawberry.UNSET,
    after: Annotated[
        Position | None, strawberry.argument(description="From behind this position; else from now.")
    ] = strawberry.UNSET,
) -> AsyncGenerator[audit.Event, None]:
    context = info.context
    permit(context, EntityType.CONTACT, Action.AUDIT)
    narrowed = [filters.condition(filter)] if filter else []

    async def load(reached: int, last: Any) -> Sequence[Any]:
        position = reached if last is None else audit.position_of(last)
        return await audit.select(context.reads.present, audit.behind(position), *narrowed, most=BATCH)

    async for event in follow(context, "audit_trail", await _behind(context, "audit_trail", after), load):
        yield event


async def follow_changes(
    info: Info,
    ids: Annotated[
        list[ID] | None,
        strawberry.argument(description="These records. An import or a revert is told of at once, then as it goes on."),
    ] = strawberry.UNSET,
    within: Within = strawberry.UNSET,
    types: Types = strawberry.UNSET,
    after: Annotated[
        Position | None, strawberry.argument(description="The query's extensions.position; else from now.")
    ] = strawberry.UNSET,
) -> AsyncGenerator[Change, None]:
    context = info.context
    asked = _asked(context, types, ids, within)

    async def load(reached: int, last: Any) -> Sequence[Any]:
        return await _load(context, asked, reached, behind=None if last is None else _place(last), limit=BATCH)

    jobs = Watched(map(decode, ids or ()), None if types is strawberry.UNSET else types)
    async for change in follow(context, "changes", await _behind(context, "changes", after), load, jobs):
        yield change


async def _behind(context: Context, model: str, after: Any) -> int | None:
    """Raises: AsOfOutOfRangeError."""
    if after is None or after is strawberry.UNSET:
        return None
    await _check_recorded(context, model, int(after), "after")
    return int(after)


async def _check_recorded(context: Context, model: str, position: int, field: str) -> None:
    """Whoever names a position that has not been would hear of nothing for long. Raises: AsOfOutOfRangeError."""
    bookmark = (await context.reads.bookmarks()).get(model)
    if bookmark is None or position > bookmark.position:
        await asof.check_recorded(await context.reads.snapshot(), position, (field,))
