"""What a declaration is made of. Data only: `declare.py` makes these, `resolve.py` and `plan.py` execute them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, LiteralString

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument

from crm_es.api.nodes import Node
from crm_es.reads.sql import Condition, Source
from crm_es.workspaces.actions import Action

Target = Callable[[], Any]
Direction = Literal["ASC", "DESC"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """An argument of a declared field. `where` makes a condition of its value, for lists.

    A name that Python keeps for itself ends in an underscore, as `from_`; clients write it without.
    """

    name: str
    type: Any
    default: Any = strawberry.UNSET
    description: str | None = None
    where: Callable[[Any], Condition] | None = None

    def strawberry(self) -> StrawberryArgument:
        return StrawberryArgument(
            python_name=self.name,
            graphql_name=self.name.removesuffix("_") if self.name.endswith("_") else None,
            type_annotation=StrawberryAnnotation(self.type),
            default=self.default,
            description=self.description,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A field answered from columns of the record's own row: `build(*columns)`, or the column itself.

    A null in `columns[0]` answers null unless `nulls`. `contextual` puts the record's `Moment` before the columns.
    `sensitive`, here and below: whoever reads it is noted in the access log with the field's name.
    `beside`: the columns stand in another table, in the row with the record's id. `promised`: no row that is shown lacks it.
    `present`: an object that names records as they are now, whenever its own is shown.
    """

    columns: tuple[str, ...]
    build: Callable[..., Any] | None = None
    nulls: bool = False
    contextual: bool = False
    arguments: tuple[Argument, ...] = ()
    maskable: bool = True
    lazy: bool = False
    beside: Source | None = None
    promised: bool = False
    sensitive: bool = False
    present: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class One:
    """A record found by its id, which stands in `column`."""

    column: str
    target: Target
    maskable: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)


@dataclass(frozen=True, kw_only=True, slots=True)
class Either:
    """A record of one of several types: `kind` is the column that tells which, `targets` the types by its values."""

    kind: str
    column: str
    targets: Mapping[str, Target]
    maskable: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.kind, self.column)


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A record that a plain object names: `of(object)` gives its id and the moment it is shown at, or None."""

    target: Target
    of: Callable[[Any], tuple[Any, Any] | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedValue:
    """A column of the first of these records that there is."""

    of: tuple[Named, ...]
    column: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A link table between two types. `orders` names the link's own copies of the target's order columns."""

    source: Source
    parent: str
    child: str
    orders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Many:
    """A short list in full: the target's rows whose `via` is this record. `limit` is a promise of the domain's.

    `order` names columns, with a minus for descending.
    """

    target: Target
    via: str | Link
    order: tuple[str, ...]
    where: Condition | None = None
    arguments: tuple[Argument, ...] = ()
    limit: int = 1000
    maskable: bool = True
    columns: tuple[str, ...] = ()
    sensitive: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A paged list of the target. `via` None: a root field, over all the workspace's rows."""

    target: Target
    via: str | Link | None = None
    filter: bool = True
    order: bool = True
    default: tuple[tuple[str, Direction], ...] = ()
    arguments: tuple[Argument, ...] = ()
    where: Condition | None = None
    as_of: bool = False
    maskable: bool = True
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """One paged list of several types: each part is read by itself, in the one order they share, of values that are never null.

    `among(arguments)`: the parts that the list holds, by their places.
    """

    parts: tuple[Connection, ...]
    among: Callable[[Mapping[str, Any]], Sequence[int]]
    arguments: tuple[Argument, ...] = ()
    maskable: bool = True
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Lookup:
    """A root field: one record by its global id."""

    target: Target
    as_of: bool = True
    columns: tuple[str, ...] = ()
    maskable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Anything:
    """A root field: the record with a global id, of one of these read types by name; as of the id's moment unless told."""

    types: Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summed:
    """A field of a connection: `of(list)`, worked out from sums over the whole list."""

    of: Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Batched:
    """A field that is no row of a read model (a fold of streams): `load(reads, records, arguments)` answers for all at once."""

    load: Callable[[Any, Sequence[Any], Mapping[str, Any]], Awaitable[Sequence[Any]]]
    arguments: tuple[Argument, ...] = ()
    columns: tuple[str, ...] = ()
    maskable: bool = True
    sensitive: bool = False


Declaration = Value | One | Either | Many | Connection | Merged | Lookup | Batched


@dataclass(frozen=True, slots=True)
class Beside:
    """A column of another table, in the row with the record's id; every record has one."""

    source: Source
    column: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """The orders a list of the type takes: GraphQL enum value → column; `default` when none is asked for."""

    columns: Mapping[str, str | Beside]
    default: tuple[tuple[str, Direction], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Owned:
    """Whose record it is, for the scopes OWN and TEAM: a column of member ids, and the type that knows members' teams."""

    column: str
    member: Target


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """What a record's state leaves to do with it, whoever asks: `leaves(*columns)`; None: everything."""

    columns: tuple[str, ...]
    leaves: Callable[..., AbstractSet[Action] | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadType:
    """What `read_type` worked out of a class."""

    cls: type[Any]
    name: str
    source: Source
    key: str | None
    entity: str | None
    fields: Mapping[str, Declaration]
    columns: tuple[str, ...]
    index: Mapping[str, int]
    orders: Orders | None
    filter: Target | None
    owned: Owned | None
    hidden: Condition | None
    listed: tuple[str, str] | None
    team: str | None
    about: tuple[str, str] | None = None

    @property
    def node(self) -> bool:
        """Whether a record has an id of its own; if not, it is part of another."""
        return self.key is not None and issubclass(self.cls, Node)

    @property
    def sensitive(self) -> frozenset[str]:
        """The API names of sensitive fields."""
        return frozenset(name for name, declared in self.fields.items() if is_sensitive(declared))

    def masked(self, names: frozenset[str]) -> frozenset[str]:
        """The columns that no statement may select when these API fields are masked. What finds the record is none, nor what a
        field that is shown needs beside its own value (an amount's currency)."""
        if not names:
            return frozenset()
        hidden = [self.fields[name] for name in names if name in self.fields and not beside(self.fields[name])]
        shown = [declared for name, declared in self.fields.items() if name not in names and not beside(declared)]
        shared = {column for declared in shown for column in _further(declared)}
        columns = {column for declared in hidden for column in declared.columns if column not in shared}
        columns |= {column for declared in hidden for column in declared.columns if column not in _further(declared)}
        return frozenset(columns - {self.key})

    @property
    def key_type(self) -> LiteralString:
        return "uuid" if self.key is None else self.source.type_of(self.key)


def is_sensitive(declared: Declaration) -> bool:
    """Whether reading the field is noted by its name: where to reach somebody, and what was written or said."""
    return isinstance(declared, Value | Many | Batched) and declared.sensitive


def beside(declared: Declaration) -> Source | None:
    """The other table a field is read from."""
    return declared.beside if isinstance(declared, Value) else None


def _further(declared: Declaration) -> tuple[str, ...]:
    """What a value is made of beside its first column, without which it is null."""
    return declared.columns[1:] if isinstance(declared, Value) and not declared.nulls else ()


@cache
def companion(source: Source) -> ReadType:
    """A table beside a type's own, as something to join and to load by id."""
    return ReadType(
        cls=object, name=f"{source.model}.{source.table.name}", source=source, key="id", entity=None, fields={}, columns=(),
        index={}, orders=None, filter=None, owned=None, hidden=None, listed=None, team=None,
    )  # fmt: skip


def read_of(cls: Any) -> ReadType:
    """The declaration behind a read type."""
    found: ReadType = cls.__read__
    return found
