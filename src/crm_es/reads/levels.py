"""The levels of a plan: one statement each, compiled when first run, for any number of parents.

A row holds: the parent's number (below the root), the columns of the level's own type, the order keys and the id, then the
columns of joined to-one records. Expressions name places as `r[O3]` and `r[J5]` until the level is complete.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.api import ids
from crm_es.reads import listing, pages, records
from crm_es.reads.cursor import bound_to
from crm_es.reads.model import Link, ReadType
from crm_es.reads.pages import Key, Listed, Window
from crm_es.reads.session import Moment
from crm_es.reads.sql import COMMA, Condition, Query, Slot, Viewer


class Environment:
    """What a running plan knows: variables, the moment, answers of the levels below by number and parent."""

    __slots__ = ("after", "below", "bound", "last", "limit", "moment", "parents", "variables")

    def __init__(self, variables: Mapping[str, Any], moment: Moment) -> None:
        self.variables = variables
        self.moment = moment
        self.below: dict[int, Mapping[UUID, Any]] = {}
        self.bound: dict[int, bytes] = {}
        self.parents: Sequence[Any] = ()
        self.after: tuple[Any, ...] = ()
        self.limit = 0
        self.last = False


@dataclass(frozen=True, slots=True)
class Statement:
    text: bytes
    parameters: tuple[Any, ...]
    models: frozenset[str]

    async def rows(self, environment: Environment, *, last: bool = False) -> list[tuple[Any, ...]]:
        """Run it; `last`: nothing of the operation follows."""
        moment = environment.moment
        await moment.require(self.models)
        given = [value.take(environment) if type(value) is Slot else value for value in self.parameters]
        snapshot = await moment.reads.snapshot()
        return await snapshot.fetch(self.text, given, last=last)


@dataclass(slots=True)
class Joined:
    """A to-one record in the row: `on` is the column it hangs on, of the level's own type or of another join."""

    alias: str
    read: ReadType
    above: "Joined | None"
    on: str
    columns: list[str] = field(default_factory=list)


class Level(Protocol):
    """One level of a plan; answers by parent (`None` at the root)."""

    shape: "Shape"

    async def run(self, environment: Environment, parents: Sequence[Any] | None) -> Mapping[Any, Any]: ...


