"""Any node by its global id: `node`, `entity`, and whatever names records of several types.

The rooms' types register here by being part of the schema: `schema.py` says which there are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from crm_es.api import ids
from crm_es.api.ids import NodeId
from crm_es.api.nodes import AsOf, Entity
from crm_es.context import Context
from crm_es.errors import InvalidInputError
from crm_es.reads import records
from crm_es.reads.model import read_of

Find = Callable[[Context, NodeId], Awaitable[Any]]


@dataclass(slots=True)
class Kinds:
    """By GraphQL type name: read types (found in their tables, present or past), and finders of everything else."""

    read: dict[str, type[Any]] = field(default_factory=dict)
    other: dict[str, Find] = field(default_factory=dict)

    def add(self, *read_types: type[Any], **finders: Find) -> None:
        self.read |= {read_of(each).name: each for each in read_types}
        self.other |= finders

    @property
    def dated(self) -> dict[str, type[Any]]:
        """Read types of records with a stream."""
        return {name: cls for name, cls in self.read.items() if issubclass(cls, Entity)}

    @property
    def entities(self) -> frozenset[str]:
        """Those with a stream: they can be shown as of any moment."""
        return frozenset(self.dated)


KINDS = Kinds()
MOST: Final = 1_000


async def node(context: Context, named: NodeId) -> Any:
    """The node, or None where there is none that the viewer may see."""
    if named.type in KINDS.other:
        return await KINDS.other[named.type](context, named)
    read_type = KINDS.read.get(named.type)
    if read_type is None:
        return None
    return await records.load(await context.reads.moment_at(named.at), read_of(read_type), named.id)


def type_name(aggregate: str) -> str:
    """`saved_view` → `SavedView`."""
    return aggregate.title().replace("_", "")


def about(event: Any) -> str:
    """The type of the record that an event tells about."""
    return type_name(records.raw(event, "entity_type"))


def note(context: Context, type_: str, fields: Iterable[str]) -> None:
    """Values of these fields of a record are answered in another way than by reading it: the access log names the sensitive."""
    read_type = KINDS.read.get(type_)
    if read_type is not None:
        context.trail.fields |= read_of(read_type).sensitive.intersection(fields)


async def first(context: Context, types: Iterable[str], id_: UUID) -> Any:
    """The present record with this uuid among several types."""
    for name in types:
        if name in KINDS.read and (found := await node(context, NodeId(name, id_))) is not None:
            return found
    return None


async def entity(context: Context, named: NodeId, as_of: AsOf | None) -> Any:
    """A record at a moment; `as_of` outranks the moment of a past id."""
    if named.type not in KINDS.entities:
        return None
    reads = context.reads
    moment = await (reads.moment_at(named.at) if not as_of else reads.moment(as_of))
    return await records.load(moment, read_of(KINDS.read[named.type]), named.id)


async def nodes(context: Context, wanted: Sequence[str]) -> list[Any]:
    """Each node, or None; those of one type and moment in one statement."""
    if len(wanted) > MOST:
        raise InvalidInputError(f"At most {MOST:,} ids at once.", rule="nodes.too_many", field=("ids",))
    named = [ids.decode(id_, ("ids", str(place))) for place, id_ in enumerate(wanted)]
    return list(await asyncio.gather(*(node(context, each) for each in named)))
