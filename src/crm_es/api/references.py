"""What an input names beside its own record: it must be there, in this workspace, and within the actor's reach."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from uuid import UUID

import strawberry

from crm_es.api.payloads import Deed
from crm_es.errors import AlreadyExistsError, CrmError, FieldPath, NotAllowedError, NotFoundError
from crm_es.eventstore.aggregate import Aggregate
from crm_es.eventstore.event import camel
from crm_es.reads import records
from crm_es.reads.model import ReadType, read_of
from crm_es.reads.session import Moment
from crm_es.workspaces.actions import Action, EntityType, Scope


@dataclass(frozen=True, slots=True)
class Reference:
    """A record that an input names, and where."""

    aggregate: Aggregate[Any, Any]
    id: UUID
    field: FieldPath


async def check(deed: Deed, references: Iterable[Reference]) -> None:
    """Raises: NotFoundError at the first that is not there."""
    for error in await missing(deed, list(references)):
        raise error


async def missing(deed: Deed, references: Sequence[Reference]) -> list[NotFoundError]:
    """One refusal for each that is not there; one statement a kind of record, however many there are."""
    there: set[tuple[str, UUID]] = set()
    for aggregate in {one.aggregate.name: one.aggregate for one in references}.values():
        ids = {one.id for one in references if one.aggregate is aggregate}
        found = await deed.store.exists(deed.command.workspace, aggregate, ids)
        there |= {(aggregate.name, id_) for id_ in found}
    return [absent(one.aggregate.name, one.field) for one in references if (one.aggregate.name, one.id) not in there]


def absent(kind: str, field: FieldPath) -> NotFoundError:
    return NotFoundError(f"There is no such {kind}.", field=field)


@asynccontextmanager
async def addressed(
    kind: str, *, inside: str | None = None, lists: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Refusals point into the input: the record that is not there is its `id`.

    `inside` is the input object that the record's fields stand in; `lists` says which of its fields names what a list of
    the record gains.
    """
    try:
        yield
    except NotFoundError as error:
        if not error.field:
            raise absent(kind, ("id",)) from error
        located(error, inside=inside, lists=lists)
        raise
    except CrmError as error:
        located(error, inside=inside, lists=lists)
        raise


def located(
    error: CrmError, *, inside: str | None = None, lists: Mapping[str, str] | None = None, place: FieldPath = ()
) -> CrmError:
    """The refusal, its field as the input has it; `place` is the path of a row in a batch."""
    if lists and error.field and error.field[0] in lists:
        error.field = (lists[error.field[0]], *error.field[1:])
    if inside and error.field and error.field[0] not in _ENVELOPE | {inside}:
        error.at(inside)
    return error if error.field[: len(place)] == place else error.at(*place)


_ENVELOPE: Final = frozenset({"id", "expectedVersion", "commandId", "reason"})


@asynccontextmanager
async def pointing(deed: Deed, places: Mapping[tuple[str, str], FieldPath]) -> AsyncIterator[None]:
    """A refusal of a value that is taken points at the value. `places` is by (kind, normal form) of the reservation."""
    try:
        yield
    except AlreadyExistsError as error:
        holders = await deed.store.holders(deed.command.workspace, places)
        held = (places[key] for key, holder in holders.items() if (key[0], holder) == (error.kind, error.holder))
        error.field = next(held, error.field)
        raise


async def within_reach(deed: Deed, action: Action, cls: type[Any], ids: Mapping[UUID, FieldPath]) -> None:
    """Whether the actor's permission for `action` extends to these records: all, one's team's, or one's own.

    Raises: NotFoundError where he may not see the record, NotAllowedError where he may.
    """
    for error in await beyond_reach(deed, action, cls, ids):
        raise error


async def beyond_reach(deed: Deed, action: Action, cls: type[Any], ids: Mapping[UUID, FieldPath]) -> list[CrmError]:
    """One refusal for each record that it does not extend to, or not to what that was merged into."""
    read = read_of(cls)
    kind = EntityType(str(read.entity))
    reading, acting = (deed.context.permissions.scope(kind, one) for one in (Action.READ, action))
    if not ids or reading is acting is Scope.WORKSPACE:
        return []
    moment = deed.context.reads.present
    lines = dict(zip(ids, await asyncio.gather(*(_line(moment, read, id_) for id_ in ids)), strict=True))
    query = moment.query()
    query.viewer = replace(moment.viewer, scope=lambda _entity: acting)
    changed = list({id_ for line in lines.values() for id_ in line})
    reached = {row[0] for row in await moment.rows(query, records.by_ids(query, read, changed, ["id"]))}
    return [
        _beyond(kind, action, ids[id_], seen=bool(line))
        for id_, line in lines.items()
        if not line or not reached.issuperset(line)
    ]


async def _line(moment: Moment, read: ReadType, id_: UUID) -> list[UUID]:
    """The record and what it was merged into, which its id leads to; nothing where he may not see it."""
    record = await records.load(moment, read, id_)
    line = [] if record is None else [id_]
    while record is not None and "merged_into" in read.index and (into := records.raw(record, "merged_into")):
        line.append(into)
        record = await records.load(moment, read, into)
    return line


def _beyond(kind: EntityType, action: Action, field: FieldPath, *, seen: bool) -> CrmError:
    if not seen:
        return absent(kind.lower(), field)
    return NotAllowedError(f"Your permission to {action.lower()} does not reach this record.", field=field)


def check_shown(deed: Deed, kind: EntityType, input: Any, **called: str) -> None:
    """Nobody writes what is masked for him. `called`: fields of the input whose names are not the record's.

    Raises: NotAllowedError at the field.
    """
    masked = deed.context.permissions.masked(kind)
    for one in fields(input) if masked else ():
        if getattr(input, one.name) is not strawberry.UNSET and called.get(one.name, _of_record(one.name)) in masked:
            raise NotAllowedError("You cannot change a field you may not see.", field=(camel(one.name),))


def _of_record(name: str) -> str:
    """The record's field behind an input's: `add_emails` → `emails`."""
    return camel(name.removeprefix("add_").removeprefix("remove_"))
