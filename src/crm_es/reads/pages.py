"""The statement for a page of a list, for any number of parents at once, and the one that counts the list.

Order, keyset and LIMIT stand inside every branch (live and twin; not null and null), so each is one walk of one index.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, LiteralString

from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.reads import records
from crm_es.reads.model import Link, ReadType, companion
from crm_es.reads.sql import AND, COMMA, FALSE, UNION, Condition, Query, Source, Text, named, selected

ROW: LiteralString = "t"
LINK: LiteralString = "l"
BESIDE: LiteralString = "b"


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """One order of a list: a column of the target, or the link's copy of it."""

    column: str
    descending: bool
    type: LiteralString
    nullable: bool
    on_link: bool = False
    beside: Source | None = None
    walks: frozenset[bool] = frozenset({False})

    @property
    def alias(self) -> LiteralString:
        return LINK if self.on_link else ROW if self.beside is None else BESIDE

    def nulls(self, *, descending: bool) -> Composable:
        """Nulls where the walk of an index has them: last in its own direction (`walks`), first against it."""
        last = SQL(" NULLS LAST") if descending in self.walks else SQL(" NULLS FIRST")
        return (SQL(" DESC") if descending else SQL(" ASC")) + last


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """Which rows, in which order: what a page and its count share."""

    read: ReadType
    via: str | Link | None
    keys: tuple[Key, ...]
    conditions: tuple[Condition, ...]

    @property
    def tie(self) -> Composable:
        """The column that breaks ties: the record's id, or nothing where the table has none."""
        if isinstance(self.via, Link):
            return named(LINK, self.via.child)
        return SQL("NULL::uuid") if self.read.key is None else named(ROW, self.read.key)

    @property
    def tie_type(self) -> LiteralString:
        return "uuid" if isinstance(self.via, Link) else self.read.key_type


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Which part of the list. `after` are the keys (and the id) of the row the page starts behind, walking backwards or not."""

    limit: object
    after: tuple[object, ...] | None = None
    backwards: bool = False


def page(query: Query, listed: Listed, window: Window, columns: Sequence[str], parents: object | None) -> Composed:
    """Rows of (columns…, order keys…, id), behind the parent's number when there are parents."""
    return for_each(query, _merged(query, listed, window, columns), parents)


def for_each(query: Query, body: Composed, parents: object | None) -> Composed:
    """The rows of `body`, which calls its parent `p.id`, behind the parent's number; as they are when there are no parents."""
    if parents is None:
        return body
    return SQL("SELECT p.n, c.* FROM unnest({}) WITH ORDINALITY AS p(id, n) CROSS JOIN LATERAL ({}) AS c").format(
        query.bind(parents, "uuid[]"), body
    )


def count(query: Query, lists: Sequence[Listed], parents: object | None) -> Composed:
    """How many rows the whole lists hold together; behind the parent's number when there are parents."""
    branches = [_rows(query, listed, twin, (), ()) for listed in lists for twin in query.branches(_driver(listed))]
    body = SQL("SELECT count(*) AS count FROM ({}) AS m").format(UNION.join(branches))
    return for_each(query, body, parents)


def sums(query: Query, listed: Listed, group: str, columns: Sequence[str], parents: object | None) -> Composed:
    """By each value of `group` in the whole list: (it, how many rows, the sum of each column), behind the parent's number."""
    branches = [_rows(query, listed, twin, (group, *columns), ()) for twin in query.branches(_driver(listed))]
    totals = [SQL("sum({})").format(Identifier("c", f"c{n}")) for n in range(1, len(columns) + 1)]
    body = SQL("SELECT c.c0, count(*), {} FROM ({}) AS c GROUP BY c.c0").format(
        COMMA.join(totals), UNION.join(branches)
    )
    return for_each(query, body, parents)


def _merged(query: Query, listed: Listed, window: Window, columns: Sequence[str]) -> Composed:
    names = [f"c{n}" for n in range(len(columns))] + [f"k{n}" for n in range(len(listed.keys))] + ["kid"]
    branches = list(_branches(query, listed, window, columns))
    if len(branches) == 1:
        return branches[0]
    return SQL("SELECT {} FROM ({}) AS m ORDER BY {} LIMIT {}").format(
        _bare(tuple(names)),
        UNION.join(SQL("({})").format(branch) for branch in branches),
        outer_order(listed, window),
        query.bind(window.limit, "int"),
    )


@lru_cache(maxsize=10_000)
def _bare(names: tuple[str, ...]) -> Text:
    return Text(COMMA.join(Identifier(name) for name in names))


def outer_order(listed: Listed, window: Window) -> Composable:
    parts: list[Composable] = []
    for number, key in enumerate(listed.keys):
        name = Identifier(f"k{number}")
        if key.nullable:
            parts.append(SQL("({} IS NULL){}").format(name, SQL(" DESC" if window.backwards else "")))
        parts.append(name + SQL(" DESC" if key.descending != window.backwards else " ASC"))
    parts.append(Identifier("kid") + SQL(" DESC" if _tie(listed) != window.backwards else " ASC"))
    return COMMA.join(parts)


def _tie(listed: Listed) -> bool:
    """Ties break by id, in the direction of the last order: then one index serves the whole."""
    return listed.keys[-1].descending if listed.keys else False


def _branches(query: Query, listed: Listed, window: Window, columns: Sequence[str]) -> Iterator[Composed]:
    for twin in query.branches(_driver(listed)):
        for part in _parts(query, listed, window):
            yield SQL("{} ORDER BY {} LIMIT {}").format(
                _rows(query, listed, twin, columns, part),
                _inner_order(listed, window),
                query.bind(window.limit, "int"),
            )