@dataclass(slots=True)
class Shape:
    """The row of a level, as the expressions above it ask for columns."""

    number: int
    read: ReadType
    viewer: Viewer
    past: bool
    nested: bool
    page: bool = False
    keys: int = 0
    columns: list[str] = field(default_factory=list)
    joins: list[Joined] = field(default_factory=list)
    joined_columns: list[tuple[Joined, str]] = field(default_factory=list)
    children: list[tuple[Level, str]] = field(default_factory=list)
    sensitive: set[str] = field(default_factory=set)
    noted: dict[tuple[str | None, tuple[str, ...]], None] = field(default_factory=dict)
    """(type, place of the id) of the records that a row answers; without a type, the places of a record it is about."""
    _noted: list[tuple[str | None, list[int]]] | None = None

    def own(self, name: str) -> str:
        if name not in self.columns:
            self.columns.append(name)
        return f"r[O{self.columns.index(name)}]"

    def join(self, above: Joined | None, on: str, target: ReadType) -> Joined:
        """The same record joined twice is joined once."""
        for known in self.joins:
            if known.above is above and known.on == on and known.read is target:
                return known
        if above is None:
            self.own(on)
        elif on not in above.columns:
            above.columns.append(on)
        made = Joined(alias=f"j{len(self.joins)}", read=target, above=above, on=on)
        self.joins.append(made)
        return made

    def of_join(self, joined: Joined, name: str) -> str:
        if name not in joined.columns:
            joined.columns.append(name)
        place = (joined, name)
        known = next(
            (n for n, other in enumerate(self.joined_columns) if other[0] is joined and other[1] == name), None
        )
        if known is None:
            self.joined_columns.append(place)
            known = len(self.joined_columns) - 1
        return f"r[J{known}]"

    def below(self, level: Level, parent: str) -> None:
        self.children.append((level, parent))

    def placed(self, expression: str) -> str:
        """The expression with numbers for places, now that all columns are known."""
        keys = f"[{self.keys_at.start}:{self.keys_at.stop}]"
        numbered = re.sub(r"\[([OJ])(\d+)\]", lambda match: f"[{self.place(match[1], int(match[2]))}]", expression)
        return numbered.replace("[K:L]", keys)

    def place(self, kind: str, number: int) -> int:
        first = int(self.nested)
        return first + number if kind == "O" else first + len(self.columns) + self._tail + number

    @property
    def _tail(self) -> int:
        """Order keys and the id stand behind the own columns of a page."""
        return self.keys + 1 if self.page else 0

    @property
    def keys_at(self) -> slice:
        first = int(self.nested) + len(self.columns)
        return slice(first, first + self._tail)

    def column_of(self, place: str) -> int:
        found = re.fullmatch(r"r\[([OJ])(\d+)\]", place)
        assert found is not None, place  # noqa: S101  # made by own and of_join
        return self.place(found[1], int(found[2]))

    def query(self) -> Query:
        return Query(self.viewer, _AT if self.past else None)

    def statement(self, query: Query, inner: Composed, order: Composable | None) -> Statement:
        """The level's rows with their joins."""
        text = inner if not self.joins else self._joined(query, inner, order)
        return Statement(text.as_bytes(None), tuple(query.parameters), frozenset(query.models))

    def _joined(self, query: Query, inner: Composed, order: Composable | None) -> Composed:
        own: list[Composable] = [Identifier("b", "n")] if self.nested else []
        own += [Identifier("b", f"c{number}") for number in range(len(self.columns))]
        if self.page:
            own += [Identifier("b", f"k{number}") for number in range(self.keys)] + [Identifier("b", "kid")]
        own += [Identifier(joined.alias, name) for joined, name in self.joined_columns]
        joins = [SQL(" LEFT JOIN {} ON true").format(self._join(query, joined)) for joined in self.joins]
        text = SQL("SELECT {} FROM ({}) AS b").format(COMMA.join(own), inner) + SQL("").join(joins)
        if order is None:
            return text
        by_parent = SQL("n, ") if self.nested else SQL("")
        return text + SQL(" ORDER BY ") + by_parent + order

    def _join(self, query: Query, joined: Joined) -> Composable:
        above = joined.above
        on = (
            Identifier("b", f"c{self.columns.index(joined.on)}")
            if above is None
            else Identifier(above.alias, joined.on)
        )
        return records.joined(query, joined.read, joined.alias, joined.columns, on)

    def answers(self, read: ReadType, column: Callable[[str], str]) -> None:
        """Rows of this level are answered as records of `read`, whose columns stand where `column` says."""
        if read.about is not None:
            self.noted[None, tuple(map(column, read.about))] = None
        elif read.node:
            self.noted[read.name, (column(read.key or "id"),)] = None

    def note(self, rows: Sequence[tuple[Any, ...]], environment: Environment) -> None:
        """Tell the operation's trail that these rows go out."""
        trail = environment.moment.reads.trail
        if not rows:
            return
        trail.rows += len(rows)
        trail.fields |= self.sensitive
        if self._noted is None:
            self._noted = [(name, [*map(self.column_of, places)]) for name, places in self.noted]
        for name, places in self._noted:
            first = places[0]
            if name is not None:
                trail.saw(name, [row[first] for row in rows if row[first] is not None])
                continue
            for row in rows:
                trail.saw(*records.about(row[place] for place in places))

    async def run_children(self, rows: Sequence[tuple[Any, ...]], environment: Environment) -> None:
        for level, parent in self.children:
            place = self.column_of(parent)
            parents = list(dict.fromkeys(row[place] for row in rows if row[place] is not None))
            environment.below[level.shape.number] = await level.run(environment, parents) if parents else {}


_AT = Slot(lambda environment: environment.moment.at)
_PARENTS = Slot(lambda environment: environment.parents)
_PARENT = Slot(lambda environment: environment.parents[0])
_LIMIT = Slot(lambda environment: environment.limit)


class RecordLevel:
    """One record by its global id."""

    def __init__(self, shape: Shape, id_: Any, answer: Callable[..., Any]) -> None:
        self.shape = shape
        self._id = id_
        self._answer = answer
        self._statement: Statement | None = None

    async def run(self, environment: Environment, _parents: Sequence[Any] | None) -> Mapping[Any, Any]:
        given: Any = self._id.take(environment) if isinstance(self._id, Slot) else self._id
        environment.parents = [ids.expect(given, self.shape.read.name, field=("id",)).id]
        self._statement = self._statement or self._compile()
        rows = await self._statement.rows(environment, last=environment.last and not self.shape.children)
        self.shape.note(rows, environment)
        await self.shape.run_children(rows, environment)
        return {None: self._answer(rows[0], environment) if rows else None}

    def _compile(self) -> Statement:
        query, shape = self.shape.query(), self.shape
        inner = records.by_id(query, shape.read, _PARENT, shape.columns)
        return shape.statement(query, inner, None)


class ManyLevel:
    """Short lists in full, one a parent."""

    answer: Callable[..., Any]

    def __init__(self, shape: Shape, listed: Listed, limit: int) -> None:
        self.shape = shape
        shape.keys = len(listed.keys)
        self._listed = listed
        self._window = Window(limit=limit)
        self._statement: Statement | None = None

    async def run(self, environment: Environment, parents: Sequence[Any] | None) -> Mapping[Any, Any]:
        environment.parents = parents or ()
        self._statement = self._statement or self._compile()
        rows = await self._statement.rows(environment)
        self.shape.note(rows, environment)
        await self.shape.run_children(rows, environment)
        lists = _by_parent(rows, parents or ())
        return {parent: self.answer(found, environment) for parent, found in zip(parents or (), lists, strict=True)}

    def _compile(self) -> Statement:
        query = self.shape.query()
        inner = pages.page(query, self._listed, self._window, self.shape.columns, _PARENTS)
        return self.shape.statement(query, inner, pages.outer_order(self._listed, self._window))


