"""The levels of a plan: one statement each, compiled when first run, for any number of parents."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from crm_es.api import ids
from crm_es.reads import listing, pages, records
from crm_es.reads.arguments import taken
from crm_es.reads.cursor import bound_to
from crm_es.reads.environment import LIMIT, PARENT, PARENTS, Environment, Statement, key, together
from crm_es.reads.errors import NotCompilableError
from crm_es.reads.model import ReadType, Summed, read_of
from crm_es.reads.pages import Listed, Window
from crm_es.reads.shapes import Shape, made
from crm_es.reads.sql import Slot


class RecordLevel:
    """One record by its global id."""

    def __init__(self, shape: Shape, id_: Any, answer: Callable[..., Any]) -> None:
        self.number = shape.number
        self._shape = shape
        self._id = id_
        self._answer = answer
        self._statement: Statement | None = None

    async def run(self, environment: Environment, _parents: Sequence[Any] | None) -> Mapping[Any, Any]:
        given: Any = self._id.take(environment) if isinstance(self._id, Slot) else self._id
        shape = self._shape
        environment.parents = [ids.expect(given, shape.read.name, field=("id",)).id]
        self._statement = self._statement or self._compile()
        rows = await self._statement.rows(environment, last=environment.last and not shape.children)
        shape.note(rows, environment)
        await shape.run_children(rows, environment)
        return {None: self._answer(rows[0], environment) if rows else None}

    def _compile(self) -> Statement:
        query, shape = self._shape.query(), self._shape
        inner = records.by_id(query, shape.read, PARENT, shape.columns)
        return shape.statement(query, inner, None)


class AnyLevel:
    """One record of whichever type its global id is of: made for a type when an id of that type first comes."""

    def __init__(self, number: int, id_: Any, types: Mapping[str, Any], make: Callable[..., RecordLevel]) -> None:
        self.number = number
        self._id = id_
        self._types = types
        self._make = make
        self._known: dict[tuple[str, bool], RecordLevel | NotCompilableError] = {}

    async def run(self, environment: Environment, _parents: Sequence[Any] | None) -> Mapping[Any, Any]:
        """Raises: NotCompilableError for what is in no table, or is asked for what has no plan."""
        named = ids.decode(taken(self._id, environment), ("id",))
        if named.type not in self._types:
            raise NotCompilableError(f"the id of a {named.type}")
        if environment.moment.at is None:
            environment.moment = await environment.moment.reads.moment_at(named.at)
        level = self._level(named.type, past=environment.moment.at is not None)
        return await level.run(environment, None)

    def _level(self, type_: str, *, past: bool) -> RecordLevel:
        """A refusal is kept too: finding it out takes longer than many an answer."""
        found = self._known.get((type_, past))
        if found is None:
            try:
                found = self._make(read_of(self._types[type_]), past=past)
            except NotCompilableError as exc:
                found = exc
            self._known[type_, past] = found
        if isinstance(found, NotCompilableError):
            raise NotCompilableError(found.message)
        return found


class ManyLevel:
    """Short lists in full, one a parent."""

    answer: Callable[..., Any]

    def __init__(self, shape: Shape, listed: Listed, limit: int) -> None:
        self.number = shape.number
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
        inner = pages.page(query, self._listed, self._window, self.shape.columns, PARENTS)
        return self.shape.statement(query, inner, pages.outer_order(self._listed, self._window))


class Rows(Protocol):
    """What a list is made of: rows of one type, or of several."""

    number: int
    nested: bool
    order: str
    keys: int

    @property
    def ends(self) -> bool:
        """Whether nothing is read below the rows."""
        ...

    def page(self, window: Window) -> Statement: ...
    def count(self) -> Statement: ...
    def sums(self, group: str, columns: Sequence[str]) -> Statement: ...
    def masks(self, field: str) -> bool: ...
    def note(self, rows: Sequence[tuple[Any, ...]], environment: Environment) -> None: ...
    async def run_children(self, rows: Sequence[tuple[Any, ...]], environment: Environment) -> None: ...


class Single:
    """The rows of one type."""

    def __init__(self, shape: Shape, listed: Listed) -> None:
        self.number, self.nested = shape.number, shape.nested
        self.order, self.keys = listing.worded(listed.keys), len(listed.keys)
        self.note, self.run_children = shape.note, shape.run_children
        shape.page, shape.keys = True, self.keys
        self._shape = shape
        self._listed = listed

    @property
    def ends(self) -> bool:
        return not self._shape.children

    def page(self, window: Window) -> Statement:
        query = self._shape.query()
        parents = PARENTS if self.nested else None
        inner = pages.page(query, self._listed, window, self._shape.columns, parents)
        return self._shape.statement(query, inner, pages.outer_order(self._listed, window))

    def count(self) -> Statement:
        query = self._shape.query()
        return made(query, pages.count(query, [self._listed], PARENTS if self.nested else None))

    def sums(self, group: str, columns: Sequence[str]) -> Statement:
        query = self._shape.query()
        parents = PARENTS if self.nested else None
        return made(query, pages.sums(query, self._listed, group, columns, parents))

    def masks(self, field: str) -> bool:
        return field in self._shape.viewer.masked(self._shape.read.entity)


class ListLevel:
    """A connection: a page and a count for each parent, or for the root."""

    answer: Callable[..., Any]

    def __init__(self, rows: Rows, *, name: str, given: Mapping[str, Any]) -> None:
        self.number = rows.number
        self.paged = self.counted = False
        self.backwards = given.get("last") is not None or given.get("before") is not None
        self._rows = rows
        self._name = name
        self._given = given
        self._statements: dict[tuple[bool, ...] | None, Statement] = {}
        self._count: Statement | None = None
        self._summaries: list[tuple[int, Summed]] = []
        self._sums: dict[tuple[str, tuple[str, ...]], Statement] = {}

    def summary(self, number: int, declared: Summed) -> str:
        """The expression of what is worked out from sums."""
        self._summaries.append((number, declared))
        return f"e.below[{number}][parent]"

    def cursor(self, row: str) -> str:
        """The expression that seals the cursor of a row."""
        return f"e.moment.reads.cursors.seal(e.bound[{self.number}], {row}[K:L])"

    async def run(self, environment: Environment, parents: Sequence[Any] | None) -> Mapping[Any, Any]:
        size, after = self._asked(environment)
        asking: list[Callable[[], Awaitable[Any]]] = []
        if self.paged:
            asking.append(partial(self._lists, environment, parents, size, after))
        if self.counted:
            asking.append(partial(self._counts, environment, parents))
        if self._summaries:
            asking.append(partial(self._summarize, environment, parents))
        found = await together(environment.moment.reads, asking)
        lists = found[0] if self.paged else [()] * len(parents or [None])
        counts = found[int(self.paged)] if self.counted else None
        everyone = [None] if parents is None else parents
        answers = {}
        for number, (parent, rows) in enumerate(zip(everyone, lists, strict=True)):
            kept, count = rows[:size] if len(rows) > size else rows, None if counts is None else counts[number]
            if self.backwards:
                kept = kept[::-1]
            answers[parent] = self.answer(kept, len(rows) > size, after is not None, count, environment, parent)
        return answers

    async def _lists(
        self, environment: Environment, parents: Sequence[Any] | None, size: int, after: tuple[Any, ...] | None
    ) -> Sequence[Sequence[tuple[Any, ...]]]:
        """The rows of each parent, and one more where there are more."""
        environment.parents, environment.limit, environment.after = parents or (), size + 1, after or ()
        last = environment.last and self._rows.ends and not (self.counted or self._summaries)
        rows = await self._page(after).rows(environment, last=last)
        lists = [rows] if parents is None else _by_parent(rows, parents)
        shown = [row for found in lists for row in found[:size]]
        self._rows.note(shown, environment)
        await self._rows.run_children(shown, environment)
        return lists

    def _asked(self, environment: Environment) -> tuple[int, tuple[Any, ...] | None]:
        """The page's size and where it starts. Raises: InvalidInputError, BadCursorError."""
        given = {
            name: value.take(environment) if isinstance(value, Slot) else value
            for name, value in self._given.items()
            if name in {"first", "last", "after", "before"}
        }
        size, _, cursor = listing.paging(given)
        moment = environment.moment
        bound = bound_to(moment.reads.workspace, self._name, self._rows.order, moment.at)
        environment.bound[self.number] = bound
        after = None if cursor is None else moment.reads.cursors.open(bound, cursor, self._rows.keys + 1)
        return size, after

    async def _summarize(self, environment: Environment, parents: Sequence[Any] | None) -> None:
        known: dict[Any, Mapping[Any, Any]] = {}

        async def sums(group: str, columns: tuple[str, ...]) -> Mapping[Any, Any]:
            if (group, columns) not in known:
                known[group, columns] = await self._summed(environment, parents, (group, columns))
            return known[group, columns]

        for number, declared in self._summaries:
            environment.below[number] = {
                parent: await declared.of(Sums(self._rows, sums, parent)) for parent in parents or [None]
            }

    async def _summed(
        self, environment: Environment, parents: Sequence[Any] | None, asked: tuple[str, tuple[str, ...]]
    ) -> Mapping[Any, Any]:
        statement = self._sums.get(asked)
        if statement is None:
            statement = self._sums[asked] = self._rows.sums(*asked)
        environment.parents = parents or ()
        rows = await statement.rows(environment)
        return dict(zip(parents or [None], records.grouped(rows, parents), strict=True))

    def _page(self, after: tuple[Any, ...] | None) -> Statement:
        """The statement for this pattern of nulls in the cursor."""
        pattern = None if after is None else tuple(each is None for each in after)
        found = self._statements.get(pattern)
        if found is None:
            found = self._statements[pattern] = self._rows.page(self._window(pattern))
        return found

    def _window(self, pattern: tuple[bool, ...] | None) -> Window:
        slots = None
        if pattern is not None:
            slots = tuple(None if missing else key(number) for number, missing in enumerate(pattern))
        return Window(limit=LIMIT, after=slots, backwards=self.backwards)

    async def _counts(self, environment: Environment, parents: Sequence[Any] | None) -> list[int]:
        self._count = self._count or self._rows.count()
        environment.parents = parents or ()
        rows = await self._count.rows(environment)
        if parents is None:
            return [rows[0][0]]
        found = dict(rows)
        return [found[number] for number in range(1, len(parents) + 1)]