def _parts(query: Query, listed: Listed, window: Window) -> Iterator[tuple[Composable, ...]]:
    """With one nullable order the list is two walks: the rows that have the value, then those that lack it."""
    after = window.after
    if len(listed.keys) != 1 or not listed.keys[0].nullable:
        yield () if after is None else (_beyond(query, listed, window),)
        return
    (key,) = listed.keys
    present, absent = (_key(key) + SQL(" IS NOT NULL"), _key(key) + SQL(" IS NULL"))
    if after is None:
        yield from ((present,), (absent,))
    elif after[0] is None:
        yield (absent, _id_beyond(query, listed, window))
        if window.backwards:
            yield (present,)
    else:
        yield (present, _row_beyond(query, listed, window))
        if not window.backwards:
            yield (absent,)


def _key(key: Key) -> Composable:
    return named(key.alias, key.column)


def _inner_order(listed: Listed, window: Window) -> Composable:
    single = len(listed.keys) == 1
    parts: list[Composable] = []
    for key in listed.keys:
        if key.nullable and not single:
            parts.append(SQL("({} IS NULL){}").format(_key(key), SQL(" DESC" if window.backwards else "")))
        parts.append(_key(key) + key.nulls(descending=key.descending != window.backwards))
    parts.append(listed.tie + SQL(" DESC" if _tie(listed) != window.backwards else " ASC"))
    return COMMA.join(parts)


def _beyond(query: Query, listed: Listed, window: Window) -> Composable:
    """Behind the cursor, for no order, one order that is never null, or two."""
    if len(listed.keys) == 1:
        return _row_beyond(query, listed, window)
    return _stepwise(query, listed, window)


def _row_beyond(query: Query, listed: Listed, window: Window) -> Composable:
    """(key, id) > (…): a row comparison is one range of the index."""
    down = listed.keys[0].descending != window.backwards
    (key,) = listed.keys
    value, id_ = window.after or (None, None)
    return SQL("({}, {}) {} ({}, {})").format(
        _key(key), listed.tie, SQL("<" if down else ">"), query.bind(value, key.type), query.bind(id_, listed.tie_type)
    )


def _id_beyond(query: Query, listed: Listed, window: Window) -> Composable:
    down = _tie(listed) != window.backwards
    id_ = (window.after or (None,))[-1]
    return SQL("{} {} {}").format(listed.tie, SQL("<" if down else ">"), query.bind(id_, listed.tie_type))


def _stepwise(query: Query, listed: Listed, window: Window) -> Composable:
    """Behind the cursor in the first order, or level there and behind in the next, …; nulls are behind everything."""
    found: Composable = _id_beyond(query, listed, window)
    for key, given in reversed(list(zip(listed.keys, window.after or (), strict=False))):
        if given is None:
            level = _key(key) + SQL(" IS NULL")
            ahead: Composable = _key(key) + SQL(" IS NOT NULL") if window.backwards else FALSE
        else:
            value = query.bind(given, key.type)
            level, ahead = _key(key) + SQL(" = ") + value, _ahead(key, value, backwards=window.backwards)
        found = SQL("({} OR ({} AND {}))").format(ahead, level, found)
    return found


def _ahead(key: Key, value: Composable, *, backwards: bool) -> Composable:
    down = key.descending != backwards
    strictly = SQL("{} {} {}").format(_key(key), SQL("<" if down else ">"), value)
    return SQL("({} OR {} IS NULL)").format(strictly, _key(key)) if key.nullable and not backwards else strictly


def _driver(listed: Listed) -> Source:
    return listed.via.source if isinstance(listed.via, Link) else listed.read.source


def _rows(query: Query, listed: Listed, twin: bool, columns: Sequence[str], part: Sequence[Composable]) -> Composed:
    """One branch: SELECT … FROM … WHERE …, without order."""
    if isinstance(listed.via, Link):
        table, where = query.rows_of(listed.via.source, LINK, twin=twin)
        child = named(LINK, listed.via.child)
        target = query.joined(
            listed.read.source,
            ROW,
            listed.read.source.names,
            lambda j: SQL("{} = {}").format(named(j, "id"), child),
        )
        table = SQL("{} CROSS JOIN {}").format(table, target)
        where.append(named(LINK, listed.via.parent) + SQL(" = p.id"))
    else:
        table, where = query.rows_of(listed.read.source, ROW, twin=twin)
        if listed.via is not None:
            where.append(named(ROW, listed.via) + SQL(" = p.id"))
    for beside in {key.beside for key in listed.keys if key.beside is not None}:
        names = [key.column for key in listed.keys if key.beside == beside]
        table = SQL("{} CROSS JOIN {}").format(
            table, records.joined(query, companion(beside), BESIDE, names, named(ROW, "id"))
        )
    where += [condition(query, ROW) for condition in listed.conditions]
    chosen: list[Composable] = (
        [records.shown(query, listed.read, ROW, columns, records.numbers(len(columns)))] if columns else []
    )
    chosen += [selected(key.alias, (key.column,), (f"k{number}",)) for number, key in enumerate(listed.keys)]
    chosen.append(Composed([listed.tie, SQL(" AS kid")]))
    return SQL("SELECT {} FROM {} WHERE {}").format(COMMA.join(chosen), table, AND.join([*where, *part]))


__all__ = ["Any", "Key", "Listed", "Window", "count", "page", "sums"]
