"""What a read model is: a plain module with these names. Table declarations are data; `tables.py` makes the DDL of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, Protocol

from crm_es.eventstore.event import Fact


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column beside the ones every table has (`workspace_id uuid`, `position bigint`, both NOT NULL).

    `personal` columns hold, or derive from, a subject's data: they become NULL when the table's subject is erased, so they
    are nullable whatever `null` says. `default` is the value of an insert that does not name the column; columns have no
    default in SQL. Sort forms say `collate="C"`, so that order and prefix search mean the same on every machine.
    """

    name: LiteralString
    type: LiteralString
    null: bool = False
    personal: bool = False
    default: object = None
    collate: LiteralString | None = None

    @property
    def nullable(self) -> bool:
        return self.null or self.personal


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """An index; `workspace_id` is put in front of a btree's columns and the key behind them.

    `descending` puts nulls last, as lists do. `order` says a GraphQL order reads it: the twin then has its like, with
    INCLUDE (position, valid_to_position). `method` may be gin, its columns naming their operator class ("name gin_trgm_ops").
    """

    name: LiteralString
    columns: tuple[LiteralString, ...]
    descending: bool = False
    order: bool = False
    unique: bool = False
    method: LiteralString = "btree"
    where: LiteralString | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Table:
    """A read-model table; `key` follows `workspace_id` in the primary key.

    `versioned`: rows change, and a history twin `<name>_history` keeps every earlier version with `valid_to_position`;
    rows end by an update of `removed`, never by DELETE. Not versioned: rows are inserted, or `put` where only the newest
    of a key counts.
    `subject` names the uuid column (or uuid[] column) whose erasure scrubs the personal columns.
    """

    name: LiteralString
    columns: tuple[Column, ...]
    key: tuple[LiteralString, ...] = ("id",)
    versioned: bool = True
    subject: LiteralString | None = None
    indexes: tuple[Index, ...] = ()


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression as the value of an update, over the row's own columns: `Sql("interaction_count + 1")`.

    `{value}` in it stands for `value`, typed as the column: `Sql("greatest(last_at, {value})", at)`.
    """

    expression: LiteralString
    value: Any = None


class Batch(Protocol):
    """Where `apply` puts its rows. Inserts are written before updates; updates keep their order on a row.

    `workspace_id` and `position` come from `fact`; every write of one event on one row is at that event's position, and no
    two events on one row are ever folded into one write. `Erased` is written as NULL.
    Since inserts go first, an `execute` may meet rows of later events: it must ask for `position <= %(position)s`.
    """

    def insert(self, table: Table, fact: Fact, /, **values: Any) -> None:
        """A new row. A versioned table's row may be updated later in the same page."""

    def put(self, table: Table, fact: Fact, /, **values: Any) -> None:
        """The row of its key from now on; columns not named keep what stood there, or their default in a new row.

        Only for tables that are not versioned: writes of one page on a row become one, before all updates.
        """

    def save(self, table: Table, fact: Fact, /, **values: Any) -> None:
        """A new row, or all of the row of its key where one stands (removed before, say), in its turn among the updates."""

    def update(self, table: Table, fact: Fact, key: Mapping[str, Any], /, **values: Any) -> None:
        """Set columns of the row with this key (without workspace_id). Values are absolute, or `Sql`."""

    def execute(self, fact: Fact, sql: LiteralString, /, **params: Any) -> None:
        """Any other UPDATE, or INSERT .. SELECT, in its turn among the updates.

        `{schema}` stands for this read model's schema; %(workspace_id)s and %(position)s are given. An UPDATE must set
        `position`.
        """

    def select(self, sql: LiteralString, /, **params: Any) -> list[tuple[Any, ...]]:
        """Read this read model's own rows, `{schema}` as in `execute`; writes what was queued before."""
        ...


class ReadModel(Protocol):
    """A module of `projections/`. Its schema is called `NAME`; raise `VERSION` when tables or `apply` change, then rebuild.

    A module may also have `FUNCTIONS`, a tuple of CREATE FUNCTION statements with `{schema}` for its schema. Functions must
    survive that schema's renaming: write them as BEGIN ATOMIC.
    """

    NAME: LiteralString
    VERSION: int
    TABLES: tuple[Table, ...]
    TOPICS: frozenset[str]

    @property
    def apply(self) -> Callable[[Batch, Sequence[Fact]], None]:
        """Turns facts (in log order, of many workspaces, only those of TOPICS) into rows. No clock, no I/O but the batch."""
        ...
