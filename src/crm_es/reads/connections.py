"""The Relay types made for each read type: XConnection, XEdge, XOrder, XOrderField; and the arguments every connection takes."""

from collections.abc import Awaitable, Callable
from enum import Enum
from functools import cache
from typing import Any, Protocol

import strawberry
from strawberry import UNSET
from strawberry.types.arguments import StrawberryArgument

from crm_es.api.enums import OrderDirection, describe
from crm_es.api.nodes import AsOf, PageInfo
from crm_es.api.rules import PARENT
from crm_es.eventstore.event import camel
from crm_es.reads.later import Later
from crm_es.reads.model import Argument, Connection, Lookup, Merged, Summed, read_of

PAGE = 50
LARGEST_PAGE = 1000


class Listing(Protocol):
    """What stands behind a connection while it is answered: see `resolve.Listing`."""

    async def edges(self) -> list[Any]: ...
    async def nodes(self) -> list[Any]: ...
    async def page_info(self) -> PageInfo: ...
    async def total_count(self) -> int: ...
    async def sums(self, group: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]: ...
    def masks(self, field: str) -> bool: ...


@cache
def connection_type(node: type[Any], name: str | None = None) -> type[Any]:
    """`ContactConnection` of `Contact`; of an interface, with the name given."""
    node_name = node.__strawberry_definition__.name
    stem = (name or node_name).removesuffix("Connection")
    edge = _edge_type(node, node_name, stem)

    async def edges(self: Listing) -> Any:
        return await self.edges()

    async def nodes(self: Listing) -> Any:
        return await self.nodes()

    async def page_info(self: Listing) -> PageInfo:
        return await self.page_info()

    async def total_count(self: Listing) -> int:
        return await self.total_count()

    edges.__annotations__["return"] = list[edge]  # type: ignore[valid-type]
    nodes.__annotations__["return"] = list[node]  # type: ignore[valid-type]
    fields = {
        "edges": strawberry.field(edges, description="The page, each record with its cursor."),
        "nodes": strawberry.field(nodes, description="The page's records alone."),
        "page_info": strawberry.field(page_info, description="Whether more come before and after."),
        "total_count": strawberry.field(
            total_count, description="How many the whole list holds, exactly. Counted only when asked for."
        ),
    }
    fields |= getattr(node, "__connection__", {})
    return strawberry.type(type(f"{stem}Connection", (), fields), description=f"A page of a list of {node_name}.")


def summed(of: Callable[[Listing], Awaitable[Any]], description: str) -> Any:
    """A field of a connection, worked out from sums over its whole list."""
    return strawberry.field(of, description=description, metadata={"rule": PARENT, "read": Summed(of=of)})


def _edge_type(node: type[Any], node_name: str, stem: str) -> type[Any]:
    fields = {
        "__annotations__": {"cursor": str, "node": node},
        "cursor": strawberry.field(description="Its place in this list, for after and before."),
        "node": strawberry.field(description="The record."),
    }
    return strawberry.type(type(f"{stem}Edge", (), fields), description=f"A {node_name} in a list.")


@cache
def order_type(target: type[Any]) -> type[Any]:
    """`ContactOrder {field direction}` with its enum `ContactOrderField`."""
    read = read_of(target)
    assert read.orders is not None, read.name  # noqa: S101  # a declaration without orders takes no orderBy
    names = Enum(f"{read.name}OrderField", {name: name for name in read.orders.columns})  # type: ignore[misc]
    words = {name: f"By {name.lower().replace('_', ' ')}." for name in read.orders.columns}
    described = describe(names, f"What lists of {read.name} can be ordered by.", **words)
    fields = {
        "__annotations__": {"field": described, "direction": OrderDirection},
        "field": strawberry.field(description="By what."),
        "direction": strawberry.field(default=OrderDirection.ASC, description="Nulls come last both ways."),
    }
    return strawberry.input(
        type(f"{read.name}Order", (), fields), description="An order; ties break by id. At most two are taken."
    )


_PAGING = (
    Argument(name="first", type=int | None, description=f"So many from the start or `after`: {PAGE}, at most {LARGEST_PAGE}."),
    Argument(name="after", type=str | None, description="A cursor of this list: what follows it."),
    Argument(name="last", type=int | None, description="So many from the end, or before `before`."),
    Argument(name="before", type=str | None, description="A cursor of this list: what precedes it."),
)  # fmt: skip
_AS_OF = Argument(name="as_of", type=AsOf | None, description="As it was recorded then; everything below follows.")


def arguments(declared: Connection) -> list[StrawberryArgument]:
    """What a connection field takes; filter and orderBy where the target declares them."""
    given = [*_PAGING]
    if declared.filter:
        filter_type: Any = Later(lambda: read_of(declared.target()).filter())  # type: ignore[misc]
        given.append(
            Argument(name="filter", type=filter_type | None, description="Which; ACTIVE records unless it says.")
        )
    if declared.order:
        order: Any = list[Later(lambda: order_type(declared.target()))]  # type: ignore[misc]
        given.append(Argument(name="order_by", type=order | None, description="In which order; at most two."))
    given += declared.arguments
    if declared.as_of:
        given.append(_AS_OF)
    return [argument.strawberry() for argument in given]


def merged_arguments(declared: Merged) -> list[StrawberryArgument]:
    return [argument.strawberry() for argument in (*_PAGING, *declared.arguments)]


def lookup_arguments(declared: Lookup) -> list[StrawberryArgument]:
    given = [Argument(name="id", type=strawberry.ID, description="Its global id, present or past.")]
    if declared.as_of:
        given.append(_AS_OF)
    return [argument.strawberry() for argument in given]


__all__ = [
    "LARGEST_PAGE", "PAGE", "UNSET", "arguments", "camel", "connection_type", "lookup_arguments", "merged_arguments",
    "order_type", "summed",
]  # fmt: skip
