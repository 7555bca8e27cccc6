"""The rows of a plan's levels, as the expressions above them ask for columns.

A row holds: the parent's number (below the root), the columns of the level's own type, the order keys and the id, then the
columns of joined to-one records; of a merged list see `merging.py`. Expressions name places as `r[O3]` and `r[J5]` until the
level is complete.
"""

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.reads import records
from crm_es.reads.environment import AT, Environment, Level, Statement, together
from crm_es.reads.model import ReadType
from crm_es.reads.sql import COMMA, Query, Viewer


@dataclass(slots=True)
class Joined:
    """A to-one record in the row: `on` is the column it hangs on, of the level's own type or of another join; `when` says which
    value of which column makes it an id of that type.
    """

    alias: str
    read: ReadType
    above: "Joined | None"
    on: str
    when: tuple[str, str] | None = None
    columns: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Child:
    """A level below, and an expression of `rows` and `e`: its parents, each once."""

    level: Level
    parents: str
    given: Callable[[Sequence[tuple[Any, ...]], Environment], list[Any]] | None = None

    @property
    def follows(self) -> bool:
        """Whether its parents are in what another level answers."""
        return "e.below[" in self.parents


@dataclass(slots=True)
class Shape:
    """The row of a level, or of one part of a merged list (`prefix` tells its columns from those of the others)."""

    number: int
    read: ReadType
    viewer: Viewer
    past: bool
    nested: bool
    page: bool = False
    keys: int = 0
    prefix: str = "c"
    starts: tuple[int, int] | None = None
    """Where the own columns and those of joins begin, unless as a row of one type has them."""
    columns: list[str] = field(default_factory=list)
    joins: list[Joined] = field(default_factory=list)
    joined_columns: list[tuple[Joined, str]] = field(default_factory=list)
    children: list[Child] = field(default_factory=list)
    sensitive: dict[tuple[str, str | None], None] = field(default_factory=dict)
    """(field, place of the id of the joined record it is of)"""
    noted: dict[tuple[str | None, tuple[str, ...]], None] = field(default_factory=dict)
    """(type, place of the id) of the records that a row answers; without a type, the places of a record it is about."""
    _noted: list[tuple[str | None, list[int]]] | None = None

    def own(self, name: str) -> str:
        if name not in self.columns:
            self.columns.append(name)
        return f"r[O{self.columns.index(name)}]"

    def join(
        self, above: Joined | None, on: str, target: ReadType, when: tuple[str, str] | None = None
    ) -> Joined:  # fmt: skip
        """The same record joined twice is joined once."""
        for known in self.joins:
            if known.above is above and known.on == on and known.when == when and known.read is target:
                return known
        for name in (on, *(when or ())[:1]):
            if above is None:
                self.own(name)
            elif name not in above.columns:
                above.columns.append(name)
        made = Joined(alias=f"{self.prefix}j{len(self.joins)}", read=target, above=above, on=on, when=when)
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

    def below(self, level: Level, parents: str) -> None:
        self.children.append(Child(level, parents))

    def placed(self, expression: str) -> str:
        """The expression with numbers for places, now that all columns are known."""
        keys = f"[{self.keys_at.start}:{self.keys_at.stop}]"
        numbered = re.sub(r"\[([OJ])(\d+)\]", lambda match: f"[{self.place(match[1], int(match[2]))}]", expression)
        return numbered.replace("[K:L]", keys)

    def place(self, kind: str, number: int) -> int:
        own, joined = self.starts or (int(self.nested), int(self.nested) + len(self.columns) + self._tail)
        return number + (own if kind == "O" else joined)

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
        return Query(self.viewer, AT if self.past else None)

    def statement(self, query: Query, inner: Composed, order: Composable | None) -> Statement:
        """The level's rows with their joins."""
        if not self.joins:
            return made(query, inner)
        own: list[Composable] = [Identifier("b", "n")] if self.nested else []
        own += self.own_columns()
        if self.page:
            own += [Identifier("b", f"k{number}") for number in range(self.keys)] + [Identifier("b", "kid")]
        if order is not None and self.nested:
            order = SQL("n, ") + order
        return made(query, widened(inner, [*own, *self.columns_of_joins()], self.joined(query), order))

    def own_columns(self) -> list[Composable]:
        return [Identifier("b", f"{self.prefix}{number}") for number in range(len(self.columns))]

    def columns_of_joins(self) -> list[Composable]:
        return [Identifier(joined.alias, name) for joined, name in self.joined_columns]

    def joined(self, query: Query) -> list[Composable]:
        return [self._join(query, joined) for joined in self.joins]

    def _join(self, query: Query, joined: Joined) -> Composable:
        on: Composable = self._above(joined, joined.on)
        if joined.when is not None:
            column, value = joined.when
            kind = query.bind(value, "text")
            on = SQL("CASE WHEN {} = {} THEN {} END").format(self._above(joined, column), kind, on)
        return records.joined(query, joined.read, joined.alias, joined.columns, on)

    def _above(self, joined: Joined, column: str) -> Composable:
        """A column of what it is joined to."""
        if joined.above is None:
            return Identifier("b", f"{self.prefix}{self.columns.index(column)}")
        return Identifier(joined.above.alias, column)

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
        trail.fields |= {name for name, place in self.sensitive if self._there(place, rows)}
        if self._noted is None:
            self._noted = [(name, [*map(self.column_of, places)]) for name, places in self.noted]
        for name, places in self._noted:
            first = places[0]
            if name is not None:
                trail.saw(name, [row[first] for row in rows if row[first] is not None])
                continue
            for row in rows:
                trail.saw(*records.about(row[place] for place in places))

    def _there(self, place: str | None, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Whether any of the rows leads to a record there."""
        if place is None:
            return True
        number = self.column_of(place)
        return any(row[number] is not None for row in rows)

    async def run_children(self, rows: Sequence[tuple[Any, ...]], environment: Environment) -> None:
        reads = environment.moment.reads
        for follow in (False, True):
            asking = [
                each for child in self.children if child.follows is follow for each in _asking(child, rows, environment)
            ]
            if asking:
                await together(reads, asking)


def _asking(
    child: Child, rows: Sequence[tuple[Any, ...]], environment: Environment
) -> Iterator[Callable[[], Awaitable[None]]]:
    """Nothing where there are no parents."""
    assert child.given is not None  # noqa: S101  # made when the level was complete
    parents, level = child.given(rows, environment), child.level
    environment.below[level.number] = {}

    async def run() -> None:
        environment.below[level.number] = await level.run(environment, parents)

    if parents:
        yield run


def widened(
    inner: Composable, columns: Sequence[Composable], joins: Sequence[Composable], order: Composable | None
) -> Composed:  # fmt: skip
    """The rows of `inner` with what is joined to them."""
    lateral = [SQL(" LEFT JOIN {} ON true").format(each) for each in joins]
    text = SQL("SELECT {} FROM ({}) AS b").format(COMMA.join(columns), inner) + SQL("").join(lateral)
    return text if order is None else text + SQL(" ORDER BY ") + order


def made(query: Query, text: Composed) -> Statement:
    return Statement(text.as_bytes(None), tuple(query.parameters), frozenset(query.models))
