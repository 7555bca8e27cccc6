"""SQL out of declarations, never out of a client's text. `Query.rows_of` stands at every table reference: it alone adds the
workspace, `removed`, and `asOf`, so no query can forget them. Pages of a connection are in `pages.py`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, LiteralString

from psycopg.abc import AdaptContext
from psycopg.sql import SQL, Composable, Composed, Identifier

from crm_es.errors import InvalidInputError
from crm_es.projector.contract import Column, Table
from crm_es.values import writable

COMMA = SQL(", ")
AND = SQL(" AND ")
UNION = SQL(" UNION ALL ")
TRUE = SQL("true")
FALSE = SQL("false")
LOG: Final = "es"
"""The log's own schema, as the `model` of a source: it is no read model, so it is never behind, and has no past."""
ACCESS: Final = "access"
"""So has the access log."""
_NO_MODELS: Final = frozenset({LOG, ACCESS})


@dataclass(frozen=True, slots=True)
class Source:
    """A table of a read model; `model` is the read model's NAME, which is also its schema."""

    model: LiteralString
    table: Table

    @property
    def names(self) -> tuple[LiteralString, ...]:
        """Every column a query may name, those all tables have included."""
        return ("workspace_id", "position", *(column.name for column in self.table.columns))

    @property
    def ends(self) -> bool:
        """Whether rows end by an update of `removed`."""
        return any(column.name == "removed" for column in self.table.columns)

    def column(self, name: str) -> Column:
        """Raises: KeyError."""
        for column in self.table.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.model}.{self.table.name} has no column {name}")

    def type_of(self, name: str) -> LiteralString:
        """Raises: KeyError."""
        return "bigint" if name == "position" else self.column(name).type

    def nullable(self, name: str) -> bool:
        """Whether rows may lack it. Personal columns may: erasure empties them."""
        if name in {"workspace_id", "position"}:
            return False
        column = self.column(name)
        return column.null or column.personal


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter known only when a compiled plan runs: `take(environment)` gives it."""

    take: Callable[[Any], object]


class Numbered(Composable):
    """`$3::uuid`: a parameter with its type, so that one prepared statement serves every value."""

    def __init__(self, number: int, type_: LiteralString) -> None:
        super().__init__(f"${number}::{type_}")
        self._text = f"${number}::{type_}"

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:  # noqa: ARG002  # psycopg's signature
        return self._text.encode()


class Text(Composable):
    """SQL of declarations alone, rendered once for all statements that say it: composing takes longer than many a row."""

    def __init__(self, made: Composable) -> None:
        super().__init__(made)
        self._text = made.as_bytes(None)

    def as_bytes(self, context: AdaptContext | None = None) -> bytes:  # noqa: ARG002  # psycopg's signature
        return self._text


@lru_cache(maxsize=10_000)
def named(alias: str, name: str) -> Text:
    return Text(Identifier(alias, name))


@lru_cache(maxsize=10_000)
def selected(
    alias: str, names: tuple[str, ...], called: tuple[str, ...] = (), nulls: tuple[LiteralString, ...] = ()
) -> Text:
    """A SELECT list, with other names when there are any; in the place of what has a type among the `nulls`, NULL of it."""
    found: list[Composable] = [named(alias, name) for name in names]
    if nulls:
        found = [null(type_) if type_ else shown for type_, shown in zip(nulls, found, strict=True)]
    if called:
        found = [SQL("{} AS {}").format(each, Identifier(name)) for each, name in zip(found, called, strict=True)]
    return Text(COMMA.join(found))


@lru_cache(maxsize=10_000)
def _table(schema: str, name: str, alias: str) -> Text:
    return Text(SQL("{} AS {}").format(Identifier(schema, name), Identifier(alias)))


@lru_cache(maxsize=10_000)
def _standing(alias: str) -> Text:
    return Text(SQL("NOT {}").format(named(alias, "removed")))


def _compared(alias: str, name: str, operator: LiteralString, parameter: Composable) -> Composable:
    return SQL("{} {} {}").format(named(alias, name), SQL(operator), parameter)


def null(type_: LiteralString) -> Composable:
    """Of a type, or sums and joins over it would take it for text."""
    return SQL("NULL::{}").format(SQL(type_))


Condition = Callable[["Query", LiteralString], Composable]
"""A row condition on the rows under an alias."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who reads, when: what a statement needs of one operation. In a compiled plan the values are slots.

    The functions shape statements, so a plan is kept for each outcome of theirs: what is masked of an entity type, how far it
    may be read, whether its events may be.
    """

    workspace: object
    member_id: object
    now: object
    time_zone: object = "UTC"
    week_starts_on: int = 1
    masked: Callable[[str | None], frozenset[str]] = field(default=lambda _entity: frozenset())
    scope: Callable[[str], str | None] = field(default=lambda _entity: "WORKSPACE")
    audits: Callable[[str], bool] = field(default=lambda _entity: False)


class Query:
    """One statement in the making: its parameters, and the workspace and moment that hold at all its table references.

    `at` is a position (or its slot), None for the present.
    """

    def __init__(self, viewer: Viewer, at: object | None) -> None:
        self.viewer = viewer
        self.parameters: list[object] = []
        self.at = at
        self.models: set[str] = set()
        self.past = at is not None
        self._seen: dict[tuple[int, LiteralString], Numbered] = {}
        self._aliases = 0

    def bind(self, value: object, type_: LiteralString, convert: Callable[[Any], object] | None = None) -> Composable:
        """A parameter, converted first. The very same object asked for again is bound once."""
        known = self._seen.get((id(value), type_)) if convert is None else None
        if known is None:
            self.parameters.append(_sound(_converted(value, convert)))
            known = Numbered(len(self.parameters), type_)
            if convert is None:
                self._seen[(id(value), type_)] = known
        return known

    def alias(self) -> LiteralString:
        """A fresh alias."""
        self._aliases += 1
        return _ALIASES[self._aliases]

    def branches(self, source: Source) -> tuple[bool, ...]:
        """Live alone; as of the past also the twin (True), where there is one."""
        return (False, True) if self.past and source.table.versioned else (False,)

    def rows_of(
        self, source: Source, alias: LiteralString, *, twin: bool = False
    ) -> tuple[Composable, list[Composable]]:
        """What to put into FROM and into WHERE for the rows of `source`, or of its history twin."""
        if source.model not in _NO_MODELS:
            self.models.add(source.model)
        name = f"{source.table.name}_history" if twin else source.table.name
        where: list[Composable] = [_compared(alias, "workspace_id", "=", self.bind(self.viewer.workspace, "uuid"))]
        if source.ends:
            where.append(_standing(alias))
        if self.past and source.model not in _NO_MODELS:
            at = self.bind(self.at, "bigint")
            where.append(_compared(alias, "position", "<=", at))
            if twin:
                where.append(_compared(alias, "valid_to_position", ">", at))
        return _table(source.model, name, alias), where

    def select(
        self, source: Source, alias: LiteralString, columns: Iterable[str], where: Callable[[], Sequence[Composable]]
    ) -> Composed:
        """The rows of `source` at the query's moment, one SELECT a branch; `where` adds conditions on the alias."""
        listed = selected(alias, tuple(columns))
        parts = []
        for twin in self.branches(source):
            table, own = self.rows_of(source, alias, twin=twin)
            parts.append(SQL("SELECT {} FROM {} WHERE {}").format(listed, table, AND.join([*own, *where()])))
        return UNION.join(parts)

    def exists(self, source: Source, where: Callable[[LiteralString], Sequence[Composable]]) -> Composable:
        """Whether a row of `source` meets the conditions."""
        alias = self.alias()
        return SQL("EXISTS ({})").format(self.select(source, alias, (), lambda: where(alias)))

    def joined(
        self, source: Source, alias: LiteralString, columns: Iterable[str], on: Callable[[LiteralString], Composable]
    ) -> Composable:
        """`source` as a joined item: a lateral subselect over its branches, which the planner pulls up."""
        inner = self.alias()
        return SQL("LATERAL ({}) AS {}").format(
            self.select(source, inner, columns, lambda: [on(inner)]), Identifier(alias)
        )


