"""How a room declares what can be read: ordinary Strawberry types whose fields name columns and relations of read models.

    @read_type(Source("contact_profiles", CONTACT), entity="CONTACT", label="display_name", orders=…, filter=…)
    class Contact(Entity):
        display_name: str | None = column("display_name", "As the person is called.")
        company = one("company_id", lambda: Company, "Where the person works.")
        interactions = connection(lambda: Interaction, via=Link(…), description="What happened, newest first.")

No resolver is written by hand: `resolve.py` executes these declarations, `plan.py` compiles them, `check.py` compares them
with the catalogue.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any, Final, TypeVar
from uuid import UUID

import strawberry
from psycopg.sql import SQL, Identifier
from strawberry.annotation import StrawberryAnnotation

from crm_es import values as amounts
from crm_es.api import ids
from crm_es.api.nodes import Money
from crm_es.api.scalars import Position
from crm_es.catalog import sources_of
from crm_es.errors import InvalidInputError
from crm_es.eventstore.event import camel
from crm_es.reads import connections
from crm_es.reads.fields import ReadField
from crm_es.reads.later import Later
from crm_es.reads.model import (
    Argument,
    Batched,
    Beside,
    Connection,
    Declaration,
    Either,
    Link,
    Lookup,
    Many,
    Merged,
    Named,
    NamedValue,
    One,
    Orders,
    Owned,
    ReadType,
    State,
    Target,
    Value,
    read_of,
)
from crm_es.reads.session import Moment
from crm_es.reads.sql import Condition, Source
from crm_es.workspaces.actions import Action

__all__ = [
    "Argument", "Beside", "Condition", "Link", "Orders", "Owned", "Source", "State", "batched", "column", "computed",
    "connection", "either", "id_of", "lookup", "many", "merged", "money", "named", "named_value", "one", "read_of", "read_type",
    "values",
]  # fmt: skip

T = TypeVar("T")


def column(
    name: str, description: str | None = None, *, render: Callable[[Any], Any] | None = None, called: str | None = None,
    **options: Any,
) -> Any:  # fmt: skip
    """The column itself, or `render(value)` where it is not null. `called`: its name in the API, where Python has no such.

    Options of values: `maskable`; `lazy` (long texts: loaded when asked); `beside` (a table with a row for each record's id);
    `promised` (the column may be null, but rows without it are never shown).
    """
    made = _field(Value(columns=(name,), build=render, **options), description)
    made.graphql_name = called
    return made


def id_of(name: str, type_: str, description: str | None = None, **options: Any) -> Any:
    """A uuid column as the global id of a `type_`, past under `asOf`."""
    return _field(Value(columns=(name,), contextual=True, build=_global_id(type_), **options), description)


def money(minor: str, currency: str, description: str | None = None, **options: Any) -> Any:
    """Two columns as an amount of money."""
    return _field(Value(columns=(minor, currency), build=_money, **options), description)


def values(name: str, build: Callable[[Any], Any], description: str | None = None, **options: Any) -> Any:
    """A jsonb or array column as a list, each item through `build`."""
    return _field(Value(columns=(name,), build=lambda items: [build(item) for item in items], **options), description)


def computed(
    build: Callable[..., Any], needs: tuple[str, ...], description: str | None = None, *,
    arguments: tuple[Argument, ...] = (), **options: Any,
) -> Any:  # fmt: skip
    """Pure and sync: `build(*needed columns, **arguments)`."""
    return _field(Value(columns=needs, build=build, arguments=arguments, **options), description)


def one(column: str, target: Target, description: str | None = None, *, null: bool = True, **options: Any) -> Any:
    """The record whose id stands in `column`. Null also where the viewer may not see it; `null=False` is a promise."""
    answer = Later(target)
    return _field(One(column=column, target=target, **options), description, answer | None if null else answer)


def either(kind: str, column: str, targets: Mapping[str, Target], answer: Any, description: str | None = None) -> Any:
    """The record whose id stands in `column`, of the type that stands in `kind`; null also where the viewer may not see it."""
    return _field(Either(kind=kind, column=column, targets=targets), description, answer | None)


def named(target: Target, of: Callable[[Any], tuple[Moment, UUID] | None], description: str | None = None) -> Any:
    """On a plain type: the record whose id its objects hold, at a moment; null also where the viewer may not see it."""
    return _answered(_field(Named(target=target, of=of), description, Later(target) | None))


def named_value(column: str, of: tuple[Any, ...], description: str | None = None) -> Any:
    """On a plain type: a column of the first record there is of these `named` ones."""
    return _answered(_field(NamedValue(of=tuple(each.metadata["read"] for each in of), column=column), description))


def _answered(made: Any) -> Any:
    """No part of the object itself."""
    made.init = made.repr = made.compare = False
    return made


def many(
    target: Target,
    *,
    via: str | Link,
    order: tuple[str, ...],
    description: str | None = None,
    null: bool = False,
    **options: Any,
) -> Any:
    """All of them, in order. For short lists; anything that grows is a `connection`."""
    answer: Any = list[Later(target)]  # type: ignore[misc]
    return _field(Many(target=target, via=via, order=order, **options), description, answer | None if null else answer)


def connection(
    target: Target, *, via: str | Link | None = None, description: str | None = None, null: bool = False,
    **options: Any,
) -> Any:  # fmt: skip
    """A keyset-paged list: first, after, last, before, and the type's filter and orderBy unless switched off.

    `via` names the target's foreign key, or a link. Without it this is a root field, which then takes `asOf`.
    """
    declared = Connection(target=target, via=via, as_of=options.pop("as_of", via is None), **options)
    answer = Later(lambda: connections.connection_type(target()))
    result = _field(declared, description, answer | None if null else answer)
    result.arguments = connections.arguments(declared)
    return result


def merged(
    *parts: Connection, name: str, node: Target, among: Callable[[Mapping[str, Any]], Sequence[int]],
    arguments: tuple[Argument, ...] = (), description: str | None = None,
) -> Any:  # fmt: skip
    """A keyset-paged list of an interface: `name` (TimelineConnection) of `node` (TimelineItem), its records of all parts."""
    declared = Merged(parts=parts, among=among, arguments=arguments)
    result = _field(declared, description, Later(lambda: connections.connection_type(node(), name)))
    result.arguments = connections.merged_arguments(declared)
    return result


def lookup(target: Target, description: str | None = None, *, as_of: bool = True) -> Any:
    """A root field: the record with this id, null where there is none the viewer may see."""
    declared = Lookup(target=target, as_of=as_of)
    result = _field(declared, description, Later(target) | None)
    result.arguments = connections.lookup_arguments(declared)
    return result


def batched(
    load: Callable[[Any, Sequence[Any], Mapping[str, Any]], Awaitable[Sequence[Any]]], answer: Any,
    description: str | None = None, *, arguments: tuple[Argument, ...] = (), **options: Any,
) -> Any:  # fmt: skip
    """A field worked out by `load(reads, records, arguments)`, once for all records of a level."""
    return _field(Batched(load=load, arguments=arguments, **options), description, answer)


def read_type(
    source: Source, *, entity: str | None = None, label: str | None = None, key: str | None = "id",
    orders: Orders | None = None, filter: Target | None = None, owned: Owned | None = None,
    hidden: Condition | None = None, listed: tuple[str, str] | None = None, team: str | None = None,
    name: str | None = None, state: State | None = None, about: tuple[str, str] | None = None,
) -> Callable[[type[T]], type[T]]:  # fmt: skip
    """A Strawberry type that is read from `source`; its docstring is its description.

    - `entity`: the EntityType its permissions go by; None: whoever may read the parent may read this.
    - `label`: the column of `label`, and with it the fields of `Entity` are added: id, liveId, streamId, version, asOf,
      label, createdAt, updatedAt, viewerCan, maskedFields (columns id, version, created_at, updated_at).
    - `listed`: (column, value) that lists hold unless the filter names `recordStatus`.
    - `hidden`: a condition on rows the viewer may see; gets the viewer through `Query.viewer`.
    - `team`: on the type of members, their team's column.
    - `state`: what a record's state leaves to do, for `viewerCan`.
    - `about`: (column of an aggregate's name, column of an id) of the record that one of these tells about: reading an event
      is reading of its record.
    """

    def declare(cls: type[T]) -> type[T]:
        type_name = name or cls.__name__
        if label is not None:
            _entity_fields(cls, type_name, entity, label, owned=owned, state=state)
        made: Any = strawberry.type(cls, name=name, description=_described(cls))
        fields = {
            item.graphql_name or camel(item.python_name): item.metadata["read"]
            for item in made.__strawberry_definition__.fields
            if "read" in item.metadata
        }
        made.__read__ = _worked_out(
            cls=made, name=type_name, source=source, entity=entity, fields=fields, orders=orders, filter=filter, owned=owned,
            hidden=hidden, listed=listed, team=team, key=key, about=about,
        )  # fmt: skip
        return made  # type: ignore[no-any-return]

    return declare


def _worked_out(*, fields: Mapping[str, Declaration], key: str | None, **rest: Any) -> ReadType:
    wanted = [] if key is None else [key]
    wanted += [name for declared in fields.values() if not _is_lazy(declared) for name in declared.columns]
    columns = tuple(dict.fromkeys(wanted))
    index = {name: number for number, name in enumerate(columns)}
    return ReadType(fields=fields, key=key, columns=columns, index=index, **rest)


def _is_lazy(declared: Declaration) -> bool:
    """Not in the row a record is loaded with."""
    return isinstance(declared, Value) and (declared.lazy or declared.beside is not None)


def _described(cls: type[Any]) -> str | None:
    return " ".join(cls.__doc__.split()) if cls.__doc__ else None


def _field(declared: Declaration | Named | NamedValue, description: str | None, answer: Any = None) -> Any:
    made = ReadField(description=description, metadata={"read": declared})
    if answer is not None:
        made.type_annotation = StrawberryAnnotation(answer)
    made.arguments = [argument.strawberry() for argument in getattr(declared, "arguments", ())]
    return made


def _money(minor: int, currency: str) -> Money:
    return Money(amount=amounts.Money(minor, currency).amount, currency=currency)


def _live_id(type_: str) -> Callable[[UUID], str]:
    return lambda id_: ids.encode(type_, id_)


def _global_id(type_: str) -> Callable[..., str]:
    return lambda moment, value: moment.global_id(type_, value)


def _viewer_can(entity: str | None, owned: Owned | None, state: State | None) -> Any:
    """What the viewer's roles allow, with this record in its state: so that screens can trust it."""
    owner = () if owned is None else (owned.column,)

    def allowed(moment: Moment, _id: UUID, *row: Any) -> list[Action]:
        owned_by, columns = (row[0], row[1:]) if owner else (None, row)
        return moment.viewer_can(entity, owned_by, None if state is None else state.leaves(*columns))

    needs = ("id", *owner, *(state.columns if state else ()))
    return computed(allowed, needs, "What you may do with it.", contextual=True, maskable=False)


def _entity_fields(
    cls: type[Any], type_name: str, entity: str | None, label: str, *, owned: Owned | None, state: State | None
) -> None:
    """The fields every record with a stream has, unless the class declares its own."""
    fixed: dict[str, tuple[Any, Any]] = {
        "id": (strawberry.ID, id_of("id", type_name, "Its own under asOf.", maskable=False)),
        "live_id": (strawberry.ID, column("id", "The same record now.", render=_live_id(type_name), maskable=False)),
        "stream_id": (UUID, column("id", "As in exports.", maskable=False)),
        "version": (int, column("version", "Counts its events; send it as expectedVersion.", maskable=False)),
        "as_of": (
            Position | None,
            computed(lambda moment, _id: moment.at, ("id",), "Set on a past one.", contextual=True, maskable=False),
        ),
        "label": (str | None, column(label, "What to call it in any list.")),
        "viewer_can": (list[Action], _viewer_can(entity, owned, state)),
        "masked_fields": (
            list[str],
            computed(
                lambda moment, _id: moment.masked_fields(entity),
                ("id",),
                "Null for you, not in truth: never write them back.",
                contextual=True,
                maskable=False,
            ),
        ),
        "created_at": (datetime, column("created_at", "When it was first recorded.", maskable=False)),
        "updated_at": (datetime, column("updated_at", "When it was last changed.", maskable=False)),
    }
    if "history" not in cls.__dict__:
        setattr(cls, "history", _history(type_name))  # noqa: B010  # read types have no common base to declare it
    for python_name, (annotation, made) in fixed.items():
        if python_name not in cls.__dict__:
            setattr(cls, python_name, made)
            cls.__annotations__[python_name] = annotation


_FIELDS: Final = "Events that changed one of these, or what it follows from, as a name from its parts."


def _history(type_name: str) -> Any:
    """The record's events, newest first; the trail is a room above, so it is looked up when the schema is made."""

    def known(names: list[str]) -> list[str]:
        sources = sources_of(type_name)
        for place, name in enumerate(names):
            if name not in sources:
                message = f"No event of a {type_name} changes {name}. Those are {', '.join(sorted(sources))}."
                raise InvalidInputError(message, rule="history.unknown_field", field=("fields", str(place)))
        return sorted({source for name in names for source in sources[name]})

    def touching(names: list[str]) -> Condition:
        return lambda query, alias: SQL("{} && {}").format(
            Identifier(alias, "fields"), query.bind(names, "text[]", known)
        )

    return connection(
        lambda: import_module("crm_es.workspaces.audit").Event,
        via="stream_id",
        order=False,
        null=True,
        default=(("position", "DESC"),),
        arguments=(Argument(name="fields", type=list[str] | None, description=_FIELDS, where=touching),),
        description="Who changed what, when and why, newest first: of the fields you may read.",
    )
