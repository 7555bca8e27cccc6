"""The generic executor: answers a declared field, through loaders, so that each level of a query is one statement."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial, singledispatch
from typing import Any
from uuid import UUID

from strawberry import UNSET

from crm_es.api import ids
from crm_es.reads import listing, pages, records
from crm_es.reads.model import (
    Batched,
    Connection,
    Either,
    Lookup,
    Many,
    Merged,
    Named,
    NamedValue,
    One,
    ReadType,
    Value,
    is_sensitive,
    read_of,
)
from crm_es.reads.pages import Listed, Window
from crm_es.reads.session import Moment
from crm_es.reads.sql import Viewer

Answer = Callable[[Any, Any, dict[str, Any]], Any]


def answering(declared: Any, name: str, read: Any) -> Answer:
    """The same as `answerer`; who reads a sensitive field is noted."""
    answer = answerer(declared, name, read)
    if read is None or not is_sensitive(declared):
        return answer

    def noted(source: Any, info: Any, given: dict[str, Any]) -> Any:
        moment = records.moment_of(source)
        if not _masked(moment, read, name):
            moment.reads.trail.fields.add(name)
        return answer(source, info, given)

    return noted


@singledispatch
def answerer(declared: Any, name: str, read: Any) -> Answer:  # noqa: ARG001  # for the answers below
    """How the field `name` is answered on records of `read`: (source, info, arguments) → value or awaitable.

    Root fields have no record; their `read` is None.
    """
    raise TypeError(f"{name}: {declared!r} is no declaration")


@answerer.register(Value)
def _of_value(declared: Value, name: str, read: ReadType) -> Answer:
    if declared.lazy or declared.beside is not None:
        return partial(_lazy, declared, name)
    places = tuple(read.index[name] for name in declared.columns)
    build = declared.build
    if build is None:
        (place,) = places
        return lambda source, _info, _given: source._row[place]  # noqa: SLF001
    if len(places) == 1 and not (declared.nulls or declared.contextual or declared.arguments):
        return lambda source, _info, _given: None if (v := source._row[places[0]]) is None else build(v)  # noqa: SLF001
    return partial(_built, declared, places)


def _built(declared: Value, places: tuple[int, ...], source: Any, _info: Any, given: dict[str, Any]) -> Any:
    row = source._row  # noqa: SLF001
    return _value(declared, records.moment_of(source), [row[place] for place in places], given)


def _value(declared: Value, moment: Moment, values: Sequence[Any], given: dict[str, Any]) -> Any:
    if values[0] is None and not declared.nulls:
        return None
    if declared.build is None:
        return values[0]
    return declared.build(*([moment] if declared.contextual else []), *values, **given)


async def _lazy(declared: Value, name: str, source: Any, _info: Any, given: dict[str, Any]) -> Any:
    """Columns that are not in the record's row: long ones, or of a table beside its own."""
    moment, read = records.moment_of(source), read_of(type(source))
    if _masked(moment, read, name):
        return None
    return _value(declared, moment, await records.load_columns(source, declared.columns, declared.beside), given)


@answerer.register(One)
def _of_one(declared: One, _name: str, read: ReadType) -> Answer:
    place = read.index[declared.column]
    target: list[ReadType] = []

    def answer(source: Any, _info: Any, _given: dict[str, Any]) -> Any:
        id_ = source._row[place]  # noqa: SLF001
        if id_ is None:
            return None
        if not target:
            target.append(read_of(declared.target()))
        return records.load(source._moment, target[0], id_)  # noqa: SLF001

    return answer


@answerer.register(Either)
def _of_either(declared: Either, _name: str, read: ReadType) -> Answer:
    kind, place = read.index[declared.kind], read.index[declared.column]

    def answer(source: Any, _info: Any, _given: dict[str, Any]) -> Any:
        target = declared.targets.get(source._row[kind])  # noqa: SLF001
        id_ = source._row[place]  # noqa: SLF001
        return None if target is None or id_ is None else records.load(source._moment, read_of(target()), id_)  # noqa: SLF001

    return answer


@answerer.register(Named)
def _of_named(declared: Named, _name: str, _read: None) -> Answer:
    return lambda source, _info, _given: _find_named(declared, source)


@answerer.register(NamedValue)
def _of_named_value(declared: NamedValue, _name: str, _read: None) -> Answer:
    async def answer(source: Any, _info: Any, _given: dict[str, Any]) -> Any:
        for each in declared.of:
            loading = _find_named(each, source)
            if loading is not None and (found := await loading) is not None:
                return records.raw(found, declared.column)
        return None

    return answer


def _find_named(declared: Named, source: Any) -> Awaitable[Any] | None:
    named = declared.of(source)
    return None if named is None else records.load(named[0], read_of(declared.target()), named[1])