class ListLevel:
    """A connection: a page and a count for each parent, or for the root."""

    answer: Callable[..., Any]

    def __init__(
        self, shape: Shape, *, name: str, via: str | Link | None, keys: tuple[Key, ...], conditions: tuple[Condition, ...],
        given: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self.shape = shape
        shape.page, shape.keys = True, len(keys)
        self.paged = self.counted = False
        self.name = name
        self.order = " ".join(f"{key.column}{'-' if key.descending else '+'}" for key in keys)
        self.backwards = given.get("last") is not None or given.get("before") is not None
        self._listed = Listed(read=shape.read, via=via, keys=keys, conditions=conditions)
        self._given = given
        self._statements: dict[tuple[bool, ...] | None, Statement] = {}
        self._count: Statement | None = None

    def cursor(self, row: str) -> str:
        """The expression that seals the cursor of a row."""
        return f"e.moment.reads.cursors.seal(e.bound[{self.shape.number}], {row}[K:L])"

    async def run(self, environment: Environment, parents: Sequence[Any] | None) -> Mapping[Any, Any]:
        lists: Sequence[Sequence[tuple[Any, ...]]] = [()] if parents is None else [()] * len(parents)
        size, after = self._asked(environment)
        if self.paged:
            environment.parents, environment.limit, environment.after = parents or (), size + 1, after or ()
            last = environment.last and not self.shape.children and not self.counted
            rows = await self._page(after).rows(environment, last=last)
            lists = [rows] if parents is None else _by_parent(rows, parents)
            shown = [row for found in lists for row in found[:size]]  # one more tells that there are more
            self.shape.note(shown, environment)
            await self.shape.run_children(shown, environment)
        counts = await self._counts(environment, parents) if self.counted else None
        everyone = [None] if parents is None else parents
        return {
            parent: self._answer(found, size, after, environment, None if counts is None else counts[number])
            for number, (parent, found) in enumerate(zip(everyone, lists, strict=True))
        }

    def _answer(
        self, rows: Sequence[tuple[Any, ...]], size: int, after: object, environment: Environment, count: int | None
    ) -> Any:
        kept = rows[:size] if len(rows) > size else rows
        if self.backwards:
            kept = kept[::-1]
        return self.answer(kept, len(rows) > size, after is not None, count, environment)

    def _asked(self, environment: Environment) -> tuple[int, tuple[Any, ...] | None]:
        """The page's size and where it starts. Raises: InvalidInputError, BadCursorError."""
        given = {
            name: value.take(environment) if isinstance(value, Slot) else value
            for name, value in self._given.items()
            if name in {"first", "last", "after", "before"}
        }
        size, _, cursor = listing.paging(given)
        moment = environment.moment
        bound = environment.bound[self.shape.number] = bound_to(
            moment.reads.workspace, self.name, self.order, moment.at
        )
        after = None if cursor is None else moment.reads.cursors.open(bound, cursor, self.shape.keys + 1)
        return size, after

    def _page(self, after: tuple[Any, ...] | None) -> Statement:
        """The statement for this pattern of nulls in the cursor."""
        pattern = None if after is None else tuple(key is None for key in after)
        found = self._statements.get(pattern)
        if found is None:
            found = self._statements[pattern] = self._compile(pattern)
        return found

    def _compile(self, pattern: tuple[bool, ...] | None) -> Statement:
        query, slots = self.shape.query(), None
        if pattern is not None:
            slots = tuple(None if missing else _key(number) for number, missing in enumerate(pattern))
        window = Window(limit=_LIMIT, after=slots, backwards=self.backwards)
        parents = _PARENTS if self.shape.nested else None
        inner = pages.page(query, self._listed, window, self.shape.columns, parents)
        return self.shape.statement(query, inner, pages.outer_order(self._listed, window))

    async def _counts(self, environment: Environment, parents: Sequence[Any] | None) -> list[int]:
        if self._count is None:
            query = self.shape.query()
            text = pages.count(query, self._listed, _PARENTS if self.shape.nested else None)
            self._count = Statement(text.as_bytes(None), tuple(query.parameters), frozenset(query.models))
        environment.parents = parents or ()
        rows = await self._count.rows(environment)
        if parents is None:
            return [rows[0][0]]
        found = dict(rows)
        return [found[number] for number in range(1, len(parents) + 1)]


def _key(number: int) -> Slot:
    return Slot(lambda environment: environment.after[number])


def _by_parent(rows: Sequence[tuple[Any, ...]], parents: Sequence[Any]) -> list[list[tuple[Any, ...]]]:
    """Rows grouped by the parent's number in their first column, which stays."""
    lists: list[list[tuple[Any, ...]]] = [[] for _ in parents]
    for row in rows:
        lists[row[0] - 1].append(row)
    return lists
