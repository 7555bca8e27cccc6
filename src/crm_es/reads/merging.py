"""The rows of a list of several types: each part is walked by itself, and one statement merges the pages.

A row holds: the parent's number, the order key and the id, the number of its part, the columns of each part's own type, the
columns of each part's joins; null where they are another part's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.reads import listing, pages
from crm_es.reads.environment import PARENTS, Environment, Statement, together
from crm_es.reads.errors import NotCompilableError
from crm_es.reads.pages import Listed, Window
from crm_es.reads.shapes import Shape, made, widened
from crm_es.reads.sql import COMMA, UNION, Query, null

KEYS: Final = "[1:3]"
PART: Final = 3
_FIRST: Final = 4


@dataclass(frozen=True, slots=True)
class Part:
    """One of the types: what its rows are made of, and which they are."""

    shape: Shape
    listed: Listed


class Several:
    """The rows of several types in their one order."""

    nested = True
    keys = 1

    def __init__(self, number: int, parts: Sequence[Part]) -> None:
        self.number = number
        self.order = listing.worded(parts[0].listed.keys)
        self._parts = parts

    def complete(self) -> None:
        """All columns are known: here is where each stands."""
        own = _FIRST
        joined = own + sum(len(part.shape.columns) for part in self._parts)
        for part in self._parts:
            part.shape.starts = own, joined
            own += len(part.shape.columns)
            joined += len(part.shape.joined_columns)

    @property
    def ends(self) -> bool:
        return not any(part.shape.children for part in self._parts)

    def page(self, window: Window) -> Statement:
        query = self._parts[0].shape.query()
        order = pages.outer_order(self._parts[0].listed, window)
        inner = pages.for_each(query, self._merged(query, window, order), PARENTS)
        columns: list[Composable] = [Identifier("b", name) for name in ("n", "k0", "kid", "part")]
        columns += [column for part in self._parts for column in part.shape.own_columns()]
        columns += [column for part in self._parts for column in part.shape.columns_of_joins()]
        joins = [join for part in self._parts for join in part.shape.joined(query)]
        return made(query, widened(inner, columns, joins, SQL("n, ") + order))

    def _merged(self, query: Query, window: Window, order: Composable) -> Composed:
        branches = UNION.join(self._branch(query, window, number) for number in range(len(self._parts)))
        return SQL("SELECT u.* FROM ({}) AS u ORDER BY {} LIMIT {}").format(
            branches, order, query.bind(window.limit, "int")
        )

    def _branch(self, query: Query, window: Window, number: int) -> Composed:
        part = self._parts[number]
        body = pages.page(query, part.listed, window, part.shape.columns, None)
        columns = [SQL("s.k0"), SQL("s.kid"), SQL(f"{number} AS part"), *self._columns(number)]
        return SQL("SELECT {} FROM ({}) AS s").format(COMMA.join(columns), body)

    def _columns(self, number: int) -> Iterator[Composable]:
        """Of all parts, null but in the part's own rows."""
        for place, part in enumerate(self._parts):
            for column, name in enumerate(part.shape.columns):
                value = Identifier("s", f"c{column}")
                other = null(part.shape.read.source.type_of(name))
                yield (value if place == number else other) + SQL(" AS ") + Identifier(f"{part.shape.prefix}{column}")

    def count(self) -> Statement:
        query = self._parts[0].shape.query()
        return made(query, pages.count(query, [part.listed for part in self._parts], PARENTS))

    def sums(self, group: str, columns: Sequence[str]) -> Statement:
        """Raises: NotCompilableError."""
        raise NotCompilableError(f"sums of {columns} by {group} over several types")

    def masks(self, field: str) -> bool:
        return any(field in part.shape.viewer.masked(part.shape.read.entity) for part in self._parts)

    def note(self, rows: Sequence[tuple[Any, ...]], environment: Environment) -> None:
        for number, part in enumerate(self._parts):
            part.shape.note([row for row in rows if row[PART] == number], environment)

    async def run_children(self, rows: Sequence[tuple[Any, ...]], environment: Environment) -> None:
        shown = [[row for row in rows if row[PART] == number] for number in range(len(self._parts))]
        asking = [
            partial(part.shape.run_children, found, environment)
            for part, found in zip(self._parts, shown, strict=True)
            if found and part.shape.children
        ]
        if asking:
            await together(environment.moment.reads, asking)
