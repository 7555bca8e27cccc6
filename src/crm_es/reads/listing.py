"""A list as asked for: arguments checked, orders and cursors worked out, pages and counts loaded for all parents at once."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from strawberry import UNSET

from crm_es.api.nodes import PageInfo
from crm_es.errors import InvalidInputError
from crm_es.reads import filters, pages, records
from crm_es.reads.connections import LARGEST_PAGE, PAGE
from crm_es.reads.cursor import bound_to
from crm_es.reads.model import Argument, Beside, Connection, Link, ReadType, read_of
from crm_es.reads.pages import Key, Listed, Window
from crm_es.reads.session import Moment
from crm_es.reads.sql import Condition, Viewer

MOST_ORDERS = 2


@dataclass(frozen=True, slots=True)
class Asked:
    """A connection's arguments, checked. `size` is the page without the row that tells whether more come."""

    listed: Listed
    window: Window
    size: int
    bound: bytes


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[tuple[Any, ...]]
    more: bool


def asked(
    moment: Moment,
    declared: Connection,
    field: str,
    given: Mapping[str, Any],
    *,
    holding: tuple[Condition, ...] | None = None,
) -> Asked:
    """`holding` tells what the list holds where the declaration does not. Raises: InvalidInputError, BadCursorError."""
    read = read_of(declared.target())
    keys = orders(read, declared, given.get("order_by"), moment.viewer)
    size, backwards, cursor = paging(given)
    bound = bound_to(moment.reads.workspace, field, worded(keys), moment.at)
    after = None if cursor is None else moment.reads.cursors.open(bound, cursor, len(keys) + 1)
    held = conditions(read, declared, given, moment.viewer) if holding is None else holding
    listed = Listed(read=read, via=declared.via, keys=keys, conditions=held)
    return Asked(listed, Window(limit=size + 1, after=after, backwards=backwards), size, bound)


def worded(keys: Sequence[Key]) -> str:
    """An order as cursors are bound to it."""
    return " ".join(f"{key.column}{'-' if key.descending else '+'}" for key in keys)


def paging(given: Mapping[str, Any]) -> tuple[int, bool, str | None]:
    """(size, backwards, cursor). Refused, never clamped: over 1,000, negative, or both pairs."""
    first, last, after, before = (given.get(name) for name in ("first", "last", "after", "before"))
    if (first is not None or after is not None) and (last is not None or before is not None):
        raise InvalidInputError("Ask with first and after, or with last and before.", rule="page.both_ways")
    backwards = last is not None or before is not None
    size = next((n for n in (last if backwards else first,) if n is not None), PAGE)
    if not 0 <= size <= LARGEST_PAGE:
        field = ("last" if backwards else "first",)
        raise InvalidInputError(f"A page has 0 to {LARGEST_PAGE} records.", rule="page.size", field=field)
    return size, backwards, before if backwards else after


def orders(read: ReadType, declared: Connection, given: Any, viewer: Viewer) -> tuple[Key, ...]:
    """The orders asked for, or the list's own. Raises: InvalidInputError for three, one twice, or a masked one."""
    wanted = [(item.field.name, item.direction.value) for item in given or ()] if given is not UNSET else []
    if len(wanted) > MOST_ORDERS or len({name for name, _ in wanted}) < len(wanted):
        raise InvalidInputError(f"At most {MOST_ORDERS} different orders.", rule="order.too_many", field=("orderBy",))
    named = read.orders.columns if read.orders is not None else {}
    default = declared.default or (read.orders.default if read.orders is not None else ())
    keys = tuple(
        key_of(read, declared.via, named.get(name, name), descending=way == "DESC") for name, way in wanted or default
    )
    masked = read.masked(viewer.masked(read.entity))
    if wanted and any(key.column.removesuffix("_folded") in masked for key in keys):
        raise InvalidInputError("You cannot order by a field you may not see.", rule="order.masked", field=("orderBy",))
    return keys


def key_of(read: ReadType, via: str | Link | None, column: str | Beside, *, descending: bool) -> Key:
    """An order's column: the link's own copy of it where there is one."""
    beside = column.source if isinstance(column, Beside) else None
    name = column.column if isinstance(column, Beside) else column
    on_link = isinstance(via, Link) and name in via.orders
    source = beside or read.source
    if isinstance(via, Link) and on_link:
        source, name = via.source, via.orders[name]
    walks = frozenset(index.descending for index in source.table.indexes if index.columns[-1] == name)
    return Key(
        column=name, descending=descending, type=source.type_of(name), nullable=source.nullable(name), on_link=on_link,
        beside=None if on_link else beside, walks=walks or frozenset({False}),
    )  # fmt: skip


def conditions(read: ReadType, declared: Connection, given: Mapping[str, Any], viewer: Viewer) -> tuple[Condition, ...]:
    """Everything that narrows the list: sight, record status, the declaration's own, arguments, the filter."""
    found = list(records.visible(read, viewer))
    chosen = given.get("filter", UNSET)
    if read.listed is not None and not filters.names_status(chosen):
        found.append(records.equal(*read.listed))
    if declared.where is not None:
        found.append(declared.where)
    found += asked_for(declared.arguments, given)
    if chosen is not UNSET and chosen is not None:
        found.append(filters.condition(chosen))
    return tuple(found)