def _by_parent(rows: Sequence[tuple[Any, ...]], parents: Sequence[Any]) -> list[list[tuple[Any, ...]]]:
    """Rows grouped by the parent's number in their first column, which stays."""
    lists: list[list[tuple[Any, ...]]] = [[] for _ in parents]
    for row in rows:
        lists[row[0] - 1].append(row)
    return lists


@dataclass(frozen=True, slots=True)
class Sums:
    """The list of one parent, as far as what is worked out from sums asks for it."""

    rows: Rows
    all: Callable[[str, tuple[str, ...]], Awaitable[Mapping[Any, Any]]]
    parent: Any

    async def sums(self, group: str, columns: tuple[str, ...]) -> Sequence[tuple[Any, ...]]:
        found: Sequence[tuple[Any, ...]] = (await self.all(group, columns))[self.parent]
        return found

    def masks(self, field: str) -> bool:
        return self.rows.masks(field)


class NamedLevel:
    """Records by their ids, which are their own parents."""

    def __init__(self, shape: Shape, answer: Callable[..., Any]) -> None:
        self.number = shape.number
        self._shape = shape
        self._answer = answer
        self._statements: dict[bool, Statement] = {}

    async def run(self, environment: Environment, parents: Sequence[Any] | None) -> Mapping[Any, Any]:
        environment.parents = parents or ()
        alone = len(environment.parents) == 1
        statement = self._statements.get(alone)
        if statement is None:
            statement = self._statements[alone] = self._compile(alone=alone)
        rows = await statement.rows(environment)
        self._shape.note(rows, environment)
        await self._shape.run_children(rows, environment)
        return {row[0]: self._answer(row, environment) for row in rows}

    def _compile(self, *, alone: bool) -> Statement:
        query, shape = self._shape.query(), self._shape
        find = records.by_id if alone else records.by_any
        return shape.statement(query, find(query, shape.read, PARENT if alone else PARENTS, shape.columns), None)


class BatchedLevel:
    """A field worked out for all records of a level at once; `parents` are these records' columns, the id first."""

    def __init__(
        self, number: int, read: ReadType, columns: Sequence[str], load: Callable[..., Any], given: Mapping[str, Any]
    ) -> None:
        self.number = number
        self._read = read
        self._places = [read.index[name] for name in columns]
        self._load = load
        self._given = given

    async def run(self, environment: Environment, parents: Sequence[Any] | None) -> Mapping[Any, Any]:
        moment, rows = environment.moment, parents or ()
        # Of a record's row only what its field declares is there: asking for more is a fault that must be seen.
        found = [records.made(self._read, dict(zip(self._places, row, strict=True)), moment) for row in rows]
        given = {name: taken(value, environment) for name, value in self._given.items()}
        answers = await self._load(moment.reads, found, given)
        return {row[0]: answer for row, answer in zip(rows, answers, strict=True)}
