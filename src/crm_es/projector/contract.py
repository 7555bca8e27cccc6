"""What a read model is: a plain module with these names. Table declarations are data; `tables.py` makes the DDL of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString, Protocol

from crm_es.eventstore.event import Fact


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column beside the ones every table has (`workspace_id uuid`, `position bigint`, both NOT NULL).

    `personal` columns hold, or derive from, a subject's data: they become NULL when the table's subject is erased, so they
    are nullable whatever `null` says.
    """

    name: LiteralString
    type: LiteralString
    null: bool = False
    personal: bool = False
    default: LiteralString | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """An index; `workspace_id` is put in front of a btree's columns and the key behind them.

    `order` says a GraphQL order reads it: its like on the twin then gets INCLUDE (position, valid_to_position).
    Expressions are allowed as columns ("lower(name)"), `method` may be gin with `ops` (workspace_id then through btree_gin).
    """

    name: LiteralString
    columns: tuple[LiteralString, ...]
    descending: bool = False
    order: bool = False
    unique: bool = False
    method: LiteralString = "btree"
    where: LiteralString | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A read-model table; `key` follows `workspace_id` in the primary key.

    `versioned`: rows change, and a history twin `<name>_history` keeps every earlier version with `valid_to_position`;
    rows end by an update of `removed`, never by DELETE. Not versioned: rows are only ever inserted (COPY).
    `subject` names the uuid column (or uuid[] column) whose erasure scrubs the personal columns.
    """

    name: LiteralString
    columns: tuple[Column, ...]
    key: tuple[LiteralString, ...] = ("id",)
    versioned: bool = True
    subject: LiteralString | None = None
    indexes: tuple[Index, ...] = ()


class Batch(Protocol):
    """Where `apply` puts its rows. Inserts of a table are written before its updates (one COPY), updates one by one in order.

    `workspace_id` and `position` come from `fact`; every write of one event on one row is at that event's position.
    """

    def insert(self, table: Table, fact: Fact, /, **values: Any) -> None:
        """A new row. A versioned table's row may be updated later in the same page."""

    def update(self, table: Table, fact: Fact, key: Mapping[str, Any], /, **values: Any) -> None:
        """Set columns of the row with this key (without workspace_id). Values are absolute, or `Sql`."""

    def execute(self, table: Table, fact: Fact, sql: LiteralString, params: Mapping[str, Any], /) -> None:
        """Any other UPDATE or INSERT .. SELECT on `table`, in its turn among the updates; %(workspace_id)s and %(position)s
        are given, the schema is on the search_path. It must set `position`."""

    def select(self, sql: LiteralString, params: Mapping[str, Any], /) -> list[tuple[Any, ...]]:
        """Read this read model's own rows; flushes what was queued before."""
        ...


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression as the value of an update: `Sql("interaction_count + 1")`; may use %(name)s of the same call."""

    expression: LiteralString


class ReadModel(Protocol):
    """A module of `projections/`. Its schema is called `NAME`; raise `VERSION` when tables or `apply` change, then rebuild."""

    NAME: LiteralString
    VERSION: int
    TABLES: tuple[Table, ...]
    TOPICS: frozenset[str]

    @staticmethod
    def apply(batch: Batch, facts: Sequence[Fact]) -> None:
        """Turn facts (in log order, of many workspaces, only those of TOPICS) into rows. No clock, no I/O but `batch`."""