def asked_for(arguments: Iterable[Argument], given: Mapping[str, Any]) -> Iterator[Condition]:
    """What the arguments narrow the list to."""
    for argument in arguments:
        value = given.get(argument.name, UNSET)
        if argument.where is not None and value is not UNSET and value is not None:
            yield argument.where(value)


@dataclass(frozen=True, slots=True)
class Edge:
    """What an edge type's fields are read from."""

    cursor: str
    node: Any


class Listing:
    """One connection of one parent. Nothing is read until edges, nodes, pageInfo or totalCount ask."""

    def __init__(self, moment: Moment, ask: Asked, key: tuple[Any, ...], parent: UUID | None) -> None:
        self._moment = moment
        self.ask = ask
        self._key = key
        self._parent = parent

    async def edges(self) -> list[Any]:
        return [Edge(cursor=self.cursor(row), node=self.record(row)) for row in (await self.page()).rows]

    async def nodes(self) -> list[Any]:
        return [self.record(row) for row in (await self.page()).rows]

    async def page_info(self) -> PageInfo:
        page = await self.page()
        return _page_info(self.ask.window, [self.cursor(row) for row in page.rows[:1] + page.rows[-1:]], more=page.more)

    async def total_count(self) -> int:
        loader = self._moment.reads.loader((*self._key, "count"), self._count_all)
        return int(await loader.load(self._parent))

    def masks(self, field: str) -> bool:
        """Whether the viewer may not see this field of the records."""
        return field in self._moment.viewer.masked(self.ask.listed.read.entity)

    async def sums(self, group: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
        """Of the whole list by each value of a column: (value, how many records, the sum of each of the columns)."""

        async def load(parents: list[UUID | None]) -> list[list[tuple[Any, ...]]]:
            query = self._moment.query()
            given = None if parents == [None] else parents
            statement = pages.sums(query, self.ask.listed, group, columns, given)
            return list(records.grouped(await self._moment.rows(query, statement), given))

        found = self._moment.reads.loader((*self._key, group, columns), load).load(self._parent)
        return await found  # type: ignore[no-any-return]

    async def page(self) -> Page:
        return await self._moment.reads.loader(self._key, self._load_all).load(self._parent)  # type: ignore[no-any-return]

    async def _load_all(self, parents: list[UUID | None]) -> list[Page]:
        ask, query = self.ask, self._moment.query()
        given = None if parents == [None] else parents
        statement = pages.page(query, ask.listed, ask.window, ask.listed.read.columns, given)
        rows = await self._moment.rows(query, statement)
        return [_page_of(found, ask) for found in records.grouped(rows, given)]

    async def _count_all(self, parents: list[UUID | None]) -> list[int]:
        query = self._moment.query()
        given = None if parents == [None] else parents
        rows = await self._moment.rows(query, pages.count(query, [self.ask.listed], given))
        return [found[0][0] for found in records.grouped(rows, given)]

    def record(self, row: tuple[Any, ...]) -> Any:
        return records.made(self.ask.listed.read, row, self._moment)

    def cursor(self, row: tuple[Any, ...]) -> str:
        return self._moment.reads.cursors.seal(self.ask.bound, self.place(row))

    def place(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the list is ordered by, and the id."""
        return row[len(self.ask.listed.read.columns) :]


class MergedListing:
    """Lists of one order as one. A page of it is in the pages of its parts."""

    def __init__(self, parts: Sequence[Listing]) -> None:
        self._parts = parts

    async def edges(self) -> list[Any]:
        found, _ = await self._page()
        return [Edge(cursor=part.cursor(row), node=part.record(row)) for part, row in found]

    async def nodes(self) -> list[Any]:
        found, _ = await self._page()
        return [part.record(row) for part, row in found]

    async def page_info(self) -> PageInfo:
        found, more = await self._page()
        cursors = [part.cursor(row) for part, row in found[:1] + found[-1:]]
        return _page_info(self._parts[0].ask.window, cursors, more=more)

    async def total_count(self) -> int:
        return sum(await asyncio.gather(*(part.total_count() for part in self._parts)))

    async def _page(self) -> tuple[list[tuple[Listing, tuple[Any, ...]]], bool]:
        """(part, row) of each record in order, and whether there are more."""
        ask, pages_ = self._parts[0].ask, await asyncio.gather(*(part.page() for part in self._parts))
        found = [(part, row) for part, page in zip(self._parts, pages_, strict=True) for row in page.rows]
        found.sort(key=lambda each: each[0].place(each[1]), reverse=ask.listed.keys[0].descending)
        start = max(0, len(found) - ask.size) if ask.window.backwards else 0
        return found[start : start + ask.size], len(found) > ask.size or any(page.more for page in pages_)


def _page_info(window: Window, cursors: Sequence[str], *, more: bool) -> PageInfo:
    """`cursors`: those of the page's first and last record, nothing for an empty page."""
    return PageInfo(
        has_next_page=window.after is not None if window.backwards else more,
        has_previous_page=more if window.backwards else window.after is not None,
        start_cursor=cursors[0] if cursors else None,
        end_cursor=cursors[-1] if cursors else None,
    )


def _page_of(rows: list[tuple[Any, ...]], ask: Asked) -> Page:
    more = len(rows) > ask.size
    kept = rows[: ask.size]
    return Page(kept[::-1] if ask.window.backwards else kept, more)


__all__ = ["Asked", "Listing", "MergedListing", "asked"]