def _converted(value: object, convert: Callable[[Any], object] | None) -> object:
    if convert is None:
        return value
    if isinstance(value, Slot):
        take = value.take
        return Slot(lambda environment: convert(_sound(take(environment))))
    return convert(_sound(value))


def _sound(value: object) -> object:
    """The parameter, once it is known to be something PostgreSQL can be sent. Raises: InvalidInputError."""
    if isinstance(value, Slot):
        take = value.take
        return Slot(lambda environment: _sound(take(environment)))
    for text in (value,) if isinstance(value, str) else value if isinstance(value, list) else ():
        if isinstance(text, str) and not writable(text):
            raise InvalidInputError("No text holds U+0000 or half a surrogate pair.", rule="text.unwritable")
    return value


def derived(make: Callable[..., object], *values: Any) -> object:
    """`make(*values)`, or its slot where a value is one."""
    if not any(isinstance(value, Slot) for value in values):
        return make(*values)
    return Slot(lambda e: make(*(value.take(e) if isinstance(value, Slot) else value for value in values)))


_ALIASES: tuple[LiteralString, ...] = tuple(f"r{n}" for n in range(2000))

__all__ = ["AND", "COMMA", "FALSE", "TRUE", "UNION", "Condition", "Query", "Slot", "Source", "Viewer", "derived"]