@answerer.register(Many)
def _of_many(declared: Many, name: str, read: ReadType) -> Answer:
    def answer(source: Any, _info: Any, given: dict[str, Any]) -> Any:
        moment = records.moment_of(source)
        if _masked(moment, read, name):
            return None
        key = ("many", id(declared), moment, repr(given))
        return moment.reads.loader(key, partial(_all_lists, declared, moment, given)).load(source._row[0])  # noqa: SLF001

    return answer


async def _all_lists(declared: Many, moment: Moment, given: Mapping[str, Any], parents: list[UUID]) -> list[list[Any]]:
    target, query = read_of(declared.target()), moment.query()
    window = Window(limit=declared.limit)
    statement = pages.page(query, listed_of(declared, given, moment.viewer), window, target.columns, parents)
    rows = await moment.rows(query, statement)
    return [[records.made(target, row, moment) for row in found] for found in records.grouped(rows, parents)]


def listed_of(declared: Many, given: Mapping[str, Any], viewer: Viewer) -> Listed:
    """What a short list holds, for a viewer and the arguments given."""
    target = read_of(declared.target())
    keys = tuple(
        listing.key_of(target, declared.via, name.removeprefix("-"), descending=name.startswith("-"))
        for name in declared.order
    )
    narrowed = [] if declared.where is None else [declared.where]
    narrowed += listing.asked_for(declared.arguments, given)
    return Listed(read=target, via=declared.via, keys=keys, conditions=(*records.visible(target, viewer), *narrowed))


@answerer.register(Connection)
def _of_connection(declared: Connection, name: str, read: ReadType | None) -> Answer:
    if read is None or declared.via is None:
        return partial(_root_list, declared, f"Query.{name}")

    def answer(source: Any, info: Any, given: dict[str, Any]) -> Any:
        moment = records.moment_of(source)
        if _masked(moment, read, name):
            return None
        return _list(moment, declared, f"{read.name}.{name}", info, given, parent=source._row[0])  # noqa: SLF001

    return answer


async def _root_list(declared: Connection, name: str, _source: Any, info: Any, given: dict[str, Any]) -> Any:
    moment = await info.context.reads.moment(given.get("as_of", UNSET))
    return _list(moment, declared, name, info, given)


def _list(
    moment: Moment, declared: Connection, name: str, info: Any, given: dict[str, Any], *, parent: UUID | None = None,
    part: int = 0,
) -> Any:  # fmt: skip
    """Siblings at one place of the document have the same arguments: these are worked out once."""
    place = (name, part, moment, *(step for step in info.path.as_list() if isinstance(step, str)))
    ask = moment.reads.asked.get(place)
    if ask is None:
        ask = moment.reads.asked[place] = listing.asked(moment, declared, name, given)
    return listing.Listing(moment, ask, place, parent)


@answerer.register(Merged)
def _of_merged(declared: Merged, name: str, read: ReadType) -> Answer:
    def answer(source: Any, info: Any, given: dict[str, Any]) -> Any:
        moment = records.moment_of(source)
        if _masked(moment, read, name):
            return None
        parts = [
            _list(moment, declared.parts[place], f"{read.name}.{name}", info, given, parent=source._row[0], part=place)  # noqa: SLF001
            for place in declared.among(given)
        ]
        return listing.MergedListing(parts)

    return answer


@answerer.register(Lookup)
def _of_lookup(declared: Lookup, name: str, read: ReadType | None) -> Answer:  # noqa: ARG001
    return partial(_find, declared)


async def _find(declared: Lookup, _source: Any, info: Any, given: dict[str, Any]) -> Any:
    """By id; the id of a past record means the record. Raises: InvalidInputError for an id of another type."""
    target = read_of(declared.target())
    id_ = ids.expect(given["id"], target.name, field=("id",)).id
    moment = await info.context.reads.moment(given.get("as_of", UNSET))
    return await records.load(moment, target, id_)


@answerer.register(Batched)
def _of_batched(declared: Batched, name: str, read: ReadType) -> Answer:
    def answer(source: Any, info: Any, given: dict[str, Any]) -> Any:
        moment = records.moment_of(source)
        if _masked(moment, read, name):
            return None
        place = (read.name, name, moment, *(step for step in info.path.as_list() if isinstance(step, str)))

        async def load(sources: list[int]) -> Any:
            return await declared.load(moment.reads, [by_id[each] for each in sources], given)

        by_id = moment.reads.sources
        by_id[id(source)] = source
        return moment.reads.loader(place, load).load(id(source))

    return answer


def _masked(moment: Moment, read: ReadType, name: str) -> bool:
    return bool(read.entity) and name in moment.reads.masked(read.entity)
